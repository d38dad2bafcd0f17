/*
 * Pairs to be counted: so many, of one kind, and nothing else that depends on their number. Who counts
 * runs it with two numbers and takes the difference, so that starting and ending fall out.
 *
 * usage: driver_count zone|malloc|arena|arena_plain|arena_shaped PAIRS [stop]     stop: with SIGSTOP, before and after them
 *
 *	zone	uma_zalloc and uma_zfree, 64 bytes; zone_inline if built with COOPER_INLINE
 *	malloc	malloc and free, 64 bytes, of whichever library is preloaded
 *	arena	vmem_alloc and vmem_free of a page from an arena's quantum caches
 *	arena_plain	the same from an arena without
 *	arena_shaped	vmem_xalloc and vmem_xfree of three pages, aligned to 16, among holes of many sizes
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include <cooper/cooper.h>
#include <cooper/uma.h>
#include <cooper/vmem.h>

#include "clock.h"

#define PAGE 4096
#ifdef COOPER_INLINE
#define ZONE "zone_inline"
#else
#define ZONE "zone"
#endif
#define WARM 300

/* Only before and after so many pairs as are asked for. */
static bool stops;

static void
stop(void)
{
	if (stops)
		raise(SIGSTOP);
}

__attribute__((noinline)) static void
zone_pairs(uma_zone_t zone, unsigned long n)
{
	while (n-- > 0) {
		char *p = uma_zalloc(zone, M_NOWAIT);

		*p = 1;
		USE(p);
		uma_zfree(zone, p);
	}
}

static void
zone_pairs_counted(unsigned long n)
{
	uma_zone_t zone = uma_zcreate("count", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);

	zone_pairs(zone, WARM);
	stop();
	zone_pairs(zone, n);
	stop();
}

__attribute__((noinline)) static void
malloc_pairs(unsigned long n)
{
	while (n-- > 0) {
		char *p = malloc(64);

		*p = 1;
		USE(p);
		free(p);
	}
}

static void
malloc_pairs_counted(unsigned long n)
{
	malloc_pairs(WARM);
	stop();
	malloc_pairs(n);
	stop();
}

__attribute__((noinline)) static void
arena_pairs(vmem_t *arena, unsigned long n)
{
	vmem_addr_t addr = 0;

	while (n-- > 0) {
		if (vmem_alloc(arena, PAGE, M_NOWAIT | M_BESTFIT, &addr) != 0)
			abort();
		vmem_free(arena, addr, PAGE);
	}
}

static void
arena_pairs_counted(unsigned long n)
{
	vmem_t *arena = vmem_create("count", 1 << 20, 1 << 28, PAGE, 16 * PAGE, M_WAITOK);

	arena_pairs(arena, WARM);
	stop();
	arena_pairs(arena, n);
	stop();
}

static void
arena_plain_pairs_counted(unsigned long n)
{
	vmem_t *arena = vmem_create("count", 1 << 20, 1 << 28, PAGE, 0, M_WAITOK);

	arena_pairs(arena, WARM);
	stop();
	arena_pairs(arena, n);
	stop();
}

#define HOLES 512

__attribute__((noinline)) static void
arena_shaped_pairs(vmem_t *arena, unsigned long n)
{
	vmem_addr_t addr = 0;

	while (n-- > 0) {
		if (vmem_xalloc(arena, 3 * PAGE, 16 * PAGE, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX,
			M_NOWAIT | M_BESTFIT, &addr) != 0)
			abort();
		vmem_xfree(arena, addr, 3 * PAGE);
	}
}

static void
arena_shaped_pairs_counted(unsigned long n)
{
	vmem_t *arena = vmem_create("count", 1 << 20, 1 << 28, PAGE, 0, M_WAITOK);
	vmem_addr_t held[HOLES];

	for (unsigned i = 0; i < HOLES; i++)
		if (vmem_alloc(arena, (vmem_size_t)(i % 13 + 1) * PAGE, M_NOWAIT | M_FIRSTFIT,
			&held[i]) != 0)
			abort();
	for (unsigned i = 0; i < HOLES; i += 2)
		vmem_free(arena, held[i], (vmem_size_t)(i % 13 + 1) * PAGE);
	arena_shaped_pairs(arena, WARM);
	stop();
	arena_shaped_pairs(arena, n);
	stop();
}

/* On another CPU the caches would have to be filled once more, in the middle of the count. */
static void
stay_on_this_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)sched_getcpu(), &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*pairs)(unsigned long n);
	} kinds[] = { { ZONE, zone_pairs_counted }, { "malloc", malloc_pairs_counted },
		{ "arena", arena_pairs_counted }, { "arena_plain", arena_plain_pairs_counted },
		{ "arena_shaped", arena_shaped_pairs_counted } };
	struct machine_shape shape = { .ncpus = 2,
		.ndomains = 1,
		.physmem = 256 << 20,
		.direct_map = true,
		.kva_size = (vm_size_t)512 << 20 };

	stay_on_this_cpu();
	stops = argc == 4 && strcmp(argv[3], "stop") == 0;
	for (unsigned i = 0; argc == 3 + stops && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(argv[1], kinds[i].name) != 0)
			continue;
		if (i != 1 && cooper_start(&shape) != 0) {
			fprintf(stderr, "driver_count: %s\n", cooper_start_error());
			return (1);
		}
		kinds[i].pairs(strtoul(argv[2], NULL, 10));
		return (0);
	}
	fprintf(stderr,
	    "usage: driver_count zone|malloc|arena|arena_plain|arena_shaped PAIRS [stop]\n");
	return (2);
}
