/*
 * A limit is met while most of memory lies in caches: a program fills a zone, frees 70 % of it, and goes
 * on working; then a limit in bytes is set that its pages exceed by a tenth, as a cgroup's memory.high
 * would be met. What is resident after the first pass, how long until then, and what the work feels.
 *
 * The limit is Cooper's own source of pressure (cooper_set_limit), not a cgroup's: a cgroup v2 with
 * the memory controller is not to be had on every machine, and what the kernel's own throttling adds
 * there is not in these figures.
 *
 * usage: driver_limit i386|amd64 [MIB]      prints "NAME VALUE UNIT" a line
 */
#define _GNU_SOURCE
#include <string.h>

#include <cooper/cooper.h>
#include <cooper/uma.h>

#include "clock.h"
#include "resident.h"

#define ITEM    256
#define WAIT_NS 3000000000.0 /* for the first pass */

static uma_zone_t filled, worked;

#define take_filled()  uma_zalloc(filled, M_WAITOK)
#define give_filled(p) uma_zfree(filled, p)
#define take_worked()  uma_zalloc(worked, M_WAITOK)
#define give_worked(p) uma_zfree(worked, p)

#include "pieces.h"

/* Sources are looked at ten times a second: in one slice there is one pass at most. */
static int
run(size_t mib)
{
	double base = resident(), full, before, longest = 0, lowest, rate, set, back, limit;

	fill(mib);
	full = resident() - base;
	lowest = before = usual();
	limit = full / 1.1;
	if (full < (double)(mib << 10)) {
		fprintf(stderr, "driver_limit: the caches are not there\n");
		return (1);
	}
	set = now_ns();
	(void)cooper_set_limit((uint64_t)(limit * 1024));
	while (cooper_pressure_level() == COOPER_PRESSURE_NONE) {
		if (now_ns() - set > WAIT_NS) {
			fprintf(stderr, "driver_limit: no pressure in %.0f s\n", WAIT_NS / 1e9);
			return (1);
		}
		rate = slice(&longest);
		lowest = rate < lowest ? rate : lowest;
	}
	back = now_ns() - set;
	full = resident() - base;
	for (unsigned i = 0; i < SLICES; i++) {
		rate = slice(&longest);
		lowest = rate < lowest ? rate : lowest;
	}
	printf("limit_resident %.1f %%\nlimit_time %.1f ms\n", 100 * full / limit, back / 1e6);
	printf(
	    "limit_stall %.2f ms\nlimit_dip %.1f %%\n", longest / 1e6, 100 * (1 - lowest / before));
	return (0);
}

int
main(int argc, char **argv)
{
	struct machine_shape shape = { .ndomains = 1, .physmem = 1u << 30 };
	size_t mib = argc > 2                        ? strtoul(argv[2], NULL, 10)
		     : getenv("BENCH_QUICK") != NULL ? 64
						     : 256;

	if (argc < 2 || argc > 3 || mib == 0 || mib > 512 ||
	    (strcmp(argv[1], "i386") != 0 && strcmp(argv[1], "amd64") != 0)) {
		fprintf(stderr, "usage: driver_limit i386|amd64 [MIB], at most 512\n");
		return (2);
	}
	shape.ncpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	shape.direct_map = strcmp(argv[1], "amd64") == 0;
	shape.kva_size = (vm_size_t)1 << 30;
	if (cooper_start(&shape) != 0) {
		fprintf(stderr, "driver_limit: %s\n", cooper_start_error());
		return (1);
	}
	(void)cooper_set_decay(-1); /* what is free stays until it is asked for */
	filled = uma_zcreate("filled", ITEM, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	worked = uma_zcreate("worked", ITEM, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	return (run(mib));
}
