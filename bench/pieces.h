/*
 * Work that is done in pieces while memory is asked back, and what makes memory worth asking for. The file
 * that includes this defines
 *
 *	take_filled(), give_filled(p)    an object of ITEM bytes, of those that fill the caches
 *	take_worked(), give_worked(p)    and of those that the work takes and gives back
 */
#ifndef BENCH_PIECES_H
#define BENCH_PIECES_H

#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define WORK     1000       /* items taken, then given back: one piece of work */
#define SLICE_NS 10000000.0 /* throughput is counted in slices of 10 ms */
#define SLICES   50         /* that tell what is usual */

static void
piece(void)
{
	static void *held[WORK];

	for (unsigned i = 0; i < WORK; i++) {
		held[i] = take_worked();
		*(char *)held[i] = 1;
	}
	for (unsigned i = 0; i < WORK; i++)
		give_worked(held[i]);
}

/* Pieces done in a slice; the longest of them in *longest, if that is longer. */
static double
slice(double *longest)
{
	double begin = now_ns(), last = begin, now = begin;
	unsigned n = 0;

	while (now - begin < SLICE_NS) {
		piece();
		now = now_ns();
		*longest = now - last > *longest ? now - last : *longest;
		last = now;
		n++;
	}
	return (n / (now - begin));
}

static double
usual(void)
{
	double rate[SLICES], longest = 0;

	for (unsigned i = 0; i < SLICES; i++)
		rate[i] = slice(&longest);
	return (median_of(rate, SLICES));
}

/* 30 % of mib MiB in use, 70 % free and touched. */
static void
fill(size_t mib)
{
	size_t n = (mib << 20) / ITEM;
	void **item = malloc(n * sizeof(*item));

	if (item == NULL)
		abort();
	for (size_t i = 0; i < n; i++)
		memset(item[i] = take_filled(), 1, ITEM);
	for (size_t i = 0; i < n * 7 / 10; i++)
		give_filled(item[i]);
}

#endif
