/*
 * What the arena benchmark asks of a range allocator: Cooper's arena and the two references beside it.
 *
 *   cooper    vmem_xalloc() and vmem_xfree(), past the quantum caches
 *   list      a vmem as the field has it: boundary tags, a free list for each power of two, a hash of
 *             busy segments, one lock (Bonwick & Adams 2001)
 *   twolevel  free ranges in bins of a floating point size, found by two levels of bitmaps; external
 *             nodes, and the caller keeps the node's number, so that a free looks nothing up. Nothing
 *             locks: as published it is for one thread
 *   twolevel_locked  the same under the list's lock: what it takes where threads share it
 */
#ifndef BENCH_ARENA_OPS_H
#define BENCH_ARENA_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum arena_policy { ARENA_FIRST, ARENA_BEST, ARENA_NEXT, ARENA_POLICIES };

struct range {
	uint64_t start;
	uint32_t size;
	uint32_t handle; /* the reference's own, for its free */
};

struct constraint {
	uint64_t align, nocross; /* 0: none; powers of two */
	uint64_t min, max;       /* the window, both ends in it */
};

struct arena_ops {
	const char *name;
	/* An arena of units base.. base + units - 1; live: about how many segments it will have. */
	void *(*create)(uint64_t base, uint64_t units, unsigned live);
	void (*destroy)(void *arena);
	bool (*alloc)(void *arena, uint32_t size, enum arena_policy policy, struct range *out);
	/* NULL: it has no such thing. */
	bool (*xalloc)(void *arena, uint32_t size, enum arena_policy policy,
	    const struct constraint *c, struct range *out);
	void (*free)(void *arena, const struct range *range);
	size_t (*metadata)(void *arena); /* bytes in use now, everything counted */
	unsigned policies;               /* bit p: it has policy p */
};

extern const struct arena_ops arena_cooper, arena_list, arena_twolevel, arena_twolevel_locked;
/* Cooper's with a quantum cache for each size up to 16 units. */
void *arena_cooper_cached(uint64_t base, uint64_t units);

/* ---- a lock for the references: a word, taken by compare-and-swap, as Cooper's is when nobody waits --- */

struct spin {
	uint32_t word;
};

static inline void
spin_lock(struct spin *s)
{
	uint32_t none = 0;

	while (!__atomic_compare_exchange_n(
	    &s->word, &none, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		none = 0;
}

/* An exchange: a lock that can sleep must learn whether anybody does. */
static inline void
spin_unlock(struct spin *s)
{
	(void)__atomic_exchange_n(&s->word, 0, __ATOMIC_RELEASE);
}

#endif
