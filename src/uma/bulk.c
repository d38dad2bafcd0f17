/*
 * Many items in one call: each step of uma_zalloc() and uma_zfree() once for many instead of once for
 * each. The rules are cache.c's (what may be done while a part is entered) and waiting.h's (nothing is
 * put where somebody waits).
 *
 *	store[]   [0, made)      the user's: constructed
 *	          [made, raw)    counted as allocated, not yet constructed
 *
 * What stays true: an item that a failure leaves over goes back as it came, uncounted by a free's count;
 * no request that holds items waits for another (uma_zalloc_bulk()).
 */
#include "uma/cache.h"

/* ---- allocate ----------------------------------------------------------------------------------------- */

/* Items off this CPU's part: of alloc and, outside SMR zones, free. */
static int
take_cached(struct uma_zone *zone, void **store, int want)
{
	static const int slots[] = { SLOT_ALLOC, SLOT_FREE };
	struct percpu *c;
	unsigned cpu;
	int n = 0;

	c = cache_enter(zone, &cpu);
	for (unsigned i = 0; i < nitems(slots); i++) {
		struct percpu_stack *s = stack_of(c, slots[i]);

		while (n < want && s->count > 0)
			store[n++] = s->items[--s->count];
	}
	c->pops += (unsigned)n;
	cache_exit(zone, c, cpu);
	return (n);
}

/* Items of a full bucket of the depot's; what is not wanted of it goes back. */
static int
take_from_depot(struct uma_zone *zone, void **store, int want)
{
	int domain = (int)machine_cpu_domain(machine_cpu()), n = 0;
	struct uma_bucket *b = zone_fetch_bucket(zone, domain, false);

	if (b == NULL)
		return (0);
	while (n < want && b->count > 0)
		store[n++] = b->slot[--b->count];
	atomic_add_relaxed(&zone->allocs, (unsigned)n);
	zone_put_bucket(zone, domain, b, true); /* an empty one is freed */
	return (n);
}

/* Items from where the zone imports; never waits. */
static int
take_imported(struct uma_zone *zone, void **store, int want, int flags)
{
	int domain = UMA_ANYDOMAIN, charged, n = 0;

	if (!may_fill(zone, flags))
		return (0);
	if (zone_is_first_touch(zone))
		domain = (int)machine_cpu_domain(machine_cpu());
	charged = limit_try_charge(zone, want);
	if (charged > 0)
		n = zone_import(zone, store, charged, domain, flags);
	limit_release(zone, charged - n);
	atomic_add_relaxed(&zone->allocs, (unsigned)n);
	return (n);
}

/* Items that nobody constructed leave the zone, as if they had not been taken. */
static void
give_back(struct uma_zone *zone, void **store, int n)
{
	if (n == 0)
		return;
	atomic_add_relaxed(&zone->frees, (unsigned)n);
	zone_release(zone, store, n);
}

/*
 * Construct store[0, n). The one whose ctor fails goes back, and so do those behind it; returns how
 * many are the user's.
 */
static int
construct(struct uma_zone *zone, void **store, int n, void *arg, int flags)
{
	if (zone_is_plain(zone) && (flags & M_ZERO) == 0)
		return (n);
	for (int i = 0; i < n; i++)
		if (item_ctor(zone, store[i], arg, flags, SKIP_NONE) == NULL) {
			give_back(zone, store + i + 1, n - i - 1);
			return (i);
		}
	return (n);
}

/* As many raw items as can be had without waiting. */
static int
take_raw(struct uma_zone *zone, void **store, int want, int flags)
{
	int n = 0, got;

	if (zone_is_cached(zone))
		n = take_cached(zone, store, want);
	while (n < want && zone_is_cached(zone)) {
		got = take_from_depot(zone, store + n, want - n);
		if (got == 0)
			break;
		n += got;
	}
	while (n < want) {
		got = take_imported(zone, store + n, MIN(want - n, (int)BUCKET_MAX), flags);
		if (got == 0)
			break;
		n += got;
	}
	return (n);
}

int
uma_zalloc_bulk(uma_zone_t zone, void **items, int count, int flags)
{
	int made = 0, raw;

	if (!check_alloc(zone, "uma_zalloc_bulk", flags) ||
	    MISUSE(count < 0, "uma_zalloc_bulk: zone %s: %d items", zone->name, count) ||
	    MISUSE((zone->flags & UMA_ZONE_SMR) != 0,
		"uma_zalloc_bulk: zone %s is an SMR zone: uma_zalloc_smr() is for it", zone->name))
		return (0);
	while (made < count) {
		raw = take_raw(zone, items + made, count - made, (flags & ~M_WAITOK) | M_NOWAIT);
		if (raw > 0) {
			int good = construct(zone, items + made, raw, NULL, flags);

			made += good;
			if (good < raw)
				return (made);
			continue;
		}
		/* One that the limit, the reserve or memory has to be asked for; only the first may wait. */
		if (made > 0 && (flags & M_WAITOK) != 0)
			return (made);
		items[made] = zone_alloc_item(zone, NULL, UMA_ANYDOMAIN, false, flags);
		if (items[made] == NULL)
			return (made);
		made++;
	}
	return (made);
}

/* ---- free ----------------------------------------------------------------------------------------------- */

/* Push what has room on this CPU's part; how many of n, from the end. */
static int
put_cached(struct uma_zone *zone, void **items, int n)
{
	struct percpu *c;
	unsigned cpu;
	int left = n;

	c = cache_enter(zone, &cpu);
	if (atomic_load_seq(&zone->sleepers) == 0)
		for (int turn = 0; turn < 2 && left > 0; turn++) {
			while (left > 0 && room(c, SLOT_ALLOC) > 0)
				cache_put(c, SLOT_ALLOC, items[--left]);
			if (left > 0 && room(c, SLOT_FREE) > 0)
				cache_swap(c);
		}
	cache_exit(zone, c, cpu);
	return (n - left);
}

/* A bucket filled from the end of items goes to the depot; how many, 0 if there is no bucket. */
static int
put_in_depot(struct uma_zone *zone, void **items, int n)
{
	struct uma_bucket *b = bucket_alloc(zone, NULL, M_NOWAIT);
	int put = 0;

	if (b == NULL)
		return (0);
	while (put < n && b->count < b->max)
		b->slot[b->count++] = items[n - ++put];
	atomic_add_relaxed(&zone->frees, (unsigned)put);
	zone_put_bucket(zone, (int)machine_cpu_domain(machine_cpu()), b, true);
	return (put);
}

/* Those that the caches do not take go home together. */
static void
put_all(struct uma_zone *zone, void **items, int n)
{
	int put;

	if (zone_is_cached(zone) && atomic_load_relaxed(&zone->sleepers) == 0)
		n -= put_cached(zone, items, n);
	while (n > 0 && zone_is_cached(zone) && atomic_load_relaxed(&zone->sleepers) == 0) {
		put = put_in_depot(zone, items, n);
		if (put == 0)
			break;
		n -= put;
	}
	give_back(zone, items, n);
}

void
uma_zfree_bulk(uma_zone_t zone, void **items, int count)
{
	int n = 0;

	if (MISUSE(count < 0, "uma_zfree_bulk: zone %s: %d items", zone->name, count))
		return;
	/* Warned of, then freed as it must be: dropping them would only add a leak. */
	(void)MISUSE((zone->flags & UMA_ZONE_SMR) != 0 && count > 0,
	    "uma_zfree_bulk: zone %s is an SMR zone: uma_zfree_smr() is for it", zone->name);
	if ((zone->flags & UMA_ZONE_SMR) != 0 || zone_is_first_touch(zone)) {
		for (int i = 0; i < count; i++) /* each has a home of its own, or readers */
			uma_zfree_slow(zone, items[i], NULL);
		return;
	}
	for (int i = 0; i < count; i++) {
		if (items[i] == NULL || !check_free(zone, "uma_zfree_bulk", items[i]))
			continue;
		item_dtor(zone, items[i], NULL);
		items[n++] = items[i];
	}
	put_all(zone, items, n);
}
