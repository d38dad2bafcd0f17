/*
 * The books. Read when the core has started, and again at the end, when everything was given back and
 * a full reclaim has emptied all caches; and, as far as nothing is under way then, when the last
 * thread has ended.
 *
 * Nothing is compared that may rightly differ (the core makes some zones when they are first used).
 * What is compared are sums that must come out whatever exists:
 *
 *	pages    those in use are those that the shadow has seen go out; less those of slabs, tables,
 *	         CPUs' parts and of what is never freed, as many remain as at the start
 *	addresses  what is in use of a kernel arena is what the shadow has seen go out; less what has
 *	         pages under it, as much remains as at the start
 *	items    what a zone says its users have is what the shadow has seen go out; what a keg has out
 *	         is what its zones have out and in caches; nothing remains in a cache
 *	limits   what is counted against one is what is out and in caches
 *	buckets  items of the zones of buckets that are out are in some cache
 *	tags     items of the zone of tags are the arenas' segments and spare tags, and the one that
 *	         start-up keeps
 *	zones, arenas  as many of the scenario's as at the start: none; nobody sleeps
 *
 * and every list, bin, table and index agrees with its counts.
 */
#include <stdio.h>
#include <string.h>

#include "lab/oracles/oracles_int.h"

#define DAEMON_PAUSE 1000000 /* ns between looks whether it is done */

struct books {
	long pages_other; /* in use, and none of what is counted elsewhere */
	long pages_used;
	long addresses_bare; /* in use, without a page */
	unsigned arenas, zones;
};

static struct books start;

/* ---- reading, without locks and without points ------------------------------------------------------------ */

struct zone_books {
	uint64_t used, cached;
};

/* What percpu_enter() would make of a stack. */
static uint16_t
stack_count(const struct percpu_stack *s, uint64_t *pops, uint64_t *pushes)
{
	uint16_t count = (uint16_t)s->word;

	if (!s->open || count == PERCPU_CLOSED)
		return (s->count);
	*pops += s->word >> 16;
	*pushes += (s->word >> 16) + count - s->count;
	return (count);
}

static struct zone_books
read_zone(const struct uma_zone *zone)
{
	uint64_t pops = zone->allocs, pushes = zone->frees, cached = 0;

	for (unsigned d = 0; d < uma_ndomains; d++)
		cached += (uint64_t)zone->domain[d].nitems +
			  (zone->domain[d].cross != NULL ? zone->domain[d].cross->count : 0);
	for (unsigned cpu = 0; zone_is_cached(zone) && cpu < uma_ncpus; cpu++) {
		const struct percpu *c = &zone->cache[cpu];

		cached += stack_count(&c->alloc, &pops, &pushes);
		cached += stack_count(&c->free, &pops, &pushes);
		cached += c->cross.count;
		pops += c->pops;
		pushes += c->pushes;
	}
	return ((struct zone_books){ pops - pushes, cached });
}

uint64_t
cached_items(const struct uma_zone *zone)
{
	return (read_zone(zone).cached);
}

static bool
owns_keg(const struct uma_zone *zone)
{
	return (zone->keg != NULL && zone->keg->primary == zone);
}

static unsigned long
keg_free(const struct uma_keg *keg)
{
	unsigned long n = 0;

	for (unsigned d = 0; d < uma_ndomains; d++)
		n += keg->domain[d].free_items;
	return (n);
}

static unsigned long
keg_slabs(const struct uma_keg *keg)
{
	unsigned long n = 0;

	for (unsigned d = 0; d < uma_ndomains; d++)
		n += keg->domain[d].pages;
	return (n / keg->ppera);
}

/* Made by the scenario itself, and not by the core for its own use. */
static bool
is_users(const struct uma_zone *zone)
{
	return (zone->name != NULL && shadow_zone_is_users(zone));
}

/* Pages of the table of an arena's busy segments. */
static long
table_pages(const vmem_t *vm)
{
	long n = 0;

	if (vm->own_tags || vm->table.chunk[0] == vm->table.first)
		return (0);
	for (unsigned i = 0; i < vm->table.chunks; i++)
		n += (long)atop(
		    round_page(sizeof(btref) * (i < 4 ? TABLE_PAGE : TABLE_PAGE << (i - 4) / 4)));
	return (n);
}

static long
zone_pages(const struct uma_zone *zone)
{
	const struct uma_keg *keg = zone->keg;
	long n = 0;

	if (!owns_keg(zone))
		return (n);
	if ((keg->flags & (UMA_ZONE_NOFREE | ZF_RESKVA)) != UMA_ZONE_NOFREE) /* counted as such */
		n += (long)(keg_slabs(keg) * keg->ppera) - (long)keg->boot_pages;
	if (keg->hash != NULL && (keg->hash_sflag & UMA_SLAB_BOOT) == 0)
		n += (long)atop(round_page(keg->hash_size * sizeof(*keg->hash)));
	if (keg->kva_map != NULL)
		n += (long)atop(round_page(keg->kva_map_bytes));
	return (n);
}

/* Bytes of kernel address space in use that no page lies under. */
static long
bare_addresses(void)
{
	long bytes = 0;
	vm_offset_t base;
	vm_size_t size;
	vm_paddr_t pa;

	LIST_EACH (l, &kmem_arenas) {
		const struct kmem_arena *ka = list_entry(l, struct kmem_arena, link);

		bytes += (long)ka->vm->inuse - (ka->parent != NULL ? (long)ka->vm->size : 0);
	}
	machine_kva(&base, &size);
	for (vm_offset_t va = base; va - base < size; va += PAGE_SIZE)
		if (sim_mapped(va, &pa))
			bytes -= (long)PAGE_SIZE;
	return (bytes);
}

static void
read_books(struct books *b)
{
	*b = (struct books){ 0 };
	for (unsigned d = 0; d < page_ndomains(); d++) {
		b->pages_used += (long)page_domains[d].total - (long)page_domains[d].free;
		b->pages_other -= (long)page_domains[d].nofree;
	}
	b->pages_other += b->pages_used;
	LIST_EACH (l, &uma_zones) {
		const struct uma_zone *zone = list_entry(l, struct uma_zone, link);

		b->pages_other -= zone_pages(zone);
		b->zones += is_users(zone);
	}
	LIST_EACH (l, &vmem_arenas) {
		b->pages_other -= table_pages(list_entry(l, vmem_t, link));
		b->arenas++;
	}
	b->addresses_bare = bare_addresses();
}

/* ---- what must be so at any quiet moment ------------------------------------------------------------------- */

#define WRONG(...)                                       \
	do {                                             \
		oracle_broken(LAB_ACCOUNT, __VA_ARGS__); \
		return (false);                          \
	} while (0)

static bool
check_pages(void)
{
	const char *why;

	for (unsigned d = 0; d < page_ndomains(); d++) {
		const struct page_domain *dom = &page_domains[d];

		if (!page_verify(d, &why))
			WRONG("page domain %u: not so: %s", d, why);
		if (shadow_pages(d) != dom->total - dom->free)
			WRONG("page domain %u: %u pages of %u are free, but %llu are out", d,
			    dom->free, dom->total, (unsigned long long)shadow_pages(d));
	}
	return (true);
}

static bool
check_slabs(const struct uma_keg *keg, unsigned d)
{
	const struct uma_kdomain *dom = &keg->domain[d];
	const struct list *lists[] = { &dom->part, &dom->free, &dom->full };
	unsigned long items = 0, slabs = 0, free = 0;

	for (unsigned i = 0; i < nitems(lists); i++)
		LIST_EACH (l, lists[i]) {
			const struct slab *slab = list_entry(l, struct slab, link);
			unsigned bits = 0;

			for (unsigned b = 0; b < keg->ipers; b++)
				bits += slab_test(slab, b);
			if (bits != slab->nfree || (i == 1) != (bits == keg->ipers) ||
			    (i == 2) != (bits == 0))
				WRONG("zone \"%s\", domain %u: a slab has %u free items and counts "
				      "%u, on list %u",
				    keg->name, d, bits, slab->nfree, i);
			items += bits;
			slabs++;
			free += i == 1;
		}
	if (items != dom->free_items || free != dom->free_slabs || slabs * keg->ppera != dom->pages)
		WRONG("zone \"%s\", domain %u: %lu free items, %lu free slabs of %lu; counted are "
		      "%lu, %lu of %lu",
		    keg->name, d, items, free, slabs, dom->free_items, dom->free_slabs,
		    dom->pages / keg->ppera);
	return (true);
}

/* A keg's items that are out are those that its zones' users and caches have. */
static bool
check_keg(const struct uma_keg *keg)
{
	uint64_t out = keg_slabs(keg) * keg->ipers - keg_free(keg), have = 0;

	for (unsigned d = 0; d < uma_ndomains; d++)
		if (!check_slabs(keg, d))
			return (false);
	LIST_EACH (l, &uma_zones) {
		const struct uma_zone *zone = list_entry(l, struct uma_zone, link);
		struct zone_books b;

		if (zone->keg != keg)
			continue;
		b = read_zone(zone);
		have += b.used + b.cached;
	}
	if (out != have)
		WRONG("zone \"%s\": %llu items are out of its slabs, but its users and caches have "
		      "%llu",
		    keg->name, (unsigned long long)out, (unsigned long long)have);
	return (true);
}

static bool
check_zone(const struct uma_zone *zone)
{
	struct zone_books b = read_zone(zone);

	/* Its own items the room takes by a way that the shadow does not see. */
	if ((zone->flags & ZF_INTERNAL) == 0 && !shadow_zone_has_ranges(zone) &&
	    b.used != shadow_items(zone))
		WRONG("zone \"%s\": users have %lld items by its count, %llu in truth", zone->name,
		    (long long)b.used, (unsigned long long)shadow_items(zone));
	if ((zone->flags & ZF_LIMIT) != 0 && zone->items != b.used + b.cached)
		WRONG("zone \"%s\": %llu items count against its limit of %llu, but there are %llu",
		    zone->name, (unsigned long long)zone->items,
		    (unsigned long long)zone->max_items, (unsigned long long)(b.used + b.cached));
	return (!owns_keg(zone) || check_keg(zone->keg));
}

static bool
check_arena(vmem_t *vm)
{
	vmem_size_t cached = 0;
	const char *why;

	if (!vmem_verify(vm, &why))
		WRONG("arena \"%s\": not so: %s", vm->name, why);
	for (unsigned i = 0; i < vm->nqcache; i++)
		cached += cached_items(vm->qcache[i].zone) * vm->qcache[i].size;
	if (vm->inuse != shadow_ranges(vm) + cached)
		WRONG("arena \"%s\": %zu are in use by its count, %zu in truth", vm->name,
		    (size_t)vm->inuse, (size_t)(shadow_ranges(vm) + cached));
	return (true);
}

/* Tags are with arenas, or in caches, or free. */
static bool
check_tags(void)
{
	struct zone_books b = read_zone(tag_zone);
	uint64_t with_arenas = 1; /* kept by start-up */

	LIST_EACH (l, &vmem_arenas) {
		const vmem_t *vm = list_entry(l, vmem_t, link);

		if (!vm->own_tags)
			with_arenas += vm->nbusy + vm->nfree + vm->nspan + vm->nspare;
	}
	if (b.used != with_arenas)
		WRONG("zone \"%s\": %llu tags are out, but arenas have %llu", tag_zone->name,
		    (unsigned long long)b.used, (unsigned long long)with_arenas);
	return (true);
}

static unsigned
buckets_of(const struct uma_zone *zone)
{
	unsigned n = 0;

	for (unsigned d = 0; d < uma_ndomains; d++) {
		n += zone->domain[d].cross != NULL;
		for (const struct uma_bucket *b = zone->domain[d].first; b != NULL; b = b->next)
			n++;
	}
	for (unsigned cpu = 0; zone_is_cached(zone) && cpu < uma_ncpus; cpu++)
		for (unsigned i = 0; i <= SLOT_CROSS; i++)
			n += (&zone->cache[cpu].alloc)[i].items != NULL;
	return (n);
}

static bool
check_buckets(void)
{
	uint64_t out = 0, have = 0;

	LIST_EACH (l, &uma_zones) {
		const struct uma_zone *zone = list_entry(l, struct uma_zone, link);

		have += buckets_of(zone);
		if ((zone->flags & ZF_BUCKET) != 0)
			out += read_zone(zone).used;
	}
	if (out != have)
		WRONG("%llu buckets are out, but caches have %llu", (unsigned long long)out,
		    (unsigned long long)have);
	return (true);
}

static bool
check_all(void)
{
	if (!check_pages())
		return (false);
	LIST_EACH (l, &uma_zones)
		if (!check_zone(list_entry(l, struct uma_zone, link)))
			return (false);
	LIST_EACH (l, &vmem_arenas)
		if (!check_arena(list_entry(l, vmem_t, link)))
			return (false);
	return (check_buckets() && check_tags());
}

/* Is no other fiber in the middle of something? The daemon may be; then nothing can be said. */
static bool
is_quiet(void)
{
	struct sim_fiber_info info;

	for (unsigned f = 0; f < sim_fibers(); f++) {
		sim_fiber(f, &info);
		if (f != sim_self() && info.state != SIM_ENDED &&
		    (oracle_fibers[f].call != NULL || info.thread->in_reclaim ||
			info.thread->entered_cpu != 0 || oracle_fibers[f].nheld != 0 ||
			info.state == SIM_RUNNABLE))
			return (false);
	}
	return (true);
}

/* ---- at the end -------------------------------------------------------------------------------------------- */

static bool
check_sleepers(void)
{
	LIST_EACH (l, &sync_waiting) {
		const struct waitq *q = list_entry(l, struct waitq, table);

		if (strcmp(q->name, "pagedaemon") != 0)
			WRONG("%u threads sleep on \"%s\" at the end", q->nwaiters, q->name);
	}
	return (true);
}

/* Slabs of a keg that are free as a whole, and need not be kept. */
static unsigned long
free_slabs(const struct uma_keg *keg)
{
	unsigned long n = 0;

	if ((keg->flags & UMA_ZONE_NOFREE) != 0)
		return (0);
	for (unsigned d = 0; d < uma_ndomains; d++) {
		const struct uma_kdomain *dom = &keg->domain[d];
		unsigned long partial = dom->free_items - dom->free_slabs * keg->ipers, keep = 0;

		if (partial < keg->reserve)
			keep = howmany(keg->reserve - partial, keg->ipers);
		LIST_EACH (l, &dom->free) {
			if ((list_entry(l, struct slab, link)->flags & UMA_SLAB_BOOT) != 0)
				continue;
			if (keep > 0)
				keep--;
			else
				n++;
		}
	}
	return (n);
}

/*
 * After a full reclaim nothing lies in a cache, and no slab is free that need not be. Zones of buckets
 * are left out: emptying one gives back buckets of the others, which they cache.
 */
static bool
check_empty(const struct uma_zone *zone)
{
	struct zone_books b = read_zone(zone);

	if (is_users(zone) && (zone->flags & UMA_ZONE_NOFREE) == 0) /* those cannot go */
		WRONG("zone \"%s\" was never destroyed, or did not go", zone->name);
	if ((zone->flags & UMA_ZONE_MALLOC) != 0 && b.used != 0)
		WRONG("zone \"%s\": %llu items are out at the end", zone->name,
		    (unsigned long long)b.used);
	if ((zone->flags & ZF_BUCKET) != 0)
		return (true);
	if (b.cached != 0)
		WRONG("zone \"%s\": %llu items lie in caches after a full reclaim", zone->name,
		    (unsigned long long)b.cached);
	if (owns_keg(zone) && !(zone == tag_zone && oracle_spec->policy != POLICY_shipped) &&
	    free_slabs(zone->keg) != 0)
		WRONG("zone \"%s\": %lu free slabs remain after a full reclaim", zone->name,
		    free_slabs(zone->keg));
	return (true);
}

static bool
check_books(const struct books *end)
{
	if (end->arenas != start.arenas)
		WRONG("%u arenas at the end, %u at the start", end->arenas, start.arenas);
	if (end->pages_other != start.pages_other)
		WRONG("%ld pages more are in use than at the start, beyond slabs and tables",
		    end->pages_other - start.pages_other);
	if (end->addresses_bare != start.addresses_bare)
		WRONG("%ld bytes more of addresses without pages are in use than at the start",
		    end->addresses_bare - start.addresses_bare);
	return (true);
}

void
accounts_open(void)
{
	read_books(&start);
}

/* All of it at one moment: what is_quiet() saw must still be so at the last line. */
static bool
look_at_all(void)
{
	bool right;

	if (!is_quiet())
		return (false);
	sim_still(true);
	right = check_all();
	sim_still(false);
	return (right);
}

void
accounts_settled(void)
{
	(void)look_at_all();
}

void
accounts_zone_ends(uma_zone_t zone)
{
	if (!oracles_watching || oracle_me()->call->up != NULL || !is_quiet())
		return;
	sim_still(true);
	(void)check_zone(zone);
	sim_still(false);
}

static uint64_t
cached_in_all(void)
{
	uint64_t n = 0;

	LIST_EACH (l, &uma_zones)
		n += cached_items(list_entry(l, struct uma_zone, link));
	return (n);
}

static bool
somebody_reclaims(void)
{
	struct sim_fiber_info info;

	for (unsigned f = 0; f < sim_fibers(); f++) {
		sim_fiber(f, &info);
		if (info.state != SIM_ENDED && info.thread->in_reclaim)
			return (true);
	}
	return (false);
}

/*
 * Passes until one changes nothing: what one frees may let the next one free more. Another's, which
 * ours would wait for, may be a lesser one: it is let go first, and in case it was in its last steps,
 * where it does not look like one, two must have changed nothing.
 */
static void
drain(void)
{
	uint64_t frees, cached;
	unsigned idle = 0;

	while (idle < 2) {
		while (somebody_reclaims())
			machine_park(machine_now() + DAEMON_PAUSE);
		frees = vm_page_frees(-1);
		cached = cached_in_all();
		(void)page_daemon_pass(-1, PRESSURE_SEVERE);
		idle = vm_page_frees(-1) != frees || cached_in_all() != cached ? 0 : idle + 1;
	}
}

void
accounts_close(struct lab_result *result)
{
	struct books end;

	drain();
	read_books(&end);
	result->pages_stranded = (uint64_t)MAX(end.pages_used - start.pages_used, 0);
	result->tags_peak_bytes = ptoa(reserves_peak_pages());
	if (!look_at_all() || !is_quiet() || !check_sleepers())
		return;
	LIST_EACH (l, &uma_zones)
		if (!check_empty(list_entry(l, struct uma_zone, link)))
			return;
	(void)check_books(&end);
}
