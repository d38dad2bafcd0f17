/*
 * Allocate and free.
 *
 * An attempt takes what it needs in a fixed order: spare tags; a place; an import and a place; what
 * reclaim brings and a place. It leaves the arena as it was when it fails, and sleeps nowhere, except
 * that the one whose turn it is waits in it for tags. A request that may wait makes attempts until one
 * succeeds, sleeping between them until something has happened (wait.c; for tags spare.c); one that may
 * not makes one. No lock is held across import, release, reclaim, a tag allocation that may leave slabs,
 * or a tag's way back.
 *
 * Before all that, sizes with a quantum cache: UMA's fast path inline, and what it reads of the arena (vm's
 * qcache_fast, qcache_shift, cached) is written only as the arena begins and ends.
 */
#include "uma/fast.h"
#include "vmem/hash.h"

/* ---- allocate --------------------------------------------------------------------------------------- */

/* Reclaim, unlocked: quantum caches, then the caller's callback. False: there is none to be done. */
static bool
reclaim(vmem_t *vm, const struct request *rq, int flags, struct purse *purse)
{
	if ((vm->nqcache == 0 && vm->reclaim == NULL) || rq->refill ||
	    (flags & (M_USE_RESERVE | M_NOVM)) != 0)
		return (false);
	vm->counts.reclaims++;
	spare_hide(vm, purse);
	mtx_unlock(&vm->lock);
	qcache_drain(vm, (flags & M_NOWAIT) == 0);
	if (vm->reclaim != NULL)
		vm->reclaim(vm, flags);
	mtx_lock(&vm->lock);
	spare_show(vm, purse);
	return (true);
}

/* A place, after everything that may bring one. *hopeless: nor will waiting. */
static struct vmem_btag *
find_place(vmem_t *vm, struct request *rq, int flags, struct purse *purse, vmem_addr_t *startp,
    bool *hopeless)
{
	struct vmem_btag *bt = fit_find(vm, rq, startp);
	enum import_result got = IMPORT_NO;

	if (likely(bt != NULL))
		return (bt);
	if (vm->import != NULL)
		got = import_span(vm, rq, flags, purse, &bt, startp);
	while (FAULT(second_import_uncovered) && got == IMPORT_FUTILE)
		got = import_span(vm, rq, flags, purse, &bt, startp);
	if (got != IMPORT_YES && reclaim(vm, rq, flags, purse)) {
		bt = FAULT(reclaim_without_retry) ? NULL : fit_find(vm, rq, startp);
		if (bt == NULL && got == IMPORT_NO && vm->import != NULL)
			got = import_span(vm, rq, flags, purse, &bt, startp);
	}
	rq->futile = got == IMPORT_FUTILE;
	*hopeless = bt == NULL && rq->futile && !import_could_wait(vm, rq);
	if (*hopeless && vm->in_flight > 0) {
		*hopeless = false;
		rq->blind = true;
		rq->landings = vm->landings;
	}
	return (bt);
}

/* An import has left something: who failed while it was on its way must look again. */
static void
tell_of_import(vmem_t *vm, bool futile)
{
	struct thread_state *ts = machine_thread_state();
	bool saved = ts->putting_back;

	ts->putting_back = futile;
	arena_wait_event(vm);
	ts->putting_back = saved;
	spare_tell(vm);
}

/* A span that has left the arena, under the lock that said so too, goes to the parent. */
static void
release_span(vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	bool landed;

	vm->release(vm->import_arg, addr, size);
	mtx_lock(&vm->lock);
	landed = import_lands(vm);
	mtx_unlock(&vm->lock);
	if (landed)
		arena_wait_landed(vm);
}

/* 0; COOPER_EAGAIN: not now; COOPER_ENOMEM: never. */
static int
attempt(vmem_t *vm, struct request *rq, int flags, vmem_addr_t *addrp)
{
	struct purse purse = { 0, 0, 0 };
	struct vmem_btag *bt = NULL;
	unsigned need = BT_MAXALLOC + (FAULT(six_tags_a_layer) ? BT_IMPORT : 0);
	bool hopeless = false, adjust = false, tell;
	vmem_addr_t start;

	rq->grew = rq->landed = rq->blind = false;
	mtx_lock(&vm->lock);
	if (likely(spare_fill(vm, &purse, need, flags) == 0))
		bt = find_place(vm, rq, flags, &purse, &start, &hopeless);
	if (likely(bt != NULL)) {
		bt = segment_take(vm, bt, start, rq->size);
		bt->cached = rq->cached && start >= VMEM_ADDR_QCACHE_MIN;
		bt->idle = rq->refill;
		if (rq->policy == M_NEXTFIT) {
			vm->cursor = start + rq->size;
			vm->near = bt_ref(vm, bt);
		}
		*addrp = start;
		vm->counts.allocs++;
		adjust = hash_wants(vm) && (flags & (M_USE_RESERVE | M_NOVM)) == 0;
	} else
		vm->counts.fails++;
	if (purse.fresh > 0 && (bt == NULL || (flags & M_USE_RESERVE) != 0) &&
	    !FAULT(failed_fill_leaks_tags))
		spare_unfill(vm, &purse);
	spare_trim(vm, &purse);
	if (unlikely(rq->unused_size != 0))
		import_takes_off(vm);
	/* What is left over may suffice for one that waits. */
	tell = purse.fresh > 0 && bt != NULL && atomic_load_relaxed(&spare_waiters) != 0;
	mtx_unlock(&vm->lock);
	if (unlikely(bt == NULL))
		spare_put_back(vm, &purse);
	else
		spare_return(vm, &purse);
	if (unlikely(rq->unused_size != 0)) {
		release_span(vm, rq->unused, rq->unused_size);
		rq->unused_size = 0;
		arena_wait_event(vm);
	}
	if (unlikely(rq->grew))
		tell_of_import(vm, rq->futile);
	if (unlikely(rq->landed))
		arena_wait_landed(vm);
	if (unlikely(tell))
		spare_tell(vm);
	if (unlikely(adjust))
		hash_adjust(vm);
	return (bt != NULL ? 0 : hopeless ? COOPER_ENOMEM : COOPER_EAGAIN);
}

/* Attempts until one does not fail for want of tags. */
static int
attempt_with_tags(vmem_t *vm, struct request *rq, int flags, vmem_addr_t *addrp)
{
	struct spare_wait w = spare_wait_none();
	int error;

	do
		error = attempt(vm, rq, flags, addrp);
	while (spare_again(&w, error));
	return (error);
}

int
vmem_take(vmem_t *vm, struct request *rq, int flags, vmem_addr_t *addrp)
{
	struct arena_news seen;
	int error;

	request_prepare(vm, rq);
	error = attempt(vm, rq, flags, addrp);
	if (likely(error == 0))
		return (0);
	if ((flags & M_NOWAIT) != 0 || error != COOPER_EAGAIN)
		return (COOPER_ENOMEM);
	/* For an import: the child sleeps, where its own frees are noticed too. */
	if (machine_thread_state()->importing != 0)
		return (COOPER_ENOMEM);
	seen = arena_wait_begin();
	while ((error = attempt_with_tags(vm, rq, flags, addrp)) == COOPER_EAGAIN)
		arena_wait_sleep(vm, &seen, rq);
	arena_wait_end();
	return (error);
}

/* ---- misuse -------------------------------------------------------------------------------------------- */

/* What is wrong with freeing addr, size: one line, and the end. */
NORETURN static void
refuse_free(vmem_t *vm, const char *func, vmem_addr_t addr, vmem_size_t size, const char *why)
{
	core_panic(
	    "%s: arena \"%s\": %zx + %zx %s", func, vm->name, (size_t)addr, (size_t)size, why);
}

/*
 * In the debug shape, as addr goes into a cache or (idle false) comes out of it: is it a segment of this
 * size that the cache may have, and on the side where it should be? (R24)
 */
static void
check_cached(vmem_t *vm, vmem_addr_t addr, vmem_size_t size, bool idle)
{
	struct vmem_btag *bt;

	mtx_lock(&vm->lock);
	bt = hash_lookup(vm, addr);
	if (bt == NULL)
		refuse_free(vm, "vmem_free", addr, size, "is no allocated segment");
	if (bt_size(vm, bt) != vmem_roundup_size(vm, size))
		refuse_free(vm, "vmem_free", addr, size, "has another size");
	if (!bt->cached)
		refuse_free(
		    vm, "vmem_free", addr, size, "is vmem_xalloc's: it must not enter a cache");
	if (idle && bt->idle)
		refuse_free(
		    vm, "vmem_free", addr, size, "is free already: it lies in a quantum cache");
	bt->idle = idle;
	mtx_unlock(&vm->lock);
}

/* ---- what the public calls accept -------------------------------------------------------------------- */

#define REFUSE_IF(bad, ...)                        \
	do {                                       \
		if (unlikely(bad)) {               \
			CHECK(false, __VA_ARGS__); \
			return (COOPER_EINVAL);    \
		}                                  \
	} while (0)

static inline int
check_common(const vmem_t *vm, const char *func, vmem_size_t size, int flags)
{
	REFUSE_IF(size == 0, "%s: arena \"%s\": size 0", func, vm->name);
	REFUSE_IF(!is_pow2((unsigned)flags & M_VMEM_POLICY),
	    "%s: arena \"%s\": flags %x name no policy, or several", func, vm->name,
	    (unsigned)flags);
	REFUSE_IF((flags & (M_NOWAIT | M_WAITOK)) == (M_NOWAIT | M_WAITOK),
	    "%s: arena \"%s\": both M_NOWAIT and M_WAITOK", func, vm->name);
	REFUSE_IF((flags & (M_USE_RESERVE | M_NOVM)) != 0 && (flags & M_NOWAIT) == 0,
	    "%s: arena \"%s\": M_USE_RESERVE or M_NOVM without M_NOWAIT", func, vm->name);
	if ((flags & M_NOWAIT) == 0 && unlikely(core_debug))
		sync_assert_may_sleep(func);
	return (0);
}

static int
check_constraints(const vmem_t *vm, const struct request *rq)
{
	const char *name = vm->name;
	vmem_size_t mask = vm->quantum_mask;

	REFUSE_IF(!is_pow2(rq->shape.align) || (rq->shape.align & mask) != 0,
	    "vmem_xalloc: arena \"%s\": alignment %zx is no power of two, or less than a quantum",
	    name, (size_t)rq->shape.align);
	REFUSE_IF(rq->shape.phase >= rq->shape.align || (rq->shape.phase & mask) != 0,
	    "vmem_xalloc: arena \"%s\": phase %zx is not below the alignment %zx, or no quanta",
	    name, (size_t)rq->shape.phase, (size_t)rq->shape.align);
	REFUSE_IF(rq->min > rq->max, "vmem_xalloc: arena \"%s\": window %zx to %zx", name,
	    (size_t)rq->min, (size_t)rq->max);
	REFUSE_IF(rq->policy == M_NEXTFIT && (rq->min != VMEM_ADDR_MIN || rq->max != VMEM_ADDR_MAX),
	    "vmem_xalloc: arena \"%s\": M_NEXTFIT with a window", name);
	if (rq->shape.nocross == 0)
		return (0);
	REFUSE_IF(!is_pow2(rq->shape.nocross) || (rq->shape.nocross & mask) != 0 ||
		      rq->shape.nocross < rq->size,
	    "vmem_xalloc: arena \"%s\": nocross %zx is no power of two, or less than size %zx",
	    name, (size_t)rq->shape.nocross, (size_t)rq->size);
	REFUSE_IF(((rq->shape.phase ^ (rq->shape.phase + rq->size - 1)) & -rq->shape.nocross) != 0,
	    "vmem_xalloc: arena \"%s\": phase %zx + size %zx always crosses %zx", name,
	    (size_t)rq->shape.phase, (size_t)rq->size, (size_t)rq->shape.nocross);
	return (0);
}

vmem_size_t
vmem_roundup_size(vmem_t *vm, vmem_size_t size)
{
	return ((size + vm->quantum_mask) & ~vm->quantum_mask);
}

int
vmem_xalloc(vmem_t *vm, vmem_size_t size, vmem_size_t align, vmem_size_t phase, vmem_size_t nocross,
    vmem_addr_t min, vmem_addr_t max, int flags, vmem_addr_t *addrp)
{
	struct request rq = {
		.size = vmem_roundup_size(vm, size), /* before anything looks at it (H2) */
		.shape = { align == 0 ? vm->quantum_mask + 1 : align, phase, nocross },
		.min = min,
		.max = max,
		.policy = (unsigned)flags & M_VMEM_POLICY,
	};
	int error;

	*addrp = 0;
	if (FAULT(next_fit_unrounded) && (flags & M_NEXTFIT) != 0)
		rq.size = size;
	if ((error = check_common(vm, "vmem_xalloc", size, flags)) != 0)
		return (error);
	if (rq.size < size)
		return (COOPER_ENOMEM);
	if ((error = check_constraints(vm, &rq)) != 0)
		return (error);
	return (vmem_take(vm, &rq, flags, addrp));
}

static inline struct quantum_cache *
qcache_of(vmem_t *vm, vmem_size_t size)
{
	return (&vm->qcache[(size - 1) >> vm->quantum_shift]);
}

static inline bool
belongs_to_qcache(const vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	return (size - 1 < vm->qcache_max && addr >= VMEM_ADDR_QCACHE_MIN);
}

/*
 * The common case of attempt(): any place near the size, spare tags at hand. False: nothing is done, and
 * attempt() has to look.
 */
static bool
take_plain(vmem_t *vm, vmem_size_t size, unsigned looks, int flags, bool cached, vmem_addr_t *addrp)
{
	unsigned need = BT_MAXALLOC + (FAULT(six_tags_a_layer) ? BT_IMPORT : 0);
	struct vmem_btag *bt = NULL;
	bool adjust = false;

	mtx_lock(&vm->lock);
	if (likely(vm->nspare >= need))
		bt = segment_take_plain(vm, size, looks);
	if (likely(bt != NULL)) {
		bt->cached = cached && bt->start >= VMEM_ADDR_QCACHE_MIN;
		*addrp = bt->start;
		vm->counts.allocs++;
		adjust = unlikely(hash_crowded(vm)) && hash_wants(vm) &&
			 (flags & (M_USE_RESERVE | M_NOVM)) == 0;
	}
	mtx_unlock(&vm->lock);
	if (unlikely(adjust))
		hash_adjust(vm);
	return (bt != NULL);
}

/* And its usual looks. */
static inline unsigned
looks_of(unsigned policy)
{
	return (policy == M_BESTFIT ? FIT_BEST_LOOKS : FIT_FIRST_LOOKS);
}

static NOINLINE int
alloc_checked(vmem_t *vm, vmem_size_t size, int flags, bool no_cache, vmem_addr_t *addrp)
{
	vmem_size_t rounded = vmem_roundup_size(vm, size);
	unsigned policy = (unsigned)flags & M_VMEM_POLICY;
	bool cached = size <= vm->qcache_max;
	void *item;
	int error;

	*addrp = 0;
	if (unlikely((error = check_common(vm, "vmem_alloc", size, flags)) != 0))
		return (error);
	if (cached && !no_cache) {
		item = uma_zalloc(qcache_of(vm, size)->zone, M_NOWAIT | (flags & M_NOVM));
		if (likely(item != NULL)) {
			if (unlikely(core_debug))
				check_cached(vm, (vmem_addr_t)item, size, false);
			*addrp = (vmem_addr_t)item;
			return (0);
		}
	}
	if (unlikely(rounded < size))
		return (COOPER_ENOMEM);
	if ((policy & (M_FIRSTFIT | M_BESTFIT)) == 0 ||
	    !take_plain(vm, rounded, looks_of(policy), flags, cached, addrp)) {
		struct request rq = {
			.size = rounded,
			.shape = { vm->quantum_mask + 1, 0, 0 },
			.max = VMEM_ADDR_MAX,
			.policy = policy,
			.cached = cached,
		};

		if ((error = vmem_take(vm, &rq, flags, addrp)) != 0)
			return (error);
	}
	if (unlikely(cached) && belongs_to_qcache(vm, *addrp, size))
		qcache_adopt(vm, size);
	return (0);
}

/*
 * Flags that check_common() has nothing to say about, of a request that may empty a cache: M_FIRSTFIT or
 * M_BESTFIT, with M_NOWAIT or M_WAITOK, and nothing else. Each pair are neighbouring bits, so that the lower
 * two and what is added to them tell it. Other good ones take the long way to the same caches.
 */
#define SIMPLE ((unsigned)(M_FIRSTFIT | M_NOWAIT))
_Static_assert(M_BESTFIT == 2 * M_FIRSTFIT && M_WAITOK == 2 * M_NOWAIT, "neighbours");

static inline bool
simple_flags(unsigned flags)
{
	return (((flags - SIMPLE) & ~SIMPLE) == 0);
}

/* Sizes that no cache has, and simple flags, need no check but these. */
static NOINLINE int
alloc_uncached(vmem_t *vm, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	vmem_size_t rounded = vmem_roundup_size(vm, size);

	if (likely(size > vm->qcache_max && rounded >= size && simple_flags((unsigned)flags)) &&
	    likely(!core_debug) &&
	    likely(take_plain(
		vm, rounded, looks_of((unsigned)flags & M_VMEM_POLICY), flags, false, addrp)))
		return (0);
	return (alloc_checked(vm, size, flags, false, addrp));
}

/*
 * Cached sizes come from their zone with nothing before and after: this CPU's cache first, and from
 * there on out of line, so that the common path saves no register. Whatever is not so simple, and all of the
 * debug shape (qcache_fast), takes the long way.
 */
static NOINLINE int
alloc_cached(vmem_t *vm, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	/* Not with M_WAITOK: UMA would wait for ever on an arena that has address 0 alone (R23). */
	void *item = uma_zalloc(qcache_of(vm, size)->zone, M_NOWAIT);

	if (unlikely(item == NULL))
		return (alloc_checked(vm, size, flags, true, addrp));
	*addrp = (vmem_addr_t)item;
	return (0);
}

int
vmem_alloc(vmem_t *vm, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	void *item;

	if (size - 1 >= vm->qcache_fast || unlikely(!simple_flags((unsigned)flags)))
		return (alloc_uncached(vm, size, flags, addrp));
	item = uma_zalloc_fast(vm->cached[(size - 1) >> vm->qcache_shift]);
	if (unlikely(item == NULL))
		return (alloc_cached(vm, size, flags, addrp));
	*addrp = (vmem_addr_t)item;
	return (0);
}

/* ---- free -------------------------------------------------------------------------------------------------- */

/*
 * `cached`: by the quantum cache, or on its behalf. What vmem_alloc() gave for a cached size belongs to
 * the cache, even if it never was in it; handed to vmem_xfree() it may lie in a CPU's cache (R24).
 */
void
vmem_give(vmem_t *vm, vmem_addr_t addr, vmem_size_t size, bool cached)
{
	const char *func = cached ? "vmem_free" : "vmem_xfree";
	struct purse purse = { 0, 0, 0 };
	struct vmem_btag *bt, *end;
	vmem_addr_t start = 0;
	vmem_size_t got, released = 0;
	bool adjust;

	mtx_lock(&vm->lock);
	bt = hash_remove(vm, addr);
	if (unlikely(bt == NULL))
		refuse_free(vm, func, addr, size, "is no allocated segment");
	__builtin_prefetch(bt_at(vm, bt->prev)); /* while the next one is awaited */
	got = bt_size(vm, bt);
	if (unlikely(got != vmem_roundup_size(vm, size)))
		refuse_free(vm, func, addr, size, "has another size");
	if (unlikely(core_debug) && bt->cached && !cached)
		refuse_free(vm, func, addr, size, "is vmem_alloc's: it belongs to a quantum cache");
	bt = segment_free(vm, bt);
	vm->counts.frees++;
	if (unlikely(vm->release != NULL) && (end = span_of_free(vm, bt)) != NULL) {
		start = bt->start;
		released = bt_size(vm, bt);
		span_remove(vm, bt, end);
		vm->counts.releases++;
		import_takes_off(vm);
	}
	adjust = unlikely(vm->table.slots <= vm->table.idle) && hash_idle(vm);
	if (unlikely(vm->nspare > spare_most(vm)))
		spare_trim(vm, &purse);
	mtx_unlock(&vm->lock);
	/* Waiters must look again even if the space has left the arena: they may import it (R25). */
	if (released != 0)
		release_span(vm, start, released);
	if (unlikely(purse.n > 0))
		spare_return(vm, &purse);
	arena_wait_event(vm);
	spare_tell(vm);
	if (unlikely(adjust))
		hash_adjust(vm);
}

void
vmem_xfree(vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	vmem_give(vm, addr, size, false);
}

static NOINLINE void
free_checked(vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	if (!belongs_to_qcache(vm, addr, size)) {
		vmem_give(vm, addr, size, true);
		return;
	}
	if (unlikely(core_debug))
		check_cached(vm, addr, size, true);
	uma_zfree(qcache_of(vm, size)->zone, (void *)addr);
}

/* While anybody waits the zone keeps nothing and hands what it gets to vmem_give(). */
void
vmem_free(vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	if (size - 1 >= vm->qcache_fast || unlikely(addr < VMEM_ADDR_QCACHE_MIN) ||
	    unlikely(!uma_zfree_fast(vm->cached[(size - 1) >> vm->qcache_shift], (void *)addr)))
		free_checked(vm, addr, size);
}
