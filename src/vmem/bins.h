/*
 * The bins of free segments, inline: what a segment's way in and out of them costs, on the common path.
 * bins.c says how they are made, and looks through them. The arena's lock guards it.
 */
#ifndef VMEM_BINS_H
#define VMEM_BINS_H

#include "vmem/vmem_int.h"

/* The bin that a segment of n quanta, n > 0, is on. Without a branch: sizes are anything. */
static inline unsigned
bin_of(vmem_size_t n)
{
	unsigned top = fls_size(n | (BIN_SUBS - 1)) - BIN_BITS;

	return (top << BIN_BITS | (unsigned)(n >> (top - (top != 0)) & (BIN_SUBS - 1)));
}

/* The bins below this one hold one size each, which is their number. */
#define BIN_EXACT (2 * BIN_SUBS)

static inline btref *
bin_head(vmem_t *vm, unsigned bin)
{
	return (&vm->bins.head[bin >> BIN_BITS][bin & (BIN_SUBS - 1)]);
}

/* The bin_prev of a bin's first segment is anything: who comes first is whom the head names. */
static inline void
bins_enter(vmem_t *vm, struct vmem_btag *bt, unsigned bin)
{
	btref *head = bin_head(vm, bin), ref = bt_ref(vm, bt), old = *head;

	*head = ref;
	bt->bin_next = old;
	if (old != 0) {
		bt_at(vm, old)->bin_prev = ref;
		return;
	}
	vm->bins.tops |= (uint64_t)1 << (bin >> BIN_BITS);
	vm->bins.subs[bin >> BIN_BITS] |= (uint16_t)(1u << (bin & (BIN_SUBS - 1)));
}

/* The same for the first of its bin. */
static inline void
bins_pop(vmem_t *vm, struct vmem_btag *bt, unsigned bin)
{
	unsigned top;

	if (likely((*bin_head(vm, bin) = bt->bin_next) != 0))
		return;
	top = bin >> BIN_BITS;
	vm->bins.subs[top] &= (uint16_t) ~(1u << (bin & (BIN_SUBS - 1)));
	if (vm->bins.subs[top] == 0)
		vm->bins.tops &= ~((uint64_t)1 << top);
}

static inline void
bins_leave(vmem_t *vm, struct vmem_btag *bt, unsigned bin)
{
	btref next = bt->bin_next;

	if (*bin_head(vm, bin) == bt_ref(vm, bt)) {
		bins_pop(vm, bt, bin);
		return;
	}
	bt_at(vm, bt->bin_prev)->bin_next = next;
	if (next != 0)
		bt_at(vm, next)->bin_prev = bt->bin_prev;
}

static inline void
bins_insert(vmem_t *vm, struct vmem_btag *bt, vmem_size_t size)
{
	bins_enter(vm, bt, bin_of(size >> vm->quantum_shift));
}

static inline void
bins_remove(vmem_t *vm, struct vmem_btag *bt, vmem_size_t size)
{
	bins_leave(vm, bt, bin_of(size >> vm->quantum_shift));
}

static inline void
bins_resize(vmem_t *vm, struct vmem_btag *bt, vmem_size_t old, vmem_size_t size)
{
	unsigned from = bin_of(old >> vm->quantum_shift), to = bin_of(size >> vm->quantum_shift);

	if (from == to)
		return;
	bins_leave(vm, bt, from);
	bins_enter(vm, bt, to);
}

/* The first non-empty bin at or after `bin`; BIN_NONE: there is none. */
#define BIN_NONE (~0u)
static inline unsigned
bins_first(vmem_t *vm, unsigned bin)
{
	unsigned top = bin >> BIN_BITS, subs;
	uint64_t tops;

	vm->counts.looks++;
	if (unlikely(top >= BIN_TOPS))
		return (BIN_NONE);
	subs = vm->bins.subs[top] & ~0u << (bin & (BIN_SUBS - 1));
	if (subs == 0) {
		tops = vm->bins.tops & ~(((uint64_t)2 << top) - 1);
		if (tops == 0)
			return (BIN_NONE);
		top = (unsigned)__builtin_ctzll(tops);
		subs = vm->bins.subs[top];
	}
	return (top << BIN_BITS | (unsigned)__builtin_ctz(subs));
}

#endif
