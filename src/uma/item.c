/*
 * Items on their way: from a keg (or an import function) into the zone, from the zone to its user,
 * and back, one step undone for each step done.
 *
 *	keg/import --zinit--> zone --check, ctor, M_ZERO--> user
 *	keg/release <--zfini-- zone <--check, dtor-- user
 *
 * The limit is charged before an import and released after the release, once for each item, by
 * whoever asked (zone_alloc_item, zone_fill_bucket) or gives back (zone_release).
 */
#include "uma/uma_int.h"

/* ---- keg <-> zone ----------------------------------------------------------------------------------- */

static bool
keg_is_trashed(const struct uma_zone *zone)
{
	return (zone->keg != NULL && (zone->keg->flags & ZF_TRASH) != 0 &&
		(zone->flags & ZF_TRASH) == 0);
}

static void
items_leave(struct uma_zone *zone, void **store, int n)
{
	for (int i = 0; i < n; i++) {
		if (zone->zfini != NULL)
			zone->zfini(store[i], (int)zone->size);
		if (keg_is_trashed(zone))
			trash_fill(store[i], zone->size);
	}
}

/*
 * Up to max initialised items into store. An item that cannot be initialised goes back, and with it
 * the rest of the batch that has not been tried (R33).
 */
int
zone_import(struct uma_zone *zone, void **store, int max, int domain, int flags)
{
	int n, i;

	if (!atomic_load_relaxed(&zone->used))
		atomic_store_relaxed(&zone->used, true);
	n = zone->import(zone->arg, store, max, domain, flags & ~M_ZERO);
	MUST(
	    n >= 0 && n <= max, "uma: zone %s: import of %d items returned %d", zone->name, max, n);
	CHECK(n == 0 || store[n - 1] != NULL, "uma: zone %s: import gave a NULL item", zone->name);
	for (i = 0; i < n; i++) {
		if (keg_is_trashed(zone))
			trash_check("import", zone->name, store[i], zone->size);
		if (zone->zinit != NULL && zone->zinit(store[i], (int)zone->size, flags) != 0)
			break;
	}
	if (i < n) {
		if (keg_is_trashed(zone))
			trash_fill(store[i], zone->size);
		zone->release(zone->arg, store + i, n - i);
		if (FAULT(failed_init_restores_twice))
			limit_release(zone, n - i);
	}
	return (i);
}

/* Items leave the zone, and the limit hears of it. */
void
zone_release(struct uma_zone *zone, void **store, int n)
{
	items_leave(zone, store, n);
	zone->release(zone->arg, store, n);
	limit_release(zone, n);
}

/* ---- zone <-> user ---------------------------------------------------------------------------------- */

/*
 * Make an item of the zone the user's. On a ctor's error the item goes back without dtor and NULL
 * is returned; skip as zone_free_item(). The caller has counted the allocation or says SKIP_COUNT.
 */
void *
item_ctor(struct uma_zone *zone, void *item, void *udata, int flags, int skip)
{
	if (unlikely(core_debug)) {
		check_mark(zone, item, true);
		if ((zone->flags & ZF_TRASH) != 0)
			trash_check("allocation", zone->name, item, zone->size);
	}
	if (zone->ctor != NULL && zone->ctor(item, (int)zone->size, udata, flags) != 0) {
		atomic_add_relaxed(&zone->fails, 1);
		if (unlikely(core_debug)) {
			check_mark(zone, item, false);
			if ((zone->flags & ZF_TRASH) != 0)
				trash_fill(item, zone->size);
		}
		zone_free_item(zone, item, udata, SKIP_DTOR | skip);
		return (NULL);
	}
	if ((flags & M_ZERO) != 0) {
		if ((zone->flags & UMA_ZONE_PCPU) != 0)
			for (unsigned i = 0; i < uma_ncpus; i++)
				memset(uma_pcpu_item(item, i), 0, zone->size);
		else
			memset(item, 0, zone->size);
	}
	return (item);
}

/* The user's item becomes the zone's. check_free() has said that it may. */
void
item_dtor(struct uma_zone *zone, void *item, void *udata)
{
	if (zone->dtor != NULL)
		zone->dtor(item, (int)zone->size, udata);
	if (unlikely(core_debug)) {
		check_mark(zone, item, false);
		if ((zone->flags & ZF_TRASH) != 0)
			trash_fill(item, zone->size);
	}
}

/* The domain whose slabs an item lives in. */
int
item_domain(struct uma_zone *zone, const void *item)
{
	struct vm_page *m;

	if (uma_ndomains == 1 || zone->keg == NULL || (zone->flags & UMA_ZONE_NOTPAGE) != 0)
		return (0);
	m = page_of_va((vm_offset_t)item);
	return (m == NULL ? 0 : m->domain);
}

/* ---- past the caches ---------------------------------------------------------------------------------- */

/*
 * One item straight from the keg or import function. strict: of this domain or not at all. M_WAITOK
 * fails only by ctor, init or the misuse that check_alloc() names.
 */
void *
zone_alloc_item(struct uma_zone *zone, void *udata, int domain, bool strict, int flags)
{
	void *item = NULL;
	int n;

	if (limit_charge(zone, 1, flags) == 0) {
		atomic_add_relaxed(&zone->fails, 1);
		return (NULL);
	}
	if (strict && zone->keg != NULL)
		n = keg_import(zone, &item, 1, domain, true, flags & ~M_ZERO);
	else
		n = zone->import(zone->arg, &item, 1, domain, flags & ~M_ZERO);
	MUST(n == 0 || (n == 1 && item != NULL), "uma: zone %s: import of 1 item returned %d, %p",
	    zone->name, n, item);
	if (!atomic_load_relaxed(&zone->used))
		atomic_store_relaxed(&zone->used, true);
	if (n == 1 && keg_is_trashed(zone))
		trash_check("import", zone->name, item, zone->size);
	if (n == 1 && zone->zinit != NULL && zone->zinit(item, (int)zone->size, flags) != 0) {
		if (keg_is_trashed(zone))
			trash_fill(item, zone->size);
		zone->release(zone->arg, &item, 1);
		n = 0;
	}
	if (n != 1) {
		limit_release(zone, 1);
		atomic_add_relaxed(&zone->fails, 1);
		return (NULL);
	}
	item = item_ctor(zone, item, udata, flags, SKIP_COUNT);
	if (item != NULL)
		atomic_add_relaxed(&zone->allocs, 1);
	return (item);
}

void
zone_adopt_item(struct uma_zone *zone)
{
	atomic_add_relaxed(&zone->allocs, 1);
}

/* One item straight to the keg. SMR: readers are waited for first, unless they are known to be gone. */
void
zone_free_item(struct uma_zone *zone, void *item, void *udata, int skip)
{
	if ((skip & SKIP_DTOR) == 0) {
		if ((zone->flags & UMA_ZONE_SMR) != 0)
			smr_synchronize(zone->smr);
		item_dtor(zone, item, udata);
	}
	if ((skip & SKIP_COUNT) == 0)
		atomic_add_relaxed(&zone->frees, 1);
	zone_release(zone, &item, 1);
}

/* ---- one domain's, and waiting ------------------------------------------------------------------------ */

/* One item out of a domain's depot; NULL if there is none. */
static void *
take_from_depot(struct uma_zone *zone, int domain)
{
	struct uma_bucket *b = zone_fetch_bucket(zone, domain, false);
	void *item;

	if (b == NULL)
		return (NULL);
	item = b->slot[--b->count];
	atomic_add_relaxed(&zone->allocs, 1);
	zone_put_bucket(zone, domain, b, true);
	return (item);
}

/*
 * An item of that domain's memory: from its depot or its slabs, else NULL or, M_WAITOK, after
 * waiting for that domain. Past this CPU's cache. On one domain the same as uma_zalloc_arg().
 */
void *
uma_zalloc_domain(uma_zone_t zone, void *udata, int domain, int flags)
{
	void *item;

	if (MISUSE(domain < 0 || domain >= (int)uma_ndomains,
		"uma_zalloc_domain: zone %s: domain %d", zone->name, domain))
		return (NULL);
	if (uma_ndomains == 1)
		return (uma_zalloc_arg(zone, udata, flags));
	if (MISUSE((zone->flags & UMA_ZONE_FIRSTTOUCH) == 0,
		"uma_zalloc_domain: zone %s is not first-touch", zone->name) ||
	    MISUSE((zone->flags & UMA_ZONE_SMR) != 0,
		"uma_zalloc_domain: zone %s is an SMR zone: uma_zalloc_smr() is for it",
		zone->name))
		return (NULL);
	if (!check_alloc(zone, "uma_zalloc_domain", flags))
		return (NULL);
	item = take_from_depot(zone, domain);
	if (item != NULL)
		return (item_ctor(zone, item, udata, flags, SKIP_NONE));
	return (zone_alloc_item(zone, udata, domain, true, flags));
}

/* Wait until an item can be had. */
void
uma_zwait(uma_zone_t zone)
{
	uma_zfree(zone, uma_zalloc(zone, M_WAITOK));
}
