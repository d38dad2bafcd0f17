/*
 * Boundary tags, and the circle that is closed here.
 *
 * To hand out an address range an arena needs boundary tags. Tags are items of a zone; an item needs
 * a slab; a slab needs a page; without a direct map a page needs an address range. No other file
 * knows this circle. This one cuts it with a reserve of tags that only the way round it may use.
 *
 * DEFINITIONS
 *
 *   refill    the making of one slab of tags, by the thread that holds the TAGS lock, from before its
 *             first step until the slab lies in the keg.
 *   F         refills that can run at once: 1, because of the lock.
 *   layers    arenas on the way from one that tag slabs are cut from up to the root, both included:
 *             2 in the graph as kmem makes it (domain, root). Counted on the graph, not assumed.
 *   bound     layers x (BT_IMPORT + BT_CLIP) x F: an arena takes at most that many tags for a request,
 *             once, before its search, less the spare ones that it has.
 *   free      items that are free in the tag zone's slabs, in all domains. Items in per-CPU and domain
 *             caches do not count.
 *
 * INVARIANT. Whenever nobody holds the TAGS lock, free >= bound.
 *
 * It is true at the start: tags_start() makes the first slab, before an arena has an address to give,
 * and refuses a graph whose bound one slab cannot restore (bound >= tags in a slab).
 *
 * It stays true:
 *
 *   1. An ordinary request never lowers `free` below bound. The zone's reserve is bound: UMA gives an
 *      item of a domain's slabs to a request without M_USE_RESERVE only while more than that many are
 *      free there, and a fill of a bucket stops there too. M_USE_RESERVE counts only in the thread
 *      that is in a refill; see take_cached(), the one place that lets it through.
 *   2. Drain gives back only slabs without which bound items stay free (UMA: keg drain keeps whole
 *      slabs for the reserve, domain by domain, so their sum is kept too).
 *   3. A refill that succeeds uses at most bound tags and then adds a slab of more than bound.
 *   4. A refill that fails changes nothing. It takes its page first, then address space, and the last
 *      step, mapping, cannot fail: so when it fails no arena has changed its segments, and the tags
 *      that the arenas had taken come back through tags_free(), which puts them straight into their
 *      slabs, past every cache, where again only the reserve's rule gives them out.
 *
 * CONSEQUENCE. If there is a page, and an arena has a segment of address space for it, a refill
 * succeeds: by the invariant `free` covers what each layer may take, arenas take it with M_NOVM (they
 * never come back here: depth 1), a fill gives M_USE_RESERVE one item a call from any domain's slabs,
 * and no step waits. So a tag is never wanting while pages and addresses last, whatever reclaim does.
 * If they do not last, there is nothing that the reserve could do: the request fails, or sleeps on
 * "btalloc" until tags, address space or pages come back (wait.c).
 *
 * Slabs of tags are ordinary slabs: what a storm leaves behind, reclaim gives back, down to the
 * reserve. Address space that was got by vmem_xalloc goes back by vmem_xfree. A slab is freed by UMA
 * with no lock held, which matters: the arena merges segments and may hand spare tags back to the
 * very zone that is being drained.
 *
 * With a direct map a slab is a page and nothing else: the same code, without its middle step, and no
 * reserve.
 *
 * Tags refer to each other in 32 bits, so all slabs lie within BT_APART of each other. A direct map
 * that is larger than that is not used here; a window that is larger keeps its first BT_APART for
 * them as far as it can (arena.c).
 */
#include "base/atomic.h"
#include "kmem/kmem_int.h"
#include "uma/uma_int.h"

#define FILLERS 1 /* F: refills that can run at once */

CORE_STATE uma_zone_t tag_zone;
CORE_STATE static struct mtx tags_lock;
CORE_STATE struct thread_state *tags_filler; /* who is in a refill; set under tags_lock */
CORE_STATE unsigned tags_reserve; /* the bound that the zone keeps; 0 with a direct map */
CORE_STATE unsigned tags_taken;   /* tags with the reserve's leave in this refill */
CORE_STATE unsigned tags_peak;    /* most of them in one refill since start */
CORE_STATE static bool mapped;    /* a slab needs address space */
CORE_STATE static bool graph_up;  /* and gets it from the graph */
CORE_STATE static struct tag_source ordinary; /* arenas outside the kernel graph */

/* ---- the bound ------------------------------------------------------------------------------------- */

static unsigned
bound_of(unsigned layers)
{
	if (FAULT(reserve_for_one_layer))
		layers = 1;
	return (layers * (BT_IMPORT + BT_CLIP) * FILLERS);
}

unsigned
tags_bound(void)
{
	unsigned deepest = 0;

	LIST_EACH (l, &kmem_arenas) {
		const struct kmem_arena *ka = list_entry(l, struct kmem_arena, link);
		unsigned layers = 0;

		if (!ka->feeds_tags)
			continue;
		for (; ka != NULL; ka = ka->parent)
			layers++;
		deepest = MAX(deepest, layers);
	}
	return (bound_of(deepest));
}

bool
tags_can_serve(unsigned layers)
{
	return (tag_zone == NULL || tags_reserve == 0 || bound_of(layers) <= tags_reserve);
}

/* Free items in the tag zone's slabs: what a request that may use the reserve can reach. */
static unsigned long
tags_free_in_slabs(void)
{
	unsigned long n = 0;

	for (unsigned d = 0; d < cooper_shape()->ndomains; d++)
		n += atomic_load_relaxed(&tag_zone->keg->domain[d].free_items);
	return (n);
}

/* The invariant, when nobody is in a refill: TAGS is held. */
static void
check_locked(const char *where)
{
	CHECK(tags_free_in_slabs() >= tags_reserve,
	    "%s: zone \"%s\": %lu tags free in slabs, %u in reserve", where, "vmem btag",
	    tags_free_in_slabs(), tags_reserve);
}

void
tags_check(const char *where)
{
	if (likely(!core_debug))
		return;
	mtx_lock(&tags_lock);
	check_locked(where);
	mtx_unlock(&tags_lock);
}

/* ---- slabs of tags ---------------------------------------------------------------------------------- */

static bool
in_refill(void)
{
	struct thread_state *me = machine_thread_state();

	return (atomic_load_relaxed(&tags_filler) == me);
}

/*
 * Never, by the invariant. Were it broken, a refill that begins would come to nothing and, by what it
 * puts back, have all who wait for tags try again for ever: so they sleep, where a table shows them.
 */
static bool
reserve_is_gone(void)
{
	return (tags_free_in_slabs() < tags_reserve && !FAULT(refills_side_by_side));
}

/* A page of the last-resort class. */
static struct vm_page *
slab_page(int domain)
{
	struct domain_iter it;
	struct vm_page *m;

	if (domain >= 0)
		return (vm_page_alloc(domain, M_NOWAIT | M_USE_RESERVE));
	domain_iter_start(&it, NULL);
	while (domain_iter_next(&it))
		if ((m = vm_page_alloc(it.domain, M_NOWAIT | M_USE_RESERVE)) != NULL)
			return (m);
	return (NULL);
}

/* The first slab, at the window's first page, which no arena has; it stays for ever. */
static void *
first_slab(uint8_t *sflag)
{
	struct vm_page *m = slab_page(UMA_ANYDOMAIN);
	vm_offset_t base;
	vm_size_t size;
	vm_paddr_t pa;

	if (m == NULL)
		return (NULL);
	pa = page_paddr(m);
	*sflag = UMA_SLAB_BOOT;
	if (!mapped)
		return (machine_direct(pa));
	machine_kva(&base, &size);
	machine_map(base, &pa, 1, false);
	return ((void *)base);
}

/* UMA's alloc for the tag zone; called inside tags_refill() with no other lock. */
static void *
slab_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait)
{
	struct kmem_arena *from;
	struct vm_page *m;
	vm_offset_t va;
	vm_paddr_t pa;

	(void)zone;
	(void)wait;
	if (!graph_up)
		return (first_slab(sflag));
	CHECK(in_refill(), "slab_alloc: a slab of tags outside a refill");
	/* A fill may come to a second slab, if others take of the first: it has the reserve anew. */
	tags_taken = 0;
	/* Look before the first step: a failed refill then makes no event that wakes its like. */
	if (mapped && (reserve_is_gone() || !kmem_kva_available(kmem_domain_arena(0), bytes)))
		return (NULL);
	if ((m = slab_page(domain)) == NULL)
		return (NULL);
	pa = page_paddr(m);
	if (!mapped) {
		*sflag = UMA_SLAB_PRIV;
		return (machine_direct(pa));
	}
	va = kmem_kva_near(kmem_domain_arena(m->domain), bytes, M_NOVM | M_USE_RESERVE, &from);
	if (va == 0) {
		vm_page_free(m);
		return (NULL);
	}
	kmem_enter(va, &pa, 1, false, from->source, 1);
	*sflag = UMA_SLAB_KERNEL;
	return ((void *)va);
}

/* UMA's free for the tag zone; called with no lock held, in the midst of a drain. */
static void
slab_free(void *mem, vm_size_t bytes, uint8_t sflag)
{
	if (sflag & UMA_SLAB_PRIV)
		vm_page_free(page_of_va((vm_offset_t)mem));
	else
		kmem_free(mem, bytes);
	tags_check("slab_free");
}

/*
 * A tag that needs a new slab, or that somebody else's refill has brought meanwhile. One thread at
 * a time, and UMA puts the slab into the keg before uma_zalloc() returns: a refill is atomic.
 */
static struct vmem_btag *
tags_refill(void)
{
	struct vmem_btag *bt;

	if (!FAULT(refills_side_by_side))
		mtx_lock(&tags_lock);
	check_locked("tags_refill, before");
	atomic_store_relaxed(&tags_filler, machine_thread_state());
	bt = uma_zalloc(tag_zone, M_NOWAIT);
	atomic_store_relaxed(&tags_filler, NULL);
	check_locked("tags_refill, after");
	if (!FAULT(refills_side_by_side))
		mtx_unlock(&tags_lock);
	return (bt);
}

/*
 * A tag for a caller who may sleep: what CPUs have cached of this zone first comes back to the
 * slabs, since a tag may not be wanting while it lies in a cache.
 */
static struct vmem_btag *
tags_wait(void)
{
	struct kmem_waiter w;
	struct vmem_btag *bt;

	kmem_wait_begin(&w, KMEM_WAIT_TAGS);
	while (kmem_wait_look(&w), (bt = tags_refill()) == NULL) {
		uma_zone_reclaim(tag_zone, UMA_RECLAIM_DRAIN_CPU);
		if ((bt = tags_refill()) != NULL)
			break;
		kmem_wait(&w, 1);
	}
	kmem_wait_end(&w);
	return (bt);
}

/* ---- reclaim --------------------------------------------------------------------------------------------- */

/* Live tags gather in start-up's slab, which is never given back, then in the lowest ones. */
static bool
slab_is_better(const struct slab *a, const struct slab *b)
{
	if (((a->flags ^ b->flags) & UMA_SLAB_BOOT) != 0)
		return ((a->flags & UMA_SLAB_BOOT) != 0);
	return (a->data < b->data);
}

static bool
tags_prefer(const struct vmem_btag *a, const struct vmem_btag *b)
{
	return (slab_is_better(keg_slab_of(tag_zone->keg, a), keg_slab_of(tag_zone->keg, b)));
}

/* The best of a domain's partly used slabs first. */
static void
best_slab_first(struct uma_kdomain *dom)
{
	struct slab *best = NULL, *slab;

	mtx_lock(&dom->lock);
	LIST_EACH (l, &dom->part) {
		slab = list_entry(l, struct slab, link);
		if (best == NULL || slab_is_better(slab, best))
			best = slab;
	}
	if (best != NULL) {
		list_remove(&best->link);
		list_push(&dom->part, &best->link);
	}
	mtx_unlock(&dom->lock);
}

/*
 * Before UMA drains the slabs: spare tags go back, and the few live ones of quiet arenas move
 * together, so that what a storm leaves does not pin the slabs that it made.
 */
static void
tags_lowmem(enum page_pressure level, int domain, void *arg)
{
	(void)domain;
	(void)arg;
	if (level < PRESSURE_MIN)
		return;
	vmem_trim();
	uma_zone_reclaim(tag_zone, UMA_RECLAIM_DRAIN_CPU);
	for (unsigned d = 0; d < cooper_shape()->ndomains; d++)
		best_slab_first(&tag_zone->keg->domain[d]);
	vmem_compact();
}

/* ---- what arenas call ---------------------------------------------------------------------------------- */

/*
 * A tag from what is cached or in slabs, for an arena that is locked. The reserve is for the refill
 * alone, and it never takes more than the bound: more would mean that the bound is wrong.
 */
static struct vmem_btag *
take_cached(int flags)
{
	bool reserved = (flags & M_USE_RESERVE) != 0 && in_refill();
	struct vmem_btag *bt;

	if (inject_failure())
		return (NULL);
	bt = uma_zalloc(tag_zone, M_NOWAIT | M_NOVM | (reserved ? M_USE_RESERVE : 0));
	if (!reserved || bt == NULL)
		return (bt);
	tags_taken++;
	tags_peak = MAX(tags_peak, tags_taken);
	CHECK(tags_reserve == 0 || tags_taken <= tags_reserve,
	    "tags_alloc: zone \"vmem btag\": refill takes %u tags, "
	    "the bound is %u",
	    tags_taken, tags_reserve);
	return (bt);
}

static struct vmem_btag *
tags_alloc(struct tag_source *ts, int flags)
{
	struct vmem_btag *bt;

	(void)ts;
	if (flags & M_NOVM)
		return (take_cached(flags));
	if (in_refill())
		return (NULL);
	if (!inject_failure() && (bt = tags_refill()) != NULL)
		return (bt);
	return (flags & M_WAITOK ? tags_wait() : NULL);
}

static void
tags_free(struct tag_source *ts, struct vmem_btag *bt)
{
	(void)ts;
	if (in_refill()) {
		zone_free_item(tag_zone, bt, NULL, SKIP_NONE);
		tags_taken -= tags_taken > 0; /* missing until it is back */
		return;
	}
	uma_zfree(tag_zone, bt);
	if (machine_thread_state()->putting_back)
		kmem_tag_event();
	else
		kmem_event();
}

static struct kmem_waiter *
waiter_of(struct tag_waiter *w)
{
	_Static_assert(
	    sizeof(struct kmem_waiter) <= sizeof(*w), "a source's waiter is one of kmem's");
	return ((struct kmem_waiter *)(void *)w);
}

static void
turn_begin(struct tag_source *ts, struct tag_waiter *w)
{
	(void)ts;
	kmem_wait_begin(waiter_of(w), KMEM_WAIT_TURN);
	kmem_wait_look(waiter_of(w));
}

static void
turn_wait(struct tag_source *ts, struct tag_waiter *w)
{
	(void)ts;
	kmem_turn_wait(waiter_of(w), BT_MAXALLOC);
	kmem_wait_look(waiter_of(w));
}

static void
turn_end(struct tag_source *ts, struct tag_waiter *w)
{
	(void)ts;
	kmem_turn_end();
	kmem_wait_end(waiter_of(w));
}

static void
tags_event(struct tag_source *ts)
{
	(void)ts;
	kmem_event();
}

void
tags_source_init(struct tag_source *ts, bool may_use_reserve)
{
	ts->alloc = tags_alloc;
	ts->free = tags_free;
	ts->event = tags_event;
	ts->prefer = tags_prefer;
	ts->wait_begin = turn_begin;
	ts->wait = turn_wait;
	ts->wait_end = turn_end;
	ts->reserve = may_use_reserve;
}

/* ---- start-up -------------------------------------------------------------------------------------------- */

int
tags_start(void)
{
	const struct machine_shape *shape = cooper_shape();
	bool never_freed = POLICY(nofree) || (POLICY(nofree_no_dmap) && !shape->direct_map);
	unsigned bound = tags_bound(), ipers;

	mtx_init(&tags_lock, "tags", RANK_TAGS);
	mapped = !shape->direct_map || shape->physmem > BT_APART;
	tag_zone = uma_zcreate("vmem btag", vmem_btag_size, NULL, NULL, NULL, NULL,
	    (int)vmem_btag_align - 1, UMA_ZONE_VM | (never_freed ? UMA_ZONE_NOFREE : 0));
	uma_zone_set_allocf(tag_zone, slab_alloc);
	uma_zone_set_freef(tag_zone, slab_free);
	ipers = tag_zone->keg->ipers;
	if (bound >= ipers || tag_zone->keg->ppera != 1)
		return (start_refuse(COOPER_EINVAL,
		    "the arena graph needs %u tags in reserve, but a slab of %u cannot restore "
		    "them",
		    bound, ipers));
	if (mapped) {
		tags_reserve = bound;
		uma_zone_reserve(tag_zone, (int)tags_reserve);
	}
	uma_prealloc(tag_zone, (int)(bound + BT_MAXALLOC));
	/* One is kept, so that this slab is always partly used: reclaim moves live tags to it. */
	(void)uma_zalloc(tag_zone, M_NOWAIT);
	tags_source_init(&ordinary, false);
	vmem_set_default_tags(&ordinary);
	return (0);
}

bool
tags_are_mapped(void)
{
	return (mapped);
}

void
tags_use_graph(void)
{
	CORE_STATE static struct lowmem_handler lowmem;

	lowmem.fn = tags_lowmem;
	graph_up = true;
	lowmem_register(&lowmem);
}
