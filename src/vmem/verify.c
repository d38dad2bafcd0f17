/*
 * The invariants of an arena, as vmem_int.h states them, checked one by one. For tests and for
 * whoever suspects corruption; the arena is locked, or nobody else is there.
 */
#include "vmem/hash.h"

#define EXPECT(cond)                    \
	do {                            \
		if (!(cond)) {          \
			*why = #cond;   \
			return (false); \
		}                       \
	} while (0)

struct tally {
	unsigned nodes, in_bins;
	unsigned busy, nfree, spans, spare, outside;
	vmem_size_t size, inuse;
	struct vmem_btag *last; /* in the index */
};

/* What a node of the index must know of its subtree. */
static struct prune
node_knows(const vmem_t *vm, const struct vmem_btag *bt)
{
	struct prune p = { 0, 0 };

	if (bt->type == BT_FREE) {
		p = index_prune(vm, bt_size(vm, bt), false);
		if (vm->shape.align != 0)
			p.fit = index_prune(vm,
			    shape_capacity(&vm->shape, bt->start, bt->start + bt_size(vm, bt)),
			    true)
				    .fit;
	}
	for (int i = 0; i < 2; i++) {
		const struct vmem_btag *child = bt_get(vm, i == 0 ? bt->left : bt->right);

		if (child != NULL) {
			p.max = MAX(p.max, child->max);
			p.fit = MAX(p.fit, child->fit);
		}
	}
	return (p);
}

static bool
verify_index(const vmem_t *vm, btref r, btref up, struct tally *t, const char **why)
{
	struct vmem_btag *bt = bt_get(vm, r);
	struct prune p;

	if (bt == NULL)
		return (true);
	EXPECT(bt->up == up);
	if (!verify_index(vm, bt->left, r, t, why))
		return (false);
	EXPECT(bt->type == BT_FREE || bt_is_span(bt));
	EXPECT(t->last == NULL || t->last->start < bt->start ||
	       (t->last->start == bt->start && bt_is_span(t->last) && bt->type == BT_FREE));
	t->last = bt;
	t->nodes++;
	p = node_knows(vm, bt);
	EXPECT(bt->max == p.max && bt->fit == p.fit);
	return (verify_index(vm, bt->right, r, t, why));
}

static bool
verify_bins(const vmem_t *vm, struct tally *t, const char **why)
{
	for (unsigned top = 0; top < BIN_TOPS; top++) {
		EXPECT((vm->bins.subs[top] != 0) == (vm->bins.tops >> top & 1));
		for (unsigned sub = 0; sub < BIN_SUBS; sub++) {
			btref prev = 0, r = vm->bins.head[top][sub];

			EXPECT((r != 0) == (vm->bins.subs[top] >> sub & 1));
			for (; r != 0; prev = r, r = bt_at(vm, r)->bin_next) {
				const struct vmem_btag *bt = bt_at(vm, r);
				vmem_size_t n = bt_size(vm, bt) >> vm->quantum_shift;
				unsigned shift = top == 0 ? 0 : top - 1;

				EXPECT(bt->type == BT_FREE && bt->bin_prev == prev);
				EXPECT(n >> shift == (top == 0 ? sub : BIN_SUBS + sub));
				t->in_bins++;
			}
		}
	}
	return (true);
}

/* Segments fill each span without gaps, by construction; so what is left is their order and kinds. */
static bool
verify_segments(vmem_t *vm, struct tally *t, const char **why)
{
	struct vmem_btag *bt, *prev = NULL;

	for (bt = bt_get(vm, vm->first); bt != NULL; prev = bt, bt = bt_get(vm, bt->next)) {
		EXPECT(bt_get(vm, bt->prev) == prev);
		EXPECT(prev == NULL || prev->start < bt->start ||
		       (prev->start == bt->start && bt_is_span(prev)));
		if (bt_is_span(bt)) {
			EXPECT(prev != NULL && !bt_is_span(prev));
			t->spans++;
			continue;
		}
		EXPECT(bt->next != 0);
		EXPECT(((bt->start | bt_size(vm, bt)) & vm->quantum_mask) == 0);
		t->size += bt_size(vm, bt);
		if (bt->type == BT_BUSY) {
			EXPECT(hash_lookup(vm, bt->start) == bt);
			t->inuse += bt_size(vm, bt);
			t->busy++;
		} else {
			EXPECT(prev == NULL || prev->type != BT_FREE);
			EXPECT(span_of_free(vm, bt) == NULL); /* no import is held for nothing */
			t->nfree++;
			t->outside += bt->up == INDEX_OUTSIDE;
		}
	}
	EXPECT(bt_get(vm, vm->last) == prev);
	return (true);
}

bool
vmem_verify(vmem_t *vm, const char **why)
{
	struct tally t = { 0 };

	if (!verify_segments(vm, &t, why) || !verify_index(vm, vm->root, 0, &t, why) ||
	    !verify_bins(vm, &t, why))
		return (false);
	for (btref r = vm->spare; r != 0; r = bt_at(vm, r)->spare_next)
		t.spare++;
	EXPECT(t.nodes + vm->nunsettled + t.outside == t.nfree + t.spans);
	EXPECT(t.in_bins == t.nfree && (t.outside == 0 || !vm->indexed));
	EXPECT(vm->nbusy == t.busy && vm->nfree == t.nfree && vm->nspan == t.spans);
	EXPECT(vm->nspare == t.spare && vm->size == t.size && vm->inuse == t.inuse);
	return (true);
}
