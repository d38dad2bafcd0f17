/*
 * The sim machine's fast path of the per-CPU caches: a scheduling point, then a plain operation on
 * the stack of the CPU that the fiber is on by then. It is whole, as a restartable sequence is.
 */
#ifndef MACHINE_PERCPU_INLINE_H
#define MACHINE_PERCPU_INLINE_H

#include "machine/machine.h"
#include "machine/percpu.h" /* which takes this file in before it supplies the rest */

/* `first` is CPU 0's stack of a cache. */
void *sim_pop(struct percpu *cache, struct percpu_stack *first);
bool sim_push(struct percpu *cache, struct percpu_stack *first, void *item);

static ALWAYS_INLINE void *
percpu_pop(struct percpu *zone_cache)
{
	return (sim_pop(zone_cache, &zone_cache->alloc));
}

static ALWAYS_INLINE bool
percpu_push(struct percpu *zone_cache, void *item)
{
	return (sim_push(zone_cache, &zone_cache->alloc, item));
}

static ALWAYS_INLINE bool
percpu_push_free(struct percpu *zone_cache, void *item)
{
	return (sim_push(zone_cache, &zone_cache->free, item));
}

#endif
