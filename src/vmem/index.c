/*
 * Free segments and span ends by address: a treap whose nodes are the tags.
 *
 * In order of addresses from left to right (a span end before the free segment that starts where the
 * span ends), in order of priority from top to bottom; a tag's priority is a hash of its reference.
 * The expected depth is logarithmic whatever addresses come, and what a segment's start is does not
 * matter to it, so a segment that is clipped or grows stays where it is.
 *
 * Each node knows two things of the subtree under it: the largest free size (coded in 22 bits, exact
 * up to 65,536 quanta and rounded up above), and the best alignment that an address inside one of its
 * free segments has. A search skips what cannot hold the request. A change climbs only as far as it
 * changes what a node knows: two steps or so. The arena's lock guards it.
 */
#include "vmem/vmem_int.h"

#define CODE_BITS 16 /* of the mantissa */

static inline uint32_t
priority(btref r)
{
	r ^= r >> 15;
	r *= 0x2c1b3c6du;
	r ^= r >> 12;
	r *= 0x297a2d39u;
	return (r ^ r >> 15);
}

/* Monotonic in size: at least as large for at least as large a size, and 0 for 0. */
uint32_t
size_code(const vmem_t *vm, vmem_size_t size)
{
	vmem_size_t n = size >> vm->quantum_shift, mantissa;
	unsigned e;

	if (n < (vmem_size_t)1 << CODE_BITS)
		return ((uint32_t)n);
	e = fls_size(n) - CODE_BITS - 1;
	mantissa = n >> e;
	if (mantissa << e != n)
		mantissa++; /* up; a carry goes into the exponent by itself */
	return ((uint32_t)(((vmem_size_t)e << CODE_BITS) + mantissa));
}

/* The largest size with this code. */
static vmem_size_t
code_size(const vmem_t *vm, uint32_t code)
{
	vmem_size_t mantissa = (code & (((uint32_t)1 << CODE_BITS) - 1)) | (vmem_size_t)1
									       << CODE_BITS;

	if (code >> CODE_BITS == 0)
		return ((vmem_size_t)code << vm->quantum_shift);
	return (mantissa << ((code >> CODE_BITS) - 1) << vm->quantum_shift);
}

/* log2 of the best alignment of an address in [start, end). */
static inline uint32_t
best_level(vmem_addr_t start, vmem_addr_t end)
{
	return (start == 0 ? 8 * sizeof(vmem_addr_t) - 1 : fls_size((start - 1) ^ (end - 1)) - 1);
}

/* What the subtree of bt has: its own segment and what its children know. */
static inline struct prune
summary(const vmem_t *vm, const struct vmem_btag *bt)
{
	struct prune s = { 0, 0 };

	if (bt->type == BT_FREE) {
		vmem_addr_t end = bt_at(vm, bt->next)->start;

		s.max = size_code(vm, end - bt->start);
		s.level = best_level(bt->start, end);
	}
	for (int side = 0; side < 2; side++) {
		btref r = side == 0 ? bt->left : bt->right;

		if (r != 0) {
			const struct vmem_btag *child = bt_at(vm, r);

			s.max = MAX(s.max, child->max);
			s.level = MAX(s.level, child->level);
		}
	}
	return (s);
}

void
index_update(vmem_t *vm, struct vmem_btag *bt)
{
	for (; bt != NULL; bt = bt_get(vm, bt->up)) {
		struct prune s = summary(vm, bt);

		vm->counts.looks++;
		if (s.max == bt->max && s.level == bt->level)
			break;
		bt->max = s.max;
		bt->level = s.level;
	}
}

/* The link that holds bt. */
static inline btref *
holder(vmem_t *vm, struct vmem_btag *bt)
{
	struct vmem_btag *up = bt_get(vm, bt->up);

	if (up == NULL)
		return (&vm->root);
	return (up->left == bt_ref(vm, bt) ? &up->left : &up->right);
}

/* Turn bt's child up into bt's place; both know what is true afterwards. */
static void
rotate(vmem_t *vm, struct vmem_btag *bt, bool left_child)
{
	btref *link = holder(vm, bt), self = bt_ref(vm, bt), moved;
	struct vmem_btag *child = bt_at(vm, left_child ? bt->left : bt->right);
	struct prune s;

	*link = bt_ref(vm, child);
	child->up = bt->up;
	bt->up = *link;
	if (left_child) {
		moved = bt->left = child->right;
		child->right = self;
	} else {
		moved = bt->right = child->left;
		child->left = self;
	}
	if (moved != 0)
		bt_at(vm, moved)->up = self;
	child->max = bt->max;
	child->level = bt->level;
	s = summary(vm, bt);
	bt->max = s.max;
	bt->level = s.level;
	vm->counts.looks++;
}

static inline bool
before(const struct vmem_btag *a, const struct vmem_btag *b)
{
	return (a->start != b->start ? a->start < b->start : a->type < b->type);
}

void
index_insert(vmem_t *vm, struct vmem_btag *bt)
{
	btref *link = &vm->root, ref = bt_ref(vm, bt);
	struct vmem_btag *up = NULL;
	uint32_t mine = priority(ref);

	while (*link != 0) {
		up = bt_at(vm, *link);
		vm->counts.looks++;
		link = before(bt, up) ? &up->left : &up->right;
	}
	*link = ref;
	bt->up = up == NULL ? 0 : bt_ref(vm, up);
	bt->left = bt->right = 0;
	bt->max = bt->level = 0;
	index_update(vm, bt);
	while (bt->up != 0 && priority(bt->up) < mine) {
		up = bt_at(vm, bt->up);
		rotate(vm, up, up->left == ref);
	}
}

void
index_remove(vmem_t *vm, struct vmem_btag *bt)
{
	btref child, *link;

	while (bt->left != 0 && bt->right != 0)
		rotate(vm, bt, priority(bt->left) > priority(bt->right));
	child = bt->left != 0 ? bt->left : bt->right;
	link = holder(vm, bt);
	*link = child;
	if (child != 0)
		bt_at(vm, child)->up = bt->up;
	index_update(vm, bt_get(vm, bt->up));
}

struct vmem_btag *
index_floor(vmem_t *vm, vmem_addr_t addr)
{
	struct vmem_btag *bt = bt_get(vm, vm->root), *found = NULL;

	while (bt != NULL) {
		vm->counts.looks++;
		if (bt->start <= addr) {
			found = bt;
			bt = bt_get(vm, bt->right);
		} else
			bt = bt_get(vm, bt->left);
	}
	return (found);
}

/* ---- walks that skip --------------------------------------------------------------------------------
 * First, last, next and prev return every node that may hold the request and some that do not.
 */

static inline bool
may(const vmem_t *vm, btref r, struct prune p)
{
	const struct vmem_btag *bt = bt_get(vm, r);

	return (bt != NULL && bt->max >= p.max && bt->level >= p.level);
}

struct vmem_btag *
index_first(vmem_t *vm, struct prune p)
{
	btref r = vm->root;

	if (!may(vm, r, p))
		return (NULL);
	for (; may(vm, bt_at(vm, r)->left, p); r = bt_at(vm, r)->left)
		vm->counts.looks++;
	return (bt_at(vm, r));
}

struct vmem_btag *
index_last(vmem_t *vm, struct prune p)
{
	btref r = vm->root;

	if (!may(vm, r, p))
		return (NULL);
	for (; may(vm, bt_at(vm, r)->right, p); r = bt_at(vm, r)->right)
		vm->counts.looks++;
	return (bt_at(vm, r));
}

struct vmem_btag *
index_next(vmem_t *vm, struct vmem_btag *bt, struct prune p)
{
	btref r = bt->right;

	vm->counts.looks++;
	if (may(vm, r, p)) {
		for (; may(vm, bt_at(vm, r)->left, p); r = bt_at(vm, r)->left)
			vm->counts.looks++;
		return (bt_at(vm, r));
	}
	for (r = bt_ref(vm, bt); bt->up != 0; r = bt_ref(vm, bt)) {
		vm->counts.looks++;
		bt = bt_at(vm, bt->up);
		if (bt->left == r)
			return (bt);
	}
	return (NULL);
}

struct vmem_btag *
index_prev(vmem_t *vm, struct vmem_btag *bt, struct prune p)
{
	btref r = bt->left;

	vm->counts.looks++;
	if (may(vm, r, p)) {
		for (; may(vm, bt_at(vm, r)->right, p); r = bt_at(vm, r)->right)
			vm->counts.looks++;
		return (bt_at(vm, r));
	}
	for (r = bt_ref(vm, bt); bt->up != 0; r = bt_ref(vm, bt)) {
		vm->counts.looks++;
		bt = bt_at(vm, bt->up);
		if (bt->right == r)
			return (bt);
	}
	return (NULL);
}

/*
 * The size of the largest free segment. Above 65,536 quanta, sizes that differ by less than 1/65,536
 * share a code, and then all segments that have it are compared.
 */
vmem_size_t
index_largest(vmem_t *vm)
{
	struct vmem_btag *bt = bt_get(vm, vm->root);
	vmem_size_t largest = 0;
	struct prune p;

	if (bt == NULL || bt->max == 0)
		return (0);
	p = (struct prune){ bt->max, 0 };
	for (bt = index_first(vm, p); bt != NULL && largest < code_size(vm, p.max);
	     bt = index_next(vm, bt, p))
		if (bt->type == BT_FREE)
			largest = MAX(largest, bt_size(vm, bt));
	return (largest);
}
