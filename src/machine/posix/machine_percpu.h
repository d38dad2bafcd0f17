/*
 * The posix machine's fast path of the per-CPU caches.
 */
#ifndef MACHINE_PERCPU_INLINE_H
#define MACHINE_PERCPU_INLINE_H

#include "machine/percpu.h" /* which ends with this file */

static inline void *
percpu_pop(struct percpu *zone_cache)
{
	(void)zone_cache;
	return (NULL);
}

static inline bool
percpu_push(struct percpu *zone_cache, void *item)
{
	(void)zone_cache;
	(void)item;
	return (false);
}

static inline bool
percpu_push_free(struct percpu *zone_cache, void *item)
{
	(void)zone_cache;
	(void)item;
	return (false);
}

#endif
