/*
 * Lost wakeups: a thread that sleeps although what it waits for is there.
 *
 * Looked at when nobody can run: before time jumps, and at the end. Whoever was on the way to wake it
 * has arrived by then, so a sleeper whose condition holds has been forgotten, even if a timer of its
 * own would rescue it later. A zone's limit is looked at after each unlock as well, since a free
 * charge belongs to the first in the queue at once.
 *
 * Conditions are of resources, not of the protocol's own counts: what would an attempt find now? Each
 * is sufficient: whatever it leaves open counts as not there. What the sleeper is about is known
 * from the public calls that it is inside of. One of whose requests was made to fail may sleep though all is
 * there, as long as it wakes again; if not, that is a deadlock or a livelock.
 *
 *	vmwait      pages of its domains, as many as its call wants, beyond what its class must leave;
 *	            or an item in the slabs of the zone that it makes a slab for
 *	kva         pages, addresses in one of the arenas that kmem asks, and tags; or an item, as above
 *	btalloc     an item beyond the reserve; or a page and an address for a refill, and the reserve;
 *	            for who wants addresses, as for kva; for who waits for the turn, that it is nobody's
 *	zonelimit   an item below the limit, or one that lies in a cache
 *	an arena    a free segment that holds it, or one in the parent for the import; and tags
 *	smr         no reader is left in the section
 *	a pass      no thread runs one
 */
#include <stdio.h>
#include <string.h>

#include "lab/oracles/oracles_int.h"
#include "smr/smr_int.h"

struct sleeper {
	const struct waitq *queue;
	const struct waiter *waiter;
	unsigned fiber;
};

/* ---- what there is ------------------------------------------------------------------------------------ */

static unsigned long
pages_for(uint32_t domains, enum page_class pclass)
{
	unsigned long n = 0;

	for (unsigned d = 0; d < page_ndomains(); d++) {
		const struct page_domain *dom = &page_domains[d];
		uint32_t keep = page_keep(dom, pclass);

		if ((domains == 0 || (domains & 1u << d) != 0) && dom->free > keep)
			n += dom->free - keep;
	}
	return (n);
}

/* Items in a keg's slabs that a request may have; domain -1: of any domain. */
static unsigned long
items_in_slabs(const struct uma_keg *keg, int domain)
{
	unsigned long n = 0;

	for (unsigned d = 0; d < uma_ndomains; d++)
		if ((domain < 0 || (unsigned)domain == d) &&
		    keg->domain[d].free_items > keg->reserve)
			n += keg->domain[d].free_items - keg->reserve;
	return (n);
}

static unsigned long
tags_in_slabs(void)
{
	unsigned long n = 0;

	for (unsigned d = 0; d < uma_ndomains; d++)
		n += tag_zone->keg->domain[d].free_items;
	return (n);
}

/* Does a free segment of the arena hold the request? */
static bool
arena_holds(const vmem_t *vm, const struct request *rq)
{
	vmem_addr_t start;

	for (const struct vmem_btag *bt = bt_get(vm, vm->first); bt != NULL;
	     bt = bt_get(vm, bt->next))
		if (bt->type == BT_FREE &&
		    request_fits(rq, bt->start, bt_at(vm, bt->next)->start, &start))
			return (true);
	return (false);
}

static bool addresses_for(vm_size_t size, vm_size_t align, bool refill);

/* A refill of tags would succeed. */
static bool
refill_would_do(void)
{
	return (pages_for(0, PAGE_INTERRUPT) > 0 && tags_in_slabs() >= tags_reserve &&
		(tags_reserve == 0 || addresses_for(PAGE_SIZE, 0, true)));
}

static bool
arena_has_tags(const vmem_t *vm)
{
	if (vm->nspare >= BT_MAXALLOC)
		return (true);
	return (
	    !vm->own_tags && tag_zone != NULL &&
	    (items_in_slabs(tag_zone->keg, -1) >= BT_MAXALLOC - vm->nspare || refill_would_do()));
}

/* Would kmem_kva() find room, with ordinary tags (or, refill, with the reserve)? */
static bool
addresses_for(vm_size_t size, vm_size_t align, bool refill)
{
	struct request rq = { .size = round_page(size),
		.shape = { MAX(align, PAGE_SIZE), 0, 0 },
		.max = VMEM_ADDR_MAX,
		.policy = M_BESTFIT };

	LIST_EACH (l, &kmem_arenas) {
		const struct kmem_arena *ka = list_entry(l, struct kmem_arena, link);

		if (ka->source == SOURCE_EXEC || ka->source == SOURCE_NOFREE)
			continue;
		if ((refill || arena_has_tags(ka->vm)) && arena_holds(ka->vm, &rq))
			return (true);
	}
	return (false);
}

static unsigned long
addresses_free(void)
{
	vmem_size_t n = 0;

	LIST_EACH (l, &kmem_arenas) {
		const vmem_t *vm = list_entry(l, struct kmem_arena, link)->vm;

		n += vm->size - vm->inuse;
	}
	return (atop(n));
}

/* ---- whose import asks whom ---------------------------------------------------------------------------- */

#define PARENTS 32
static struct parent {
	const vmem_t *child, *parent;
	struct request request;
} parents[PARENTS];
static unsigned nparents;

void
sleepers_import(vmem_t *child, vmem_t *parent, const struct request *request)
{
	unsigned i;

	for (i = 0; i < nparents && parents[i].child != child; i++)
		;
	if (i == PARENTS)
		return;
	nparents = MAX(nparents, i + 1);
	parents[i] = (struct parent){ child, parent, *request };
}

void
sleepers_arena_gone(vmem_t *vm)
{
	for (unsigned i = 0; i < nparents; i++)
		if (parents[i].child == vm || parents[i].parent == vm)
			parents[i].child = parents[i].parent = NULL;
}

/* The last import that this arena tried would succeed now. */
static bool
import_would_do(const vmem_t *vm)
{
	for (unsigned i = 0; i < nparents; i++) {
		const struct parent *p = &parents[i];

		if (p->child != vm || p->parent == NULL)
			continue;
		if (vm->limit != 0 && vm->size + p->request.size > vm->limit)
			return (false);
		return (arena_has_tags(p->parent) && arena_holds(p->parent, &p->request));
	}
	return (false);
}

/* ---- conditions: why the sleeper should be awake; NULL: it sleeps rightly ------------------------------------ */

/* The zone for whose slab the fiber waits has an item in its slabs meanwhile. */
static const char *
item_has_come(const struct call *c)
{
	const struct uma_zone *zone;

	for (; c != NULL && c->kind != CALL_ZONE; c = c->up)
		if (c->kind == CALL_ARENA)
			return (NULL);
	if (c == NULL || (zone = c->object)->keg == NULL || zone->keg->waiting == 0)
		return (NULL);
	if ((zone->keg->flags & ZF_HASH) != 0 && c->domain > 0)
		return (NULL);
	return (items_in_slabs(zone->keg, c->domain) > 0 ? "its zone's slabs have an item" : NULL);
}

/* Its zone's reserved addresses are used up: only an item helps. */
static bool
wants_no_page(const struct call *c)
{
	for (; c != NULL; c = c->up)
		if (c->kind == CALL_ZONE) {
			const struct uma_keg *keg = ((struct uma_zone *)c->object)->keg;

			return (keg != NULL && (keg->flags & ZF_RESKVA) != 0 &&
				keg_pages(keg) / keg->ppera >= keg->kva_slabs);
		}
	return (false);
}

static const char *
pages_wait(const struct sleeper *s)
{
	const struct call *c = oracle_fibers[s->fiber].call, *wait = call_of(s->fiber, CALL_PAGES);
	uint32_t domains;
	unsigned long need = 1;

	if (wait == NULL)
		return (NULL);
	domains = wait->domain < 0 ? 0 : 1u << wait->domain;
	for (const struct call *up = wait->up; up != NULL; up = up->up)
		if (up->kind == CALL_KMEM) {
			need = atop(round_page(up->want));
			domains = wait->domain < 0 ? up->domains : domains;
			break;
		} else if (up->kind == CALL_ZONE || up->kind == CALL_ARENA)
			break;
	if (!wants_no_page(c) && pages_for(domains, wait->pclass) >= need)
		return ("there are pages for it");
	return (item_has_come(c));
}

static const char *
addresses_wait(const struct sleeper *s)
{
	const struct call *c = oracle_fibers[s->fiber].call;
	const struct uma_zone *zone;
	vm_size_t size = 0, align = 0;
	uint32_t domains = 0;
	bool backed = false;

	for (const struct call *up = c; up != NULL && size == 0; up = up->up)
		switch (up->kind) {
		case CALL_KVA:
			size = up->want;
			align = up->request.shape.align;
			break;
		case CALL_KMEM:
			size = up->want;
			domains = up->domains;
			backed = true;
			break;
		case CALL_ZONE: /* PCPU slabs */
			zone = up->object;
			size = zone->keg == NULL ? 0 : ptoa(zone->keg->ppera);
			backed = true;
			break;
		default:
			break;
		}
	if (size != 0 && addresses_for(size, align, false) &&
	    (!backed || pages_for(domains, PAGE_SYSTEM) >= atop(round_page(size))))
		return ("there are addresses for it");
	return (item_has_come(c));
}

static const char *
tags_wait(void)
{
	if (items_in_slabs(tag_zone->keg, -1) > 0)
		return ("there are tags beyond the reserve");
	if (refill_would_do())
		return ("there are a page, an address and the reserve for a refill");
	return (NULL);
}

static const char *
limit_wait(const struct waitq *q)
{
	const struct uma_zone *zone = container_of(q, struct uma_zone, limit_queue);

	if (zone->items < zone->max_items)
		return ("its zone is below its limit");
	return (cached_items(zone) > 0 ? "an item of its zone lies in a cache" : NULL);
}

static const char *
arena_wait(const struct sleeper *s, const vmem_t *vm)
{
	const struct call *c = call_of(s->fiber, CALL_ARENA);

	if (c == NULL || c->object != vm || !arena_has_tags(vm))
		return (NULL);
	if (arena_holds(vm, &c->request))
		return ("there is a free segment for it");
	/* Whether an import meets a window is known only when it has been made. */
	if (vm->import == NULL || c->request.min != VMEM_ADDR_MIN ||
	    c->request.max != VMEM_ADDR_MAX)
		return (NULL);
	return (import_would_do(vm) ? "there is room for its import" : NULL);
}

static const char *
smr_wait_over(const struct waitq *q)
{
	const struct smr *smr = container_of(q, struct smr, queue);

	if (!smr->grace)
		return ("no grace period is on");
	for (uint32_t i = 0; i < smr->ncpus; i++)
		if (smr->cpu[i].in[!smr->side] != 0)
			return (NULL);
	return ("no reader is left");
}

static const char *
turn_wait(void)
{
	return (kmem_turn == NULL ? "it is nobody's turn" : NULL);
}

static const char *
pass_wait(void)
{
	struct sim_fiber_info info;

	for (unsigned f = 0; f < sim_fibers(); f++) {
		sim_fiber(f, &info);
		if (info.state != SIM_ENDED && info.thread->in_reclaim)
			return (NULL);
	}
	return ("no thread runs a pass");
}

static const char *
why_awake(const struct sleeper *s)
{
	const char *name = s->queue->name;

	if (oracle_fibers[s->fiber].excused)
		return (NULL);
	if (strcmp(name, "vmwait") == 0)
		return (pages_wait(s));
	if (strcmp(name, "kva") == 0)
		return (addresses_wait(s));
	if (strcmp(name, "btalloc") ==
	    0) /* one tag, the turn to gather several, or addresses' bytes */
		return (s->waiter->need == 1             ? tags_wait()
			: s->waiter->need == BT_MAXALLOC ? turn_wait()
							 : addresses_wait(s));
	if (strcmp(name, "zonelimit") == 0)
		return (limit_wait(s->queue));
	if (strcmp(name, "smr") == 0)
		return (smr_wait_over(s->queue));
	if (strcmp(name, "pagepass") == 0)
		return (pass_wait());
	LIST_EACH (l, &vmem_arenas) {
		const vmem_t *vm = list_entry(l, vmem_t, link);

		if (&vm->wait == s->queue)
			return (arena_wait(s, vm));
	}
	return (NULL);
}

/* ---- looking --------------------------------------------------------------------------------------------------- */

static unsigned
fiber_of(const struct thread_state *ts)
{
	struct sim_fiber_info info;

	for (unsigned f = 0; f < sim_fibers(); f++) {
		sim_fiber(f, &info);
		if (info.thread == ts)
			return (f);
	}
	return (SIM_FIBERS);
}

/* fn for each sleeper until it says true. */
static bool
each_sleeper(bool (*fn)(const struct sleeper *, void *), void *arg)
{
	LIST_EACH (l, &sync_waiting) {
		const struct waitq *q = list_entry(l, struct waitq, table);

		LIST_EACH (k, &q->waiters) {
			const struct waiter *w = list_entry(k, struct waiter, link);
			struct sleeper s = { q, w, fiber_of(w->thread) };

			if (s.fiber < SIM_FIBERS && fn(&s, arg))
				return (true);
		}
	}
	return (false);
}

static void
what_is_free(char *text, size_t size)
{
	unsigned long pages = 0;

	for (unsigned d = 0; d < page_ndomains(); d++)
		pages += page_domains[d].free;
	snprintf(text, size, "free: %lu pages, %lu of addresses, %lu tags in slabs (reserve %u)",
	    pages, addresses_free(), tag_zone == NULL ? 0 : tags_in_slabs(), tags_reserve);
}

static void
lost(const struct sleeper *s, const char *why)
{
	const struct call *c = oracle_fibers[s->fiber].call;
	struct sim_fiber_info info;
	char free[96];

	while (c != NULL && c->up != NULL)
		c = c->up;
	sim_fiber(s->fiber, &info);
	what_is_free(free, sizeof(free));
	oracle_broken(LAB_LOST_WAKEUP, "%s sleeps on \"%s\" in %s since step %llu, though %s; %s",
	    info.name, s->queue->name, c == NULL ? "?" : c->name, (unsigned long long)info.since,
	    why, free);
}

static bool
look_at_one(const struct sleeper *s, void *arg)
{
	const char *why = why_awake(s);

	(void)arg;
	if (why == NULL)
		return (false);
	lost(s, why);
	return (true);
}

bool
sleepers_look(void)
{
	return (each_sleeper(look_at_one, NULL));
}

void
sleepers_unlocked(const struct mtx *m)
{
	if (m->rank != RANK_ZDOMAIN || list_empty(&sync_waiting))
		return;
	LIST_EACH (l, &sync_waiting) {
		const struct waitq *q = list_entry(l, struct waitq, table);
		const struct waiter *w;

		if (strcmp(q->name, "zonelimit") != 0 ||
		    m != &container_of(q, struct uma_zone, limit_queue)->domain[0].lock)
			continue;
		w = list_first(&q->waiters, struct waiter, link);
		if (container_of(q, struct uma_zone, limit_queue)->items <
		    container_of(q, struct uma_zone, limit_queue)->max_items) {
			struct sleeper s = { q, w, fiber_of(w->thread) };

			lost(&s, "its zone is below its limit");
			return;
		}
	}
}

/* ---- who is asleep ------------------------------------------------------------------------------------------------ */

static bool
mark_fiber(const struct sleeper *s, void *arg)
{
	*(uint64_t *)arg |= (uint64_t)1 << s->fiber;
	return (false);
}

bool
sleepers_all_asleep(void)
{
	struct sim_fiber_info info;
	uint64_t asleep = 0;

	(void)each_sleeper(mark_fiber, &asleep);
	for (unsigned f = 0; f < sim_fibers(); f++) {
		sim_fiber(f, &info);
		/* Without a deadline and on no channel it waits for another thread: lab_wait(). */
		if (info.state == SIM_ENDED || info.daemon || (asleep >> f & 1) != 0 ||
		    (info.state == SIM_PARKED && info.deadline == 0))
			continue;
		return (false);
	}
	return (true);
}

struct text {
	char *at;
	size_t left;
	unsigned n;
};

static bool
describe_one(const struct sleeper *s, void *arg)
{
	struct text *t = arg;
	const struct call *c = oracle_fibers[s->fiber].call;
	struct sim_fiber_info info;
	int len;

	sim_fiber(s->fiber, &info);
	if (info.daemon && c == NULL)
		return (false);
	while (c != NULL && c->up != NULL)
		c = c->up;
	if (t->n++ < 3) {
		len = snprintf(t->at, t->left, "%s%s on \"%s\" in %s since step %llu",
		    t->n > 1 ? ", " : "", info.name, s->queue->name, c == NULL ? "?" : c->name,
		    (unsigned long long)(c == NULL ? info.since : c->step));
		t->at += MIN((size_t)len, t->left);
		t->left -= MIN((size_t)len, t->left);
	}
	return (false);
}

/* Threads that stand at a lock: each with who has it. */
static void
describe_blocked(struct text *t)
{
	struct sim_fiber_info info;

	for (unsigned f = 0; f < sim_fibers(); f++) {
		const struct mtx *m;
		int len;

		sim_fiber(f, &info);
		if (info.state != SIM_BLOCKED || t->n++ >= 3)
			continue;
		m = order_mtx(info.on);
		len = snprintf(t->at, t->left, "%s%s at lock \"%s\"", t->n > 1 ? ", " : "",
		    info.name, m == NULL ? "of a CPU" : m->name);
		t->at += MIN((size_t)len, t->left);
		t->left -= MIN((size_t)len, t->left);
	}
}

void
oracles_describe_hang(char *line, size_t size)
{
	struct text t = { line, size, 0 };
	char free[96];

	line[0] = '\0';
	(void)each_sleeper(describe_one, &t);
	describe_blocked(&t);
	what_is_free(free, sizeof(free));
	if (t.n > 3)
		snprintf(t.at, t.left, " and %u more; %s", t.n - 3, free);
	else
		snprintf(t.at, t.left, "%s%s", t.n > 0 ? "; " : "", free);
}

void
sleepers_begin(void)
{
	nparents = 0;
}
