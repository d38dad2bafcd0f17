/*
 * The state that arenas are measured in: sizes of 1 to 64 units at random, freed at random, 80 % of
 * the units in use, about so many live segments, after every unit has changed hands.
 */
#ifndef BENCH_ARENA_FIELD_H
#define BENCH_ARENA_FIELD_H

#include <stdlib.h>

#include "arena_ops.h"
#include "clock.h"

#define FIELD_BASE  (1u << 12)
#define FIELD_SIZES 64u
#define FIELD_PAUSE 3e9 /* ns that making a field takes at most: the list's take very long */

/* This thread's time: who else wants the processor is no part of a mean. */
static inline double
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return ((double)t.tv_sec * 1e9 + (double)t.tv_nsec);
}

struct field {
	const struct arena_ops *ops;
	void *arena;
	enum arena_policy policy;
	uint64_t units, used, full;
	struct range *live;
	unsigned nlive;
	uint64_t random;
};

static inline uint32_t
pick(struct field *f, uint32_t n)
{
	uint64_t x = f->random;

	x ^= x << 13;
	x ^= x >> 7;
	f->random = x ^= x << 17;
	return ((uint32_t)((x >> 32) * n >> 32));
}

static inline void
keep(struct field *f, const struct range *range)
{
	f->live[f->nlive++] = *range;
	f->used += range->size;
}

static inline void
drop_one(struct field *f)
{
	unsigned i = pick(f, f->nlive);
	struct range range = f->live[i];

	f->live[i] = f->live[--f->nlive];
	f->used -= range.size;
	f->ops->free(f->arena, &range);
}

/* The next size, and room for it below the mark. */
static inline uint32_t
make_room(struct field *f)
{
	uint32_t size = 1 + pick(f, FIELD_SIZES);

	while (f->used + size > f->full)
		drop_one(f);
	return (size);
}

static inline void
churn_one(struct field *f)
{
	uint32_t size = make_room(f);
	struct range range;

	while (!f->ops->alloc(f->arena, size, f->policy, &range))
		drop_one(f); /* eighty per cent of crumbs */
	keep(f, &range);
}

static inline void
field_new(struct field *f, const struct arena_ops *ops, enum arena_policy policy, unsigned live)
{
	double start = cpu_ns();

	*f = (struct field){ .ops = ops, .policy = policy, .random = 0x9e3779b97f4a7c15u };
	f->full = (uint64_t)live * (FIELD_SIZES + 1) / 2;
	f->units = f->full / 4 * 5;
	f->arena = ops->create(FIELD_BASE, f->units, live + live / 4);
	f->live = malloc(sizeof(f->live[0]) * (live + live / 4));
	if (f->live == NULL)
		abort();
	for (unsigned i = 0; i < 5 * live; i++) {
		churn_one(f);
		if (i >= live && i % 256 == 0 && cpu_ns() - start > FIELD_PAUSE)
			break;
	}
}

static inline void
field_delete(struct field *f)
{
	while (f->nlive > 0)
		drop_one(f);
	f->ops->destroy(f->arena);
	free(f->live);
}

#endif
