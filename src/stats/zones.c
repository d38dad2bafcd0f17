/*
 * Zones as vmstat -z shows them: a zone, its keg, its depots, every CPU's part.
 *
 * Counters of the fast path live in the hot word of an open stack (percpu.h); what the collector
 * adds up is exact when nobody allocates meanwhile.
 */
#include "stats/collect.h"
#include "uma/uma_int.h"

/* Items on a stack, and what was popped and pushed since it was opened. */
static uint64_t
read_stack(const struct percpu_stack *s, uint64_t *pops, uint64_t *pushes)
{
	uint64_t count = s->word & 0xffff, popped = s->word >> 16;

	/* 0: nothing is there, or the machine has no open stacks and never wrote it. */
	if (count >= PERCPU_CLOSED - 1 || s->word == 0)
		return (s->count);
	*pops += popped;
	*pushes += stats_less(popped + count, s->count);
	return (count);
}

static void
collect_parts(struct stats_collector *c, const struct uma_zone *z, struct stats_zone *r)
{
	struct uma_keg keg;
	bool equated = z->keg != NULL && PEEK(c, z->keg, &keg) && !keg_is_foreign(&keg) &&
		       (z->flags & (UMA_ZONE_VM | ZF_BUCKET | ZF_INTERNAL)) == 0; /* memory.c */

	for (unsigned cpu = 0; cpu < c->ncpus; cpu++) {
		struct percpu part;
		uint64_t cached;

		if (!zone_cpu_used(z, cpu))
			continue;
		if (!PEEK(c, &z->cache[cpu], &part)) {
			stats_damaged(c, STATS_ZONES, "%s: CPU %u's part at %p cannot be read",
			    r->name, cpu, (void *)&z->cache[cpu]);
			return;
		}
		cached = read_stack(&part.alloc, &r->requests, &r->frees) +
			 read_stack(&part.free, &r->requests, &r->frees) + part.cross.count;
		r->requests += part.pops;
		r->frees += part.pushes;
		r->cpu_cached += cached;
		if (c->cpus != NULL) {
			c->cpus[cpu].cached += cached;
			c->cpus[cpu].cached_bytes += cached * z->size;
			if (equated)
				c->cpus[cpu].memory += cached * z->size;
		}
	}
	r->free += r->cpu_cached;
}

static void
collect_depots(struct stats_collector *c, const struct uma_zone *z, struct stats_zone *r)
{
	for (unsigned d = 0; d < c->ndomains; d++) {
		struct uma_zdomain zd;

		if (!PEEK(c, &z->domain[d], &zd)) {
			stats_damaged(c, STATS_ZONES, "%s: its depots at %p cannot be read",
			    r->name, (void *)z->domain);
			break;
		}
		r->domain[d].domain = d;
		r->domain[d].cached = (uint64_t)MAX(zd.nitems, 0);
		r->domain[d].wss = (uint64_t)MAX(zd.wss, 0);
		r->free += r->domain[d].cached;
		r->ndomains = d + 1;
	}
}

/* Slabs belong to the keg's first zone: what several zones share is shown once. */
static void
collect_keg(struct stats_collector *c, const struct uma_zone *z, struct stats_zone *r)
{
	struct uma_keg keg;

	if (!PEEK(c, z->keg, &keg)) {
		stats_damaged(
		    c, STATS_ZONES, "%s: its keg at %p cannot be read", r->name, (void *)z->keg);
		return;
	}
	r->rsize = keg.rsize;
	r->align = (uint64_t)keg.align + 1;
	r->per_slab = keg.ipers;
	r->slab_pages = keg.ppera;
	r->reserve = keg.reserve;
	if (r->secondary) {
		stats_memory_zone(c, z, &keg);
		return;
	}
	for (unsigned d = 0; d < r->ndomains; d++) {
		struct uma_kdomain kd;

		if (!PEEK(c, (uintptr_t)z->keg + offsetof(struct uma_keg, domain) + d * sizeof(kd),
			&kd))
			break;
		r->domain[d].keg_pages = kd.pages;
		r->domain[d].keg_free = kd.free_items;
		r->domain[d].keg_free_slabs = kd.free_slabs;
		r->pages += kd.pages;
		r->keg_free += kd.free_items;
	}
	r->free += r->keg_free;
	stats_memory_zone(c, z, &keg);
}

/* A size class of malloc: what it has served is the libc front's, see types.c. */
static void
count_malloc(struct stats_collector *c, const struct stats_zone *r)
{
	c->front.requests += r->requests;
	c->front.frees += r->frees;
	c->front.memuse += r->used * r->size;
	if (r->requests != 0)
		c->front.sizes |= (uint64_t)1 << fls_size((size_t)r->size - 1);
}

static void
collect_zone(struct stats_collector *c, const struct uma_zone *z)
{
	struct stats_zone *r = &c->record.zone;

	*r = (struct stats_zone){ .size = z->size,
		.limit = z->max_items,
		.requests = z->allocs,
		.frees = z->frees,
		.fails = z->fails,
		.sleeps = z->sleeps,
		.xdomain = z->xdomain,
		.bucket_size = z->bucket_size,
		.bucket_max = z->bucket_size_max,
		.sleepers = z->sleepers,
		.flags = z->flags,
		.secondary = (z->flags & UMA_ZONE_SECONDARY) != 0 };
	stats_peek_name(c, r->name, (uintptr_t)z->name);
	collect_depots(c, z, r);
	collect_parts(c, z, r);
	if (z->keg != NULL)
		collect_keg(c, z, r);
	r->used = stats_less(r->requests, r->frees);
	c->totals.requests += r->requests;
	c->totals.fails += r->fails;
	if ((z->flags & UMA_ZONE_MALLOC) != 0)
		count_malloc(c, r);
	stats_emit(c, STATS_ZONES, r);
}

void
stats_collect_zones(struct stats_collector *c)
{
	struct stats_walk w;

	stats_walk_start(&w, c, STATS_ZONES, c->head.zones);
	while (stats_walk_next(&w)) {
		struct uma_zone *zone = list_entry((struct list *)w.at, struct uma_zone, link);
		struct uma_zone copy;

		if (!PEEK(c, zone, &copy)) {
			stats_damaged(c, STATS_ZONES, "a zone at %p cannot be read", (void *)zone);
			break;
		}
		collect_zone(c, &copy);
	}
}
