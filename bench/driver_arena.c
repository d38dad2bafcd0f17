/*
 * Arenas, measured: a program that links Cooper and starts it in the shape that its argument names.
 *
 * usage: driver_arena i386|amd64    prints "NAME NANOSECONDS ns" a line
 */
#include <string.h>

#include <cooper/cooper.h>
#include <cooper/vmem.h>

#include "clock.h"

static void
arena_pairs(unsigned long n, void *arena)
{
	vmem_addr_t addr = 0;

	for (unsigned long i = 0; i < n; i++) {
		if (vmem_alloc(arena, 4096, M_NOWAIT | M_BESTFIT, &addr) != 0)
			abort();
		vmem_free(arena, addr, 4096);
	}
}

/* Holes of many sizes, and a request that most of them do not fit. */
static void
constrained_pairs(unsigned long n, void *arena)
{
	vmem_addr_t addr = 0;

	for (unsigned long i = 0; i < n; i++) {
		if (vmem_xalloc(arena, 3 * 4096, 65536, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX,
			M_NOWAIT | M_BESTFIT, &addr) != 0)
			abort();
		vmem_xfree(arena, addr, 3 * 4096);
	}
}

static void
fragment(vmem_t *arena)
{
	vmem_addr_t held[512];

	for (unsigned i = 0; i < 512; i++)
		if (vmem_alloc(arena, (vmem_size_t)(i % 13 + 1) * 4096, M_NOWAIT | M_FIRSTFIT,
			&held[i]) != 0)
			abort();
	for (unsigned i = 0; i < 512; i += 2)
		vmem_free(arena, held[i], (vmem_size_t)(i % 13 + 1) * 4096);
}

int
main(int argc, char **argv)
{
	struct machine_shape shape = { .ncpus = 2, .ndomains = 1, .physmem = 256 << 20 };
	vmem_t *plain, *cached, *holes;

	if (argc != 2 || (strcmp(argv[1], "i386") != 0 && strcmp(argv[1], "amd64") != 0)) {
		fprintf(stderr, "usage: driver_arena i386|amd64\n");
		return (2);
	}
	shape.direct_map = strcmp(argv[1], "amd64") == 0;
	shape.kva_size = (vm_size_t)512 << 20;
	if (cooper_start(&shape) != 0) {
		fprintf(stderr, "driver_arena: %s\n", cooper_start_error());
		return (1);
	}
	plain = vmem_create("bench plain", 1 << 20, 1 << 28, 4096, 0, M_WAITOK);
	cached = vmem_create("bench cached", 1 << 20, 1 << 28, 4096, 16 * 4096, M_WAITOK);
	holes = vmem_create("bench holes", 1 << 20, 1 << 28, 4096, 0, M_WAITOK);
	report("arena_pair", measure(arena_pairs, plain));
	report("arena_pair_cached", measure(arena_pairs, cached));
	fragment(holes);
	report("arena_constrained_pair", measure(constrained_pairs, holes));
	return (0);
}
