/*
 * Zones, measured: a program that links Cooper and starts it in the shape that its argument names. Built
 * twice: uma_zalloc and uma_zfree are calls, or inline with COOPER_INLINE (rows zone_inline_*).
 *
 * usage: driver_core i386|amd64    prints "NAME NANOSECONDS ns" a line
 */
#define _GNU_SOURCE
#include <string.h>
#include <unistd.h>

#include <cooper/cooper.h>
#include <cooper/uma.h>

static inline void *
take(void *zone)
{
	return (uma_zalloc(zone, M_NOWAIT));
}

static inline void
give(void *zone, void *p)
{
	uma_zfree(zone, p);
}

#ifdef COOPER_INLINE
#define PREFIX "zone_inline"
#else
#define PREFIX "zone"
#endif

#include "patterns.h"

int
main(int argc, char **argv)
{
	struct machine_shape shape = { .ndomains = 1, .physmem = 256 << 20 };
	uma_zone_t zone;

	if (argc != 2 || (strcmp(argv[1], "i386") != 0 && strcmp(argv[1], "amd64") != 0)) {
		fprintf(stderr, "usage: driver_core i386|amd64\n");
		return (2);
	}
	shape.ncpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	shape.direct_map = strcmp(argv[1], "amd64") == 0;
	shape.kva_size = (vm_size_t)512 << 20;
	if (cooper_start(&shape) != 0) {
		fprintf(stderr, "driver_core: %s\n", cooper_start_error());
		return (1);
	}
	zone = uma_zcreate("bench", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	report(PREFIX "_pair_64", measure(pairs, zone));
	all_batches(PREFIX, zone);
	report(PREFIX "_producer_consumer", producer_consumer(zone));
	return (0);
}
