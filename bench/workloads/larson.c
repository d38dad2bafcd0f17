/*
 * In the style of Larson and Krishnan's server benchmark: each thread holds many blocks of mixed
 * sizes and replaces a random one at a time; after a while it ends, and a new thread goes on with its
 * blocks. So most blocks are freed by another thread than took them, often by one that began after the
 * other had ended. A fixed amount of work.
 *
 * usage: larson [THREADS [BLOCKS [GENERATIONS [REPLACEMENTS]]]]
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MINSIZE 8
#define MAXSIZE 1000

struct place {
	uint64_t seed;
	unsigned long replacements;
	unsigned blocks;
	void **block;
};

static unsigned
draw(struct place *p, unsigned below)
{
	p->seed ^= p->seed << 13, p->seed ^= p->seed >> 7, p->seed ^= p->seed << 17;
	return ((unsigned)((p->seed >> 11) % below));
}

static void *
fresh(struct place *p)
{
	size_t size = MINSIZE + draw(p, MAXSIZE - MINSIZE + 1);
	char *b = malloc(size);

	if (b == NULL)
		abort();
	b[0] = b[size - 1] = 1;
	return (b);
}

static void *
generation(void *arg)
{
	struct place *p = arg;

	for (unsigned long i = 0; i < p->replacements; i++) {
		unsigned at = draw(p, p->blocks);

		free(p->block[at]);
		p->block[at] = fresh(p);
	}
	return (NULL);
}

static unsigned long
number(int argc, char **argv, int at, unsigned long otherwise)
{
	return (argc > at ? strtoul(argv[at], NULL, 10) : otherwise);
}

int
main(int argc, char **argv)
{
	unsigned threads = (unsigned)number(argc, argv, 1, 2);
	unsigned blocks = (unsigned)number(argc, argv, 2, 10000);
	unsigned long generations = number(argc, argv, 3, 24);
	unsigned long replacements = number(argc, argv, 4, 50000);
	struct place place[64];
	pthread_t thread[64];

	if (threads == 0 || threads > 64 || blocks == 0)
		return (2);
	for (unsigned t = 0; t < threads; t++) {
		place[t] = (struct place){ .seed = 88172645463325252u + t * 7919,
			.blocks = blocks,
			.replacements = replacements,
			.block = calloc(blocks, sizeof(void *)) };
		if (place[t].block == NULL)
			abort();
		for (unsigned i = 0; i < blocks; i++)
			place[t].block[i] = fresh(&place[t]);
	}
	for (unsigned long g = 0; g < generations; g++) {
		for (unsigned t = 0; t < threads; t++)
			if (pthread_create(&thread[t], NULL, generation, &place[t]) != 0)
				abort();
		for (unsigned t = 0; t < threads; t++)
			pthread_join(thread[t], NULL);
	}
	for (unsigned t = 0; t < threads; t++) {
		for (unsigned i = 0; i < blocks; i++)
			free(place[t].block[i]);
		free(place[t].block);
	}
	printf("%lu\n", generations * replacements * threads);
	return (0);
}
