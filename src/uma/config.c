/*
 * Setters: limits, warnings, reserves, callbacks, back ends. What settles how memory is made must be
 * said before the first allocation; the debug shape stops at a late setter, the release shape
 * refuses it with a warning.
 */
#include "uma/uma_int.h"

/* ---- limits ------------------------------------------------------------------------------------------- */

/*
 * Bound what may lie in caches to about nitems: half of a CPU's share in each of its buckets, the
 * rest in the depots. A small bound with many CPUs means buckets of one item, 0 no caching.
 */
static void
bound_caches(struct uma_zone *zone, unsigned nitems)
{
	unsigned slots = uma_ncpus * (zone_is_first_touch(zone) ? 3 : 2);
	unsigned size, want;

	if (uma_ndomains > 1)
		slots += uma_ndomains;
	size = nitems / slots / 2;
	if (size == 0 && nitems >= slots)
		size = 1;
	size = MIN(size, BUCKET_MAX);
	want = (zone->flags & UMA_ZONE_MAXBUCKET) != 0 ? BUCKET_MAX
						       : bucket_size_for(MAX(zone->size, 1));
	atomic_store_relaxed(&zone->bucket_size_max, (uint16_t)size);
	atomic_store_relaxed(&zone->bucket_size_min, (uint16_t)MIN(zone->bucket_size_min, size));
	atomic_store_relaxed(&zone->bucket_size, (uint16_t)MIN(want, size));
	atomic_store_relaxed(&zone->bucket_max, nitems - (unsigned long)size * slots);
}

/*
 * At most nitems items, cached ones included: requests beyond fail (M_NOWAIT) or sleep on
 * "zonelimit" in order. Before the first allocation; afterwards the limit may be changed but not
 * introduced. Returns the limit in force, 0 if refused. Unlike zone(9): nobody sleeps for items that
 * lie in caches, and a raised limit wakes exactly as many sleepers as may go on.
 */
int
uma_zone_set_max(uma_zone_t zone, int nitems)
{
	if (MISUSE(nitems <= 0, "uma_zone_set_max: zone %s: %d items", zone->name, nitems))
		return (0);
	if ((zone->flags & ZF_LIMIT) == 0 &&
	    !check_setter(zone, "uma_zone_set_max", atomic_load_relaxed(&zone->used)))
		return (0);
	bound_caches(zone, (unsigned)nitems);
	mtx_lock(&zone->domain[0].lock);
	zone->max_items = (uint64_t)nitems;
	if ((zone->flags & ZF_LIMIT) == 0) /* later changes leave alone what others read */
		zone->flags |= ZF_LIMIT;
	if (!FAULT(raise_wakes_nobody))
		limit_grant(zone);
	mtx_unlock(&zone->domain[0].lock);
	return (nitems);
}

/* Keep at most about nitems items in caches; 0: none. */
void
uma_zone_set_maxcache(uma_zone_t zone, int nitems)
{
	if (!MISUSE(nitems < 0, "uma_zone_set_maxcache: zone %s: %d items", zone->name, nitems))
		bound_caches(zone, (unsigned)nitems);
}

int
uma_zone_get_max(uma_zone_t zone)
{
	int max;

	mtx_lock(&zone->domain[0].lock);
	max = (int)zone->max_items;
	mtx_unlock(&zone->domain[0].lock);
	return (max);
}

/* Printed when an allocation meets the limit, at most every 300 s. Kept by reference. */
void
uma_zone_set_warning(uma_zone_t zone, const char *warning)
{
	zone->warning = warning;
}

/*
 * Called when an allocation meets the limit, at most every 300 s, by the thread that met it: with no
 * lock of the zone held, but with whatever its caller holds, so it must not sleep.
 */
void
uma_zone_set_maxaction(uma_zone_t zone, uma_maxaction_t action)
{
	zone->maxaction = action;
}

int
uma_zone_exhausted(uma_zone_t zone)
{
	return (atomic_load_relaxed(&zone->sleepers) > 0);
}

/* ---- callbacks and back ends ------------------------------------------------------------------------------ */

static bool
keg_setter(struct uma_zone *zone, const char *func)
{
	MUST(zone->keg != NULL, "%s: zone %s has no keg", func, zone->name);
	return (check_setter(zone, func, atomic_load_relaxed(&zone->keg->used)));
}

void
uma_zone_set_init(uma_zone_t zone, uma_init init)
{
	if (!keg_setter(zone, "uma_zone_set_init"))
		return;
	zone->keg->init = init;
	zone->keg->flags &= ~ZF_TRASH;
	zone->flags &= ~ZF_TRASH;
}

void
uma_zone_set_fini(uma_zone_t zone, uma_fini fini)
{
	if (!keg_setter(zone, "uma_zone_set_fini"))
		return;
	zone->keg->fini = fini;
	zone->keg->flags &= ~ZF_TRASH;
	zone->flags &= ~ZF_TRASH;
}

void
uma_zone_set_zinit(uma_zone_t zone, uma_init zinit)
{
	if (!check_setter(zone, "uma_zone_set_zinit", atomic_load_relaxed(&zone->used)))
		return;
	zone->zinit = zinit;
	zone->flags &= ~ZF_TRASH;
}

void
uma_zone_set_zfini(uma_zone_t zone, uma_fini zfini)
{
	if (!check_setter(zone, "uma_zone_set_zfini", atomic_load_relaxed(&zone->used)))
		return;
	zone->zfini = zfini;
	zone->flags &= ~ZF_TRASH;
}

void
uma_zone_set_allocf(uma_zone_t zone, uma_alloc allocf)
{
	if (!keg_setter(zone, "uma_zone_set_allocf") ||
	    MISUSE(allocf == NULL, "uma_zone_set_allocf: zone %s: NULL", zone->name))
		return;
	zone->keg->allocf = allocf;
	zone->keg->flags |= ZF_OWNALLOC;
}

void
uma_zone_set_freef(uma_zone_t zone, uma_free freef)
{
	if (keg_setter(zone, "uma_zone_set_freef") &&
	    !MISUSE(freef == NULL, "uma_zone_set_freef: zone %s: NULL", zone->name))
		zone->keg->freef = freef;
}

/* ---- reserves --------------------------------------------------------------------------------------------- */

/*
 * Keep nitems free items of each domain for M_USE_RESERVE. Before the first allocation; allocates
 * nothing itself.
 */
void
uma_zone_reserve(uma_zone_t zone, int nitems)
{
	if (keg_setter(zone, "uma_zone_reserve") &&
	    !MISUSE(nitems < 0, "uma_zone_reserve: zone %s: %d items", zone->name, nitems))
		zone->keg->reserve = (uint32_t)nitems;
}

/*
 * Make slabs for nitems items now, spread over the domains. Sleeps if it must. Items that exist
 * already do not count. Ends early where M_WAITOK fails too: init has failed, or there can be no
 * such slab.
 */
void
uma_prealloc(uma_zone_t zone, int nitems)
{
	struct uma_keg *keg = zone->keg;
	unsigned slabs, d = 0;
	bool hopeless = false;

	MUST(keg != NULL, "uma_prealloc: zone %s has no keg", zone->name);
	if (MISUSE(nitems < 0, "uma_prealloc: zone %s: %d items", zone->name, nitems))
		return;
	slabs = howmany((unsigned)nitems, keg->ipers);
	if (MISUSE((keg->flags & ZF_RESKVA) != 0 &&
		       slabs > keg->kva_slabs - keg_pages(keg) / keg->ppera,
		"uma_prealloc: zone %s: %d items are more than its reserved addresses hold",
		zone->name, nitems))
		return;
	for (; slabs > 0; slabs--) {
		for (unsigned tries = 0; !keg_add_slab(keg, (int)d, M_NOWAIT, &hopeless); tries++) {
			d = (d + 1) % uma_ndomains;
			if (tries >= uma_ndomains &&
			    keg_add_slab(keg, UMA_ANYDOMAIN, M_WAITOK, &hopeless))
				break;
			if (hopeless)
				return;
		}
		d = (d + 1) % uma_ndomains;
	}
}

/* ---- reserved addresses ------------------------------------------------------------------------------------ */

static void *
reserved_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait)
{
	struct uma_keg *keg = zone->keg;
	const unsigned bits = 8 * sizeof(size_t);
	uint64_t frees = (wait & M_WAITOK) != 0 ? vm_page_frees(domain) : 0;
	vm_offset_t va;
	uint32_t i;

	mtx_lock(&keg->domain[0].lock);
	for (i = 0; i < keg->kva_slabs && ((keg->kva_map[i / bits] >> (i % bits)) & 1) != 0;)
		i = keg->kva_map[i / bits] == ~(size_t)0 ? round_down(i, bits) + bits : i + 1;
	if (i >= keg->kva_slabs) {
		mtx_unlock(&keg->domain[0].lock);
		/* Only an item can come back now: that ends this wait (vm_wait_watch), as a page does. */
		if ((wait & M_WAITOK) != 0)
			vm_wait_free(domain, PAGE_SYSTEM, frees);
		return (NULL);
	}
	keg->kva_map[i / bits] |= (size_t)1 << (i % bits);
	mtx_unlock(&keg->domain[0].lock);

	va = keg->kva + i * bytes;
	*sflag = UMA_SLAB_PRIV;
	if (uma_backend.back(va, bytes, domain, wait) == 0)
		return ((void *)va);
	mtx_lock(&keg->domain[0].lock);
	keg->kva_map[i / bits] &= ~((size_t)1 << (i % bits));
	mtx_unlock(&keg->domain[0].lock);
	return (NULL);
}

static void
reserved_free(void *mem, vm_size_t bytes, uint8_t sflag)
{
	(void)sflag;
	uma_backend.unback((vm_offset_t)mem, bytes);
}

/*
 * Reserve address space for nitems items and make that the limit: slabs can then fail for want of
 * pages only. They are not given back before the zone ends. With a direct map, slabs of one page
 * need no reserved addresses. Before the first allocation. Returns 1, or 0 without address space.
 */
int
uma_zone_reserve_kva(uma_zone_t zone, int nitems)
{
	struct uma_keg *keg = zone->keg;
	vm_size_t bytes;
	uint32_t slabs;

	if (!keg_setter(zone, "uma_zone_reserve_kva"))
		return (0);
	if (MISUSE(nitems <= 0 || (keg->flags & ZF_RESKVA) != 0,
		"uma_zone_reserve_kva: zone %s: %d items, or addresses are reserved already",
		zone->name, nitems))
		return (0);
	slabs = howmany((uint32_t)nitems, keg->ipers);
	/* More than there could be: of addresses, or for an int. */
	if (slabs > INT32_MAX / keg->ipers || slabs > atop(cooper_shape()->kva_size) / keg->ppera)
		return (0);
	if (!cooper_shape()->direct_map || keg->ppera > 1) {
		bytes = ptoa((vm_size_t)slabs * keg->ppera);
		keg->kva = uma_backend.kva != NULL ? uma_backend.kva(bytes) : 0;
		if (keg->kva == 0)
			return (0);
		keg->kva_slabs = slabs;
		keg->kva_map_bytes = howmany(slabs, 8 * sizeof(size_t)) * sizeof(size_t);
		keg->kva_map =
		    uma_pages_alloc(keg->kva_map_bytes, M_WAITOK | M_ZERO, &keg->kva_map_sflag);
		memset(keg->kva_map, 0, keg->kva_map_bytes);
		keg->allocf = reserved_alloc;
		keg->freef = reserved_free;
		keg->flags |= ZF_RESKVA;
	}
	keg->flags |= UMA_ZONE_NOFREE;
	zone->flags |= UMA_ZONE_NOFREE;
	uma_zone_set_max(zone, (int)(slabs * keg->ipers));
	return (1);
}
