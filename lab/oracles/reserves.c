/*
 * The tag invariant and every reserve, after each unlock.
 *
 * TAGS (kmem/tags.c). While nobody is in a refill, at least `reserve' tags are free in slabs. In a
 * refill what is missing is what it has taken with the reserve's leave, and one that it is just taking.
 *
 * KEGS (uma/keg.c). Of each domain, `reserve' free items are for M_USE_RESERVE alone. So, from one
 * unlock of a domain to the next, a request without it (a fill, a drain) leaves at least the reserve,
 * or as much as there was; and one with it takes one item below the reserve, once.
 */
#include "lab/oracles/oracles_int.h"

#define KEGS 16

static struct watched {
	struct uma_keg *keg;
	unsigned long before[COOPER_MAXDOMAIN]; /* free items at the last unlock */
} watched[KEGS];
static unsigned nwatched;
static uint64_t peak_pages;

void
reserves_begin(void)
{
	nwatched = 0;
	peak_pages = 0;
}

void
reserves_watch(struct uma_keg *keg)
{
	struct watched *w = NULL;

	for (unsigned i = 0; i < nwatched; i++)
		if (watched[i].keg == keg || (watched[i].keg == NULL && w == NULL))
			w = &watched[i];
	if (w == NULL) {
		if (nwatched == KEGS)
			return;
		w = &watched[nwatched++];
	}
	w->keg = keg;
	for (unsigned d = 0; d < uma_ndomains; d++)
		w->before[d] = keg->domain[d].free_items;
}

void
reserves_keg_gone(struct uma_keg *keg)
{
	for (unsigned i = 0; i < nwatched; i++)
		if (watched[i].keg == keg)
			watched[i].keg = NULL;
}

uint64_t
reserves_peak_pages(void)
{
	return (peak_pages);
}

/* The request for an item of the keg that this fiber is in, if it may use the reserve. */
static struct call *
call_with_leave(unsigned fiber, const struct uma_keg *keg)
{
	struct call *c = oracle_fibers[fiber].call;

	while (c != NULL && (c->kind != CALL_ZONE || ((struct uma_zone *)c->object)->keg != keg))
		c = c->up;
	return (c != NULL && (c->flags & M_USE_RESERVE) != 0 ? c : NULL);
}

static void
keg_unlocked(struct watched *w, unsigned d, unsigned fiber)
{
	unsigned long before = w->before[d], after = w->keg->domain[d].free_items;
	unsigned long reserve = w->keg->reserve;
	const char *who =
	    oracle_fibers[fiber].call == NULL ? "reclaim" : oracle_fibers[fiber].call->name;
	struct call *c;

	w->before[d] = after;
	if (after >= before || after >= reserve)
		return;
	c = call_with_leave(fiber, w->keg);
	if (c == NULL)
		oracle_broken(LAB_RESERVE,
		    "zone \"%s\", domain %u: %s, which has no leave, took %lu of %lu free items; "
		    "the reserve is %lu",
		    w->keg->name, d, who, before - after, before, reserve);
	else if ((c->below += MIN(before, reserve) - after) > 1)
		oracle_broken(LAB_RESERVE,
		    "zone \"%s\", domain %u: one call of %s took %u items below the reserve of %lu",
		    w->keg->name, d, who, c->below, reserve);
}

static void
tags_unlocked(void)
{
	const struct uma_keg *keg = tag_zone->keg;
	unsigned long free = 0, pages = 0, owed = 0;
	struct sim_fiber_info info;

	for (unsigned d = 0; d < uma_ndomains; d++) {
		free += keg->domain[d].free_items;
		pages += keg->domain[d].pages;
	}
	peak_pages = MAX(peak_pages, pages);
	if (likely(free >= tags_reserve))
		return;
	if (tags_filler != NULL) {
		owed = tags_taken;
		for (unsigned f = 0; f < sim_fibers(); f++) {
			sim_fiber(f, &info);
			if (info.thread == tags_filler && call_with_leave(f, keg) != NULL)
				owed++;
		}
	}
	if (free + owed < tags_reserve)
		oracle_broken(LAB_RESERVE,
		    "zone \"%s\": %lu tags are free in slabs, a refill %s, the reserve is %u",
		    tag_zone->name, free,
		    tags_filler == NULL ? "is not on" : "has taken fewer than are missing",
		    tags_reserve);
}

void
reserves_unlocked(const struct mtx *m, unsigned fiber)
{
	if (m->rank == RANK_KEG)
		for (unsigned i = 0; i < nwatched; i++) {
			struct watched *w = &watched[i];
			uintptr_t at;

			if (w->keg == NULL)
				continue;
			at = (uintptr_t)m - (uintptr_t)&w->keg->domain[0].lock;
			if (at < uma_ndomains * sizeof(struct uma_kdomain)) {
				keg_unlocked(w, (unsigned)(at / sizeof(struct uma_kdomain)), fiber);
				break;
			}
		}
	tags_unlocked();
}
