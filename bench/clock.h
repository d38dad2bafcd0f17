/*
 * Timing for the benchmark drivers: a measurement is the median of a few batches, each some
 * milliseconds long, in nanoseconds an operation. What one thread does is measured in that thread's
 * processor time, which other programs on the machine disturb little; what several do together in
 * time on the wall.
 */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCHES  7
#define BATCH_NS 2000000.0

/* The compiler must believe that p's memory is used. */
#define USE(p) __asm__ volatile("" : : "r"(p) : "memory")

static inline double
clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return ((double)t.tv_sec * 1e9 + (double)t.tv_nsec);
}

static inline double
now_ns(void)
{
	return (clock_ns(CLOCK_MONOTONIC));
}

static inline double
thread_ns(void)
{
	return (clock_ns(CLOCK_THREAD_CPUTIME_ID));
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return ((x > y) - (x < y));
}

static inline double
median_of(double *value, unsigned n)
{
	qsort(value, n, sizeof(value[0]), by_value);
	return (value[n / 2]);
}

/* run(n, arg) does n operations. Finds an n that fills a batch, which also warms the caches. */
static inline double
measure(void (*run)(unsigned long n, void *arg), void *arg)
{
	double start, took, result[BATCHES];
	unsigned long n = 64;

	for (;;) {
		start = thread_ns();
		run(n, arg);
		took = thread_ns() - start;
		if (took >= BATCH_NS / 2)
			break;
		n *= 2;
	}
	for (int i = 0; i < BATCHES; i++) {
		start = thread_ns();
		run(n, arg);
		result[i] = (thread_ns() - start) / (double)n;
	}
	return (median_of(result, BATCHES));
}

/* One line a figure, as bench.py reads it. */
static inline void
report(const char *name, double value)
{
	printf("%s %.3f ns\n", name, value);
}

#endif
