/*
 * The steps that the caches' slow side is made of: what may be done to a CPU's part between entering and
 * leaving it. See cache.c, which owns the rules; bulk.c follows them too.
 */
#ifndef UMA_CACHE_H
#define UMA_CACHE_H

#include "uma/uma_int.h"

static inline struct percpu_stack *
stack_of(struct percpu *c, int slot)
{
	return (&(&c->alloc)[slot]);
}

/* The bucket that a stack lies in; NULL: none. */
static inline struct uma_bucket *
bucket_of(struct percpu *c, int slot)
{
	void **items = stack_of(c, slot)->items;

	return (items == NULL ? NULL : container_of(items, struct uma_bucket, slot));
}

static inline unsigned
room(struct percpu *c, int slot)
{
	struct uma_bucket *b = bucket_of(c, slot);

	return (b == NULL ? 0u : (unsigned)b->max - stack_of(c, slot)->count);
}

/* Put a bucket (or none) under a stack. Entered. */
static inline void
cache_load(struct percpu *c, int slot, struct uma_bucket *b)
{
	struct percpu_stack *s = stack_of(c, slot);

	s->items = b == NULL ? NULL : b->slot;
	s->count = b == NULL ? 0 : b->count;
	s->max = b == NULL ? 0 : b->max;
}

/*
 * Enter this CPU's part, and say first that it is in use: whoever wants all parts emptied either
 * sees that, and finds what we leave there, or has announced himself before we look (waiting.h).
 */
static inline struct percpu *
cache_enter(struct uma_zone *zone, unsigned *cpu)
{
	struct percpu *c = percpu_enter(zone->cache, cpu);

	if (unlikely(!zone_cpu_used(zone, *cpu)))
		(void)atomic_fetch_or_seq(&zone->cpus[*cpu / 32], 1u << (*cpu % 32));
	return (c);
}

/*
 * What a CPU's part looks like to a request that found nothing on the fast path, without entering it: a
 * glance that saves entering it twice. It may be wrong, and who acts on it looks again when he has entered. A
 * stack that is open has just failed us; of a closed one the shadow is what is true.
 */
#define GLANCE __attribute__((no_sanitize("thread")))

GLANCE static inline bool
cache_seems_dry(const struct uma_zone *zone, unsigned cpu)
{
	const volatile struct percpu *c = &zone->cache[cpu];

	return ((c->alloc.open || c->alloc.count == 0) && c->free.count == 0);
}

GLANCE static inline bool
cache_seems_full(const struct uma_zone *zone, unsigned cpu)
{
	const volatile struct percpu *c = &zone->cache[cpu];

	return ((c->alloc.open || c->alloc.count >= c->alloc.max) && c->free.count >= c->free.max);
}

/* Is the fast path open there? */
GLANCE static inline bool
cache_seems_open(const struct uma_zone *zone, unsigned cpu)
{
	const volatile struct percpu *c = &zone->cache[cpu];

	return (c->alloc.open);
}

/* Take the bucket off a stack; NULL if there is none. Entered. */
static inline struct uma_bucket *
cache_unload(struct percpu *c, int slot)
{
	struct percpu_stack *s = stack_of(c, slot);
	struct uma_bucket *b = bucket_of(c, slot);

	if (b != NULL)
		b->count = s->count;
	s->items = NULL;
	s->count = 0;
	s->max = 0;
	return (b);
}

/* What is in alloc lies in free, and the other way round. Entered; leaving says what alloc.max is. */
static inline void
cache_swap(struct percpu *c)
{
	struct uma_bucket *a = bucket_of(c, SLOT_ALLOC);
	void **items = c->free.items;
	uint16_t count = c->free.count;

	c->free.items = c->alloc.items;
	c->free.count = c->alloc.count;
	c->free.max = a == NULL ? 0 : a->max;
	c->alloc.items = items;
	c->alloc.count = count;
}

/* Leave a part, its stacks open to the fast path where that is right. */
static inline void
cache_exit(struct uma_zone *zone, struct percpu *c, unsigned cpu)
{
	struct uma_bucket *a = bucket_of(c, SLOT_ALLOC);
	bool smr = (zone->flags & UMA_ZONE_SMR) != 0;
	/* In one order with what cache_enter() wrote: see there. */
	bool fast = !core_debug && atomic_load_seq(&zone->sleepers) == 0;

	c->alloc.open = fast && a != NULL;
	c->alloc.max = a == NULL || smr || zone_is_first_touch(zone) ? 0 : a->max;
	c->free.open = fast && smr && !zone_is_first_touch(zone) && c->free.items != NULL;
	c->cross.open = false;
	percpu_exit(zone->cache, cpu);
}

static inline void
cache_put(struct percpu *c, int slot, void *item)
{
	struct percpu_stack *s = stack_of(c, slot);

	s->items[s->count++] = item;
	c->pushes++;
}

/*
 * May a request fill a bucket? Not while threads wait for items. Nor with the reserve's leave: if it is
 * moved to another CPU before it has loaded the bucket, that goes to the depot, and what is in it to
 * anybody.
 */
static inline bool
may_fill(struct uma_zone *zone, int flags)
{
	if ((flags & M_USE_RESERVE) != 0 && !FAULT(fill_swallows_reserve))
		return (false);
	return (atomic_load_relaxed(&zone->sleepers) == 0);
}

#endif
