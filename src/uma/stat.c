/*
 * Exact numbers without counters on the fast path: what went through a CPU's part is folded in when
 * the part is entered (percpu.h), the rest is counted where it happens.
 */
#include "uma/uma_int.h"

static uint64_t
depot_items(struct uma_zone *zone)
{
	uint64_t n = 0;

	for (unsigned d = 0; d < uma_ndomains; d++) {
		struct uma_zdomain *zdom = &zone->domain[d];

		mtx_lock(&zone->cross_lock);
		n += zdom->cross != NULL ? zdom->cross->count : 0;
		mtx_unlock(&zone->cross_lock);
		mtx_lock(&zdom->lock);
		n += (uint64_t)zdom->nitems;
		mtx_unlock(&zdom->lock);
	}
	return (n);
}

static void
keg_stat(struct uma_keg *keg, struct uma_zone_stat *st)
{
	st->rsize = keg->rsize;
	st->ipers = keg->ipers;
	st->ppera = keg->ppera;
	st->keg_reserve = keg->reserve;
	for (unsigned d = 0; d < uma_ndomains; d++) {
		mtx_lock(&keg->domain[d].lock);
		st->keg_pages += keg->domain[d].pages;
		st->keg_free_items += keg->domain[d].free_items;
		st->keg_free_slabs += keg->domain[d].free_slabs;
		mtx_unlock(&keg->domain[d].lock);
	}
}

/*
 * All numbers of a zone. Each is exact; while others allocate and free they are not all of the same
 * instant. Never sleeps.
 */
void
uma_zone_get_stat(uma_zone_t zone, struct uma_zone_stat *st)
{
	uint64_t pops, pushes, allocs, frees;

	*st = (struct uma_zone_stat){ .name = zone->name,
		.size = zone->size,
		.flags = zone->flags,
		.bucket_size = atomic_load_relaxed(&zone->bucket_size) };
	/* Frees first: what is freed in between counts as used, never as less than nothing. */
	cache_totals(zone, &pops, &pushes, &st->cached_cpu);
	frees = pushes + atomic_load_relaxed(&zone->frees);
	allocs = pops + atomic_load_relaxed(&zone->allocs);
	st->cached_depot = depot_items(zone);
	if (zone->keg != NULL)
		keg_stat(zone->keg, st);
	st->req = allocs;
	st->used = allocs > frees ? allocs - frees : 0;
	st->free = st->cached_cpu + st->cached_depot;
	if ((zone->flags & UMA_ZONE_SECONDARY) == 0)
		st->free += st->keg_free_items;
	st->fail = atomic_load_relaxed(&zone->fails);
	st->sleep = atomic_load_relaxed(&zone->sleeps);
	st->xdomain = atomic_load_relaxed(&zone->xdomain);
	st->sleepers = atomic_load_relaxed(&zone->sleepers);
	mtx_lock(&zone->domain[0].lock);
	st->limit = zone->max_items;
	st->limit_items = zone->items;
	mtx_unlock(&zone->domain[0].lock);
}

struct each {
	void (*fn)(const struct uma_zone_stat *, void *);
	void *arg;
};

static void
stat_one(struct uma_zone *zone, void *arg)
{
	struct each *each = arg;
	struct uma_zone_stat st;

	uma_zone_get_stat(zone, &st);
	each->fn(&st, each->arg);
}

/* fn for each zone, oldest first; no lock is held. */
void
uma_each_zone_stat(void (*fn)(const struct uma_zone_stat *, void *), void *arg)
{
	struct each each = { fn, arg };

	uma_each_zone(stat_one, &each);
}

/* Items that users hold. */
int
uma_zone_get_cur(uma_zone_t zone)
{
	struct uma_zone_stat st;

	uma_zone_get_stat(zone, &st);
	return ((int)st.used);
}

/* Bytes that the zone's slabs take; of a cache zone, what its users and caches hold. */
size_t
uma_zone_memory(uma_zone_t zone)
{
	struct uma_zone_stat st;

	uma_zone_get_stat(zone, &st);
	if (zone->keg != NULL)
		return (ptoa(st.keg_pages));
	return ((size_t)(st.used + st.free) * zone->size);
}
