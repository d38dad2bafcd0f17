/*
 * Decay: what nobody has needed for a while goes back, without a thread of its own.
 *
 * A round begins each decay period. Each depot and each keg domain, and each page domain, knows the
 * least that it held since the last round (`low`): so much was never wanted in a whole period. That
 * is `due` then, and given back. So memory goes between one and two periods after its last use.
 *
 * Rounds are driven by requests that are slow anyway: a full bucket that comes to the depot, a fill.
 * Each does a small part (STEP buckets or slabs; more if much time has passed since the last part),
 * so that no request pays for a round; no lock is held but for one bucket or a few slabs. With the
 * page daemon's thread, that does whole rounds, and a program that has gone idle gives back, too.
 *
 * A request drives rounds only from zones that are nobody's foundation, where no lock of the core is
 * held, and only the plain zones: not those that would call somebody's fini or release, or wait for
 * SMR readers, unless it may sleep. Nested requests do not drive (in_reclaim).
 *
 * One thread at a time tends: who sets `tending` owns `round`, `paging` and all `due`. uma_zones_lock
 * guards the cursor, which a dying zone moves on.
 */
#include "uma/uma_int.h"

#define STEP       16  /* buckets or slabs of one part */
#define STEP_MOST  512 /* and of one after a long pause */
#define STEP_ZONES 8   /* zones looked at in one part */
#define STEP_PAGES 1024

CORE_STATE struct list *decay_cursor; /* NULL: no zone is left in this round */
CORE_STATE static uint32_t tending;   /* atomic: a thread is at it */
CORE_STATE static bool round;         /* atomic: a round is not over */
CORE_STATE static bool paging;        /* its zones are done, its pages are not */
CORE_STATE static uint64_t began;     /* of the round; atomic */
CORE_STATE static uint64_t stepped;   /* of the last part */

bool
zone_calls_nobody(const struct uma_zone *zone)
{
	const struct uma_keg *keg = zone->keg;

	return (keg != NULL && (zone->flags & (UMA_ZONE_VM | UMA_ZONE_SMR)) == 0 &&
		zone->zfini == NULL && keg->fini == NULL && !keg_is_foreign(keg));
}

/* ---- zones ------------------------------------------------------------------------------------------------ */

static bool
decays(const struct uma_zone *zone, bool sleep)
{
	return ((zone->flags & (UMA_ZONE_UNMANAGED | UMA_ZONE_NOTRIM)) == 0 &&
		(sleep || zone_calls_nobody(zone)));
}

/* The cursor's zone, held; NULL: none is left. */
static struct uma_zone *
zone_at_cursor(void)
{
	struct uma_zone *zone = NULL;

	mtx_lock(&uma_zones_lock);
	while (decay_cursor != NULL && decay_cursor != &uma_zones) {
		zone = list_entry(decay_cursor, struct uma_zone, link);
		if (!zone->dying)
			break;
		zone = NULL;
		decay_cursor = decay_cursor->next;
	}
	if (zone != NULL)
		zone->refs++;
	else
		decay_cursor = NULL;
	mtx_unlock(&uma_zones_lock);
	return (zone);
}

static void
next_zone(struct uma_zone *zone)
{
	mtx_lock(&uma_zones_lock);
	if (decay_cursor == &zone->link)
		decay_cursor = zone->link.next;
	mtx_unlock(&uma_zones_lock);
}

/* Up to `max` buckets and slabs of zones; false: all zones are done. */
static bool
step_zones(unsigned long max, bool sleep)
{
	for (unsigned n = 0; n < STEP_ZONES && max > 0; n++) {
		struct uma_zone *zone = zone_at_cursor();
		unsigned long done = 0;

		if (zone == NULL)
			return (false);
		if (decays(zone, sleep)) {
			done = depot_decay(zone, max);
			if (done < max && zone->keg != NULL && zone->keg->primary == zone)
				done += keg_decay(zone->keg, max - done);
		}
		if (done < max)
			next_zone(zone);
		max -= MIN(done, max);
		zone_drop(zone);
	}
	return (true);
}

static void
period(struct uma_zone *zone, void *arg)
{
	(void)arg;
	depot_decay_period(zone);
	if (zone->keg != NULL && zone->keg->primary == zone)
		keg_decay_period(zone->keg);
}

/* ---- rounds: by the tending thread --------------------------------------------------------------------------- */

static void
begin(uint64_t now)
{
	uma_each_zone(period, NULL);
	mtx_lock(&uma_zones_lock);
	decay_cursor = uma_zones.next;
	mtx_unlock(&uma_zones_lock);
	paging = false;
	atomic_store_relaxed(&began, now);
	atomic_store_relaxed(&round, true);
}

static void
part(unsigned long max, bool sleep)
{
	if (!paging) {
		if (step_zones(max, sleep))
			return;
		page_discard_period();
		paging = true;
	} else if (!page_discard_due(STEP_PAGES)) {
		atomic_store_relaxed(&round, false);
	}
}

static bool
tend_begin(void)
{
	uint32_t nobody = 0;

	if (machine_thread_state()->in_reclaim || uma_stage != UMA_RUNNING ||
	    !atomic_cas(&tending, &nobody, 1u))
		return (false);
	machine_thread_state()->in_reclaim = true;
	return (true);
}

static void
tend_end(void)
{
	machine_thread_state()->in_reclaim = false;
	atomic_store_release(&tending, 0u);
}

/* With decay 0 a zone's own memory goes before the request that let go of it returns. */
static void
at_once(struct uma_zone *zone, bool sleep)
{
	if (!tend_begin())
		return;
	if (decays(zone, sleep)) {
		for (int d = 0; d < (int)uma_ndomains; d++)
			depot_reclaim(zone, d, true);
		keg_drain(zone->keg, UMA_ANYDOMAIN, false);
	}
	(void)page_discard_free(~0ul);
	tend_end();
}

/* How much may a part do? In an hour of silence more than in a storm of requests: a tenth of the time. */
static unsigned long
step_size(uint64_t now)
{
	uint64_t ms = (now - stepped) >> 20;

	stepped = now;
	return ((unsigned long)MIN(STEP + STEP * ms, (uint64_t)STEP_MOST));
}

void
decay_tend(struct uma_zone *zone, int flags)
{
	int32_t ms = atomic_load_relaxed(&page_decay_ms);
	bool sleep = (flags & M_WAITOK) != 0;
	bool watch = atomic_load_relaxed(&page_pressure_on);
	uint64_t now;

	/* Nor at a zone's first fill: a program of few requests need not know what time it is. */
	if ((ms < 0 && !watch) || !atomic_load_relaxed(&zone->used) ||
	    (zone->flags & (UMA_ZONE_VM | ZF_BUCKET | ZF_INTERNAL | ZF_CACHE)) != 0)
		return;
	if (ms == 0)
		at_once(zone, sleep);
	now = machine_now_coarse();
	if (watch && uma_stage == UMA_RUNNING)
		page_pressure_tend(now, sleep);
	if (ms <= 0)
		return;
	if (!atomic_load_relaxed(&round) &&
	    now - atomic_load_relaxed(&began) < (uint64_t)ms * 1000000)
		return;
	if (!tend_begin())
		return;
	if (!round)
		begin(now);
	part(step_size(now), sleep);
	tend_end();
}

/* A whole round: the daemon's thread's. */
void
decay_round(void)
{
	if (!tend_begin())
		return;
	begin(machine_now_coarse());
	while (atomic_load_relaxed(&round))
		part(STEP_MOST, true);
	tend_end();
}

/* Whoever tended is gone. */
void
decay_fork_child(void)
{
	tending = 0;
	decay_cursor = NULL;
	round = false;
}
