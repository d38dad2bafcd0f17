/*
 * In the style of Lever and Boreham's malloc-test for asymmetric use: some threads only allocate,
 * others only free, and batches of blocks of mixed sizes pass between them through one queue. A fixed
 * amount of work.
 *
 * usage: xmalloc [PAIRS [BATCHES]]     PAIRS of a thread that allocates and one that frees
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH  256 /* blocks */
#define QUEUED 64  /* batches on their way, at most */

struct batch {
	struct batch *next;
	void *block[BATCH];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t came = PTHREAD_COND_INITIALIZER, went = PTHREAD_COND_INITIALIZER;
static struct batch *first, **last = &first;
static unsigned queued;
static unsigned long each; /* batches of each thread */

static void
put(struct batch *b)
{
	b->next = NULL;
	pthread_mutex_lock(&lock);
	while (queued == QUEUED)
		pthread_cond_wait(&went, &lock);
	*last = b;
	last = &b->next;
	queued++;
	pthread_cond_signal(&came);
	pthread_mutex_unlock(&lock);
}

static struct batch *
get(void)
{
	struct batch *b;

	pthread_mutex_lock(&lock);
	while (queued == 0)
		pthread_cond_wait(&came, &lock);
	b = first;
	if ((first = b->next) == NULL)
		last = &first;
	queued--;
	pthread_cond_signal(&went);
	pthread_mutex_unlock(&lock);
	return (b);
}

static void *
allocates(void *arg)
{
	static const size_t sizes[] = { 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512 };
	uint64_t seed = 88172645463325252u + (uintptr_t)arg * 7919;

	for (unsigned long n = 0; n < each; n++) {
		struct batch *b = malloc(sizeof(*b));

		if (b == NULL)
			abort();
		for (unsigned i = 0; i < BATCH; i++) {
			size_t size;
			char *p;

			seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
			size = sizes[(seed >> 20) % (sizeof(sizes) / sizeof(sizes[0]))];
			if ((p = malloc(size)) == NULL)
				abort();
			p[0] = p[size - 1] = 1;
			b->block[i] = p;
		}
		put(b);
	}
	return (NULL);
}

static void *
frees(void *arg)
{
	(void)arg;
	for (unsigned long n = 0; n < each; n++) {
		struct batch *b = get();

		for (unsigned i = 0; i < BATCH; i++)
			free(b->block[i]);
		free(b);
	}
	return (NULL);
}

int
main(int argc, char **argv)
{
	unsigned pairs = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;
	pthread_t thread[128];

	each = argc > 2 ? strtoul(argv[2], NULL, 10) : 8000;
	if (pairs == 0 || pairs > 64)
		return (2);
	for (unsigned i = 0; i < 2 * pairs; i++)
		if (pthread_create(&thread[i], NULL, i % 2 == 0 ? allocates : frees,
			(void *)(uintptr_t)i) != 0)
			abort();
	for (unsigned i = 0; i < 2 * pairs; i++)
		pthread_join(thread[i], NULL);
	printf("%lu\n", each * pairs * BATCH);
	return (0);
}
