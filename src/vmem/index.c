/*
 * The arena by address: a treap over some of the busy tags, for runs of neighbouring segments.
 *
 * HEADS are span ends, all of them, and busy tags whose reference hashes to a multiple of INDEX_RUN. A
 * head leads a run: itself and the tags after it up to the next head; what comes before the first head is
 * the arena's front run. So the index takes no memory of its own: a busy tag has room for two links where a
 * free one has its place in a bin, a free one is no head, and no two of those are neighbours. Runs are as
 * long as chance will have it, INDEX_RUN tags on average and twice that where one looks.
 *
 * In order of addresses from left to right (a span end before the segment that starts where the span
 * ends), in order of priority from top to bottom; a tag's priority is a hash of its reference. The
 * expected depth is logarithmic whatever addresses come. Whoever looks for a head knows its start, so a
 * head need not know its parent.
 *
 * Each head KNOWS three things: the largest free size in the runs of the subtree under it at most; the
 * largest size at most that fits there in one shape (alignment, phase, line not to be crossed), which is
 * the arena's to choose; and the largest free size in its own run at most. A search skips what
 * cannot hold the request. All are bounds from above: what grows raises them at once, on its way
 * from the root; what shrinks leaves them, and the search that is led astray by it sets them right. So each
 * change is paid for once. They are coded in few bits: exact up to 255, 63 and 3 quanta, and rounded up above
 * by less than 1/128, 1/32 and 1/2; beyond 2^32 quanta all sizes are one.
 *
 * Who searches by size alone never comes here (bins.c), and then the index is not kept up: while the arena
 * is not `indexed`, nobody enters, what heads know may be wrong, and those inside leave when they are
 * freed. The first search by address after that lets all heads in, in as many steps as there are tags, which
 * the frees meanwhile have paid for. After as many frees without a search as there are tags the arena is not
 * indexed again. The arena's lock guards everything.
 */
#include "vmem/bins.h"

#define INDEX_RUN 4u /* a power of two */
#define QUIET_MIN 256
#define PATH_MAX  64u

#define MAX_BITS 7 /* of the mantissa, with 5 of the exponent */
#define FIT_BITS 5
#define OWN_BITS 1

static inline uint32_t
hash_of(btref r)
{
	r ^= r >> 15;
	r *= 0x2c1b3c6du;
	r ^= r >> 12;
	r *= 0x297a2d39u;
	return (r ^ r >> 15);
}

/* A head's is compared above the bits that make it one. */
static inline uint32_t
priority(btref r)
{
	return (hash_of(r));
}

/* ---- what heads know ------------------------------------------------------------------------------ */

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
	return (MIN(((uint32_t)e << bits) + (uint32_t)mantissa, (32u << bits) - 1));
}

struct prune
index_prune(const vmem_t *vm, vmem_size_t size, bool shaped)
{
	vmem_size_t n = size >> vm->quantum_shift;

	return (
	    (struct prune){ code(n, MAX_BITS), shaped ? code(n, FIT_BITS) : 0, code(n, OWN_BITS) });
}

/* The largest sizes met so far. */
struct largest {
	vmem_size_t plain, shaped;
};

static inline void
meet(const vmem_t *vm, const struct vmem_btag *bt, struct largest *l)
{
	vmem_addr_t end = bt_at(vm, bt->next)->start;
	vmem_size_t size = end - bt->start;

	l->plain = MAX(l->plain, size);
	if (unlikely(vm->shape.align != 0) && size > l->shaped) {
		size = shape_capacity(&vm->shape, bt->start, end);
		l->shaped = MAX(l->shaped, size);
	}
}

static inline struct prune
codes(const vmem_t *vm, const struct largest *l)
{
	struct prune k = index_prune(vm, l->plain, false);

	if (unlikely(vm->shape.align != 0))
		k.fit = code(l->shaped >> vm->quantum_shift, FIT_BITS);
	return (k);
}

struct prune
index_knows(const vmem_t *vm, const struct vmem_btag *bt)
{
	struct largest l = { 0, 0 };

	meet(vm, bt, &l);
	return (codes(vm, &l));
}

static inline void
more(struct prune *k, struct prune other)
{
	k->max = MAX(k->max, other.max);
	k->fit = MAX(k->fit, other.fit);
	k->own = MAX(k->own, other.own);
}

/* What the subtree has; of its own run nothing is said. */
static inline struct prune
known(const struct vmem_btag *head)
{
	return ((struct prune){ head->max, head->fit, 0 });
}

static inline void
know(struct vmem_btag *head, struct prune k)
{
	head->max = k.max & 0xfff;
	head->fit = k.fit & 0x3ff;
	head->own = k.own & 0x3f;
}

/* The subtree has k, too; its own run has not. True: that was news. */
static inline bool
raise(struct vmem_btag *head, struct prune k)
{
	if (k.max <= head->max && k.fit <= head->fit)
		return (false);
	more(&k, known(head));
	k.own = head->own;
	know(head, k);
	return (true);
}

/* The next tag of the run that bt is in; NULL: bt is its last. */
static inline struct vmem_btag *
run_next(const vmem_t *vm, const struct vmem_btag *bt)
{
	struct vmem_btag *next = bt_get(vm, bt->next);

	return (next == NULL || index_inside(next) ? NULL : next);
}

static struct prune
run_knows(vmem_t *vm, const struct vmem_btag *bt)
{
	struct largest l = { 0, 0 };

	for (; bt != NULL; bt = run_next(vm, bt)) {
		vm->counts.looks++;
		if (bt->type == BT_FREE)
			meet(vm, bt, &l);
	}
	return (codes(vm, &l));
}

/* The first tag of the front run; NULL: it is empty. */
static inline struct vmem_btag *
front_run(const vmem_t *vm)
{
	struct vmem_btag *bt = bt_get(vm, vm->first);

	return (bt == NULL || index_inside(bt) ? NULL : bt);
}

/* All that is known, anew and exactly. */
static struct prune
learn(vmem_t *vm, btref r)
{
	struct prune k = { 0, 0, 0 };
	struct vmem_btag *head;
	uint32_t own;

	if (r == 0)
		return (k);
	head = bt_at(vm, r);
	k = run_knows(vm, head);
	own = k.own;
	more(&k, learn(vm, head->left));
	more(&k, learn(vm, head->right));
	k.own = own;
	know(head, k);
	return (k);
}

static void
learn_all(vmem_t *vm)
{
	vm->front = run_knows(vm, front_run(vm));
	(void)learn(vm, vm->root);
}

/* ---- in and out ------------------------------------------------------------------------------------- */

static inline bool
before(const struct vmem_btag *a, const struct vmem_btag *b)
{
	return (a->start != b->start ? a->start < b->start : a->type < b->type);
}

/* A head that brings k to the runs above it. What a subtree that parts knew stays a bound for its parts. */
static void
insert(vmem_t *vm, struct vmem_btag *bt, struct prune k)
{
	btref *link = &vm->root, ref = bt_ref(vm, bt), r, *left, *right;
	uint32_t mine = priority(ref);
	struct vmem_btag *head;

	while (*link != 0 && priority(*link) >= mine) {
		head = bt_at(vm, *link);
		vm->counts.looks++;
		(void)raise(head, k);
		link = before(bt, head) ? &head->left : &head->right;
	}
	r = *link;
	*link = ref;
	if (r != 0)
		more(&k, known(bt_at(vm, r)));
	know(bt, k);
	left = &bt->left;
	right = &bt->right;
	while (r != 0) {
		head = bt_at(vm, r);
		vm->counts.looks++;
		if (before(head, bt)) {
			*left = r;
			left = &head->right;
			r = *left;
		} else {
			*right = r;
			right = &head->left;
			r = *right;
		}
	}
	*left = *right = 0;
}

static void
take_out(vmem_t *vm, struct vmem_btag *bt)
{
	btref *link = &vm->root, ref = bt_ref(vm, bt), left = bt->left, right = bt->right;
	struct vmem_btag *head;

	while (*link != ref) {
		head = bt_at(vm, *link);
		vm->counts.looks++;
		link = before(bt, head) ? &head->left : &head->right;
	}
	while (left != 0 && right != 0) {
		vm->counts.looks++;
		if (priority(left) > priority(right)) {
			head = bt_at(vm, *link = left);
			(void)raise(head, known(bt_at(vm, right)));
			link = &head->right;
			left = *link;
		} else {
			head = bt_at(vm, *link = right);
			(void)raise(head, known(bt_at(vm, left)));
			link = &head->left;
			right = *link;
		}
	}
	*link = left != 0 ? left : right;
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

/*
 * The run that addr is in has k: its head and those above it learn that, up to the first who knows as
 * much. Of a path too long to remember those at its end are told beforehand, whether it concerns
 * them or not: a bound too high does no harm.
 */
static void
raise_at(vmem_t *vm, vmem_addr_t addr, struct prune k)
{
	struct vmem_btag *path[PATH_MAX], *bt = bt_get(vm, vm->root), *head = NULL;
	unsigned depth = 0, above = 0;

	while (bt != NULL) {
		vm->counts.looks++;
		if (depth < PATH_MAX)
			path[depth++] = bt;
		else
			(void)raise(bt, k);
		if (bt->start <= addr) {
			head = bt;
			above = depth;
			bt = bt_get(vm, bt->right);
		} else
			bt = bt_get(vm, bt->left);
	}
	if (head == NULL) {
		more(&vm->front, k);
		return;
	}
	if (k.own > head->own)
		head->own = k.own & 0x3f;
	while (above > 0 && raise(path[above - 1], k))
		above--;
}

static inline bool
may_lead(const vmem_t *vm, const struct vmem_btag *bt)
{
	return (bt_is_span(bt) || hash_of(bt_ref(vm, bt)) % INDEX_RUN == 0);
}

void
index_enter(vmem_t *vm, struct vmem_btag *bt)
{
	if (may_lead(vm, bt))
		insert(vm, bt, vm->indexed ? run_knows(vm, bt) : (struct prune){ 0, 0, 0 });
}

void
index_leave(vmem_t *vm, struct vmem_btag *bt)
{
	struct prune k = { 0, 0, 0 };

	if (vm->indexed)
		k = run_knows(vm, bt);
	take_out(vm, bt);
	bt->left = INDEX_OUTSIDE;
	if (k.max != 0)
		raise_at(vm, bt->start, k);
}

void
index_grown(vmem_t *vm, struct vmem_btag *bt)
{
	raise_at(vm, bt->start, index_knows(vm, bt));
	/* Nobody has searched by address for long. */
	if (unlikely(++vm->quiet > vm->nfree + vm->nbusy + QUIET_MIN))
		vm->indexed = false;
}

static NOINLINE void
build(vmem_t *vm)
{
	uint64_t looks = vm->counts.looks;
	struct vmem_btag *bt;

	for (bt = bt_get(vm, vm->first); bt != NULL; bt = bt_get(vm, bt->next))
		if (bt->type == BT_BUSY && bt->left == INDEX_OUTSIDE)
			index_enter(vm, bt);
	vm->indexed = true;
	learn_all(vm);
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
}

struct vmem_btag *
index_floor(vmem_t *vm, vmem_addr_t addr)
{
	settle(vm);
	return (index_span_floor(vm, addr));
}

void
index_reshape(vmem_t *vm, struct shape shape)
{
	vm->shape = shape;
	vm->strange = 0;
	vm->counts.shapes++;
	settle(vm);
	learn_all(vm);
}

/* ---- walks that skip -------------------------------------------------------------------------------- */

static inline bool
may(struct prune k, const struct index_walk *w)
{
	return (k.max >= w->prune.max && k.fit >= w->prune.fit);
}

/*
 * Show w the free segments of a run; true: it wants no more. *k, if it does not get enough: what the run
 * has.
 */
static bool
walk_run(struct index_walk *w, struct vmem_btag *first, struct prune *k)
{
	struct largest l = { 0, 0 };
	struct vmem_btag *bt = first, *next;

	for (;; bt = next) {
		w->vm->counts.looks++;
		if (bt->type == BT_FREE) {
			meet(w->vm, bt, &l);
			if (!w->down && w->look(w, bt))
				return (true);
		}
		if ((next = run_next(w->vm, bt)) == NULL)
			break;
	}
	*k = codes(w->vm, &l);
	if (!w->down)
		return (false);
	for (;; bt = bt_at(w->vm, bt->prev)) {
		if (bt->type == BT_FREE && w->look(w, bt))
			return (true);
		if (bt == first)
			return (false);
	}
}

static bool
walk_front(struct index_walk *w)
{
	struct vmem_btag *first = front_run(w->vm);
	struct prune k = { 0, 0, 0 };

	if (first == NULL || !may(w->vm->front, w))
		return (false);
	if (walk_run(w, first, &k))
		return (true);
	w->vm->front = k;
	return (false);
}

/* What a run has at most whose largest free size has this code. */
static inline struct prune
own_at_most(uint32_t own)
{
	uint64_t n = own;

	if (own >> OWN_BITS != 0)
		n = (uint64_t)(own % (1u << OWN_BITS) + (1u << OWN_BITS))
		    << ((own >> OWN_BITS) - 1);
	n = MIN(n, (vmem_size_t)-1);
	return (
	    (struct prune){ code((vmem_size_t)n, MAX_BITS), code((vmem_size_t)n, FIT_BITS), own });
}

/* As deep as the treap. */
static bool
walk_tree(struct index_walk *w, btref r)
{
	struct vmem_btag *head;
	struct prune k = { 0, 0, 0 };
	bool low, high; /* head lies below, above what is asked for */
	uint32_t own = 0;

	if (r == 0)
		return (false);
	head = bt_at(w->vm, r);
	w->vm->counts.looks++;
	if (!may(known(head), w))
		return (false);
	low = w->lo != NULL && before(head, w->lo);
	high = w->hi != NULL && before(w->hi, head);
	if (w->down ? !high && walk_tree(w, head->right)
		    : !low && head != w->lo && walk_tree(w, head->left))
		return (true);
	if (!low && !high) {
		own = head->own;
		if (own < w->prune.own)
			k = own_at_most(own);
		else if (walk_run(w, head, &k))
			return (true);
		else
			own = k.own;
	}
	if (w->down ? !low && head != w->lo && walk_tree(w, head->left)
		    : !high && walk_tree(w, head->right))
		return (true);
	if (low || high)
		return (false);
	/* Nothing here: know why. */
	if (head->left != 0)
		more(&k, known(bt_at(w->vm, head->left)));
	if (head->right != 0)
		more(&k, known(bt_at(w->vm, head->right)));
	k.max = MIN(k.max, head->max);
	k.fit = MIN(k.fit, head->fit);
	k.own = own;
	know(head, k);
	return (false);
}

bool
index_walk(vmem_t *vm, struct index_walk *w)
{
	bool tree = true;

	settle(vm);
	w->vm = vm;
	w->lo = w->from == VMEM_ADDR_MIN ? NULL : index_span_floor(vm, w->from);
	w->hi = NULL;
	if (w->to != VMEM_ADDR_MAX)
		tree = (w->hi = index_span_floor(vm, w->to)) != NULL;
	if (w->lo == NULL && !w->down && walk_front(w))
		return (true);
	if (tree && walk_tree(w, vm->root))
		return (true);
	return (w->lo == NULL && w->down && walk_front(w));
}

struct largest_search {
	struct index_walk walk;
	vmem_size_t size;
};

static bool
look_for_larger(struct index_walk *w, struct vmem_btag *bt)
{
	struct largest_search *l = (struct largest_search *)w;
	vmem_size_t size = bt_size(w->vm, bt);

	if (size > l->size) {
		l->size = size;
		w->prune = index_prune(w->vm, size + w->vm->quantum_mask + 1, false);
	}
	return (false);
}

/* The size of the largest free segment. */
vmem_size_t
index_largest(vmem_t *vm)
{
	struct largest_search l = { .walk = { .to = VMEM_ADDR_MAX, .look = look_for_larger } };
	bool sure;

	l.size = bins_largest(vm, &sure);
	if (sure)
		return (l.size);
	l.walk.prune = index_prune(vm, l.size + vm->quantum_mask + 1, false);
	(void)index_walk(vm, &l.walk);
	return (l.size);
}
