/*
 * The per-CPU caches' slow side. A CPU's part holds up to three buckets: alloc (popped and pushed),
 * free (the next to be pushed when alloc is full, the next to be popped when alloc is empty; SMR
 * zones push here only) and cross (first-touch zones: items of other domains).
 *
 * While a part is entered nothing is allocated and no lock taken: look, take or give bucket
 * pointers, leave; then work; then enter again, perhaps on another CPU, and look again.
 *
 * A stack is left open to the fast path by cache_arm() alone, which looks at everything that a free
 * or allocation would have to look at: whoever changes that enters each part afterwards.
 */
#include "uma/cache.h"
#include "uma/fast.h"

/* ---- allocate ----------------------------------------------------------------------------------------- */

/* Pop an item, from alloc or else from free. Entered. */
static void *
cache_take(struct uma_zone *zone, struct percpu *c)
{
	void *item;

	if (c->alloc.count == 0) {
		if (c->free.count == 0 || (zone->flags & UMA_ZONE_SMR) != 0)
			return (NULL);
		cache_swap(c);
	}
	item = c->alloc.items[--c->alloc.count];
	c->pops++;
	CHECK(item != NULL, "uma_zalloc: zone %s: NULL in a bucket", zone->name);
	return (item);
}

/* May b, fetched for that domain, be loaded here? Not while threads wait for the zone's items. */
static bool
may_load(struct uma_zone *zone, unsigned cpu, int domain)
{
	if (atomic_load_seq(&zone->sleepers) != 0)
		return (false);
	return (!zone_is_first_touch(zone) || (int)machine_cpu_domain(cpu) == domain);
}

/*
 * Take an item from this CPU's part, loading *b into it if it has run dry. A *b that was not loaded,
 * and an *old bucket that ran dry, remain the caller's.
 */
static void *
cache_try(struct uma_zone *zone, struct uma_bucket **b, struct uma_bucket **old, int domain)
{
	unsigned cpu;
	struct percpu *c = cache_enter(zone, &cpu);
	void *item = cache_take(zone, c);

	*old = NULL;
	if (item == NULL) {
		*old = cache_unload(c, SLOT_ALLOC);
		if (*old != NULL && c->free.items == NULL && (zone->flags & UMA_ZONE_SMR) == 0) {
			cache_load(c, SLOT_FREE, *old);
			*old = NULL;
		}
		if (*b != NULL && may_load(zone, cpu, domain)) {
			cache_load(c, SLOT_ALLOC, *b);
			*b = NULL;
			item = cache_take(zone, c);
		}
	}
	cache_exit(zone, c, cpu);
	return (item);
}

/* The same with b, or none, which is consumed: what was not loaded goes back. */
static void *
cache_try_with(struct uma_zone *zone, struct uma_bucket *b, int domain, void *udata)
{
	struct uma_bucket *old;
	void *item = cache_try(zone, &b, &old, domain);

	if (old != NULL)
		bucket_free(zone, old, udata);
	if (b != NULL) { /* on another CPU, or its cache was filled, or threads wait */
		if (item == NULL && atomic_load_relaxed(&zone->sleepers) != 0) {
			item = b->slot[--b->count];
			atomic_add_relaxed(&zone->allocs, 1);
		}
		zone_put_bucket(zone, domain, b, false);
	}
	return (item);
}

/* An item out of the caches, filling them unless threads wait; NULL: try for one without them. */
static void *
cache_alloc(struct uma_zone *zone, void *udata, int flags)
{
	unsigned cpu = machine_cpu();
	int domain = (int)machine_cpu_domain(cpu);
	struct uma_bucket *b =
	    cache_seems_dry(zone, cpu) ? zone_fetch_bucket(zone, domain, false) : NULL;
	void *item;

	for (;;) {
		item = cache_try_with(zone, b, domain, udata);
		if (item != NULL)
			return (item);
		domain = (int)machine_cpu_domain(machine_cpu());
		b = zone_fetch_bucket(zone, domain, false);
		if (b == NULL && may_fill(zone, flags))
			b = zone_fill_bucket(
			    zone, udata, zone_is_first_touch(zone) ? domain : UMA_ANYDOMAIN, flags);
		if (b == NULL)
			return (NULL);
	}
}

/* This CPU's two buckets change places: alloc is dry, free is not. */
static void *
turn_alloc(struct uma_zone *zone)
{
	void *item = NULL;
	struct percpu *c;
	unsigned cpu;

	c = cache_enter(zone, &cpu);
	if (c->alloc.count == 0)
		cache_swap(c);
	if (c->alloc.count > 0) {
		item = c->alloc.items[--c->alloc.count];
		c->pops++;
	}
	cache_exit(zone, c, cpu);
	return (item);
}

NOINLINE void *
uma_zalloc_reload(struct uma_zone *zone, void *udata)
{
	unsigned cpu = machine_cpu();
	struct uma_bucket *b;
	void *item;
	int domain;

	if (!zone_is_plain(zone))
		return (NULL);
	item = percpu_lock_pop(zone->cache);
	if (item != NULL || !cache_seems_open(zone, cpu))
		return (item);
	if (!cache_seems_dry(zone, cpu))
		return (turn_alloc(zone));
	domain = (int)machine_cpu_domain(cpu);
	b = zone_fetch_bucket(zone, domain, false);
	return (b == NULL ? NULL : cache_try_with(zone, b, domain, udata));
}

/* What the fast path could not do. */
NOINLINE void *
uma_zalloc_slow(struct uma_zone *zone, void *udata, int flags)
{
	void *item = NULL;

	if (!check_alloc(zone, "uma_zalloc", flags))
		return (NULL);
	if (unlikely(atomic_load_relaxed(&page_pressure_owed)))
		decay_tend(zone, flags);
	if (zone_is_cached(zone))
		item = cache_alloc(zone, udata, flags);
	if (item == NULL)
		return (zone_alloc_item(zone, udata, UMA_ANYDOMAIN, false, flags));
	if (likely((zone->flags & ZF_CTORDTOR) == 0 && (flags & M_ZERO) == 0))
		return (item);
	return (item_ctor(zone, item, udata, flags, SKIP_NONE));
}

/* What is not just popped: a zone with a ctor, the slow path. Out of line, so that the fast path saves no register. */
static NOINLINE void *
zalloc_rest(struct uma_zone *zone, void *udata, int flags)
{
	void *item = NULL;

	if (MISUSE((zone->flags & UMA_ZONE_SMR) != 0,
		"uma_zalloc: zone %s is an SMR zone: uma_zalloc_smr() is for it", zone->name))
		return (NULL);
	if (!zone_is_plain(zone))
		item = percpu_pop(zone->cache);
	if (item == NULL)
		item = percpu_lock_pop(zone->cache);
	if (item == NULL && likely(!atomic_load_relaxed(&page_pressure_owed)))
		item = uma_zalloc_reload(zone, udata);
	if (item == NULL)
		return (uma_zalloc_slow(zone, udata, flags));
	if (zone_is_plain(zone) && (flags & M_ZERO) == 0)
		return (item);
	return (item_ctor(zone, item, udata, flags, SKIP_NONE));
}

void *
uma_zalloc_arg(uma_zone_t zone, void *udata, int flags)
{
	void *item = uma_zalloc_fast(zone);

	if (unlikely(item == NULL))
		return (zalloc_rest(zone, udata, flags));
	if (unlikely((flags & M_ZERO) != 0))
		return (item_ctor(zone, item, udata, flags, SKIP_NONE));
	return (item);
}

/* ---- free ----------------------------------------------------------------------------------------------- */

/* A full bucket of frees leaves a CPU of `domain`. */
void
zone_put_full(struct uma_zone *zone, struct uma_bucket *b, int slot, int domain, void *udata)
{
	if (b->count > 0 && (zone->flags & UMA_ZONE_SMR) != 0)
		b->seq = smr_advance(zone->smr);
	if (slot != SLOT_CROSS)
		zone_put_bucket(zone, domain, b, true);
	else if (uma_ndomains == 2)
		zone_put_bucket(zone, 1 - domain, b, true);
	else
		cross_sort(zone, b, udata);
}

/*
 * Which stack of this part a free goes to, made ready for it if it has room (*fits). An item at
 * home goes to alloc, else to free, swapped to be alloc.
 */
static int
slot_for(struct uma_zone *zone, struct percpu *c, unsigned cpu, int home, bool *fits)
{
	if (home >= 0 && home != (int)machine_cpu_domain(cpu)) {
		*fits = room(c, SLOT_CROSS) > 0;
		return (SLOT_CROSS);
	}
	if ((zone->flags & UMA_ZONE_SMR) != 0) {
		*fits = room(c, SLOT_FREE) > 0;
		return (SLOT_FREE);
	}
	if (room(c, SLOT_ALLOC) == 0 && room(c, SLOT_FREE) > 0)
		cache_swap(c);
	*fits = room(c, SLOT_ALLOC) > 0;
	return (*fits ? SLOT_ALLOC : SLOT_FREE);
}

/*
 * Readers may hold what is in a full bucket, and there is no other: wait for them and use it again,
 * which is one wait a bucket instead of one an item.
 */
static struct uma_bucket *
smr_recycle(struct uma_zone *zone, unsigned cpu, int slot)
{
	struct uma_bucket *b;
	struct percpu *c;

	c = percpu_enter_cpu(zone->cache, cpu);
	b = cache_unload(c, slot);
	cache_exit(zone, c, cpu);
	if (b == NULL)
		return (NULL);
	if (b->count > 0)
		b->seq = smr_advance(zone->smr);
	bucket_drain(zone, b);
	b->seq = 0;
	return (b);
}

/*
 * Is this the first that this CPU hears of the zone? Then the item was taken on another. Were it the first
 * here to be taken again, two CPUs would go on with neighbours on one cache line; at home it does no harm.
 */
static bool
taken_elsewhere(struct uma_zone *zone)
{
	struct percpu *c;
	unsigned cpu;

	if (likely(zone_cpu_used(zone, machine_cpu())) || (zone->flags & UMA_ZONE_SMR) != 0)
		return (false);
	c = cache_enter(zone, &cpu);
	cache_exit(zone, c, cpu);
	return (true);
}

/* Put an item into the caches; false: it goes home by itself. */
static bool
cache_free(struct uma_zone *zone, void *item, void *udata)
{
	struct uma_bucket *fresh = NULL, *full = NULL;
	int home = zone_is_first_touch(zone) ? item_domain(zone, item) : -1, slot;
	struct percpu *c;
	bool fits, done;
	unsigned cpu;

	if (home < 0 && (zone->flags & UMA_ZONE_SMR) == 0 && cache_seems_full(zone, machine_cpu()))
		fresh = bucket_alloc(zone, udata, M_NOWAIT);
	for (;;) {
		c = cache_enter(zone, &cpu);
		if (atomic_load_seq(&zone->sleepers) != 0) {
			cache_exit(zone, c, cpu);
			break;
		}
		slot = slot_for(zone, c, cpu, home, &fits);
		if (!fits && fresh != NULL) {
			full = cache_unload(c, slot);
			cache_load(c, slot, fresh);
			fresh = NULL;
			slot = slot_for(zone, c, cpu, home, &fits);
		}
		if (fits)
			cache_put(c, slot, item);
		done = fits;
		cache_exit(zone, c, cpu);
		if (done) {
			if (slot == SLOT_CROSS)
				atomic_add_relaxed(&zone->xdomain, 1);
			if (full != NULL)
				zone_put_full(zone, full,
				    slot == SLOT_CROSS ? SLOT_CROSS : SLOT_FREE,
				    (int)machine_cpu_domain(cpu), udata);
			if (fresh != NULL)
				bucket_free(zone, fresh, udata);
			return (true);
		}
		fresh = bucket_alloc(zone, udata, M_NOWAIT);
		if (fresh == NULL && (zone->flags & UMA_ZONE_SMR) != 0)
			fresh = smr_recycle(zone, cpu, slot);
		if (fresh == NULL)
			return (false);
	}
	if (fresh != NULL)
		bucket_free(zone, fresh, udata);
	return (false);
}

/* This CPU's two buckets change places: alloc is full, free is not. */
static bool
turn_free(struct uma_zone *zone, void *item)
{
	struct percpu *c;
	unsigned cpu;
	bool fits;

	c = cache_enter(zone, &cpu);
	if (room(c, SLOT_ALLOC) == 0)
		cache_swap(c);
	fits = room(c, SLOT_ALLOC) > 0 && atomic_load_seq(&zone->sleepers) == 0;
	if (fits)
		cache_put(c, SLOT_ALLOC, item);
	cache_exit(zone, c, cpu);
	return (fits);
}

NOINLINE bool
uma_zfree_reload(struct uma_zone *zone, void *item, void *udata)
{
	unsigned cpu;

	if (!zone_is_plain(zone))
		return (false);
	if (percpu_lock_push(zone->cache, item))
		return (true);
	cpu = machine_cpu();
	if (zone_is_first_touch(zone) || !cache_seems_open(zone, cpu))
		return (false);
	return (
	    cache_seems_full(zone, cpu) ? cache_free(zone, item, udata) : turn_free(zone, item));
}

NOINLINE void
uma_zfree_slow(struct uma_zone *zone, void *item, void *udata)
{
	bool smr = (zone->flags & UMA_ZONE_SMR) != 0;

	if (item == NULL || !check_free(zone, "uma_zfree", item))
		return;
	if (!smr) {
		item_dtor(zone, item, udata);
		/* What plain zones have tried before they came here, without a dtor between. */
		if (!zone_is_plain(zone) &&
		    (percpu_push(zone->cache, item) || percpu_lock_push(zone->cache, item)))
			return;
	}
	if (zone_is_cached(zone) && atomic_load_relaxed(&zone->sleepers) == 0 &&
	    !taken_elsewhere(zone) && cache_free(zone, item, udata))
		return;
	zone_free_item(zone, item, udata, smr ? SKIP_NONE : SKIP_DTOR);
}

static NOINLINE void
zfree_rest(struct uma_zone *zone, void *item, void *udata)
{
	/* Warned of, then freed as it must be: dropping it would only add a leak. */
	(void)MISUSE((zone->flags & UMA_ZONE_SMR) != 0 && item != NULL,
	    "uma_zfree: zone %s is an SMR zone: uma_zfree_smr() is for it", zone->name);
	if (item != NULL && zone_is_plain(zone) &&
	    (percpu_lock_push(zone->cache, item) || uma_zfree_reload(zone, item, udata)))
		return;
	uma_zfree_slow(zone, item, udata);
}

/* A NULL item is ignored. Never sleeps. */
void
uma_zfree_arg(uma_zone_t zone, void *item, void *udata)
{
	if (likely(item != NULL) && likely(uma_zfree_fast(zone, item)))
		return;
	zfree_rest(zone, item, udata);
}

/* ---- other CPUs' parts ------------------------------------------------------------------------------------ */

/*
 * Empty the parts of all CPUs into the depots, from where reclaim takes them on; or what they hold
 * of one domain: the parts of its own CPUs, and what was freed on others. Threads go on running: a
 * part is taken over for a moment.
 */
void
cache_drain_cpus(struct uma_zone *zone, int domain)
{
	struct uma_bucket *b[3];
	struct percpu *c;
	int d, first;

	if (!zone_is_cached(zone))
		return;
	for (unsigned cpu = 0; cpu < uma_ncpus; cpu++) {
		d = (int)machine_cpu_domain(cpu);
		first = domain == UMA_ANYDOMAIN || domain == d ? SLOT_ALLOC : SLOT_CROSS;
		if (!zone_cpu_used(zone, cpu))
			continue;
		b[SLOT_ALLOC] = b[SLOT_FREE] = NULL;
		c = percpu_enter_cpu(zone->cache, cpu);
		for (int slot = first; slot <= SLOT_CROSS; slot++)
			b[slot] = cache_unload(c, slot);
		cache_exit(zone, c, cpu);
		if (b[SLOT_ALLOC] != NULL)
			zone_put_bucket(zone, d, b[SLOT_ALLOC], false);
		for (int slot = SLOT_FREE; slot <= SLOT_CROSS; slot++)
			if (b[slot] != NULL)
				zone_put_full(zone, b[slot], slot, d, NULL);
	}
}

/* What went through the caches, and what lies in the parts: exact at the moment each is entered. */
void
cache_totals(struct uma_zone *zone, uint64_t *pops, uint64_t *pushes, uint64_t *cached)
{
	struct percpu *c;

	*pops = *pushes = *cached = 0;
	if (!zone_is_cached(zone))
		return;
	for (unsigned cpu = 0; cpu < uma_ncpus; cpu++) {
		if (!zone_cpu_used(zone, cpu))
			continue;
		c = percpu_enter_cpu(zone->cache, cpu);
		*pops += c->pops;
		*pushes += c->pushes;
		*cached += (uint64_t)c->alloc.count + c->free.count + c->cross.count;
		cache_exit(zone, c, cpu);
	}
}
