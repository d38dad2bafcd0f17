/*
 * The bins of free segments, inline: what a segment's way in and out of them costs, on the common path.
 * bins.c says how they are made, and looks through them. The arena's lock guards it.
 */
#ifndef VMEM_BINS_H
#define VMEM_BINS_H

#include "vmem/vmem_int.h"

/* The bin that a segment of n quanta, n > 0, is on. */
static inline unsigned
bin_of(vmem_size_t n)
{
	unsigned top;

	if (n < BIN_SUBS)
		return ((unsigned)n);
	top = fls_size(n) - BIN_BITS; /* >= 1 */
	return (top << BIN_BITS | (unsigned)(n >> (top - 1) & (BIN_SUBS - 1)));
}

/* The bins below this one hold one size each, which is their number. */
#define BIN_EXACT (2 * BIN_SUBS)

static inline btref *
bin_head(vmem_t *vm, unsigned bin)
{
	return (&vm->bins.head[bin >> BIN_BITS][bin & (BIN_SUBS - 1)]);
}

static inline void
bins_insert(vmem_t *vm, struct vmem_btag *bt, vmem_size_t size)
{
	unsigned bin = bin_of(size >> vm->quantum_shift);
	btref *head = bin_head(vm, bin), ref = bt_ref(vm, bt);

	bt->bin_prev = 0;
	bt->bin_next = *head;
	if (*head != 0)
		bt_at(vm, *head)->bin_prev = ref;
	else {
		vm->bins.tops |= (uint64_t)1 << (bin >> BIN_BITS);
		vm->bins.subs[bin >> BIN_BITS] |= (uint16_t)(1u << (bin & (BIN_SUBS - 1)));
	}
	*head = ref;
}

static inline void
bins_remove(vmem_t *vm, struct vmem_btag *bt, vmem_size_t size)
{
	unsigned bin, top;

	if (bt->bin_next != 0)
		bt_at(vm, bt->bin_next)->bin_prev = bt->bin_prev;
	if (bt->bin_prev != 0) {
		bt_at(vm, bt->bin_prev)->bin_next = bt->bin_next;
		return;
	}
	bin = bin_of(size >> vm->quantum_shift);
	*bin_head(vm, bin) = bt->bin_next;
	if (likely(bt->bin_next != 0))
		return;
	top = bin >> BIN_BITS;
	vm->bins.subs[top] &= (uint16_t) ~(1u << (bin & (BIN_SUBS - 1)));
	if (vm->bins.subs[top] == 0)
		vm->bins.tops &= ~((uint64_t)1 << top);
}

static inline void
bins_resize(vmem_t *vm, struct vmem_btag *bt, vmem_size_t old, vmem_size_t size)
{
	if (bin_of(old >> vm->quantum_shift) == bin_of(size >> vm->quantum_shift))
		return;
	bins_remove(vm, bt, old);
	bins_insert(vm, bt, size);
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
