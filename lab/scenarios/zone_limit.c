/*
 * Zones at their limit: many waiters, newcomers that will not wait, limits that are raised, items
 * that lie in caches, and items whose init fails.
 *
 * Groups that need each other's success: who has got an item keeps it until all of the group have
 * one, so that a single wakeup that is lost is the end.
 */
#include <cooper/uma.h>

#include "lab/lab.h"

#define LIMIT  3
#define CHURN  5
#define GROUP  4
#define CACHED 16

struct group { /* threads that each want an item of a zone, and keep it until all have one */
	uma_zone_t zone;
	unsigned size;
	uint32_t got;
};
LAB_STATE static uma_zone_t busy, frail, primary;
LAB_STATE static struct group raised, cached;
LAB_STATE static unsigned out, frail_out; /* items of `busy` and `frail` in hands */

static void
in_hand(unsigned *count, unsigned limit, const char *zone)
{
	++*count;
	lab_must(
	    *count <= limit, "zone %s: %u items in hands, the limit is %u", zone, *count, limit);
}

static void
churn(void *arg)
{
	(void)arg;
	for (unsigned round = lab_scale(1, 6); round > 0; round--) {
		void *item = uma_zalloc(busy, M_WAITOK);

		lab_must(item != NULL, "uma_zalloc: M_WAITOK returned NULL");
		in_hand(&out, LIMIT, "busy");
		if (round % 2 == 0)
			lab_note("an item in hand");
		out--;
		uma_zfree(busy, item);
	}
}

static void
interloper(void *arg)
{
	(void)arg;
	for (unsigned round = lab_scale(1, 8); round > 0; round--) {
		void *item = uma_zalloc(busy, M_NOWAIT);

		if (item == NULL)
			continue;
		in_hand(&out, LIMIT, "busy");
		out--;
		uma_zfree(busy, item);
	}
}

static void
one_of_a_group(void *arg)
{
	struct group *g = arg;
	void *item = uma_zalloc(g->zone, M_WAITOK);

	lab_must(item != NULL, "uma_zalloc: M_WAITOK returned NULL");
	lab_meet(&g->got, g->size);
	uma_zfree(g->zone, item);
}

static void
raiser(void *arg)
{
	(void)arg;
	uma_zone_set_max(raised.zone, GROUP);
}

/* All items of a zone but one, which its cache is filled with in passing. */
static void
hoarder(void *arg)
{
	void *item[CACHED - 1];

	(void)arg;
	for (unsigned i = 0; i < CACHED - 1; i++)
		item[i] = uma_zalloc(cached.zone, M_WAITOK);
	lab_meet(&cached.got, cached.size);
	for (unsigned i = 0; i < CACHED - 1; i++)
		uma_zfree(cached.zone, item[i]);
}

static int
init_that_may_fail(void *mem, int size, int flags)
{
	(void)mem;
	(void)size;
	(void)flags;
	return (lab_random(3) == 0 ? COOPER_ENOMEM : 0);
}

static void
no_fini(void *mem, int size)
{
	(void)mem;
	(void)size;
}

static void
frail_user(void *arg)
{
	(void)arg;
	for (unsigned round = lab_scale(1, 4); round > 0; round--) {
		void *item[4];

		for (unsigned i = 0; i < 4; i++) {
			item[i] = uma_zalloc(frail, M_NOWAIT);
			if (item[i] != NULL)
				in_hand(&frail_out, CACHED, "frail");
		}
		for (unsigned i = 0; i < 4; i++) {
			frail_out -= item[i] != NULL;
			uma_zfree(frail, item[i]);
		}
		uma_zone_reclaim(frail, UMA_RECLAIM_DRAIN_CPU);
	}
}

static uma_zone_t
limited(const char *name, int limit)
{
	uma_zone_t zone = uma_zcreate(name, 200, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);

	uma_zone_set_max(zone, limit);
	return (zone);
}

static void
setup(void)
{
	busy = limited("busy", LIMIT);
	raised = (struct group){ limited("raised", GROUP - 2), GROUP, 0 };
	cached = (struct group){ limited("cached", CACHED), 2, 0 };
	primary = uma_zcreate("primary", 200, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	frail = uma_zsecond_create("frail", NULL, NULL, init_that_may_fail, no_fini, primary);
	uma_zone_set_max(frail, CACHED);
	for (unsigned i = 0; i < CHURN; i++)
		lab_thread("churn", -1, churn, NULL);
	lab_thread("interloper", -1, interloper, NULL);
	for (unsigned i = 0; i < GROUP; i++)
		lab_thread("group", -1, one_of_a_group, &raised);
	lab_thread("raiser", -1, raiser, NULL);
	lab_thread("hoarder", 0, hoarder, NULL);
	lab_thread("last", (int)lab_cpus() - 1, one_of_a_group, &cached);
	lab_thread("frail", -1, frail_user, NULL);
	lab_thread("frail", -1, frail_user, NULL);
}

static void
finish(void)
{
	uma_zdestroy(busy);
	uma_zdestroy(raised.zone);
	uma_zdestroy(cached.zone);
	uma_zdestroy(frail);
	uma_zdestroy(primary);
}

LAB_SCENARIO(zone_limit, .name = "zone-limit",
    .about = "zones at their limit: waiters, interlopers, raises, cached items, failing inits",
    .direct_map_too = true, .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "lost_limit_wakeup", "batch_wakes_one", "raise_wakes_nobody",
	"sleeps_on_cached_items", "failed_init_restores_twice", NULL });
