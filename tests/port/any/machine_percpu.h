/*
 * No fast path: all stacks stay closed.
 */
#ifndef MACHINE_PERCPU_INLINE_H
#define MACHINE_PERCPU_INLINE_H

#ifndef COOPER_ONE_FILE_H
#include "machine/percpu.h" /* which ends with this file */
#endif

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

static inline void *
percpu_lock_pop(struct percpu *zone_cache)
{
	(void)zone_cache;
	return (NULL);
}

static inline bool
percpu_lock_push(struct percpu *zone_cache, void *item)
{
	(void)zone_cache;
	(void)item;
	return (false);
}

#endif
