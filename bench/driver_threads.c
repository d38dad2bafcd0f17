/*
 * Memory that sleeping threads hold: THREADS threads each run bursts of mixed blocks, free all of
 * them and sleep. Then the strongest purge that the allocator offers is called, from the main thread,
 * and what is resident beyond the state before the threads is divided by their number. Their stacks
 * are part of it, the same under each allocator.
 *
 * usage: driver_threads [THREADS]      prints "NAME VALUE KiB" a line
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "resident.h"

#define BURSTS     20
#define BLOCKS     400
#define MAXTHREADS 4000

static pthread_barrier_t asleep, end;

/* 16 bytes to 8 KiB, each doubling as likely as the next. */
static size_t
draw_size(uint64_t *seed)
{
	size_t base;

	*seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
	base = (size_t)16 << (*seed >> 20) % 9;
	return (base + (*seed >> 30) % base);
}

static void *
bursts(void *arg)
{
	uint64_t seed = 88172645463325252u + (uintptr_t)arg * 7919;
	char *block[BLOCKS];

	for (unsigned b = 0; b < BURSTS; b++) {
		for (unsigned i = 0; i < BLOCKS; i++) {
			size_t size = draw_size(&seed);

			if ((block[i] = malloc(size)) == NULL)
				abort();
			block[i][0] = block[i][size - 1] = 1;
		}
		for (unsigned i = 0; i < BLOCKS; i++)
			free(block[i]);
	}
	pthread_barrier_wait(&asleep);
	pthread_barrier_wait(&end);
	return (NULL);
}

int
main(int argc, char **argv)
{
	unsigned threads = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000;
	static pthread_t thread[MAXTHREADS];
	pthread_attr_t attr;
	double before, held, purged;

	if (threads == 0 || threads > MAXTHREADS) {
		fprintf(stderr, "usage: driver_threads [THREADS], at most %u\n", MAXTHREADS);
		return (2);
	}
	pthread_barrier_init(&asleep, NULL, threads + 1);
	pthread_barrier_init(&end, NULL, threads + 1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	free(malloc(100));
	before = resident();
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&thread[i], &attr, bursts, (void *)(uintptr_t)i) != 0)
			abort();
	pthread_barrier_wait(&asleep);
	held = (resident() - before) / threads;
	purge();
	purged = (resident() - before) / threads;
	printf("threads_held %.3f KiB\nthreads_purged %.3f KiB\n", held, purged);
	fflush(stdout);
	_exit(0);
}
