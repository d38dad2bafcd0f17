/*
 * Free segments by size: lists segregated in two levels, found by bitmaps in constant time.
 *
 * Sizes are counted in quanta. The top level is the power of two, the sub level its 16 equal parts,
 * so that a list's members differ by less than 1/16 and sizes below 32 quanta have a list each. The
 * newest segment comes first. The arena's lock guards it.
 */
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

/* The first bin all of whose members have at least n quanta. */
static inline unsigned
bin_above(vmem_size_t n)
{
	unsigned shift;

	if (n < 2 * BIN_SUBS)
		return (bin_of(n));
	shift = fls_size(n) - BIN_BITS - 1;
	return (bin_of(n) + ((n & (((vmem_size_t)1 << shift) - 1)) != 0));
}

static inline btref *
bin_head(vmem_t *vm, unsigned bin)
{
	return (&vm->bins.head[bin >> BIN_BITS][bin & (BIN_SUBS - 1)]);
}

void
bins_insert(vmem_t *vm, struct vmem_btag *bt, vmem_size_t size)
{
	unsigned bin = bin_of(size >> vm->quantum_shift);
	btref *head = bin_head(vm, bin), ref = bt_ref(vm, bt);

	bt->bin_prev = 0;
	bt->bin_next = *head;
	if (*head != 0)
		bt_at(vm, *head)->bin_prev = ref;
	*head = ref;
	vm->bins.tops |= (uint64_t)1 << (bin >> BIN_BITS);
	vm->bins.subs[bin >> BIN_BITS] |= (uint16_t)(1u << (bin & (BIN_SUBS - 1)));
}

void
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
	top = bin >> BIN_BITS;
	*bin_head(vm, bin) = bt->bin_next;
	if (bt->bin_next != 0)
		return;
	vm->bins.subs[top] &= (uint16_t) ~(1u << (bin & (BIN_SUBS - 1)));
	if (vm->bins.subs[top] == 0)
		vm->bins.tops &= ~((uint64_t)1 << top);
}

void
bins_resize(vmem_t *vm, struct vmem_btag *bt, vmem_size_t old, vmem_size_t size)
{
	if (bin_of(old >> vm->quantum_shift) == bin_of(size >> vm->quantum_shift))
		return;
	bins_remove(vm, bt, old);
	bins_insert(vm, bt, size);
}

/* The head of the first non-empty bin at or after `bin`; *found says which it is. */
static struct vmem_btag *
bins_at(vmem_t *vm, unsigned bin, unsigned *found)
{
	unsigned top = bin >> BIN_BITS, subs;
	uint64_t tops;

	vm->counts.looks++;
	if (top >= BIN_TOPS)
		return (NULL);
	subs = vm->bins.subs[top] & ~0u << (bin & (BIN_SUBS - 1));
	if (subs == 0) {
		tops = vm->bins.tops & ~(((uint64_t)2 << top) - 1);
		if (tops == 0)
			return (NULL);
		top = (unsigned)__builtin_ctzll(tops);
		subs = vm->bins.subs[top];
	}
	*found = top << BIN_BITS | (unsigned)__builtin_ctz(subs);
	return (bt_at(vm, *bin_head(vm, *found)));
}

struct vmem_btag *
bins_fit(vmem_t *vm, vmem_size_t size)
{
	unsigned bin;

	return (bins_at(vm, bin_above(size >> vm->quantum_shift), &bin));
}

struct vmem_btag *
bins_from(vmem_t *vm, vmem_size_t size, unsigned *bin)
{
	return (bins_at(vm, bin_of(size >> vm->quantum_shift), bin));
}

struct vmem_btag *
bins_after(vmem_t *vm, unsigned *bin)
{
	return (bins_at(vm, *bin + 1, bin));
}
