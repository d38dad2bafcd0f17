/*
 * No fast path: all stacks stay closed.
 */
#ifndef MACHINE_PERCPU_INLINE_H
#define MACHINE_PERCPU_INLINE_H

#ifndef COOPER_ONE_FILE_H
#include "machine/percpu.h" /* which takes this file in before it supplies the rest */
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

#endif
