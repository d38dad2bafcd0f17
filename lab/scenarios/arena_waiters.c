/*
 * Waiting in arenas, and everything that must end it: a free, an added span, space that a neighbour
 * gave back to the common parent, a raised limit.
 *
 * Pairs that need each other's success: whoever has got the first half keeps it until the other has
 * got the second, which only the awaited event can bring.
 */
#include <cooper/vmem.h>

#include "lab/lab.h"

#define UNIT 64

struct pair { /* two threads that want a unit each of an arena that has one */
	vmem_t *arena;
	uint32_t got;
};
LAB_STATE static vmem_t *common, *left, *right, *plenty;
LAB_STATE static struct pair added, limited;

static vmem_addr_t
take(vmem_t *arena)
{
	vmem_addr_t addr;
	int error = vmem_alloc(arena, UNIT, M_WAITOK | M_FIRSTFIT, &addr);

	lab_must(error == 0, "vmem_alloc: M_WAITOK returned %d", error);
	return (addr);
}

static void
one_of_a_pair(void *arg)
{
	struct pair *pair = arg;
	vmem_addr_t addr = take(pair->arena);

	lab_meet(&pair->got, 2);
	vmem_free(pair->arena, addr, UNIT);
}

static void
adder(void *arg)
{
	(void)arg;
	lab_must(vmem_add(added.arena, 1024, UNIT, M_WAITOK) == 0, "vmem_add failed");
}

static void
raiser(void *arg)
{
	(void)arg;
	vmem_set_limit(limited.arena, 2 * UNIT);
}

/* Two arenas that release what is free to a parent that has room for one of them. */
static void
neighbour(void *arg)
{
	vmem_t *arena = arg;

	for (unsigned round = lab_scale(1, 3); round > 0; round--)
		vmem_free(arena, take(arena), UNIT);
}

static int
import(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	return (vmem_alloc(arg, size, (flags & (M_NOWAIT | M_WAITOK)) | M_BESTFIT, addrp));
}

static void
release(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	vmem_free(arg, addr, size);
}

static vmem_t *
child(const char *name, vmem_t *parent)
{
	vmem_t *vm = vmem_create(name, 0, 0, 1, 0, M_WAITOK);

	vmem_set_import(vm, import, release, parent, UNIT);
	return (vm);
}

static void
setup(void)
{
	added.arena = vmem_create("added", UNIT, UNIT, 1, 0, M_WAITOK);
	common = vmem_create("common", UNIT, UNIT, 1, 0, M_WAITOK);
	plenty = vmem_create("plenty", UNIT, 64 * UNIT, 1, 0, M_WAITOK);
	left = child("left", common);
	right = child("right", common);
	limited.arena = child("limited", plenty);
	vmem_set_limit(limited.arena, UNIT);
	for (unsigned i = 0; i < 2; i++) {
		lab_thread("pair", -1, one_of_a_pair, &added);
		lab_thread("pair", -1, one_of_a_pair, &limited);
	}
	lab_thread("left", -1, neighbour, left);
	lab_thread("right", -1, neighbour, right);
	lab_thread("adder", -1, adder, NULL);
	lab_thread("raiser", -1, raiser, NULL);
}

static void
finish(void)
{
	vmem_destroy(left);
	vmem_destroy(right);
	vmem_destroy(limited.arena);
	vmem_destroy(added.arena);
	vmem_destroy(common);
	vmem_destroy(plenty);
}

LAB_SCENARIO(arena_waiters, .name = "arena-waiters",
    .about = "threads wait in arenas for frees, added spans, a parent's space, a higher limit",
    .direct_map_too = true, .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "add_without_wakeup", "release_wakes_no_importer",
	"limit_never_rechecked", "tags_left_in_sight", NULL });
