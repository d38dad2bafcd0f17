/*
 * Where a request fits: search over bins and index. Nothing is changed but counts, and the shape that
 * the index knows.
 *
 *	policy       whole arena                          with a window
 *	M_FIRSTFIT   the first of a few close bins,       lowest address
 *	             else lowest address
 *	M_BESTFIT    tightest of the first bins           tightest of the first places
 *	M_NEXTFIT    next address past the last one       not allowed
 *	M_TOPDOWN    highest address                      highest address
 *
 * "No" is exact and costs what "yes" does: the index skips every run of segments that has nothing large
 * enough, and, for requests of the shape that it knows, every run that cannot hold the request so
 * shaped. Searches for other shapes look at segments that are large enough and turn out to lie wrongly;
 * when they have looked at more than a rebuild would, the index learns the new shape. An arena has one
 * or two shapes in practice, so this is rare. The arena's lock is held.
 */
#include "vmem/vmem_int.h"

#define PATIENCE   2  /* looks for a strange shape, per segment, before the index learns it */
#define NEAR_LOOKS 16 /* at the segments next to the last one, before the index is asked */

/* ---- geometry --------------------------------------------------------------------------------------- */

/* The first address at or above `addr` that is phase modulo align; false: there is none. */
static inline bool
align_up(const struct shape *shape, vmem_addr_t addr, vmem_addr_t *out)
{
	vmem_addr_t over = (addr - shape->phase) & (shape->align - 1);

	*out = over == 0 ? addr : addr + (shape->align - over);
	return (*out >= addr);
}

static inline bool
align_down(const struct shape *shape, vmem_addr_t addr, vmem_addr_t *out)
{
	*out = addr - ((addr - shape->phase) & (shape->align - 1));
	return (*out <= addr);
}

/* Where what starts at `start` must end at the latest: at hi, or at a line not to be crossed. */
static inline vmem_addr_t
reach(const struct shape *shape, vmem_addr_t start, vmem_addr_t hi)
{
	vmem_addr_t line = shape->nocross == 0 ? 0 : (start | (shape->nocross - 1)) + 1;

	return (line == 0 || line > hi ? hi : line);
}

/*
 * From the first aligned address to the first line, or from the first one past it: later pieces
 * are no larger.
 */
vmem_size_t
shape_capacity(const struct shape *shape, vmem_addr_t lo, vmem_addr_t hi)
{
	vmem_addr_t start, end, next;
	vmem_size_t size;

	if (!align_up(shape, lo, &start) || start >= hi)
		return (0);
	end = reach(shape, start, hi);
	size = end - start;
	if (end != hi && align_up(shape, end, &next) && next < hi)
		size = MAX(size, reach(shape, next, hi) - next);
	return (size);
}

static inline bool
crosses(const struct request *rq, vmem_addr_t start)
{
	return (
	    rq->shape.nocross != 0 && ((start ^ (start + rq->size - 1)) & -rq->shape.nocross) != 0);
}

/* [lo, last] within the window; false: nothing is left. */
static inline bool
clamp(const struct request *rq, vmem_addr_t *lo, vmem_addr_t *last)
{
	*lo = MAX(*lo, rq->min);
	*last = MIN(*last, rq->max);
	return (*lo <= *last && *last - *lo >= rq->size - 1);
}

static inline bool
fits_low(const struct request *rq, vmem_addr_t lo, vmem_addr_t last, vmem_addr_t *startp)
{
	vmem_addr_t start;

	if (!clamp(rq, &lo, &last) || !align_up(&rq->shape, lo, &start))
		return (false);
	if (start > last || last - start < rq->size - 1)
		return (false);
	if (crosses(rq, start)) {
		/* From the next line on; phase to phase + size crosses none (vmem_xalloc's contract). */
		lo = (start | (rq->shape.nocross - 1)) + 1;
		if (lo == 0 || !align_up(&rq->shape, lo, &start) || start > last ||
		    last - start < rq->size - 1)
			return (false);
	}
	*startp = start;
	return (true);
}

static inline bool
fits_high(const struct request *rq, vmem_addr_t lo, vmem_addr_t last, vmem_addr_t *startp)
{
	vmem_addr_t start;

	if (!clamp(rq, &lo, &last) || !align_down(&rq->shape, last - (rq->size - 1), &start) ||
	    start < lo)
		return (false);
	if (crosses(rq, start)) {
		vmem_addr_t line = (start + rq->size - 1) & -rq->shape.nocross;

		if (line - lo < rq->size || !align_down(&rq->shape, line - rq->size, &start) ||
		    start < lo)
			return (false);
	}
	*startp = start;
	return (true);
}

bool
request_fits(const struct request *rq, vmem_addr_t lo, vmem_addr_t hi, vmem_addr_t *startp)
{
	return (rq->policy == M_TOPDOWN ? fits_high(rq, lo, hi - 1, startp)
					: fits_low(rq, lo, hi - 1, startp));
}

static inline bool
fits(const vmem_t *vm, const struct request *rq, const struct vmem_btag *bt, vmem_addr_t *startp)
{
	return (
	    bt->type == BT_FREE && request_fits(rq, bt->start, bt_at(vm, bt->next)->start, startp));
}

void
request_prepare(const vmem_t *vm, struct request *rq)
{
	vmem_size_t quantum = vm->quantum_mask + 1, slack, line = 0;

	rq->plain = rq->shape.align == quantum && rq->shape.nocross == 0;
	/* The worst segment: it starts just past an aligned address, and just so that a line is crossed. */
	slack = rq->shape.align - quantum;
	if (rq->shape.nocross != 0) {
		line = rq->size - quantum;
		if (rq->shape.phase != 0 && __builtin_add_overflow(line, slack, &line))
			line = -quantum;
	}
	/* Saturates: then no segment is surely enough, and yet one may fit. */
	if (__builtin_add_overflow(slack, line, &slack) ||
	    __builtin_add_overflow(rq->size, slack, &rq->enough))
		rq->enough = -quantum;
}

/* ---- policies ----------------------------------------------------------------------------------------- */

/* Does the window take in all that the arena has? */
static bool
whole(const vmem_t *vm, const struct request *rq)
{
	if (likely(rq->min == VMEM_ADDR_MIN && rq->max == VMEM_ADDR_MAX))
		return (true);
	return (vm->first == 0 || (rq->min <= bt_at(vm, vm->first)->start &&
				      rq->max >= bt_at(vm, vm->last)->start - 1));
}

struct search {
	struct index_walk walk;
	const struct request *rq;
	struct vmem_btag *best;
	vmem_addr_t start;
	unsigned found; /* segments looked at from the first fit on */
};

/* Keep the tighter one. */
static void
better(const vmem_t *vm, struct vmem_btag *bt, vmem_addr_t start, struct vmem_btag **best,
    vmem_addr_t *startp)
{
	if (*best != NULL && bt_size(vm, bt) >= bt_size(vm, *best))
		return;
	*best = bt;
	*startp = start;
}

static bool
take_first(struct index_walk *w, struct vmem_btag *bt)
{
	struct search *s = (struct search *)w;

	if (!fits(w->vm, s->rq, bt, &s->start))
		return (false);
	s->best = bt;
	return (true);
}

static bool
take_tightest(struct index_walk *w, struct vmem_btag *bt)
{
	struct search *s = (struct search *)w;
	vmem_addr_t start;

	if (fits(w->vm, s->rq, bt, &start)) {
		better(w->vm, bt, start, &s->best, &s->start);
		if (bt_size(w->vm, s->best) == s->rq->size)
			return (true);
	}
	return (s->best != NULL && ++s->found > FIT_WINDOW_LOOKS);
}

/* By the index, in the part of the window that begins at `from`. */
static struct vmem_btag *
by_address(vmem_t *vm, const struct request *rq, vmem_addr_t from,
    bool (*look)(struct index_walk *w, struct vmem_btag *bt), vmem_addr_t *startp)
{
	struct search s = {
		.walk = { .from = from,
		    .to = rq->max,
		    .down = rq->policy == M_TOPDOWN,
		    .prune = rq->prune,
		    .look = look },
		.rq = rq,
	};

	(void)index_walk(vm, &s.walk);
	if (s.best != NULL)
		*startp = s.start;
	return (s.best);
}

/*
 * The tightest of the first `most` segments in the bins from the request's size upwards: up to the end
 * of the first bin that has one. Sizes in a bin differ by less than 1/16; small sizes have one each.
 * NULL and *sure: there is none at all.
 */
static struct vmem_btag *
from_bins(vmem_t *vm, const struct request *rq, unsigned most, vmem_addr_t *startp, bool *sure)
{
	struct vmem_btag *best = NULL, *bt;
	unsigned looks = 0, bin;
	vmem_addr_t start;

	if (rq->plain) {
		if ((bt = bins_plain(vm, rq->size, most, sure)) != NULL)
			*startp = bt->start;
		return (bt);
	}
	*sure = false;

	for (bt = bins_from(vm, rq->size, &bin); bt != NULL; bt = bins_after(vm, &bin)) {
		for (; bt != NULL && looks < most; bt = bt_get(vm, bt->bin_next)) {
			looks++;
			vm->counts.looks++;
			if (fits(vm, rq, bt, &start)) {
				better(vm, bt, start, &best, startp);
				if (bt_size(vm, best) == rq->size)
					return (best);
			}
		}
		if (best != NULL || looks == most)
			break;
	}
	if (best == NULL && (bt = bins_fit(vm, rq->enough)) != NULL && fits(vm, rq, bt, startp))
		best = bt;
	return (best);
}

static struct vmem_btag *
first_fit(vmem_t *vm, const struct request *rq, unsigned looks, vmem_addr_t *startp)
{
	struct vmem_btag *bt = NULL;
	bool sure = false;

	if (whole(vm, rq))
		bt = from_bins(vm, rq, looks, startp, &sure);
	return (bt != NULL || sure ? bt : by_address(vm, rq, rq->min, take_first, startp));
}

static struct vmem_btag *
best_fit(vmem_t *vm, const struct request *rq, vmem_addr_t *startp)
{
	if (whole(vm, rq))
		return (first_fit(vm, rq, FIT_BEST_LOOKS, startp));
	return (by_address(vm, rq, rq->min, take_tightest, startp));
}

/*
 * A few segments from the last one on, since most often one of them will do. *from: where there is
 * more to be looked at; VMEM_ADDR_MAX: nowhere.
 */
static struct vmem_btag *
next_near(vmem_t *vm, const struct request *past, vmem_addr_t *from, vmem_addr_t *startp)
{
	struct vmem_btag *bt = bt_get(vm, vm->near);

	*from = past->min;
	if (bt == NULL || bt->start > past->min)
		return (NULL);
	for (unsigned i = 0; i < NEAR_LOOKS; i++) {
		struct vmem_btag *next = bt_get(vm, bt->next);

		vm->counts.looks++;
		if (next == NULL) {
			*from = VMEM_ADDR_MAX;
			return (NULL);
		}
		if (bt->type == BT_FREE && next->start - bt->start >= past->size &&
		    request_fits(past, bt->start, next->start, startp))
			return (bt);
		bt = next;
	}
	*from = MAX(*from, bt->start);
	return (NULL);
}

static struct vmem_btag *
next_fit(vmem_t *vm, const struct request *rq, vmem_addr_t *startp)
{
	struct request past = *rq;
	struct vmem_btag *bt;
	vmem_addr_t from;

	past.min = vm->cursor;
	if ((bt = next_near(vm, &past, &from, startp)) != NULL)
		return (bt);
	if (from != VMEM_ADDR_MAX && (bt = by_address(vm, &past, from, take_first, startp)) != NULL)
		return (bt);
	return (by_address(vm, rq, rq->min, take_first, startp));
}

static struct vmem_btag *
search(vmem_t *vm, const struct request *rq, vmem_addr_t *startp)
{
	switch (rq->policy) {
	case M_BESTFIT:
		return (best_fit(vm, rq, startp));
	case M_NEXTFIT:
		return (next_fit(vm, rq, startp));
	case M_TOPDOWN:
		return (by_address(vm, rq, rq->min, take_first, startp));
	default:
		return (first_fit(vm, rq, FIT_FIRST_LOOKS, startp));
	}
}

struct vmem_btag *
fit_find(vmem_t *vm, struct request *rq, vmem_addr_t *startp)
{
	bool known = rq->shape.align == vm->shape.align && rq->shape.phase == vm->shape.phase &&
		     rq->shape.nocross == vm->shape.nocross;
	struct vmem_btag *bt;
	uint64_t looks;

	rq->prune = index_prune(vm, rq->size, known);
	looks = vm->counts.looks;
	bt = search(vm, rq, startp);
	if (likely(rq->plain || known))
		return (bt);
	/* What comes from a bin at once is no search. */
	if (vm->counts.looks - looks > 2 * FIT_BEST_LOOKS)
		vm->strange += vm->counts.looks - looks;
	if (vm->strange > PATIENCE * ((uint64_t)vm->nbusy + vm->nfree + FIT_BEST_LOOKS))
		index_reshape(vm, rq->shape);
	return (bt);
}
