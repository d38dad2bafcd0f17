/*
 * The depot: full buckets of a zone, one list per memory domain, and the estimate of how many of
 * them are really wanted. The lock of the zone's domain guards all of struct uma_zdomain but `cross`.
 *
 * WORKING SET. Per domain: nitems cached now; imax and imin, its extremes in this period; bimin, its
 * least since the current batch of allocations began. wss follows imax - bimin, so that only what
 * allocations took out counts, not what frees piled up (R18). Buckets that move for another reason
 * (reclaim, a lost race) shift the bounds instead of moving the estimate.
 *
 * SMR zones append, so that the oldest sequence is first; the others push, so that the warmest is.
 */
#include "uma/uma_int.h"

/* ---- the estimate: domain locked ---------------------------------------------------------------------- */

/* nitems has a new maximum: the batch that reached from the old one down to bimin is over. */
static void
raise_imax(struct uma_zdomain *zdom)
{
	if (zdom->nitems <= zdom->imax)
		return;
	zdom->wss = MAX(zdom->wss, zdom->imax - zdom->bimin);
	zdom->imax = zdom->nitems;
	zdom->bimin = zdom->nitems;
}

/* A period ends. */
void
zdomain_update_wss(struct uma_zdomain *zdom)
{
	long spare;

	zdom->wss = MAX(zdom->wss * 3 / 4, zdom->imax - zdom->bimin);
	spare = zdom->imin - zdom->wss;
	if (spare >= 0) { /* nothing missed, and this much was never touched */
		if (zdom->limin > spare)
			zdom->limin = spare;
		else
			zdom->limin = (zdom->limin * 255 + spare) / 256;
		zdom->timin++;
	} else {
		zdom->limin = 0;
		zdom->timin = 0;
	}
	zdom->imax -= (zdom->imax - zdom->nitems) / 2;
	zdom->imin = zdom->bimin = zdom->nitems;
}

/* ---- the list --------------------------------------------------------------------------------------------- */

/* Buckets made from now on are larger or smaller by one slot, within the zone's bounds. */
static void
zone_resize_buckets(struct uma_zone *zone, int by)
{
	int size = atomic_load_relaxed(&zone->bucket_size) + by;

	if (size >= atomic_load_relaxed(&zone->bucket_size_min) &&
	    size <= atomic_load_relaxed(&zone->bucket_size_max))
		atomic_store_relaxed(&zone->bucket_size, (uint16_t)size);
}

/* Half-way down to the least. */
void
zone_shrink_buckets(struct uma_zone *zone)
{
	int size = atomic_load_relaxed(&zone->bucket_size);

	zone_resize_buckets(zone, (atomic_load_relaxed(&zone->bucket_size_min) - size) / 2);
}

/* Take the lock; finding it held says that larger buckets would save trips. */
static void
zdomain_lock(struct uma_zone *zone, struct uma_zdomain *zdom)
{
	if (mtx_trylock(&zdom->lock))
		return;
	mtx_lock(&zdom->lock);
	zone_resize_buckets(zone, 1);
}

static void
set_first(struct uma_zdomain *zdom, struct uma_bucket *b)
{
	atomic_store_relaxed(&zdom->seq, b == NULL ? 0 : b->seq);
	atomic_store_relaxed(&zdom->first, b);
}

static void
append(struct uma_zdomain *zdom, struct uma_bucket *b)
{
	b->next = NULL;
	if (zdom->first == NULL)
		set_first(zdom, b);
	else
		zdom->last->next = b;
	zdom->last = b;
}

static void
push(struct uma_zdomain *zdom, struct uma_bucket *b)
{
	b->next = zdom->first;
	if (zdom->first == NULL)
		zdom->last = b;
	set_first(zdom, b);
}

static struct uma_bucket *
pop(struct uma_zdomain *zdom)
{
	struct uma_bucket *b = zdom->first;

	set_first(zdom, b->next);
	if (b->next == NULL)
		zdom->last = NULL;
	b->next = NULL;
	count_add(&zdom->nitems, -(long)b->count);
	return (b);
}

/*
 * ROUNDROBIN zones spread their buckets: take from the fullest domain unless the preferred one has
 * plenty, give to the emptiest unless the preferred one is about as empty.
 */
static long
nitems_of(const struct uma_zone *zone, int domain)
{
	return (atomic_load_relaxed(&zone->domain[domain].nitems));
}

static int
domain_to_fetch(const struct uma_zone *zone, int domain)
{
	if ((zone->flags & UMA_ZONE_ROUNDROBIN) == 0 || uma_ndomains == 1 ||
	    nitems_of(zone, domain) > (long)BUCKET_MAX)
		return (domain);
	for (int d = 0; d < (int)uma_ndomains; d++)
		if (nitems_of(zone, d) > nitems_of(zone, domain))
			domain = d;
	return (domain);
}

static int
domain_to_put(const struct uma_zone *zone, int domain)
{
	int least = domain;

	if ((zone->flags & UMA_ZONE_ROUNDROBIN) == 0 || uma_ndomains == 1)
		return (domain);
	for (int d = 0; d < (int)uma_ndomains; d++)
		if (nitems_of(zone, d) < nitems_of(zone, least))
			least = d;
	return (nitems_of(zone, domain) <= 2 * nitems_of(zone, least) ? domain : least);
}

static bool
seq_reached(struct uma_zone *zone, smr_seq_t seq)
{
	return (seq == 0 || FAULT(smr_bucket_reused_early) || smr_poll(zone->smr, seq, false));
}

/* A full bucket of the domain, safe to use; NULL if there is none. reclaim: not as a user wants it. */
struct uma_bucket *
zone_fetch_bucket(struct uma_zone *zone, int domain, bool reclaim)
{
	struct uma_zdomain *zdom;
	struct uma_bucket *b;

	if (!reclaim)
		domain = domain_to_fetch(zone, domain);
	zdom = &zone->domain[domain];
	if (atomic_load_relaxed(&zdom->first) == NULL)
		return (NULL);
	if (!reclaim && (zone->flags & UMA_ZONE_SMR) != 0 &&
	    !seq_reached(zone, atomic_load_relaxed(&zdom->seq)))
		return (NULL);
	zdomain_lock(zone, zdom);
	b = zdom->first;
	if (b == NULL || (!reclaim && b->seq != 0 && !seq_reached(zone, b->seq))) {
		mtx_unlock(&zdom->lock);
		return (NULL);
	}
	pop(zdom);
	if (reclaim) {
		zdom->imin -= MIN(b->count, zdom->imin);
		zdom->imax -= MIN(b->count, zdom->imax);
	}
	zdom->imin = MIN(zdom->imin, zdom->nitems);
	zdom->bimin = MIN(zdom->bimin, zdom->nitems);
	zdom->low = MIN(zdom->low, zdom->nitems);
	mtx_unlock(&zdom->lock);
	if (!reclaim && b->seq != 0)
		smr_bucket_ready(zone, b);
	return (b);
}

/*
 * Put a bucket into the depot, or drain it if the depot is full or threads wait for items. ws: it comes from a user's frees;
 * else from a lost race or a drained CPU and is no news of the working set.
 */
void
zone_put_bucket(struct uma_zone *zone, int domain, struct uma_bucket *b, bool ws)
{
	struct uma_zdomain *zdom;

	if (b->count == 0) {
		bucket_free(zone, b, NULL);
		return;
	}
	if (domain == UMA_ANYDOMAIN)
		domain = 0;
	domain = domain_to_put(zone, domain);
	zdom = &zone->domain[domain];
	zdomain_lock(zone, zdom);
	if ((unsigned long)(zdom->nitems + b->count) > atomic_load_relaxed(&zone->bucket_max) ||
	    atomic_load_relaxed(&zone->sleepers) != 0) {
		mtx_unlock(&zdom->lock);
		bucket_drain(zone, b);
		bucket_free(zone, b, NULL);
		return;
	}
	if (b->seq != 0)
		append(zdom, b);
	else
		push(zdom, b);
	count_add(&zdom->nitems, b->count);
	if (!ws) {
		zdom->imin += b->count;
		zdom->bimin += b->count;
		zdom->imax += b->count;
	}
	raise_imax(zdom);
	mtx_unlock(&zdom->lock);
	if (ws)
		decay_tend(zone, 0);
}

/* ---- fill ------------------------------------------------------------------------------------------------ */

/*
 * A bucket filled from the keg or import function; NULL if none can be had without waiting for the
 * limit, or no bucket: then the request goes on for one item.
 */
struct uma_bucket *
zone_fill_bucket(struct uma_zone *zone, void *udata, int domain, int flags)
{
	struct uma_bucket *b;
	int want;

	uma_tend(flags);
	decay_tend(zone, flags);
	b = bucket_alloc(zone, udata, flags);
	if (b == NULL)
		return (NULL);
	want = limit_try_charge(zone, b->max);
	if (want > 0)
		b->count = (uint8_t)zone_import(zone, b->slot, want, domain, flags);
	limit_release(zone, want - b->count);
	if (b->count == 0) {
		bucket_free(zone, b, udata);
		return (NULL);
	}
	return (b);
}

/* ---- reclaim ----------------------------------------------------------------------------------------------- */

/* At most `max` buckets go. Returns the items that went. */
static long
depot_shrink_to(struct uma_zone *zone, int domain, long target, unsigned long max)
{
	struct uma_zdomain *zdom = &zone->domain[domain];
	struct uma_bucket *b;
	long gone = 0;

	for (; max > 0; max--) {
		if (atomic_load_relaxed(&zdom->first) == NULL || nitems_of(zone, domain) <= target)
			return (gone);
		mtx_lock(&zdom->lock);
		b = zdom->first;
		if (b == NULL || zdom->nitems - b->count < target) {
			mtx_unlock(&zdom->lock);
			return (gone);
		}
		mtx_unlock(&zdom->lock);
		b = zone_fetch_bucket(zone, domain, true);
		if (b == NULL)
			return (gone);
		gone += b->count;
		bucket_drain(zone, b);
		bucket_free(zone, b, NULL);
	}
	return (gone);
}

/* Empty a domain's depot, or cut it to the working set. */
void
depot_reclaim(struct uma_zone *zone, int domain, bool drain)
{
	struct uma_zdomain *zdom = &zone->domain[domain];
	long target;

	cross_drain(zone, domain);
	mtx_lock(&zdom->lock);
	zdomain_update_wss(zdom);
	target = drain ? 0 : zdom->wss;
	mtx_unlock(&zdom->lock);
	(void)depot_shrink_to(zone, domain, target, ~0ul);
	zone_resize_buckets(zone, -1);
}

/* From the timer: after many periods without a miss, let a quarter of what was never wanted go. */
void
depot_idle_trim(struct uma_zone *zone)
{
	struct uma_zdomain *zdom;
	long target;

	for (int d = 0; d < (int)uma_ndomains; d++) {
		zdom = &zone->domain[d];
		mtx_lock(&zdom->lock);
		zdomain_update_wss(zdom);
		target = zdom->nitems - zdom->limin / 4;
		if (zdom->timin < UMA_IDLE_TICKS || zdom->limin < 4) {
			mtx_unlock(&zdom->lock);
			continue;
		}
		mtx_unlock(&zdom->lock);
		(void)depot_shrink_to(zone, d, target, ~0ul);
		if (zone->keg != NULL)
			keg_drain(zone->keg, d, false);
	}
}

/* ---- decay: see decay.c ------------------------------------------------------------------------------------ */

void
depot_decay_period(struct uma_zone *zone)
{
	for (unsigned d = 0; d < uma_ndomains; d++) {
		struct uma_zdomain *zdom = &zone->domain[d];

		mtx_lock(&zdom->lock);
		zdom->due = zdom->low;
		zdom->low = zdom->nitems;
		mtx_unlock(&zdom->lock);
	}
}

/* Up to `max` buckets of what is due; 0: nothing is. `due` is the tending thread's alone. */
unsigned long
depot_decay(struct uma_zone *zone, unsigned long max)
{
	unsigned long done = 0;

	for (int d = 0; d < (int)uma_ndomains; d++) {
		struct uma_zdomain *zdom = &zone->domain[d];

		for (; zdom->due > 0 && done < max; done++) {
			long gone =
			    depot_shrink_to(zone, d, MAX(nitems_of(zone, d) - zdom->due, 0), 1);

			zdom->due = gone > 0 ? zdom->due - gone : 0;
		}
	}
	return (done);
}
