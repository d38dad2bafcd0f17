/*
 * Where a request fits: pure search over bins and index; nothing is changed but the count of looks.
 *
 *	policy       whole arena                          with a window
 *	M_FIRSTFIT   a bin all of whose members fit,      lowest address
 *	             else lowest address
 *	M_BESTFIT    tightest of the first bins           tightest of the first places
 *	M_NEXTFIT    next address past the last one       not allowed
 *	M_TOPDOWN    highest address                      highest address
 *
 * "No" is exact and costs what "yes" does: the index skips every subtree in which nothing is large
 * enough or meets the alignment, and where only the window matters there is nothing else to look at.
 * Left over are segments that are large enough and contain an aligned address, but too near to
 * their end (or to a line not to be crossed): these are looked at one by one, if no segment is
 * so large that it fits anyhow. The arena's lock is held.
 */
#include "vmem/vmem_int.h"

#define BEST_LOOKS 16 /* best fit compares so many segments of neighbouring sizes */

/* ---- geometry --------------------------------------------------------------------------------------- */

/* The first address at or above `addr` that is phase modulo align; false: there is none. */
static inline bool
align_up(const struct request *rq, vmem_addr_t addr, vmem_addr_t *out)
{
	vmem_addr_t over = (addr - rq->phase) & (rq->align - 1);

	*out = over == 0 ? addr : addr + (rq->align - over);
	return (*out >= addr);
}

static inline bool
align_down(const struct request *rq, vmem_addr_t addr, vmem_addr_t *out)
{
	*out = addr - ((addr - rq->phase) & (rq->align - 1));
	return (*out <= addr);
}

static inline bool
crosses(const struct request *rq, vmem_addr_t start)
{
	return (rq->nocross != 0 && ((start ^ (start + rq->size - 1)) & -rq->nocross) != 0);
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

	if (!clamp(rq, &lo, &last) || !align_up(rq, lo, &start))
		return (false);
	if (start > last || last - start < rq->size - 1)
		return (false);
	if (crosses(rq, start)) {
		/* From the next line on; phase to phase + size crosses none (vmem_xalloc's contract). */
		lo = (start | (rq->nocross - 1)) + 1;
		if (lo == 0 || !align_up(rq, lo, &start) || start > last ||
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

	if (!clamp(rq, &lo, &last) || !align_down(rq, last - (rq->size - 1), &start) || start < lo)
		return (false);
	if (crosses(rq, start)) {
		vmem_addr_t line = (start + rq->size - 1) & -rq->nocross;

		if (line - lo < rq->size || !align_down(rq, line - rq->size, &start) || start < lo)
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

bool
request_prepare(const vmem_t *vm, struct request *rq)
{
	vmem_size_t quantum = vm->quantum_mask + 1, slack;

	rq->prune.max = size_code(vm, rq->size);
	rq->prune.level = rq->phase == 0 ? fls_size(rq->align) - 1 : 0;
	/* The worst segment: it starts just past an aligned address, and just so that a line is crossed. */
	slack = rq->align - quantum;
	if (rq->nocross != 0) {
		if (rq->size - quantum + slack < slack)
			return (false);
		slack += rq->size - quantum;
		if (rq->phase != 0)
			slack += rq->align - quantum;
	}
	rq->enough = rq->size + slack;
	return (rq->enough >= rq->size);
}

/* ---- policies ----------------------------------------------------------------------------------------- */

/* Does the window take in all that the arena has? */
static bool
whole(const vmem_t *vm, const struct request *rq)
{
	return (vm->first == 0 || (rq->min <= bt_at(vm, vm->first)->start &&
				      rq->max >= bt_at(vm, vm->last)->start - 1));
}

/* Upwards from the segment that holds `from` or follows it. */
static struct vmem_btag *
lowest(vmem_t *vm, const struct request *rq, vmem_addr_t from, vmem_addr_t *startp)
{
	struct vmem_btag *bt = from == 0 ? NULL : index_floor(vm, from);

	if (bt == NULL)
		bt = index_first(vm, rq->prune);
	for (; bt != NULL && bt->start <= rq->max; bt = index_next(vm, bt, rq->prune))
		if (fits(vm, rq, bt, startp))
			return (bt);
	return (NULL);
}

static struct vmem_btag *
highest(vmem_t *vm, const struct request *rq, vmem_addr_t *startp)
{
	struct vmem_btag *bt =
	    rq->max == VMEM_ADDR_MAX ? index_last(vm, rq->prune) : index_floor(vm, rq->max);

	for (; bt != NULL; bt = index_prev(vm, bt, rq->prune)) {
		if (fits(vm, rq, bt, startp))
			return (bt);
		if (bt->start < rq->min)
			break;
	}
	return (NULL);
}

static struct vmem_btag *
first_fit(vmem_t *vm, const struct request *rq, vmem_addr_t *startp)
{
	struct vmem_btag *bt;

	if (whole(vm, rq) && (bt = bins_fit(vm, rq->enough)) != NULL && fits(vm, rq, bt, startp))
		return (bt);
	return (lowest(vm, rq, rq->min, startp));
}

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

/* Bins hold sizes that differ by less than 1/16; those of small sizes, one size. */
static struct vmem_btag *
best_of_bins(vmem_t *vm, const struct request *rq, vmem_addr_t *startp)
{
	struct vmem_btag *best = NULL, *bt;
	unsigned looks = 0, bin;
	vmem_addr_t start;

	for (bt = bins_from(vm, rq->size, &bin); bt != NULL; bt = bins_after(vm, &bin)) {
		for (; bt != NULL && looks < BEST_LOOKS; bt = bt_get(vm, bt->bin_next)) {
			looks++;
			vm->counts.looks++;
			if (fits(vm, rq, bt, &start)) {
				better(vm, bt, start, &best, startp);
				if (bt_size(vm, best) == rq->size)
					return (best);
			}
		}
		if (best != NULL || looks == BEST_LOOKS)
			break;
	}
	if (best == NULL && (bt = bins_fit(vm, rq->enough)) != NULL && fits(vm, rq, bt, startp))
		best = bt;
	return (best);
}

static struct vmem_btag *
best_fit(vmem_t *vm, const struct request *rq, vmem_addr_t *startp)
{
	struct vmem_btag *best = NULL, *bt;
	unsigned found = 0;
	vmem_addr_t start;

	if (whole(vm, rq))
		return ((best = best_of_bins(vm, rq, startp)) != NULL
			    ? best
			    : lowest(vm, rq, rq->min, startp));
	for (bt = lowest(vm, rq, rq->min, &start); bt != NULL && bt->start <= rq->max;
	     bt = index_next(vm, bt, rq->prune)) {
		if (!fits(vm, rq, bt, &start)) {
			if (found > 0 && ++found > BEST_LOOKS)
				break;
			continue;
		}
		better(vm, bt, start, &best, startp);
		if (bt_size(vm, best) == rq->size || ++found > BEST_LOOKS)
			break;
	}
	return (best);
}

static struct vmem_btag *
next_fit(vmem_t *vm, const struct request *rq, vmem_addr_t *startp)
{
	struct request past = *rq;
	struct vmem_btag *bt;

	past.min = vm->cursor;
	bt = lowest(vm, &past, past.min, startp);
	return (bt != NULL ? bt : lowest(vm, rq, rq->min, startp));
}

struct vmem_btag *
fit_find(vmem_t *vm, const struct request *rq, vmem_addr_t *startp)
{
	switch (rq->policy) {
	case M_BESTFIT:
		return (best_fit(vm, rq, startp));
	case M_NEXTFIT:
		return (next_fit(vm, rq, startp));
	case M_TOPDOWN:
		return (highest(vm, rq, startp));
	default:
		return (first_fit(vm, rq, startp));
	}
}
