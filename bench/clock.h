/*
 * Timing for the benchmark drivers: a measurement is the median of a few batches, each some
 * milliseconds long, in nanoseconds an operation.
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
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((double)t.tv_sec * 1e9 + (double)t.tv_nsec);
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return ((x > y) - (x < y));
}

/* run(n, arg) does n operations. Finds an n that fills a batch, which also warms the caches. */
static inline double
measure(void (*run)(unsigned long n, void *arg), void *arg)
{
	double start, took, result[BATCHES];
	unsigned long n = 64;

	for (;;) {
		start = now_ns();
		run(n, arg);
		took = now_ns() - start;
		if (took >= BATCH_NS / 2)
			break;
		n *= 2;
	}
	for (int i = 0; i < BATCHES; i++) {
		start = now_ns();
		run(n, arg);
		result[i] = (now_ns() - start) / (double)n;
	}
	qsort(result, BATCHES, sizeof(result[0]), by_value);
	return (result[BATCHES / 2]);
}

static inline void
report(const char *name, double value)
{
	printf("%s %.3f\n", name, value);
}

#endif
