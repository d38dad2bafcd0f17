/*
 * The fast path: one pop or one push on this CPU's part of the cache, and nothing else on success.
 * What it leaves out (ctor, dtor, M_ZERO, NULL) is the caller's: uma_zalloc_arg() and the malloc
 * front share these two. A zone for which they would be wrong (a limit with sleepers, frees that
 * must look at the item's domain, SMR, the debug shape) keeps the stack closed, or open for pops
 * only by max = 0, so that no test of the mode is here.
 */
#ifndef UMA_FAST_H
#define UMA_FAST_H

#include "uma/uma_int.h"

static ALWAYS_INLINE void *
uma_zalloc_fast(struct uma_zone *zone)
{
	return (percpu_pop(zone->cache));
}

static ALWAYS_INLINE bool
uma_zfree_fast(struct uma_zone *zone, void *item)
{
	return (percpu_push(zone->cache, item));
}

#endif
