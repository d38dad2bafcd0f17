/*
 * One kind of object, allocated and freed in the patterns that programs have: by zones of Cooper
 * (called, or inline with COOPER_INLINE), or by malloc under whichever library is preloaded
 * (ZONE_MALLOC). One source, so that contestants differ in nothing but the allocator.
 *
 * usage: driver_zone [ROUNDS]      prints "NAME VALUE ns" a line: of one allocation with its free
 *        driver_zone count         1,100 pairs in zone_pairs(), for who counts instructions
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>

#include "clock.h"

#define ITEM 64

#ifdef ZONE_MALLOC
#define START()     ((void)0)
#define WITH_ZONE() ((void)0)
#define ALLOC()     malloc(ITEM)
#define FREE(p)     free(p)
#else
#include <cooper/cooper.h>
#include <cooper/uma.h>

static uma_zone_t the_zone;
#define START()     start_zone()
#define WITH_ZONE() uma_zone_t zone = the_zone
#define ALLOC()     uma_zalloc(zone, M_NOWAIT)
#define FREE(p)     uma_zfree(zone, p)

static void
start_zone(void)
{
	if (cooper_start(NULL) != 0) {
		fprintf(stderr, "driver_zone: %s\n", cooper_start_error());
		exit(1);
	}
	the_zone = uma_zcreate("bench", ITEM, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
}
#endif

/* A thread's own time: neighbours take the processor away from all contestants. */
static double
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return ((double)t.tv_sec * 1e9 + (double)t.tv_nsec);
}

/* ---- one thread ------------------------------------------------------------------------------------ */

__attribute__((noinline)) void
zone_pairs(unsigned long n)
{
	WITH_ZONE();

	while (n-- > 0) {
		char *p = ALLOC();

		*p = 1;
		USE(p);
		FREE(p);
	}
}

#define MOST 1000
static char *held[MOST];
static unsigned order[MOST];

static void
fill(unsigned batch)
{
	WITH_ZONE();

	for (unsigned i = 0; i < batch; i++) {
		held[i] = ALLOC();
		*held[i] = 1;
	}
	USE(held);
}

static void
lifo(unsigned long n, unsigned batch)
{
	WITH_ZONE();

	for (; n >= batch; n -= batch) {
		fill(batch);
		for (unsigned i = batch; i-- > 0;)
			FREE(held[i]);
	}
}

static void
fifo(unsigned long n, unsigned batch)
{
	WITH_ZONE();

	for (; n >= batch; n -= batch) {
		fill(batch);
		for (unsigned i = 0; i < batch; i++)
			FREE(held[i]);
	}
}

static void
shuffled(unsigned long n, unsigned batch)
{
	WITH_ZONE();

	for (; n >= batch; n -= batch) {
		fill(batch);
		for (unsigned i = 0; i < batch; i++)
			FREE(held[order[i]]);
	}
}

static void
shuffle(unsigned batch)
{
	uint64_t seed = 88172645463325252ull;

	for (unsigned i = 0; i < batch; i++)
		order[i] = i;
	for (unsigned i = batch; i-- > 1;) {
		unsigned j, t = order[i];

		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		j = (unsigned)(seed % (i + 1));
		order[i] = order[j];
		order[j] = t;
	}
}

/* ---- producer and consumer --------------------------------------------------------------------------- */

#define RING 1024

static struct {
	unsigned long put __attribute__((aligned(64)));
	unsigned long got __attribute__((aligned(64)));
	char *slot[RING] __attribute__((aligned(64)));
} ring;
static unsigned long pieces;

static void
stay_on(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static void *
consumer(void *arg)
{
	WITH_ZONE();

	stay_on(1);
	for (unsigned long i = 0; i < pieces; i++) {
		while (__atomic_load_n(&ring.put, __ATOMIC_ACQUIRE) == i)
			sched_yield();
		FREE(ring.slot[i % RING]);
		__atomic_store_n(&ring.got, i + 1, __ATOMIC_RELEASE);
	}
	return (arg);
}

static double
pipeline(unsigned long n)
{
	WITH_ZONE();
	pthread_t thread;
	cpu_set_t home;
	double start;

	(void)sched_getaffinity(0, sizeof(home), &home);
	pieces = n;
	ring.put = ring.got = 0;
	if (pthread_create(&thread, NULL, consumer, NULL) != 0)
		abort();
	stay_on(0);
	start = now_ns();
	for (unsigned long i = 0; i < n; i++) {
		char *p = ALLOC();

		*p = 1;
		while (i - __atomic_load_n(&ring.got, __ATOMIC_ACQUIRE) >= RING)
			sched_yield();
		ring.slot[i % RING] = p;
		__atomic_store_n(&ring.put, i + 1, __ATOMIC_RELEASE);
	}
	pthread_join(thread, NULL);
	start = now_ns() - start;
	(void)sched_setaffinity(0, sizeof(home), &home);
	return (start / (double)n);
}

/* ---- the run ------------------------------------------------------------------------------------------- */

#define PAIRS 400000ul

static double
timed(void (*run)(unsigned long, unsigned), unsigned batch)
{
	double start;

	run(4ul * batch, batch);
	start = cpu_ns();
	run(PAIRS, batch);
	return ((cpu_ns() - start) / (double)(PAIRS / batch * batch));
}

static void
round_of_all(void)
{
	static const unsigned batches[] = { 50, 1000 };
	double start;
	char name[32];

	zone_pairs(1000);
	start = cpu_ns();
	zone_pairs(PAIRS);
	report("pair", (cpu_ns() - start) / (double)PAIRS);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "lifo_%u", batches[i]);
		report(name, timed(lifo, batches[i]));
		snprintf(name, sizeof(name), "fifo_%u", batches[i]);
		report(name, timed(fifo, batches[i]));
		shuffle(batches[i]);
		snprintf(name, sizeof(name), "random_%u", batches[i]);
		report(name, timed(shuffled, batches[i]));
	}
	report("pipeline", pipeline(PAIRS));
}

int
main(int argc, char **argv)
{
	START();
	if (argc == 2 && strcmp(argv[1], "count") == 0) {
		zone_pairs(100); /* warm */
		zone_pairs(1000);
		return (0);
	}
	for (int rounds = argc == 2 ? atoi(argv[1]) : 1; rounds > 0; rounds--) {
		round_of_all();
		fflush(stdout);
	}
	return (0);
}
