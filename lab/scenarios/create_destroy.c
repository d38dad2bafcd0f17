/*
 * Zones that come and go while passes over all zones, of reclaim and of statistics, are under way.
 */
#include <cooper/uma.h>

#include "lab/lab.h"

#define ITEMS 6

LAB_STATE static unsigned handles; /* what the cache zones cache */

/* Items of nearly a page: buckets of two, so that six of them are full buckets in the depot. */
static void
creator(void *arg)
{
	void *item[ITEMS];
	uma_zone_t zone;

	(void)arg;
	for (unsigned round = lab_scale(1, 2); round > 0; round--) {
		zone = uma_zcreate("passing", 3500, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
		for (unsigned again = 0; again < 2; again++) {
			for (unsigned i = 0; i < ITEMS; i++) {
				item[i] = uma_zalloc(zone, M_WAITOK);
				lab_must(item[i] != NULL, "uma_zalloc: M_WAITOK returned NULL");
			}
			for (unsigned i = 0; i < ITEMS; i++)
				uma_zfree(zone, item[i]);
		}
		uma_zdestroy(zone);
	}
}

static int
import(void *arg, void **store, int count, int domain, int flags)
{
	(void)arg;
	(void)domain;
	(void)flags;
	for (int i = 0; i < count; i++)
		store[i] = (void *)(uintptr_t)++handles;
	return (count);
}

static void
release(void *arg, void **store, int count)
{
	(void)arg;
	(void)store;
	(void)count;
}

static void
cache_creator(void *arg)
{
	uma_zone_t zone;

	(void)arg;
	for (unsigned round = lab_scale(1, 8); round > 0; round--) {
		zone = uma_zcache_create(
		    "passing by", 4000, NULL, NULL, NULL, NULL, import, release, NULL, 0);
		if (round % 4 == 0)
			uma_zfree(zone, uma_zalloc(zone, M_WAITOK));
		uma_zdestroy(zone);
	}
}

static void
reclaimer(void *arg)
{
	(void)arg;
	for (unsigned round = lab_scale(1, 3); round > 0; round--)
		uma_reclaim(round % 2 == 0 ? UMA_RECLAIM_TRIM : UMA_RECLAIM_DRAIN_CPU);
}

static void
named(const struct uma_zone_stat *st, void *arg)
{
	(void)arg;
	lab_must(st->name != NULL, "a zone that is not complete is seen");
	lab_must(st->used <= st->req, "zone %s: %llu items used of %llu allocated", st->name,
	    (unsigned long long)st->used, (unsigned long long)st->req);
}

static void
walker(void *arg)
{
	(void)arg;
	for (unsigned round = lab_scale(1, 8); round > 0; round--)
		uma_each_zone_stat(named, NULL);
}

static void
setup(void)
{
	lab_thread("creator", -1, creator, NULL);
	lab_thread("cache creator", -1, cache_creator, NULL);
	lab_thread("reclaimer", -1, reclaimer, NULL);
	lab_thread("walker", -1, walker, NULL);
}

LAB_SCENARIO(create_destroy, .name = "create-destroy",
    .about = "zones are created and destroyed under passes over all zones", .direct_map_too = true,
    .setup = setup,
    .sees = (const char *const[]){
	"create_against_reclaim", "destroy_against_reclaim", "destroy_trims", NULL });
