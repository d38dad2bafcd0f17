/*
 * Kegs: the slabs of one kind of item, in lists per memory domain, and the reserve.
 *
 * RESERVE. `reserve` free items of a domain's slabs are for M_USE_RESERVE alone:
 *  - a domain's slabs may be used while free_items > reserve (M_USE_RESERVE: > 0);
 *  - a fill stops at the reserve and, once there, takes one item a call, so that no CPU's bucket
 *    carries the reserve off;
 *  - a drain keeps as many whole free slabs as the reserve needs;
 *  - M_USE_RESERVE may take any domain's.
 * Items in buckets are not part of it.
 *
 * CEILING. Free slabs are caches (page.h). One that the ceiling has no room for is destroyed by the
 * free that emptied it, unless the reserve needs it. malloc's kegs, whose pages another size may want
 * next, have a ceiling of their own each: MALLOC_FREE_PAGES.
 *
 * The lock of a keg domain guards its lists, counts and the bits of its slabs. It is never held
 * across a back end, init or fini, nor for longer than DRAIN_BATCH slabs take to be unlinked.
 */
#include "uma/slab.h"

#define MALLOC_FREE_PAGES 64 /* of free slabs that a domain of a keg of malloc's keeps */

/* ---- lists ------------------------------------------------------------------------------------------ */

/*
 * A free slab is part of the caches, and may be refused its place there when they are at their ceiling
 * (false). One that is made or kept on purpose has its place.
 */
static bool
slab_count(struct uma_keg *keg, struct slab *slab, bool force)
{
	if (!keg_is_counted(keg) || (slab->flags & UMA_SLAB_BOOT) != 0)
		return (true);
	if (force)
		page_cache_force(ptoa(keg->ppera));
	return (force || page_cache_charge(ptoa(keg->ppera)));
}

static void
slab_uncount(struct uma_keg *keg, struct slab *slab)
{
	if (keg_is_counted(keg) && (slab->flags & UMA_SLAB_BOOT) == 0)
		page_cache_drop(ptoa(keg->ppera));
}

/* Take an item off a slab; its domain is locked. */
static void *
slab_alloc_item(struct uma_keg *keg, struct slab *slab)
{
	struct uma_kdomain *dom = &keg->domain[slab->domain];
	unsigned i = slab_last(slab, keg->ipers);
	bool was_free = slab->nfree == keg->ipers;

	if (was_free) {
		count_add(&dom->free_slabs, -1ul);
		dom->low = MIN(dom->low, dom->free_slabs);
		slab_uncount(keg, slab);
	}
	slab_clear(slab, i);
	slab->nfree--;
	count_add(&dom->free_items, -1ul);
	if (was_free || slab->nfree == 0) {
		list_remove(&slab->link);
		list_push(slab->nfree == 0 ? &dom->full : &dom->part, &slab->link);
	}
	return (slab_item(keg, slab, i));
}

/* Free slabs of this domain that the reserve needs: D26772. Locked. */
static unsigned long
slabs_for_reserve(const struct uma_keg *keg, const struct uma_kdomain *dom)
{
	unsigned long partial = dom->free_items - dom->free_slabs * keg->ipers;

	if (partial >= keg->reserve || FAULT(drain_ignores_reserve))
		return (0);
	return (MIN(howmany(keg->reserve - partial, keg->ipers), dom->free_slabs));
}

/* A free slab leaves its lists and counts, its place in the caches apart. Locked. */
static void
slab_leave(struct uma_keg *keg, struct slab *slab)
{
	struct uma_kdomain *dom = &keg->domain[slab->domain];

	list_remove(&slab->link);
	if ((keg->flags & ZF_HASH) != 0)
		keg_hash_remove(keg, slab);
	count_add(&dom->free_slabs, -1ul);
	count_add(&dom->free_items, -(unsigned long)keg->ipers);
	count_add(&dom->pages, -(unsigned long)keg->ppera);
}

/* Is one free slab more than enough? Locked. */
static bool
slab_is_surplus(const struct uma_keg *keg, const struct uma_kdomain *dom, const struct slab *slab)
{
	return ((keg->flags & UMA_ZONE_MALLOC) != 0 && (slab->flags & UMA_SLAB_BOOT) == 0 &&
		dom->free_slabs * keg->ppera > MALLOC_FREE_PAGES);
}

/* An item comes back. True: its slab is free, off all lists, and to be destroyed (the ceiling). */
static bool
slab_free_item(struct uma_keg *keg, struct slab *slab, unsigned i)
{
	struct uma_kdomain *dom = &keg->domain[slab->domain];

	slab_set(slab, i);
	slab->nfree++;
	count_add(&dom->free_items, 1);
	if (slab->nfree == keg->ipers) {
		count_add(&dom->free_slabs, 1);
		list_remove(&slab->link);
		list_push(&dom->free, &slab->link);
		if (likely(!slab_is_surplus(keg, dom, slab) && slab_count(keg, slab, false)))
			return (false);
		if (slabs_for_reserve(keg, dom) < dom->free_slabs) {
			slab_leave(keg, slab);
			return (true);
		}
		(void)slab_count(keg, slab, true);
	} else if (slab->nfree == 1) {
		list_remove(&slab->link);
		list_push(&dom->part, &slab->link);
	}
	return (false);
}

/* A new slab becomes its domain's. Returns with the domain locked. */
static void
slab_enter(struct uma_keg *keg, struct slab *slab)
{
	struct uma_kdomain *dom = &keg->domain[slab->domain];

	if ((keg->flags & ZF_HASH) != 0) {
		slab->domain = 0;
		dom = &keg->domain[0];
	}
	mtx_lock(&dom->lock);
	if ((keg->flags & ZF_HASH) != 0)
		keg_hash_insert(keg, slab);
	list_push(&dom->free, &slab->link);
	count_add(&dom->pages, keg->ppera);
	count_add(&dom->free_items, keg->ipers);
	count_add(&dom->free_slabs, 1);
	(void)slab_count(keg, slab, true);
}

/* ---- fetch -------------------------------------------------------------------------------------------- */

/* A slab of this domain that the request may use, its domain locked; NULL (unlocked) if none. */
static struct slab *
keg_fetch_free_slab(struct uma_keg *keg, int domain, int flags)
{
	struct uma_kdomain *dom = &keg->domain[domain];
	unsigned long reserve = (flags & M_USE_RESERVE) != 0 ? 0 : keg->reserve;
	struct slab *slab;

	if (atomic_load_relaxed(&dom->free_items) <= reserve)
		return (NULL);
	mtx_lock(&dom->lock);
	if (dom->free_items > reserve) {
		slab = list_first(&dom->part, struct slab, link);
		if (slab == NULL)
			slab = list_first(&dom->free, struct slab, link);
		return (slab);
	}
	mtx_unlock(&dom->lock);
	return (NULL);
}

static struct slab *
keg_new_slab(struct uma_keg *keg, int domain, int flags, bool *hopeless)
{
	struct slab *slab;

	if ((flags & M_NOVM) != 0)
		return (NULL);
	slab = slab_make(keg, domain, flags, hopeless);
	if (slab != NULL)
		slab_enter(keg, slab);
	return (slab);
}

static int
first_domain(struct uma_keg *keg, int wanted)
{
	if (uma_ndomains == 1 || (keg->flags & ZF_HASH) != 0)
		return (0);
	if (wanted != UMA_ANYDOMAIN)
		return (wanted);
	if ((keg->flags & UMA_ZONE_ROUNDROBIN) != 0)
		return ((int)(atomic_fetch_add(&keg->cursor, 1) % uma_ndomains));
	return ((int)machine_cpu_domain(machine_cpu()));
}

/* Which domains a request may use: `span` of them from `first` on. */
struct reach {
	unsigned first, span;
};

static struct reach
reach_of(struct uma_keg *keg, int wanted, bool strict, int flags)
{
	struct reach r = { (unsigned)first_domain(keg, wanted), uma_ndomains };

	if ((keg->flags & ZF_HASH) != 0 || (strict && (flags & M_USE_RESERVE) == 0) ||
	    (FAULT(reserve_of_one_domain) && (flags & M_USE_RESERVE) != 0) ||
	    (FAULT(first_touch_or_nothing) && (keg->flags & UMA_ZONE_FIRSTTOUCH) != 0))
		r.span = 1;
	return (r);
}

/* What their slabs hold. */
static struct slab *
look_at_slabs(struct uma_keg *keg, struct reach r, int flags)
{
	struct slab *slab = NULL;

	for (unsigned i = 0; i < r.span && slab == NULL; i++)
		slab = keg_fetch_free_slab(keg, (int)((r.first + i) % uma_ndomains), flags);
	return (slab);
}

/*
 * Wait for a slab of any of these domains, or for an item in one: a free may give back what we wait
 * for without giving back a page. Whoever frees to a domain after we have held its lock sees that we
 * wait, and ends the wait; what was freed before we see. NULL: look again,
 * or *hopeless.
 */
static struct slab *
wait_for_slab(struct uma_keg *keg, struct reach r, int flags, bool *hopeless)
{
	struct slab *slab;

	(void)atomic_add_fetch(&keg->waiting, 1u);
	vm_wait_watch();
	for (unsigned d = 0; d < uma_ndomains; d++) {
		mtx_lock(&keg->domain[d].lock);
		mtx_unlock(&keg->domain[d].lock);
	}
	slab = look_at_slabs(keg, r, flags);
	if (slab == NULL)
		slab =
		    keg_new_slab(keg, r.span == 1 ? (int)r.first : UMA_ANYDOMAIN, flags, hopeless);
	vm_wait_unwatch();
	(void)atomic_fetch_sub(&keg->waiting, 1u);
	return (slab);
}

/*
 * A slab with an item for this request, its domain locked; NULL: none without waiting, or, for
 * M_WAITOK, none ever: its init has failed or the machine has no room for such a slab. Each domain in turn is asked for what its slabs hold and then for a
 * new one without waiting; only when all have failed does a request wait, for any of them, so that
 * it cannot sleep on a domain while another has memory. `strict`: this domain only.
 */
static struct slab *
keg_fetch_slab(struct uma_keg *keg, int wanted, bool strict, int flags)
{
	int nowait = (flags & ~M_WAITOK) | M_NOWAIT, d = 0;
	struct reach r = reach_of(keg, wanted, strict, flags);
	bool hopeless = false;
	struct slab *slab;

	for (;;) {
		for (unsigned i = 0; i < r.span; i++) {
			d = (int)((r.first + i) % uma_ndomains);
			if (FAULT(shared_domain_cursor) && (keg->flags & UMA_ZONE_ROUNDROBIN) != 0)
				d = first_domain(keg, UMA_ANYDOMAIN);
			slab = keg_fetch_free_slab(keg, d, flags);
			if (slab == NULL)
				slab = keg_new_slab(keg, d, nowait, &hopeless);
			if (slab != NULL)
				return (slab);
		}
		/* Meanwhile another may have made a slab: tags depend on seeing it. */
		if ((flags & M_WAITOK) == 0)
			return (look_at_slabs(keg, r, flags));
		if (FAULT(shared_domain_cursor) && (keg->flags & UMA_ZONE_ROUNDROBIN) != 0)
			r = (struct reach){ (unsigned)d, 1 };
		slab = wait_for_slab(keg, r, flags, &hopeless);
		if (slab != NULL || hopeless)
			return (slab);
	}
}

/*
 * Free items have come into slabs, whose lock has been let go since: who waits for a page may look at
 * them. A free is such news, and so is a new slab that its maker leaves items in: it may have been
 * made of the last page.
 */
static void
items_have_come(struct uma_keg *keg)
{
	if (unlikely(atomic_load_relaxed(&keg->waiting) != 0) && !FAULT(item_free_wakes_nobody))
		vm_wait_elsewhere();
}

/*
 * Up to max items. Only the first may wait. Stops at the reserve (D26771: the whole fill, or a
 * bucket would swallow it).
 */
int
keg_import(struct uma_zone *zone, void **store, int max, int domain, bool strict, int flags)
{
	struct uma_keg *keg = zone->keg;
	struct uma_kdomain *dom;
	struct slab *slab;
	bool at_reserve = false, dry, whole;
	unsigned long ahead = 0; /* slabs that this fill makes beyond the one it needs */
	int n = 0, most = max;

	if (!atomic_load_relaxed(&zone->used))
		atomic_store_relaxed(&zone->used, true);
	if ((keg->flags & UMA_ZONE_ROUNDROBIN) != 0 && max > 1)
		most = howmany(max, (int)uma_ndomains); /* of each domain its share */
	while (n < max && (!at_reserve || FAULT(fill_swallows_reserve))) {
		slab = keg_fetch_slab(keg, domain, strict, flags);
		if (slab == NULL)
			break;
		dom = &keg->domain[slab->domain];
		whole = slab->nfree == keg->ipers;
		for (int share = 0; n < max && share < most && slab->nfree != 0; share++) {
			store[n++] = slab_alloc_item(keg, slab);
			at_reserve = keg->reserve > 0 && dom->free_items <= keg->reserve;
			if (at_reserve)
				break;
		}
		/* Memory taken ahead of need stays a fraction of the keg: small programs pay for it. */
		dry = dom->free_items == 0 && ++ahead * 8 > dom->pages / keg->ppera;
		whole = whole && slab->nfree != 0;
		mtx_unlock(&dom->lock);
		if (whole) /* it may be new */
			items_have_come(keg);
		if (dry)
			break;
		flags = (flags & ~M_WAITOK) | M_NOWAIT;
		if (!strict && domain == UMA_ANYDOMAIN)
			continue;
		/* The rest of a fill is not worth leaving the domain for, nor a reserve. */
		if (slab->domain != domain)
			break;
	}
	return (n);
}

/* Items go home, each to its own slab and domain. */
void
keg_release(struct uma_zone *zone, void **store, int n)
{
	struct uma_keg *keg = zone->keg;
	struct mtx *held = NULL, *lock;
	struct slab *slab = NULL; /* the last item's */
	unsigned at;

	for (int i = 0; i < n; i++) {
		if (held != NULL && (keg->flags & ZF_HASH) != 0) {
			mtx_unlock(held);
			held = NULL;
		}
		if (slab == NULL || !slab_spans(keg, slab, store[i]))
			slab = keg_slab_of(keg, store[i]);
		if (slab == NULL || !slab_index(keg, slab, store[i], &at)) {
			core_warn("uma: zone %s: %p is not an item of this zone: not freed",
			    zone->name, store[i]);
			continue;
		}
		lock = &keg->domain[slab->domain].lock;
		if (lock != held) {
			if (held != NULL)
				mtx_unlock(held);
			mtx_lock(lock);
			held = lock;
		}
		if (slab_test(slab, at)) {
			mtx_unlock(held);
			held = NULL;
			if (core_debug)
				core_panic(
				    "uma_zfree: zone %s: double free of %p", zone->name, store[i]);
			core_warn("uma: zone %s: double free of %p: ignored", zone->name, store[i]);
			continue;
		}
		if (unlikely(slab_free_item(keg, slab, at))) {
			mtx_unlock(held);
			held = NULL;
			slab_destroy(keg, slab);
			slab = NULL;
		}
	}
	if (held != NULL)
		mtx_unlock(held);
	items_have_come(keg);
}

/* Preallocation: one slab more in this domain; false as slab_make(). */
bool
keg_add_slab(struct uma_keg *keg, int domain, int flags, bool *hopeless)
{
	struct slab *slab = slab_make(keg, domain, flags, hopeless);

	if (slab == NULL)
		return (false);
	slab_enter(keg, slab);
	mtx_unlock(&keg->domain[slab->domain].lock);
	items_have_come(keg);
	return (true);
}

/* ---- drain ---------------------------------------------------------------------------------------------- */

#define DRAIN_BATCH 16 /* slabs that leave the lists while the domain is locked once */

/* Up to DRAIN_BATCH free slabs, the coldest first, off the lists; returns how many. */
static unsigned long
take_free_slabs(struct uma_keg *keg, struct uma_kdomain *dom, unsigned long max, struct list *gone)
{
	unsigned long n = 0, keep;

	mtx_lock(&dom->lock);
	keep = slabs_for_reserve(keg, dom);
	for (struct list *l = dom->free.prev, *before; l != &dom->free; l = before) {
		struct slab *slab = list_entry(l, struct slab, link);

		before = l->prev;
		if ((slab->flags & UMA_SLAB_BOOT) != 0)
			continue;
		if (dom->free_slabs <= keep || n == MIN(max, DRAIN_BATCH))
			break;
		slab_uncount(keg, slab);
		slab_leave(keg, slab);
		list_append(gone, &slab->link);
		n++;
	}
	dom->low = MIN(dom->low, dom->free_slabs);
	mtx_unlock(&dom->lock);
	return (n);
}

/* At most `max` of a domain's free slabs go; what others free meanwhile is theirs. */
static unsigned long
keg_drain_domain(struct uma_keg *keg, int domain, unsigned long max)
{
	struct uma_kdomain *dom = &keg->domain[domain];
	unsigned long done = 0, n;
	struct list gone;

	max = MIN(max, atomic_load_relaxed(&dom->free_slabs));
	list_init(&gone);
	while (done < max && (n = take_free_slabs(keg, dom, max - done, &gone)) > 0) {
		done += n;
		for (struct list *l = list_pop(&gone); l != NULL; l = list_pop(&gone))
			slab_destroy(keg, list_entry(l, struct slab, link));
	}
	return (done);
}

/*
 * Give free slabs back, of one domain or all (-1), down to what the reserve needs. NOFREE kegs keep
 * theirs, except on reserved addresses when the keg itself ends (`end`).
 */
void
keg_drain(struct uma_keg *keg, int domain, bool end)
{
	if ((keg->flags & UMA_ZONE_NOFREE) != 0 && !(end && (keg->flags & ZF_RESKVA) != 0))
		return;
	for (int d = 0; d < (int)uma_ndomains; d++)
		if (domain == UMA_ANYDOMAIN || domain == d)
			(void)keg_drain_domain(keg, d, ~0ul);
}

/* ---- decay: see decay.c ---------------------------------------------------------------------------------- */

void
keg_decay_period(struct uma_keg *keg)
{
	for (unsigned d = 0; d < uma_ndomains; d++) {
		struct uma_kdomain *dom = &keg->domain[d];

		mtx_lock(&dom->lock);
		dom->due = dom->low;
		dom->low = dom->free_slabs;
		mtx_unlock(&dom->lock);
	}
}

/* Up to `max` slabs of what is due; 0: nothing is. `due` is the tending thread's alone. */
unsigned long
keg_decay(struct uma_keg *keg, unsigned long max)
{
	unsigned long done = 0;

	if ((keg->flags & UMA_ZONE_NOFREE) != 0)
		return (0);
	for (unsigned d = 0; d < uma_ndomains && done < max; d++) {
		struct uma_kdomain *dom = &keg->domain[d];
		unsigned long n = MIN(dom->due, max - done), got;

		if (n == 0)
			continue;
		got = keg_drain_domain(keg, (int)d, n);
		dom->due = got < n ? 0 : dom->due - got;
		done += got;
	}
	return (done);
}

unsigned long
keg_pages(const struct uma_keg *keg)
{
	unsigned long pages = 0;

	for (unsigned d = 0; d < uma_ndomains; d++)
		pages += atomic_load_relaxed(&keg->domain[d].pages);
	return (pages);
}

/* ---- create and destroy ------------------------------------------------------------------------------------ */

static void
choose_backend(struct uma_keg *keg)
{
	const struct slab_source *s = &uma_backend.page;

	if ((keg->flags & UMA_ZONE_PCPU) != 0)
		s = &uma_backend.pcpu;
	else if ((keg->flags & UMA_ZONE_CONTIG) != 0 && keg->ppera > 1)
		s = &uma_backend.contig;
	else if (keg->ppera == 1)
		s = &uma_backend.small;
	keg->allocf = s->alloc;
	keg->freef = s->free;
}

void
keg_switch_backend(struct uma_keg *keg, const struct uma_backend *from)
{
	if (keg->allocf == from->page.alloc)
		choose_backend(keg);
}

/* Fill in a zeroed keg. The layout is known to exist. */
void
keg_init(struct uma_keg *keg, const char *name, size_t size, uma_init init, uma_fini fini,
    uint32_t align, uint32_t flags)
{
	struct keg_question q = { .size = size,
		.align = align,
		.flags = flags,
		.ncpus = uma_ncpus,
		.debug = core_debug };
	struct keg_layout layout;

	MUST(keg_layout(&q, &layout), "uma_zcreate: zone %s: no slab for items of %zu bytes", name,
	    size);
	keg->name = name;
	keg->size = (uint32_t)size;
	keg->rsize = layout.rsize;
	keg->ipers = layout.ipers;
	keg->ppera = layout.ppera;
	keg->pgoff = layout.pgoff;
	keg->align = align;
	keg->init = init;
	keg->fini = fini;
	keg->flags = flags | layout.flags;
	if (core_debug && (flags & (ZF_INTERNAL | UMA_ZONE_NOTPAGE)) == 0)
		keg->flags |= ZF_VTOSLAB; /* any pointer can then be asked whose it is */
	if (core_debug && init == NULL && fini == NULL &&
	    (flags & (UMA_ZONE_ZINIT | UMA_ZONE_NOTOUCH | UMA_ZONE_NOFREE | UMA_ZONE_PCPU |
			 UMA_ZONE_SMR | ZF_INTERNAL | ZF_BUCKET)) == 0)
		keg->flags |= ZF_TRASH;
	choose_backend(keg);
	for (unsigned d = 0; d < uma_ndomains; d++) {
		mtx_init(&keg->domain[d].lock, "keg", RANK_KEG);
		list_init(&keg->domain[d].part);
		list_init(&keg->domain[d].free);
		list_init(&keg->domain[d].full);
	}
	if ((keg->flags & ZF_HASH) != 0) {
		keg->hash_size = UMA_HASH_MIN;
		keg->hash = uma_pages_alloc(
		    keg->hash_size * sizeof(*keg->hash), M_WAITOK | M_ZERO, &keg->hash_sflag);
	}
}

void
keg_fini(struct uma_keg *keg)
{
	if (keg->hash != NULL)
		uma_pages_free(keg->hash, keg->hash_size * sizeof(*keg->hash), keg->hash_sflag);
	if (keg->kva != 0) {
		uma_backend.kva_free(keg->kva, ptoa((vm_size_t)keg->kva_slabs * keg->ppera));
		uma_pages_free(keg->kva_map, keg->kva_map_bytes, keg->kva_map_sflag);
	}
	for (unsigned d = 0; d < uma_ndomains; d++)
		mtx_destroy(&keg->domain[d].lock);
}
