/*
 * Giving memory back: one zone, all zones, one domain; on request, under pressure, by the timer.
 *
 * A pass holds no lock while it works (uma_each_zone), so callbacks may take theirs, and several
 * passes may run at once. Zones of slab headers and of buckets come last, since the others give
 * theirs back first.
 */
#include "uma/uma_int.h"

CORE_STATE
static unsigned long soft_limit; /* bytes; 0 = none */
CORE_STATE
static atomic_u64 last_timeout; /* machine_now() of the last working-set update */
CORE_STATE
static atomic_u64 last_over; /* of the last pass for the soft limit */
#define OVER_INTERVAL (1000ull * 1000 * 1000)

struct pass {
	int req, domain;
	bool last; /* the zones that come last */
};

/* ---- one zone -------------------------------------------------------------------------------------------- */

static void
zone_reclaim(struct uma_zone *zone, int req, int domain)
{
	/* Unless items are kept apart buckets hold any domain's: all of them, but slabs of the one. */
	int caches = zone_is_first_touch(zone) ? domain : UMA_ANYDOMAIN;

	if (req == UMA_RECLAIM_DRAIN_CPU) {
		cache_drain_cpus(zone, caches);
		zone_shrink_buckets(zone);
	}
	for (int d = 0; d < (int)uma_ndomains; d++)
		if (caches == UMA_ANYDOMAIN || caches == d)
			depot_reclaim(zone, d, req != UMA_RECLAIM_TRIM);
	if (zone->keg != NULL)
		keg_drain(zone->keg, domain, false);
}

static bool
check_request(const char *func, int req, int domain)
{
	bool ok = req >= UMA_RECLAIM_DRAIN && req <= UMA_RECLAIM_TRIM && domain >= UMA_ANYDOMAIN &&
		  domain < (int)uma_ndomains;

	return (!MISUSE(!ok, "%s: request %d, domain %d", func, req, domain));
}

void
uma_zone_reclaim_domain(uma_zone_t zone, int req, int domain)
{
	if (!check_request("uma_zone_reclaim", req, domain))
		return;
	zone_hold(zone);
	zone_reclaim(zone, req, domain);
	zone_drop(zone);
}

void
uma_zone_reclaim(uma_zone_t zone, int req)
{
	uma_zone_reclaim_domain(zone, req, UMA_ANYDOMAIN);
}

/* ---- all zones --------------------------------------------------------------------------------------------- */

static bool
comes_last(const struct uma_zone *zone)
{
	return ((zone->flags & ZF_BUCKET) != 0 || zone == uma_slab_zones[0] ||
		zone == uma_slab_zones[1]);
}

static void
reclaim_one(struct uma_zone *zone, void *arg)
{
	struct pass *pass = arg;

	if ((zone->flags & UMA_ZONE_UNMANAGED) != 0 || comes_last(zone) != pass->last)
		return;
	if (FAULT(cache_zones_not_reclaimed) && (zone->flags & ZF_CACHE) != 0)
		return;
	if (pass->req == UMA_RECLAIM_TRIM && (zone->flags & UMA_ZONE_NOTRIM) != 0)
		return;
	zone_reclaim(zone, pass->req, pass->domain);
}

void
uma_reclaim_domain(int req, int domain)
{
	struct pass pass = { req, domain, false };

	if (!check_request("uma_reclaim", req, domain))
		return;
	bucket_enable();
	uma_each_zone(reclaim_one, &pass);
	pass.last = true;
	bucket_zones_each(reclaim_one, &pass);
	/* Those gave back buckets of each other; and all of them slab headers. */
	if (req != UMA_RECLAIM_TRIM)
		bucket_zones_each(reclaim_one, &pass);
	reclaim_one(uma_slab_zones[0], &pass);
	reclaim_one(uma_slab_zones[1], &pass);
}

void
uma_reclaim(int req)
{
	uma_reclaim_domain(req, UMA_ANYDOMAIN);
}

static void
reclaim_if_plain(struct uma_zone *zone, void *arg)
{
	if (zone_calls_nobody(zone))
		reclaim_one(zone, arg);
}

/* The same of zones without callbacks: from requests that may not sleep, in no callback's way. */
void
uma_reclaim_plain(int req)
{
	struct pass pass = { req, UMA_ANYDOMAIN, false };

	uma_each_zone(reclaim_if_plain, &pass);
	pass.last = true;
	bucket_zones_each(reclaim_one, &pass);
}

static void
empty_if_waited(struct uma_zone *zone, void *arg)
{
	(void)arg;
	if (atomic_load_relaxed(&zone->sleepers) != 0)
		zone_empty(zone);
}

void
zone_empty_waited(void)
{
	uma_each_zone(empty_if_waited, NULL);
}

static const int request_for[] = {
	[PRESSURE_NONE] = UMA_RECLAIM_TRIM,
	[PRESSURE_LOW] = UMA_RECLAIM_TRIM,
	[PRESSURE_MIN] = UMA_RECLAIM_DRAIN,
	[PRESSURE_SEVERE] = UMA_RECLAIM_DRAIN_CPU,
};

/* The page daemon's last word: see page_reclaim_hook. */
void
uma_pressure(enum page_pressure level, int domain)
{
	int req = request_for[level];

	if (uma_avail() < 0) {
		req = UMA_RECLAIM_DRAIN_CPU;
		domain = UMA_ANYDOMAIN;
	}
	uma_reclaim_domain(req, domain);
}

/* See page_plain_hook: the same for who may not sleep. */
void
uma_pressure_plain(enum page_pressure level)
{
	machine_thread_state()->in_reclaim = true;
	uma_reclaim_plain(request_for[level]);
	machine_thread_state()->in_reclaim = false;
}

/* ---- the timer ---------------------------------------------------------------------------------------------- */

static void
timeout_one(struct uma_zone *zone, void *arg)
{
	(void)arg;
	if (zone->keg != NULL)
		keg_hash_grow(zone->keg);
	if ((zone->flags & (UMA_ZONE_UNMANAGED | UMA_ZONE_NOTRIM)) == 0)
		depot_idle_trim(zone);
}

/*
 * Each 20 s: working sets, hash tables, whether buckets may be made. Called by the page daemon's
 * timer or, in shapes without one, by refills that notice the time; with no lock held.
 */
void
uma_timeout(void)
{
	if (uma_stage < UMA_RUNNING)
		return;
	atomic_store_relaxed(&last_timeout, machine_now());
	bucket_enable();
	uma_each_zone(timeout_one, NULL);
}

static bool
due(atomic_u64 *last, uint64_t interval)
{
	uint64_t then = atomic_load_relaxed(last), now = machine_now();

	return ((then == 0 || now - then >= interval) && atomic_cas(last, &then, now));
}

/* From refills that may wait: is it time to look after the working sets or the soft limit? */
void
uma_tend(int flags)
{
	if ((flags & M_WAITOK) == 0 || uma_stage != UMA_RUNNING ||
	    machine_thread_state()->in_reclaim)
		return;
	if (uma_avail() < 0 && due(&last_over, OVER_INTERVAL))
		(void)page_daemon_pass(UMA_ANYDOMAIN, PRESSURE_LOW);
	if (!cooper_shape()->daemon && due(&last_timeout, UMA_TIMEOUT))
		uma_timeout();
}

/* ---- the soft limit ------------------------------------------------------------------------------------------- */

void
uma_set_limit(unsigned long bytes)
{
	atomic_store_relaxed(&soft_limit, bytes);
}

unsigned long
uma_limit(void)
{
	return (atomic_load_relaxed(&soft_limit));
}

unsigned long
uma_size(void)
{
	return (atomic_load_relaxed(&uma_total));
}

/* Bytes left under the soft limit; negative: over it; LONG_MAX without one. */
long
uma_avail(void)
{
	unsigned long limit = uma_limit();

	if (limit == 0)
		return ((long)(~0ul >> 1));
	return ((long)(limit - uma_size()));
}
