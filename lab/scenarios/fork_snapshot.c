/*
 * What a fork does: one thread takes every lock, looks at memory while the others stand where they
 * are, and lets go. What it sees is what a child would get: nothing may be half-way.
 *
 * One of the two scenarios that see more than public headers: forking is not a call of the library's.
 */
#include <cooper/kmem.h>
#include <cooper/uma.h>
#include "page/page_int.h"
#include "sync/sync.h"
#include "uma/uma_int.h"

#include "lab/lab.h"

#define ITEMS 5

LAB_STATE static uma_zone_t zone;

static void
worker(void *arg)
{
	void *item[ITEMS], *p;

	(void)arg;
	for (unsigned round = lab_scale(1, 3); round > 0; round--) {
		for (unsigned i = 0; i < ITEMS; i++)
			item[i] = uma_zalloc(zone, M_WAITOK);
		p = kmem_malloc(8192, M_WAITOK);
		lab_must(p != NULL, "kmem_malloc: M_WAITOK returned NULL");
		for (unsigned i = 0; i < ITEMS; i++)
			uma_zfree(zone, item[i]);
		kmem_free(p, 8192);
		if (lab_random(2) == 0)
			uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	}
}

/* Are a keg's counts those of its lists? */
static void
keg_is_whole(const struct uma_keg *keg)
{
	const struct uma_kdomain *dom = &keg->domain[0];
	unsigned long items = 0, slabs = 0;

	LIST_EACH (l, &dom->part)
		items += list_entry(l, struct slab, link)->nfree;
	LIST_EACH (l, &dom->free) {
		items += list_entry(l, struct slab, link)->nfree;
		slabs++;
	}
	lab_must(items == dom->free_items && slabs == dom->free_slabs,
	    "the fork sees %lu free items in slabs where %lu are counted", items, dom->free_items);
}

/* Are a domain's pages those of its lists? */
static void
pages_are_whole(const struct page_domain *d)
{
	unsigned long free = d->fresh + d->nofree_idle;

	for (unsigned order = 0; order < PAGE_ORDERS; order++)
		free += (unsigned long)d->free_list[order].count << order;
	lab_must(
	    free == d->free, "the fork sees %lu free pages where %u are counted", free, d->free);
}

static void
forker(void *arg)
{
	(void)arg;
	for (unsigned round = lab_scale(1, 3); round > 0; round--) {
		sync_fork_prepare();
		keg_is_whole(zone->keg);
		pages_are_whole(&page_domains[0]);
		sync_fork_parent();
		lab_sleep(20000);
	}
}

static void
setup(void)
{
	zone = uma_zcreate("objects", 900, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	lab_thread("worker", -1, worker, NULL);
	lab_thread("worker", -1, worker, NULL);
	lab_thread("forker", -1, forker, NULL);
}

static void
finish(void)
{
	uma_zdestroy(zone);
}

LAB_SCENARIO(fork_snapshot, .name = "fork-snapshot",
    .about = "a thread takes every lock, as fork does, and sees nothing half-way",
    .direct_map_too = true, .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "fork_goes_past_held_locks", NULL });
