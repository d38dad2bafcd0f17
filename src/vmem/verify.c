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
	unsigned heads, inside, in_bins;
	unsigned busy, nfree, spans, spare;
	vmem_size_t size, inuse;
	struct vmem_btag *last; /* in the index */
};

/* Is each free segment of the run from bt on within what is known of it? */
static bool
verify_run(const vmem_t *vm, const struct vmem_btag *bt, struct prune k, const char **why)
{
	for (; bt != NULL; bt = bt_get(vm, bt->next)) {
		struct prune own;

		if (bt->type == BT_FREE) {
			own = index_knows(vm, bt);
			EXPECT(own.max <= k.max && own.fit <= k.fit && own.own <= k.own);
		}
		if (bt->next != 0 && index_inside(bt_at(vm, bt->next)))
			break;
	}
	return (true);
}

static bool
verify_index(const vmem_t *vm, btref r, struct prune k, struct tally *t, const char **why)
{
	struct vmem_btag *head = bt_get(vm, r);
	struct prune mine;

	if (head == NULL)
		return (true);
	mine = (struct prune){ head->max, head->fit, head->own };
	EXPECT(index_inside(head) && (!vm->indexed || (mine.max <= k.max && mine.fit <= k.fit)));
	if (!verify_index(vm, head->left, mine, t, why))
		return (false);
	EXPECT(t->last == NULL || t->last->start < head->start ||
	       (t->last->start == head->start && bt_is_span(t->last) && head->type == BT_BUSY));
	t->last = head;
	t->heads++;
	if (vm->indexed && !verify_run(vm, head, mine, why))
		return (false);
	return (verify_index(vm, head->right, mine, t, why));
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

				EXPECT(bt->type == BT_FREE && (prev == 0 || bt->bin_prev == prev));
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
		t->inside += index_inside(bt);
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
		}
	}
	EXPECT(bt_get(vm, vm->last) == prev);
	return (true);
}

bool
vmem_verify(vmem_t *vm, const char **why)
{
	static const struct prune everything = { UINT32_MAX, UINT32_MAX, UINT32_MAX };
	struct vmem_btag *first = bt_get(vm, vm->first);
	struct tally t = { 0 };

	if (!verify_segments(vm, &t, why) || !verify_index(vm, vm->root, everything, &t, why) ||
	    !verify_bins(vm, &t, why))
		return (false);
	if (vm->indexed && first != NULL && !index_inside(first) &&
	    !verify_run(vm, first, vm->front, why))
		return (false);
	for (btref r = vm->spare; r != 0; r = bt_at(vm, r)->spare_next)
		t.spare++;
	EXPECT(t.heads == t.inside && t.in_bins == t.nfree);
	EXPECT(vm->nbusy == t.busy && vm->nfree == t.nfree && vm->nspan == t.spans);
	EXPECT(vm->nspare == t.spare && vm->size == t.size && vm->inuse == t.inuse);
	return (true);
}
