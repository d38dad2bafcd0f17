/*
 * In the style of Hoard's cache-scratch: does the allocator let threads share a cache line that each
 * writes (passive false sharing)? The main thread takes small blocks one after the other and hands one
 * to each thread, which frees it and from then on takes, writes often and frees a block of that size.
 * An allocator that gives the freed block back to its freer keeps two threads on one line.
 * A fixed amount of work.
 *
 * usage: cache_scratch [THREADS [BLOCKS [WRITES]]]
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SIZE 8

static unsigned long blocks = 60000, writes = 2000;

static void *
worker(void *arg)
{
	free(arg);
	for (unsigned long i = 0; i < blocks; i++) {
		volatile char *p = malloc(SIZE);

		if (p == NULL)
			abort();
		for (unsigned k = 0; k < SIZE; k++)
			p[k] = 0;
		for (unsigned long w = 0; w < writes; w++)
			p[w % SIZE]++;
		free((void *)p);
	}
	return (NULL);
}

int
main(int argc, char **argv)
{
	unsigned threads = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;
	pthread_t thread[64];
	void *block[64];

	if (argc > 2)
		blocks = strtoul(argv[2], NULL, 10);
	if (argc > 3)
		writes = strtoul(argv[3], NULL, 10);
	if (threads == 0 || threads > 64)
		return (2);
	for (unsigned i = 0; i < threads; i++)
		if ((block[i] = malloc(SIZE)) == NULL)
			abort();
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, worker, block[i]) != 0)
			abort();
	for (unsigned i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	printf("%lu\n", threads * blocks * writes);
	return (0);
}
