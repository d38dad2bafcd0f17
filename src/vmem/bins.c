/*
 * Free segments by size: lists segregated in two levels, found by bitmaps in constant time.
 *
 * Sizes are counted in quanta. The top level is the power of two, the sub level its 16 equal parts,
 * so that a list's members differ by less than 1/16 and sizes below 32 quanta have a list each. The
 * newest segment comes first. The arena's lock guards it.
 */
#include "vmem/bins.h"

#define LARGEST_LOOKS 64 /* at segments of the last bin, for the largest */

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

/* The head of the first non-empty bin at or after `bin`; *found says which it is. */
static struct vmem_btag *
bins_at(vmem_t *vm, unsigned bin, unsigned *found)
{
	*found = bins_first(vm, bin);
	return (*found == BIN_NONE ? NULL : bt_at(vm, *bin_head(vm, *found)));
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

struct vmem_btag *
bins_plain(vmem_t *vm, vmem_size_t size, unsigned looks, bool *sure)
{
	unsigned own = bin_of(size >> vm->quantum_shift), bin = bins_first(vm, own);
	struct vmem_btag *bt, *best = NULL;
	vmem_size_t tightest = 0;

	*sure = true;
	for (; bin != BIN_NONE; bin = bins_first(vm, bin + 1)) {
		unsigned left = looks;

		bt = bt_at(vm, *bin_head(vm, bin));
		if (bin < BIN_EXACT || (bin != own && bt->bin_next == 0))
			return (bt);
		for (; bt != NULL && left > 0; bt = bt_get(vm, bt->bin_next), left--) {
			vmem_size_t has = bt_size(vm, bt);

			vm->counts.looks++;
			if (has < size || (best != NULL && has >= tightest))
				continue;
			best = bt;
			if ((tightest = has) == size)
				return (bt);
		}
		if (best != NULL)
			return (best);
		*sure = bt == NULL; /* in the bins after its own each one fits */
	}
	return (NULL);
}

vmem_size_t
bins_largest(vmem_t *vm, bool *sure)
{
	unsigned top, bin, left = LARGEST_LOOKS;
	vmem_size_t largest = 0;
	struct vmem_btag *bt;

	*sure = true;
	if (vm->bins.tops == 0)
		return (0);
	top = 63u - (unsigned)__builtin_clzll(vm->bins.tops);
	bin = top << BIN_BITS | (fls_size(vm->bins.subs[top]) - 1);
	if (bin < BIN_EXACT)
		return ((vmem_size_t)bin << vm->quantum_shift);
	for (bt = bt_at(vm, *bin_head(vm, bin)); bt != NULL && left > 0; left--) {
		largest = MAX(largest, bt_size(vm, bt));
		bt = bt_get(vm, bt->bin_next);
	}
	*sure = bt == NULL;
	return (largest);
}
