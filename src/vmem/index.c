/*
 * Free segments and span ends by address: a treap whose nodes are the tags.
 *
 * In order of addresses from left to right (a span end before the free segment that starts where the
 * span ends), in order of priority from top to bottom; a tag's priority is a hash of its reference.
 * The expected depth is logarithmic whatever addresses come, and what a segment's start is does not
 * matter to it, so a segment that is clipped or grows stays where it is.
 *
 * Each node knows two things of the subtree under it: the largest free size, and the largest size that
 * fits there in one shape (alignment, phase, line not to be crossed), which is the arena's to choose.
 * A search skips what cannot hold the request. Both are coded in few bits: exact up to 2,047 and 511
 * quanta, and rounded up above by less than 1/1024 and 1/256. A change climbs only as far as it changes
 * what a node knows: two steps or so.
 *
 * Who searches by size alone never comes here (bins.c), and then the index is not kept up, which is most
 * of what a segment would cost: while the arena is not `indexed`, a segment that becomes free stays
 * outside, its `up` OUTSIDE, and one that is inside leaves when it changes. The first search by address
 * after that lets all of them in, as many as there are free segments; each has paid for it by having
 * stayed outside. After QUIET times as many frees without a search the arena is not indexed again.
 *
 * In an indexed arena, too, a segment that has just become free waits outside: most are taken again, or
 * merge, before the next search. The newest UNSETTLED of them wait, on a list through left (newer) and
 * right (older) with `up` WAITING; one too many settles the oldest, a search settles them all. The
 * arena's lock guards everything.
 */
#include "vmem/bins.h"

#define MAX_BITS 10 /* of the mantissa, with 6 of the exponent */
#define FIT_BITS 8

#define QUIET     4   /* frees a free segment, */
#define QUIET_MIN 256 /* and this many more */
#define UNSETTLED 64

static inline uint32_t
priority(btref r)
{
	r ^= r >> 15;
	r *= 0x2c1b3c6du;
	r ^= r >> 12;
	r *= 0x297a2d39u;
	return (r ^ r >> 15);
}

/* Monotonic in n: at least as large for at least as large an n, and 0 for 0. */
static inline uint32_t
code(vmem_size_t n, unsigned bits)
{
	vmem_size_t mantissa;
	unsigned e;

	if (n < (vmem_size_t)1 << bits)
		return ((uint32_t)n);
	e = fls_size(n) - bits - 1;
	mantissa = n >> e;
	if (mantissa << e != n)
		mantissa++; /* up; a carry goes into the exponent by itself */
	return ((uint32_t)(((vmem_size_t)e << bits) + mantissa));
}

/* The largest size with this code of MAX_BITS. */
static vmem_size_t
largest_of_code(const vmem_t *vm, uint32_t c)
{
	vmem_size_t mantissa = (c & (((uint32_t)1 << MAX_BITS) - 1)) | (vmem_size_t)1 << MAX_BITS;

	if (c >> MAX_BITS == 0)
		return ((vmem_size_t)c << vm->quantum_shift);
	return (mantissa << ((c >> MAX_BITS) - 1) << vm->quantum_shift);
}

struct prune
index_prune(const vmem_t *vm, vmem_size_t size, bool shaped)
{
	vmem_size_t n = size >> vm->quantum_shift;

	return ((struct prune){ code(n, MAX_BITS), shaped ? code(n, FIT_BITS) : 0 });
}

/* What the subtree of bt has: its own segment and what its children know. */
static inline struct prune
summary(const vmem_t *vm, const struct vmem_btag *bt)
{
	struct prune s = { 0, 0 };

	if (bt->type == BT_FREE) {
		vmem_addr_t end = bt_at(vm, bt->next)->start;

		s = index_prune(vm, end - bt->start, false);
		if (unlikely(vm->shape.align != 0))
			s.fit =
			    code(shape_capacity(&vm->shape, bt->start, end) >> vm->quantum_shift,
				FIT_BITS);
	}
	for (int side = 0; side < 2; side++) {
		btref r = side == 0 ? bt->left : bt->right;

		if (r != 0) {
			const struct vmem_btag *child = bt_at(vm, r);

			s.max = MAX(s.max, child->max);
			s.fit = MAX(s.fit, child->fit);
		}
	}
	return (s);
}

static void
update(vmem_t *vm, struct vmem_btag *bt)
{
	for (; bt != NULL; bt = bt_get(vm, bt->up)) {
		struct prune s = summary(vm, bt);

		vm->counts.looks++;
		if (s.max == bt->max && s.fit == bt->fit)
			break;
		bt->max = s.max & 0xffff;
		bt->fit = s.fit & 0x3fff;
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
	child->fit = bt->fit;
	s = summary(vm, bt);
	bt->max = s.max & 0xffff;
	bt->fit = s.fit & 0x3fff;
	vm->counts.looks++;
}

static inline bool
before(const struct vmem_btag *a, const struct vmem_btag *b)
{
	return (a->start != b->start ? a->start < b->start : a->type < b->type);
}

/* ---- in and out ------------------------------------------------------------------------------------- */

static void
insert(vmem_t *vm, struct vmem_btag *bt)
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
	bt->max = 0;
	bt->fit = 0;
	update(vm, bt);
	while (bt->up != 0 && priority(bt->up) < mine) {
		up = bt_at(vm, bt->up);
		rotate(vm, up, up->left == ref);
	}
}

/* Take a waiting segment off the list. */
static void
recall(vmem_t *vm, struct vmem_btag *bt)
{
	*(bt->left == 0 ? &vm->newest : &bt_at(vm, bt->left)->right) = bt->right;
	*(bt->right == 0 ? &vm->oldest : &bt_at(vm, bt->right)->left) = bt->left;
	vm->nunsettled--;
}

static void
settle_all_but(vmem_t *vm, unsigned most)
{
	while (vm->nunsettled > most) {
		struct vmem_btag *bt = bt_at(vm, vm->oldest);

		recall(vm, bt);
		insert(vm, bt);
	}
}

/* Nobody has searched by address for long: those that wait stay outside, those inside will leave. */
static NOINLINE void
give_up(vmem_t *vm)
{
	vm->indexed = false;
	while (vm->nunsettled > 0) {
		struct vmem_btag *bt = bt_at(vm, vm->oldest);

		recall(vm, bt);
		bt->up = INDEX_OUTSIDE;
	}
}

/* Each free segment is in a bin; a span end is always inside. */
static NOINLINE void
build(vmem_t *vm)
{
	uint64_t looks = vm->counts.looks;
	unsigned bin;

	vm->indexed = true;
	bin = bins_first(vm, 0);
	for (; bin != BIN_NONE; bin = bins_first(vm, bin + 1)) {
		struct vmem_btag *bt = bt_at(vm, *bin_head(vm, bin));

		for (; bt != NULL; bt = bt_get(vm, bt->bin_next))
			if (bt->up == INDEX_OUTSIDE)
				insert(vm, bt);
	}
	vm->counts.built += vm->counts.looks - looks;
	vm->counts.looks = looks;
}

/* Before a search. */
static inline void
settle(vmem_t *vm)
{
	if (unlikely(!vm->indexed))
		build(vm);
	vm->quiet = 0;
	settle_all_but(vm, 0);
}

void
index_enter(vmem_t *vm, struct vmem_btag *bt)
{
	btref r = bt_ref(vm, bt);

	if (bt->type != BT_FREE) {
		insert(vm, bt);
		return;
	}
	bt->up = INDEX_WAITING;
	bt->left = 0;
	bt->right = vm->newest;
	*(vm->newest == 0 ? &vm->oldest : &bt_at(vm, vm->newest)->left) = r;
	vm->newest = r;
	vm->nunsettled++;
	settle_all_but(vm, UNSETTLED);
	if (unlikely(++vm->quiet > QUIET * vm->nfree + QUIET_MIN))
		give_up(vm);
}

void
index_leave(vmem_t *vm, struct vmem_btag *bt)
{
	btref child, *link;

	if (bt->up == INDEX_WAITING) {
		recall(vm, bt);
		return;
	}
	while (bt->left != 0 && bt->right != 0)
		rotate(vm, bt, priority(bt->left) > priority(bt->right));
	child = bt->left != 0 ? bt->left : bt->right;
	link = holder(vm, bt);
	*link = child;
	if (child != 0)
		bt_at(vm, child)->up = bt->up;
	update(vm, bt_get(vm, bt->up));
}

void
index_change(vmem_t *vm, struct vmem_btag *bt)
{
	if (bt->up == INDEX_WAITING)
		return;
	if (vm->indexed) {
		update(vm, bt);
		return;
	}
	index_leave(vm, bt);
	bt->up = INDEX_OUTSIDE;
}

struct vmem_btag *
index_floor(vmem_t *vm, vmem_addr_t addr)
{
	settle(vm);
	return (index_span_floor(vm, addr));
}

struct vmem_btag *
index_span_floor(vmem_t *vm, vmem_addr_t addr)
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

	return (bt != NULL && bt->max >= p.max && bt->fit >= p.fit);
}

bool
index_may(vmem_t *vm, struct prune p)
{
	settle(vm);
	vm->counts.looks++;
	return (may(vm, vm->root, p));
}

struct vmem_btag *
index_first(vmem_t *vm, struct prune p)
{
	btref r;

	if (!index_may(vm, p))
		return (NULL);
	r = vm->root;
	for (; may(vm, bt_at(vm, r)->left, p); r = bt_at(vm, r)->left)
		vm->counts.looks++;
	return (bt_at(vm, r));
}

struct vmem_btag *
index_last(vmem_t *vm, struct prune p)
{
	btref r;

	if (!index_may(vm, p))
		return (NULL);
	r = vm->root;
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
 * The size of the largest free segment. Above 2,047 quanta, sizes that differ by less than 1/1024 share
 * a code, and then the segments that have it are compared.
 */
vmem_size_t
index_largest(vmem_t *vm)
{
	struct vmem_btag *bt;
	vmem_size_t largest;
	struct prune p;
	bool sure;

	largest = bins_largest(vm, &sure);
	if (sure)
		return (largest);
	settle(vm);
	bt = bt_get(vm, vm->root);
	if (bt == NULL || bt->max == 0)
		return (0);
	p = (struct prune){ bt->max, 0 };
	for (bt = index_first(vm, p); bt != NULL && largest < largest_of_code(vm, p.max);
	     bt = index_next(vm, bt, p))
		if (bt->type == BT_FREE)
			largest = MAX(largest, bt_size(vm, bt));
	return (largest);
}

void
index_reshape(vmem_t *vm, struct shape shape)
{
	static const struct prune everything = { 0, 0 };
	struct vmem_btag *bt, *up;

	vm->shape = shape;
	vm->strange = 0;
	vm->counts.shapes++;
	/* Children before their parents: left, right, itself. */
	bt = index_first(vm, everything);
	while (bt != NULL) {
		struct prune s;

		while (bt->left != 0 || bt->right != 0)
			bt = bt_at(vm, bt->left != 0 ? bt->left : bt->right);
		for (;;) {
			s = summary(vm, bt);
			bt->fit = s.fit & 0x3fff;
			up = bt_get(vm, bt->up);
			if (up == NULL)
				return;
			if (bt_ref(vm, bt) == up->left && up->right != 0)
				break;
			bt = up;
		}
		bt = bt_at(vm, up->right);
	}
}
