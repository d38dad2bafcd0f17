/*
 * Malloc types as vmstat -m shows them. The libc front does not count its small blocks one by one:
 * they are what the malloc zones have served less what other types have counted, so zones are
 * collected first.
 */
#include "malloc/malloc_int.h"
#include "stats/collect.h"

static bool
sum_type(struct stats_collector *c, const struct malloc_type *type, struct stats_type *r)
{
	uint64_t bytes_freed = 0;

	*r = (struct stats_type){ 0 };
	stats_peek_name(c, r->name, (uintptr_t)type->ks_shortdesc);
	for (unsigned cpu = 0; type->ks_stats != NULL && cpu < c->ncpus; cpu++) {
		struct malloc_type_stats s;

		if (!PEEK(c, &type->ks_stats[cpu], &s)) {
			stats_damaged(c, STATS_TYPES, "%s: its counters at %p cannot be read",
			    r->name, (const void *)type->ks_stats);
			return (false);
		}
		r->requests += s.numallocs;
		r->frees += s.numfrees;
		r->memuse += s.memalloced;
		bytes_freed += s.memfreed;
		r->sizes |= s.sizes & (((uint64_t)1 << MALLOC_SIZES_LARGE) - 1);
		if (s.sizes >> MALLOC_SIZES_LARGE & 1)
			r->sizes |= (uint64_t)1 << STATS_LARGE;
	}
	r->memuse = stats_less(r->memuse, bytes_freed);
	return (true);
}

/* Call fn for each type; false if the list is damaged, which has been told. */
static void
each_type(struct stats_collector *c,
    void (*fn)(struct stats_collector *, const struct malloc_type *, struct stats_type *))
{
	const struct malloc_type *at, *mark = NULL;
	struct malloc_type type;
	unsigned n = 0;

	if (!PEEK(c, c->head.types, &at)) {
		stats_damaged(c, STATS_TYPES, "the list's head cannot be read");
		return;
	}
	for (; at != NULL; at = type.ks_next, n++) {
		if (at == mark || !PEEK(c, at, &type)) {
			stats_damaged(c, STATS_TYPES,
			    at == mark ? "the list runs in a circle at %p; left after %u"
				       : "type %p cannot be read; the list ends after %u",
			    (const void *)at, n);
			return;
		}
		if (is_pow2(n)) /* Brent's method, as for the lists of collect.c */
			mark = at;
		if (!sum_type(c, &type, &c->record.type))
			return;
		fn(c, &type, &c->record.type);
	}
}

/* What the malloc zones have served is the front's; take off what others have counted. */
static void
take_off(struct stats_collector *c, const struct malloc_type *type, struct stats_type *r)
{
	struct stats_type *front = &c->front;

	if ((type->ks_flags & MALLOC_TYPE_FRONT) != 0)
		return;
	front->requests = stats_less(front->requests, r->requests);
	front->frees = stats_less(front->frees, r->frees);
	front->memuse = stats_less(front->memuse, r->memuse);
}

static void
emit_type(struct stats_collector *c, const struct malloc_type *type, struct stats_type *r)
{
	if ((type->ks_flags & MALLOC_TYPE_FRONT) != 0) {
		r->requests += c->front.requests;
		r->frees += c->front.frees;
		r->memuse += c->front.memuse;
		r->sizes |= c->front.sizes;
	}
	r->inuse = stats_less(r->requests, r->frees);
	c->totals.allocs += r->requests;
	c->totals.frees += r->frees;
	stats_emit(c, STATS_TYPES, r);
}

void
stats_collect_types(struct stats_collector *c)
{
	unsigned damage = c->ndamage;

	each_type(c, take_off);
	if (c->ndamage == damage) /* else it has been told, and would be again */
		each_type(c, emit_type);
}
