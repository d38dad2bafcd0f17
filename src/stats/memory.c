/*
 * Where the memory is: one equation, which sums in every snapshot.
 *
 *	live + large + cpu_caches + depot_caches + slab_free + page_cache + metadata + fragmentation
 *	    + unaccounted - untouched  ==  resident
 *
 *	live           items that zones' users hold
 *	large          pages handed out as they are: large blocks, kmem, tables of arenas
 *	cpu_caches     items in CPUs' buckets (a record each in the section cpus)
 *	depot_caches   items in full buckets, by domain
 *	slab_free      items in slabs, by domain
 *	page_cache     free pages that have contents, at most, by domain
 *	metadata       slabs of the core's own zones (tags, buckets, headers), tables of zones, and
 *	               what is resident of the machine's tables and of start-up memory
 *	fragmentation  what is left of slabs beyond their items: headers, rounding, unused ends
 *	untouched      of all these, what nobody has touched yet: no memory is behind it
 *	unaccounted    resident, and none of the above: 0 unless things change while they are read
 *
 * `resident` is what the host says of the core's own ranges (machine_regions). Where it does not say,
 * it is the sum of the rest, and nothing is known to be untouched.
 */
#include "stats/collect.h"
#include "page/page_int.h"
#include "uma/uma_int.h"

/* A zone has been read into c->record.zone; keg: a copy of its keg, NULL for a cache zone. */
void
stats_memory_zone(struct stats_collector *c, const struct uma_zone *z, const struct uma_keg *keg)
{
	const struct stats_zone *r = &c->record.zone;
	struct stats_memory *m = &c->memory;
	uint64_t pages = r->pages, bytes, items;

	if (keg == NULL || (keg_is_foreign(keg) && (keg->flags & UMA_ZONE_VM) == 0))
		return; /* no memory of ours */
	c->slab_pages += r->pages;
	if (!r->secondary)
		c->boot_pages += MIN(pages, (uint64_t)keg->boot_pages);
	if ((z->flags & (UMA_ZONE_VM | ZF_BUCKET | ZF_INTERNAL)) != 0) {
		m->metadata += (pages - MIN(pages, (uint64_t)keg->boot_pages)) << PAGE_SHIFT;
		return;
	}
	m->cpu_caches += r->cpu_cached * r->size;
	for (unsigned d = 0; d < r->ndomains; d++) {
		m->domain[d].depot_caches += r->domain[d].cached * r->size;
		m->domain[d].slab_free += r->domain[d].keg_free * r->size;
	}
	if (r->secondary || keg->ppera == 0)
		return;
	c->boot_counted += MIN(pages, (uint64_t)keg->boot_pages);
	items = pages / keg->ppera * keg->ipers;
	bytes = (items - MIN(items, r->keg_free)) * r->size;
	m->live += bytes; /* and in caches, for now */
	m->fragmentation += stats_less(pages << PAGE_SHIFT, items * r->size);
}

/* What caches have is not live; should the reader have seen an item twice, it is in the cache. */
static void
part_live(struct stats_memory *m)
{
	uint64_t cached = m->cpu_caches + m->depot_caches;

	m->live = stats_less(m->live, cached);
}

static void
add_domains(struct stats_collector *c, uint64_t *wired)
{
	struct stats_memory *m = &c->memory;
	struct machine_shape shape;
	bool cache = MACHINE_MAP_ZEROES && PEEK(c, c->head.shape, &shape) && shape.direct_map;

	m->ndomains = c->ndomains;
	for (unsigned i = 0; i < c->ndomains; i++) {
		struct page_domain d;

		m->domain[i].domain = i;
		m->depot_caches += m->domain[i].depot_caches;
		m->slab_free += m->domain[i].slab_free;
		if (!PEEK(c, &c->head.domains[i], &d))
			continue; /* the section of domains has told */
		*wired += d.total - d.free;
		if (cache)
			m->domain[i].page_cache = (uint64_t)d.dirty << PAGE_SHIFT;
		m->page_cache += m->domain[i].page_cache;
	}
}

/* What the host says of the core's ranges; false: nothing. */
static bool
resident(struct stats_collector *c, uint64_t *all, uint64_t *tables)
{
	struct machine_region region[MACHINE_REGIONS];

	*all = *tables = 0;
	if (c->resident == NULL || !PEEK(c, c->head.regions, &region))
		return (false);
	for (unsigned i = 0; i < MACHINE_REGIONS; i++) {
		uint64_t bytes = 0;

		if (region[i].size == 0)
			continue;
		if (!c->resident(c->peek_arg, region[i].base, region[i].size, &bytes))
			return (false);
		*all += bytes;
		*tables += region[i].pages ? 0 : bytes;
	}
	return (true);
}

void
stats_collect_memory(struct stats_collector *c)
{
	struct stats_memory *m = &c->memory;
	unsigned long uma = 0;
	uint64_t wired = 0, zones, tables = 0, sum, all;
	bool known;

	add_domains(c, &wired);
	part_live(m);
	if (!PEEK(c, c->head.uma_total, &uma))
		uma = 0;
	zones = c->slab_pages - c->boot_pages;
	uma = (unsigned long)stats_less(uma >> PAGE_SHIFT, c->slab_pages);
	m->metadata += (uint64_t)uma << PAGE_SHIFT;
	m->large = stats_less(wired, zones + uma) << PAGE_SHIFT;
	known = resident(c, &all, &tables);
	/* Start-up memory under ordinary zones is among their items. */
	m->metadata += stats_less(tables, c->boot_counted << PAGE_SHIFT);
	sum = m->live + m->large + m->cpu_caches + m->depot_caches + m->slab_free + m->page_cache +
	      m->metadata + m->fragmentation;
	m->resident = known ? all : sum;
	m->untouched = stats_less(sum, m->resident);
	m->unaccounted = stats_less(m->resident, sum);
	stats_emit(c, STATS_MEMORY, m);
}
