/*
 * Quantum caches of an arena that begins at address 0: all of its addresses can be had, 0 among
 * them, and what lies in caches is found when the arena has nothing else.
 */
#include <cooper/vmem.h>

#include "lab/lab.h"

#define SIZE    24
#define CACHED  4
#define THREADS 3

LAB_STATE static vmem_t *arena, *full;
LAB_STATE static vmem_addr_t reserve; /* of `full`, to be given up in need */
LAB_STATE static unsigned char owner[SIZE];

static void
mine(vmem_addr_t addr, vmem_size_t size, unsigned char who)
{
	for (vmem_addr_t a = addr; a < addr + size; a++) {
		lab_must(a < SIZE && (owner[a] == 0) == (who != 0), "address %u is %s", (unsigned)a,
		    who != 0 ? "taken twice" : "not taken");
		owner[a] = who;
	}
}

static void
worker(void *arg)
{
	(void)arg;
	for (unsigned round = lab_scale(2, 10); round > 0; round--) {
		vmem_size_t size = 1 + lab_random(CACHED + 1);
		vmem_addr_t addr;

		lab_must(vmem_alloc(arena, size, M_WAITOK | M_BESTFIT, &addr) == 0,
		    "vmem_alloc: M_WAITOK failed");
		mine(addr, size, 1);
		if (round % 2 == 0)
			lab_note("a range in hand");
		mine(addr, size, 0);
		vmem_free(arena, addr, size);
	}
}

/* Nothing is in use: whatever lies in the caches of any size, the whole arena can be had. */
static void
all_of_it(void)
{
	vmem_addr_t addr;
	unsigned n;

	for (n = 0; n < SIZE && vmem_alloc(arena, 1, M_WAITOK | M_FIRSTFIT, &addr) == 0; n++)
		mine(addr, 1, 1);
	lab_must(n == SIZE, "of %u addresses %u could be had", SIZE, n);
	for (addr = 0; addr < n; addr++) {
		mine(addr, 1, 0);
		vmem_free(arena, addr, 1);
	}
}

static void
give_up(vmem_t *vm, int flags)
{
	(void)flags;
	if (reserve != 0)
		vmem_xfree(vm, reserve, SIZE);
	reserve = 0;
}

/*
 * Nobody else uses it: what reclaim has given up is there for who asked for it. A request may also fail
 * before it comes to that, once, for want of a tag.
 */
static void
after_reclaim(void *arg)
{
	bool got, held;
	vmem_addr_t addr;

	(void)arg;
	for (unsigned round = lab_scale(1, 2); round > 0; round--) {
		do {
			held = reserve != 0;
			got = vmem_xalloc(full, SIZE, 0, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX,
				  M_NOWAIT | M_FIRSTFIT, &addr) == 0;
			lab_must(got || !held || reserve != 0,
			    "vmem_xalloc: what reclaim gave up was not found");
		} while (!got);
		reserve = addr;
	}
}

static void
setup(void)
{
	full = vmem_create("full", SIZE, SIZE, 1, 0, M_WAITOK);
	vmem_set_reclaim(full, give_up);
	arena = vmem_create("from zero", 0, SIZE, 1, CACHED, M_WAITOK);
	for (unsigned i = 0; i < THREADS; i++)
		lab_thread("worker", -1, worker, NULL);
	lab_thread("after reclaim", -1, after_reclaim, NULL);
}

static void
finish(void)
{
	all_of_it();
	give_up(full, M_NOWAIT);
	vmem_destroy(full);
	vmem_destroy(arena);
}

LAB_SCENARIO(qcache_zero, .name = "qcache-zero",
    .about = "quantum caches of an arena that begins at address 0", .direct_map_too = true,
    .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "quantum_cache_has_zero", "reclaim_without_retry", NULL });
