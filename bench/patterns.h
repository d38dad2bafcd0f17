/*
 * The ways in which the drivers allocate and free, the same for zones and for malloc. The file that
 * includes this defines
 *
 *	static inline void *take(void *arg);
 *	static inline void give(void *arg, void *p);
 *
 * An operation is one take and one give. Each object's first byte is written.
 */
#ifndef BENCH_PATTERNS_H
#define BENCH_PATTERNS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "clock.h"

static void
pairs(unsigned long n, void *arg)
{
	for (unsigned long i = 0; i < n; i++) {
		char *p = take(arg);

		*p = 1;
		USE(p);
		give(arg, p);
	}
}

/* ---- batches: so many are taken, then all are given back, in the order that `order` tells --------- */
#define MAXBATCH 1000

struct batch {
	void *arg;
	unsigned size;
	unsigned order[MAXBATCH];
};

static void
batches(unsigned long n, void *batch)
{
	struct batch *b = batch;
	void *held[MAXBATCH];

	for (unsigned long done = 0; done < n; done += b->size) {
		for (unsigned i = 0; i < b->size; i++) {
			held[i] = take(b->arg);
			*(char *)held[i] = 1;
		}
		USE(held);
		for (unsigned i = 0; i < b->size; i++)
			give(b->arg, held[b->order[i]]);
	}
}

/* 0..size-1: last first, first first, or shuffled, the same way in each run. */
static void
set_order(struct batch *b, const char *how)
{
	uint64_t seed = 88172645463325252u;

	for (unsigned i = 0; i < b->size; i++)
		b->order[i] = strcmp(how, "lifo") == 0 ? b->size - 1 - i : i;
	if (strcmp(how, "random") != 0)
		return;
	for (unsigned i = b->size - 1; i > 0; i--) {
		unsigned at, was = b->order[i];

		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		at = (unsigned)(seed % (i + 1));
		b->order[i] = b->order[at];
		b->order[at] = was;
	}
}

/* PREFIX_batch_SIZE_ORDER for each size and order. */
static void
all_batches(const char *prefix, void *arg)
{
	static const unsigned sizes[] = { 50, 1000 };
	static const char *const orders[] = { "lifo", "fifo", "random" };
	struct batch b = { .arg = arg };
	char name[64];

	for (unsigned s = 0; s < 2; s++) {
		for (unsigned o = 0; o < 3; o++) {
			b.size = sizes[s];
			set_order(&b, orders[o]);
			snprintf(name, sizeof(name), "%s_batch_%u_%s", prefix, b.size, orders[o]);
			report(name, measure(batches, &b));
		}
	}
}

/* ---- two threads -------------------------------------------------------------------------------------- */
#define RING   1024 /* objects on their way */
#define CHUNK  32   /* objects that are told of, and waited for, at a time */
#define PASSED 131072

struct ring {
	void *arg;
	pthread_barrier_t start;
	_Atomic unsigned long put, got; /* on lines of their own: each is written by one thread */
	char pad[128];
	double took; /* the consumer's processor time */
	void *slot[RING];
};

/* The two CPUs that a pair of threads runs on; with one CPU there is nothing to measure. */
static void
pin(unsigned which)
{
	static cpu_set_t may; /* the process's, before any thread was pinned */
	cpu_set_t one;
	unsigned seen = 0;

	if (CPU_COUNT(&may) == 0 && sched_getaffinity(0, sizeof(may), &may) != 0)
		abort();
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &may) || seen++ != which)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (pthread_setaffinity_np(pthread_self(), sizeof(one), &one) != 0)
			abort();
		return;
	}
	fprintf(stderr, "the rows with two CPUs need two CPUs\n");
	exit(1);
}

/*
 * Wait until the other side's count is at least `least`; returns the processor time that this took,
 * which is no part of what is measured: how long one has to wait is the scheduler's affair.
 */
static double
wait_until(_Atomic unsigned long *count, unsigned long least)
{
	double start;

	if (atomic_load_explicit(count, memory_order_acquire) >= least)
		return (0);
	start = thread_ns();
	while (atomic_load_explicit(count, memory_order_acquire) < least)
		sched_yield();
	return (thread_ns() - start);
}

static double
produce(struct ring *r)
{
	double start = thread_ns(), waited = 0;

	for (unsigned long put = 0; put < PASSED;) {
		if (put + CHUNK > RING)
			waited += wait_until(&r->got, put + CHUNK - RING);
		for (unsigned i = 0; i < CHUNK; i++) {
			char *p = take(r->arg);

			*p = 1;
			r->slot[put++ % RING] = p;
		}
		atomic_store_explicit(&r->put, put, memory_order_release);
	}
	return (thread_ns() - start - waited);
}

static void *
consume(void *ring)
{
	struct ring *r = ring;
	double start, waited = 0;

	pin(1);
	pthread_barrier_wait(&r->start);
	start = thread_ns();
	for (unsigned long got = 0; got < PASSED;) {
		waited += wait_until(&r->put, got + CHUNK);
		for (unsigned i = 0; i < CHUNK; i++)
			give(r->arg, r->slot[got++ % RING]);
		atomic_store_explicit(&r->got, got, memory_order_release);
	}
	r->took = thread_ns() - start - waited;
	return (NULL);
}

/* Nanoseconds of processor time, of both threads, for an object that is taken on one CPU and given
 * back on another. */
static double
producer_consumer(void *arg)
{
	static struct ring r;
	double took[5];

	for (int i = 0; i < 5; i++) {
		pthread_t consumer;

		r.arg = arg;
		r.put = r.got = 0;
		pin(0);
		pthread_barrier_init(&r.start, NULL, 2);
		if (pthread_create(&consumer, NULL, consume, &r) != 0)
			abort();
		pthread_barrier_wait(&r.start);
		took[i] = produce(&r);
		pthread_join(consumer, NULL);
		took[i] = (took[i] + r.took) / PASSED;
		pthread_barrier_destroy(&r.start);
	}
	return (median_of(took, 5));
}

#endif
