/*
 * The algebra of boundary tags: taking a piece of a free segment, freeing a segment, adding and
 * removing a span. Each function leaves list, bins, index and counts true to each other; none can
 * fail for want of tags, since the caller has seen to BT_MAXALLOC spare ones. The busy table is
 * written here too, except that who frees a segment has taken it from there.
 *
 * What stays true: segments fill their span; no two free ones are neighbours; a free one is on its
 * bin, and where the arena is indexed its run knows of it. The arena's lock is held.
 */
#include "vmem/bins.h"
#include "vmem/hash.h"

/* ---- the list ------------------------------------------------------------------------------------ */

/* Put bt between the neighbours before and after, either of which may be none. */
static inline void
list_between(vmem_t *vm, struct vmem_btag *bt, struct vmem_btag *before, struct vmem_btag *after)
{
	btref r = bt_ref(vm, bt);

	bt->prev = before == NULL ? 0 : bt_ref(vm, before);
	bt->next = after == NULL ? 0 : bt_ref(vm, after);
	*(before == NULL ? &vm->first : &before->next) = r;
	*(after == NULL ? &vm->last : &after->prev) = r;
}

static inline void
drop_tag(vmem_t *vm, struct vmem_btag *bt)
{
	*(bt->prev == 0 ? &vm->first : &bt_at(vm, bt->prev)->next) = bt->next;
	*(bt->next == 0 ? &vm->last : &bt_at(vm, bt->next)->prev) = bt->prev;
	if (unlikely(vm->near == bt_ref(vm, bt)))
		vm->near = 0;
	spare_put(vm, bt);
}

static inline struct vmem_btag *
new_tag(vmem_t *vm, enum bt_type type, vmem_addr_t start)
{
	struct vmem_btag *bt = spare_take(vm);

	bt->start = start;
	bt->word = type;
	bt->left = INDEX_OUTSIDE;
	return (bt);
}

/* ---- free segments ---------------------------------------------------------------------------------- */

/* A free segment, on the list, enters the bins. */
static inline void
enter(vmem_t *vm, struct vmem_btag *bt, vmem_size_t size)
{
	bt->word = BT_FREE;
	bins_insert(vm, bt, size);
	vm->nfree++;
	if (unlikely(vm->indexed))
		index_grown(vm, bt);
}

static inline void
leave(vmem_t *vm, struct vmem_btag *bt, vmem_size_t size)
{
	bins_remove(vm, bt, size);
	vm->nfree--;
}

/* A free segment that had `old` bytes has more now. */
static inline void
grown(vmem_t *vm, struct vmem_btag *bt, vmem_size_t old, vmem_size_t size)
{
	bins_resize(vm, bt, old, size);
	if (unlikely(vm->indexed))
		index_grown(vm, bt);
}

/* A segment, on the list, is busy now. */
static inline void
occupied(vmem_t *vm, struct vmem_btag *bt, vmem_size_t size)
{
	hash_insert(vm, bt);
	vm->inuse += size;
	if (unlikely(vm->indexed))
		index_enter(vm, bt);
}

/* ---- take and free ------------------------------------------------------------------------------------ */

/* The front of a free segment on `bin` that has `old`. */
static ALWAYS_INLINE struct vmem_btag *
take_front(
    vmem_t *vm, struct vmem_btag *bt, unsigned bin, vmem_size_t old, vmem_size_t size, bool first)
{
	struct vmem_btag *busy = bt;
	unsigned to;

	if (old == size) {
		if (first)
			bins_pop(vm, bt, bin);
		else
			bins_leave(vm, bt, bin);
		vm->nfree--;
		bt->word = BT_BUSY;
		bt->left = INDEX_OUTSIDE;
	} else {
		busy = new_tag(vm, BT_BUSY, bt->start);
		list_between(vm, busy, bt_get(vm, bt->prev), bt);
		bt->start += size;
		if ((to = bin_of((old - size) >> vm->quantum_shift)) != bin) {
			if (first)
				bins_pop(vm, bt, bin);
			else
				bins_leave(vm, bt, bin);
			bins_enter(vm, bt, to);
		}
	}
	occupied(vm, busy, size);
	return (busy);
}

struct vmem_btag *
segment_take(vmem_t *vm, struct vmem_btag *bt, vmem_addr_t start, vmem_size_t size)
{
	vmem_addr_t lo = bt->start, end = start + size;
	struct vmem_btag *next = bt_at(vm, bt->next), *busy, *rest;
	vmem_size_t old = next->start - lo;

	if (start == lo)
		return (take_front(vm, bt, bin_of(old >> vm->quantum_shift), old, size, false));
	busy = new_tag(vm, BT_BUSY, start);
	list_between(vm, busy, bt, next);
	bins_resize(vm, bt, old, start - lo);
	if (end != next->start) {
		rest = new_tag(vm, BT_FREE, end);
		list_between(vm, rest, busy, next);
		enter(vm, rest, next->start - end);
	}
	occupied(vm, busy, size);
	return (busy);
}

/* With a look at more than the first segment of a bin. */
static NOINLINE struct vmem_btag *
take_compared(vmem_t *vm, vmem_size_t size, unsigned looks)
{
	bool sure;
	struct vmem_btag *bt = bins_plain(vm, size, looks, &sure);
	vmem_size_t old;

	if (bt == NULL)
		return (NULL);
	old = bt_size(vm, bt);
	return (take_front(vm, bt, bin_of(old >> vm->quantum_shift), old, size, false));
}

/*
 * The common case in one go: the first segment of a bin. A bin of one size says how large its segments
 * are, and a request for that size has its segment without a look at its neighbours. In the request's
 * own bin the first one may be too small; in each further bin all are large enough.
 */
struct vmem_btag *
segment_take_plain(vmem_t *vm, vmem_size_t size, unsigned looks)
{
	unsigned own = bin_of(size >> vm->quantum_shift), bin = bins_first(vm, own);
	vmem_size_t old = (vmem_size_t)bin << vm->quantum_shift;
	struct vmem_btag *bt;

	if (unlikely(bin == BIN_NONE))
		return (NULL);
	bt = bt_at(vm, *bin_head(vm, bin));
	if (bin >= BIN_EXACT) {
		if (looks > FIT_FIRST_LOOKS)
			return (take_compared(vm, size, looks));
		old = bt_size(vm, bt);
		if (old < size) {
			if ((bin = bins_first(vm, bin + 1)) == BIN_NONE)
				return (take_compared(vm, size, FIT_BEST_LOOKS));
			bt = bt_at(vm, *bin_head(vm, bin));
			old = bt_size(vm, bt);
		}
	}
	return (take_front(vm, bt, bin, old, size, true));
}

struct vmem_btag *
segment_free(vmem_t *vm, struct vmem_btag *bt)
{
	struct vmem_btag *next = bt_at(vm, bt->next);
	struct vmem_btag *before = bt_of_type(vm, bt->prev, BT_FREE);
	vmem_size_t size = next->start - bt->start, old;

	if (unlikely(bt->left != INDEX_OUTSIDE))
		index_leave(vm, bt);
	vm->inuse -= size;
	if (before != NULL) {
		old = bt->start - before->start;
		if (next->type == BT_FREE) {
			vmem_size_t more = bt_size(vm, next);

			leave(vm, next, more);
			drop_tag(vm, next);
			size += more;
		}
		drop_tag(vm, bt);
		grown(vm, before, old, old + size);
		return (before);
	}
	if (next->type == BT_FREE) {
		old = bt_size(vm, next);
		next->start = bt->start;
		drop_tag(vm, bt);
		grown(vm, next, old, old + size);
		return (next);
	}
	enter(vm, bt, size);
	return (bt);
}

/* ---- spans ---------------------------------------------------------------------------------------------- */

/* More free space in [start, start + size) between two tags; it joins a free neighbour. */
static struct vmem_btag *
free_between(vmem_t *vm, vmem_addr_t start, struct vmem_btag *before, struct vmem_btag *after)
{
	struct vmem_btag *bt = new_tag(vm, BT_BUSY, start);

	list_between(vm, bt, before, after);
	vm->inuse += bt_size(vm, bt);
	return (segment_free(vm, bt));
}

/*
 * Where spans are never released, one that touches another becomes part of it (R22): the free space
 * at the seam is one segment, and a request larger than an import finds it.
 */
struct vmem_btag *
span_add(vmem_t *vm, vmem_addr_t addr, vmem_size_t size, enum bt_type type)
{
	struct vmem_btag *below, *above, *end, *bt;
	vmem_addr_t top = addr + size;
	bool joins_below, joins_above;

	if (size == 0 || top < addr)
		return (NULL);
	below = index_span_floor(vm, addr);
	if (below != NULL && !bt_is_span(below))
		return (NULL);
	above = bt_get(vm, below == NULL ? vm->first : below->next);
	if (above != NULL && above->start < top)
		return (NULL);
	joins_below = vm->release == NULL && below != NULL && below->start == addr;
	joins_above = vm->release == NULL && above != NULL && above->start == top;
	if (FAULT(span_tags_block_merging))
		joins_below = joins_above = false;
	vm->size += size;
	if (joins_below && joins_above) {
		/* The gap between two spans: the lower one's end goes. */
		end = bt_get(vm, below->prev);
		index_leave(vm, below);
		vm->nspan--;
		drop_tag(vm, below);
		bt = free_between(vm, addr, end, above);
	} else if (joins_below) {
		/* Its end moves up; no node of the index is in between. */
		struct vmem_btag *last = bt_at(vm, below->prev);
		vmem_size_t old = last->type == BT_FREE ? bt_size(vm, last) : 0;

		below->start = top;
		if (old != 0)
			grown(vm, bt = last, old, bt_size(vm, last));
		else
			bt = free_between(vm, addr, last, below);
	} else if (joins_above) {
		bt = free_between(vm, addr, below, above);
	} else {
		end = new_tag(vm, type, top);
		list_between(vm, end, below, above);
		index_enter(vm, end);
		vm->nspan++;
		bt = free_between(vm, addr, below, end);
	}
	return (bt);
}

struct vmem_btag *
span_of_free(vmem_t *vm, struct vmem_btag *bt)
{
	struct vmem_btag *below = bt_get(vm, bt->prev), *end = bt_at(vm, bt->next);

	if (vm->release == NULL || end->type != BT_SPAN || (below != NULL && !bt_is_span(below)))
		return (NULL);
	return (end);
}

void
span_remove(vmem_t *vm, struct vmem_btag *bt, struct vmem_btag *end)
{
	vmem_size_t size = bt_size(vm, bt);

	vm->size -= size;
	leave(vm, bt, size);
	index_leave(vm, end);
	vm->nspan--;
	drop_tag(vm, bt);
	drop_tag(vm, end);
}
