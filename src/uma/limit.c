/*
 * A zone's limit on items, cached ones included. The lock of the zone's domain 0 guards `items`,
 * `max_items` and the queue.
 *
 * Exact and in order: a request is charged before it imports, under the lock, so that items never
 * exceeds max_items. Who must wait stands in one queue, first come first served; nobody passes it.
 * What is released goes to the head of the queue as a charge already made (limit_grant): a wakeup
 * is never a hint that somebody else may take, so none can be lost and none need be chained by the
 * woken.
 *
 * Before it sleeps a thread announces itself and empties the caches (waiting.h): no thread waits for
 * an item that lies in a cache.
 */
#include "uma/uma_int.h"

CORE_STATE
static uint32_t warnings_off; /* for all zones; atomic */

void
zone_wait_begin(struct uma_zone *zone)
{
	(void)atomic_add_fetch(&zone->sleepers, 1);
	atomic_fence_seq();
}

void
zone_wait_end(struct uma_zone *zone)
{
	(void)atomic_fetch_sub(&zone->sleepers, 1);
}

void
zone_empty(struct uma_zone *zone)
{
	if (!FAULT(sleeps_on_cached_items))
		cache_drain_cpus(zone, UMA_ANYDOMAIN);
	for (int d = 0; d < (int)uma_ndomains; d++)
		depot_reclaim(zone, d, true);
}

bool
uma_set_warnings(bool on)
{
	return (atomic_exchange(&warnings_off, on ? 0u : 1u) == 0);
}

/* The zone is at its limit: say so and act on it, at most every UMA_WARN_INTERVAL. No lock held. */
static void
limit_hit(struct uma_zone *zone)
{
	uint64_t now = machine_now(), last;

	last = atomic_load_relaxed(&zone->warned);
	if (zone->warning != NULL && !atomic_load_relaxed(&warnings_off) &&
	    (last == 0 || now - last >= UMA_WARN_INTERVAL) && atomic_cas(&zone->warned, &last, now))
		core_warn("[zone: %s] %s", zone->name, zone->warning);
	last = atomic_load_relaxed(&zone->acted);
	if (zone->maxaction != NULL && (last == 0 || now - last >= UMA_WARN_INTERVAL) &&
	    atomic_cas(&zone->acted, &last, now))
		zone->maxaction(zone, 1);
}

/* Take what there is for `count` items, without waiting and without passing the queue. Locked. */
static int
take(struct uma_zone *zone, int count)
{
	uint64_t room;

	if (zone->limit_queue.nwaiters != 0 || zone->items >= zone->max_items)
		return (0);
	room = zone->max_items - zone->items;
	if (room < (uint64_t)count)
		count = (int)room;
	zone->items += (uint64_t)count;
	return (count);
}

/* Charge up to count items; how many, 0 if the zone is full. For fills: they never wait. */
int
limit_try_charge(struct uma_zone *zone, int count)
{
	struct mtx *lock = &zone->domain[0].lock;

	if ((zone->flags & ZF_LIMIT) == 0)
		return (count);
	mtx_lock(lock);
	count = take(zone, count);
	mtx_unlock(lock);
	return (count);
}

/*
 * Charge one item for a request; 0 if the zone is full and the request may not wait (then the limit
 * has been reported). M_WAITOK sleeps on "zonelimit" and always returns 1.
 */
int
limit_charge(struct uma_zone *zone, int count, int flags)
{
	struct mtx *lock = &zone->domain[0].lock;

	if ((zone->flags & ZF_LIMIT) == 0)
		return (count);
	if (limit_try_charge(zone, 1) == 1)
		return (1);
	if ((flags & M_WAITOK) == 0) {
		limit_hit(zone);
		return (0);
	}
	zone_wait_begin(zone);
	limit_hit(zone);
	zone_empty(zone);
	mtx_lock(lock);
	if (FAULT(lost_limit_wakeup) || take(zone, 1) == 0) {
		atomic_add_relaxed(&zone->sleeps, 1);
		while (waitq_sleep(&zone->limit_queue, lock, 1, 0) != 0)
			;
	}
	mtx_unlock(lock);
	zone_wait_end(zone);
	return (1);
}

/* Hand free charges to those who wait, oldest first. Locked. */
void
limit_grant(struct uma_zone *zone)
{
	while (zone->items < zone->max_items && waitq_wake_one(&zone->limit_queue) == 1) {
		zone->items++;
		if (FAULT(batch_wakes_one))
			break;
	}
}

void
limit_release(struct uma_zone *zone, int count)
{
	struct mtx *lock = &zone->domain[0].lock;

	if ((zone->flags & ZF_LIMIT) == 0 || count == 0)
		return;
	mtx_lock(lock);
	CHECK(zone->items >= (uint64_t)count, "uma: zone %s: %d items released, %llu counted",
	    zone->name, count, (unsigned long long)zone->items);
	zone->items -= MIN(zone->items, (uint64_t)count);
	limit_grant(zone);
	mtx_unlock(lock);
}
