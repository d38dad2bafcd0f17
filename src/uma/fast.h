/*
 * The fast path: one pop or one push on this CPU's part of the cache, and nothing else on success.
 * Zones whose items need more than to be moved (ctor, dtor, SMR, the debug shape) or that have no
 * caches are found out without a test where the machine has framed caches (percpu.h): their part[] has
 * stacks that remain closed. A zone for which the fast path is wrong for a while or in one direction (a limit
 * with sleepers, frees that must look at the item's domain) keeps its stacks closed, or open for pops
 * only by max = 0. M_ZERO and NULL are the caller's.
 */
#ifndef UMA_FAST_H
#define UMA_FAST_H

#include "uma/uma_int.h"

/* An item that is the user's as it is; NULL: there may be one yet, see zalloc_rest(). */
static ALWAYS_INLINE void *
uma_zalloc_fast(struct uma_zone *zone)
{
#ifdef PERCPU_FRAMED
	return (percpu_framed_pop(zone->part));
#else
	return (zone_is_plain(zone) ? percpu_pop(zone->cache) : NULL);
#endif
}

static ALWAYS_INLINE bool
uma_zfree_fast(struct uma_zone *zone, void *item)
{
#ifdef PERCPU_FRAMED
	return (percpu_framed_push(zone->part, item));
#else
	return (zone_is_plain(zone) && percpu_push(zone->cache, item));
#endif
}

#endif
