/*
 * Cooper's arena as the benchmark sees it. Metadata is what lies in memory: the slabs of tags, in
 * whole pages, the table of busy segments with its room, the arena itself.
 */
#include <stdlib.h>

#include <cooper/vmem.h>

#include "arena_ops.h"
#include "kmem/kmem_int.h"
#include "uma/uma_int.h"
#include "vmem/vmem_int.h"

static const int policies[] = { M_FIRSTFIT, M_BESTFIT, M_NEXTFIT };

static void *
create_with(uint64_t base, uint64_t units, vmem_size_t qcache_max)
{
	vmem_t *vm =
	    vmem_create("bench", (vmem_addr_t)base, (vmem_size_t)units, 1, qcache_max, M_WAITOK);

	if (vm == NULL)
		abort();
	return (vm);
}

static void *
create(uint64_t base, uint64_t units, unsigned live)
{
	(void)live;
	return (create_with(base, units, 0));
}

void *
arena_cooper_cached(uint64_t base, uint64_t units)
{
	return (create_with(base, units, 16));
}

static void
destroy(void *arena)
{
	vmem_destroy(arena);
}

static bool
alloc_one(void *arena, uint32_t size, enum arena_policy policy, struct range *out)
{
	vmem_addr_t addr;

	if (vmem_alloc(arena, size, M_NOWAIT | policies[policy], &addr) != 0)
		return (false);
	*out = (struct range){ addr, size, 0 };
	return (true);
}

static bool
xalloc(void *arena, uint32_t size, enum arena_policy policy, const struct constraint *c,
    struct range *out)
{
	vmem_addr_t addr;

	if (vmem_xalloc(arena, size, (vmem_size_t)c->align, 0, (vmem_size_t)c->nocross,
		(vmem_addr_t)c->min, (vmem_addr_t)MIN(c->max, VMEM_ADDR_MAX),
		M_NOWAIT | policies[policy], &addr) != 0)
		return (false);
	*out = (struct range){ addr, size, 0 };
	return (true);
}

static void
free_one(void *arena, const struct range *range)
{
	vmem_free(arena, (vmem_addr_t)range->start, range->size);
}

static size_t
metadata(void *arena)
{
	vmem_t *vm = arena;
	size_t tags = (size_t)vm->nbusy + vm->nfree + vm->nspan + vm->nspare;

	return (howmany(tags, tag_zone->keg->ipers) * 4096 + vm->table.room * sizeof(btref) +
		sizeof(*vm));
}

const struct arena_ops arena_cooper = { "cooper", create, destroy, alloc_one, xalloc, free_one,
	metadata, 1u << ARENA_FIRST | 1u << ARENA_BEST | 1u << ARENA_NEXT };
