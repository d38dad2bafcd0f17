#include <stdlib.h>
#include <string.h>

#include "arena.h"

/* ---- tags ------------------------------------------------------------------------------------------ */

static struct vmem_btag *
pool_alloc(struct tag_source *ts, int flags)
{
	struct pool *p = (struct pool *)ts;
	struct vmem_btag *bt = NULL;

	machine_lock(&p->lock);
	p->asked++;
	if (flags & M_USE_RESERVE)
		p->reserved++;
	if (p->left > 0 && !(p->no_slab && (flags & M_NOVM)) &&
	    !((flags & M_NOWAIT) && inject_failure())) {
		bt = p->free;
		if (bt != NULL)
			p->free = *(struct vmem_btag **)bt;
		else
			bt = &p->array[p->used++];
		TEST_MUST(p->used <= p->size);
		p->left--;
		p->out++;
	}
	machine_unlock(&p->lock);
	return (bt);
}

static void
pool_free(struct tag_source *ts, struct vmem_btag *bt)
{
	struct pool *p = (struct pool *)ts;

	machine_lock(&p->lock);
	*(struct vmem_btag **)bt = p->free;
	p->free = bt;
	p->left++;
	p->out--;
	machine_unlock(&p->lock);
}

struct pool *
pool_new(unsigned size)
{
	struct pool *p = calloc(1, sizeof(*p));

	p->source.alloc = pool_alloc;
	p->source.free = pool_free;
	p->array = calloc(size, sizeof(*p->array));
	p->size = p->left = size;
	return (p);
}

void
pool_delete(struct pool *p)
{
	TEST_MUST(p->out == 0);
	free(p->array);
	free(p);
}

vmem_t *
arena_new(struct pool *p, const char *name, vmem_addr_t base, vmem_size_t size, vmem_size_t quantum)
{
	vmem_t *vm = vmem_create(name, 0, 0, quantum, 0, M_WAITOK);

	TEST_MUST(vm != NULL);
	vmem_set_tags(vm, &p->source);
	if (size != 0)
		TEST_MUST(vmem_add(vm, base, size, M_WAITOK) == 0);
	return (vm);
}

/* ---- tables ---------------------------------------------------------------------------------------- */

bool table_dry;
int tables_out;

static void *
table_alloc(size_t bytes)
{
	if (table_dry)
		return (NULL);
	__atomic_add_fetch(&tables_out, 1, __ATOMIC_RELAXED);
	return (malloc(bytes));
}

static void
table_free(void *memory, size_t bytes)
{
	memset(memory, 0xee, bytes);
	__atomic_sub_fetch(&tables_out, 1, __ATOMIC_RELAXED);
	free(memory);
}

void
tables_start(void)
{
	static const struct table_memory memory = { table_alloc, table_free };

	vmem_set_table_memory(&memory);
}

/* ---- the check -------------------------------------------------------------------------------------- */

struct tally {
	unsigned nodes, in_bins;
	vmem_addr_t last_start;
	bool any, last_free;
};

/* Order, priorities of no interest; what each node knows must be what is true. */
static void
check_index(vmem_t *vm, btref r, btref up, struct tally *t)
{
	struct vmem_btag *bt = bt_get(vm, r), *child;
	struct prune p = { 0, 0 };

	if (bt == NULL)
		return;
	TEST_MUST(bt->up == up);
	check_index(vm, bt->left, r, t);
	TEST_MUST(!t->any || t->last_start < bt->start ||
		  (t->last_start == bt->start && !t->last_free && bt->type == BT_FREE));
	t->any = true;
	t->last_start = bt->start;
	t->last_free = bt->type == BT_FREE;
	t->nodes++;
	check_index(vm, bt->right, r, t);
	if (bt->type == BT_FREE) {
		p = index_prune(vm, bt_size(vm, bt), false);
		if (vm->shape.align != 0)
			p.fit = index_prune(vm,
			    shape_capacity(&vm->shape, bt->start, bt->start + bt_size(vm, bt)),
			    true)
				    .fit;
	} else
		TEST_MUST(bt_is_span(bt));
	for (int i = 0; i < 2; i++)
		if ((child = bt_get(vm, i == 0 ? bt->left : bt->right)) != NULL) {
			p.max = MAX(p.max, child->max);
			p.fit = MAX(p.fit, child->fit);
		}
	TEST_MUST(bt->max == p.max && bt->fit == p.fit);
}

static void
check_bins(vmem_t *vm, struct tally *t)
{
	for (unsigned top = 0; top < BIN_TOPS; top++) {
		TEST_MUST((vm->bins.subs[top] != 0) == (vm->bins.tops >> top & 1));
		for (unsigned sub = 0; sub < BIN_SUBS; sub++) {
			btref prev = 0, r = vm->bins.head[top][sub];

			TEST_MUST((r != 0) == (vm->bins.subs[top] >> sub & 1));
			for (; r != 0; prev = r, r = bt_at(vm, r)->bin_next) {
				struct vmem_btag *bt = bt_at(vm, r);
				vmem_size_t n = bt_size(vm, bt) >> vm->quantum_shift;
				unsigned shift = top == 0 ? 0 : top - 1;

				TEST_MUST(bt->type == BT_FREE && bt->bin_prev == prev);
				TEST_MUST(n >> shift == (top == 0 ? sub : BIN_SUBS + sub));
				t->in_bins++;
			}
		}
	}
}

void
arena_check(vmem_t *vm)
{
	struct tally t = { 0 };
	unsigned busy = 0, nfree = 0, spans = 0, spare = 0;
	vmem_size_t size = 0, inuse = 0;
	struct vmem_btag *bt, *prev = NULL;

	for (bt = bt_get(vm, vm->first); bt != NULL; prev = bt, bt = bt_get(vm, bt->next)) {
		TEST_MUST(bt_get(vm, bt->prev) == prev);
		TEST_MUST(prev == NULL || prev->start < bt->start ||
			  (prev->start == bt->start && bt_is_span(prev)));
		if (bt_is_span(bt)) {
			TEST_MUST(prev != NULL && !bt_is_span(prev));
			spans++;
			continue;
		}
		TEST_MUST(bt->next != 0);
		TEST_MUST(((bt->start | bt_size(vm, bt)) & vm->quantum_mask) == 0);
		size += bt_size(vm, bt);
		if (bt->type == BT_BUSY) {
			TEST_MUST(hash_lookup(vm, bt->start) == bt);
			inuse += bt_size(vm, bt);
			busy++;
		} else {
			TEST_MUST(prev == NULL || prev->type != BT_FREE);
			nfree++;
		}
	}
	TEST_MUST(bt_get(vm, vm->last) == prev);
	for (bt = bt_get(vm, vm->spare); bt != NULL; bt = bt_get(vm, bt->spare_next))
		spare++;
	check_index(vm, vm->root, 0, &t);
	check_bins(vm, &t);
	TEST_MUST(t.nodes + vm->nunsettled == nfree + spans && t.in_bins == nfree);
	TEST_MUST(vm->nbusy == busy && vm->nfree == nfree && vm->nspan == spans);
	TEST_MUST(vm->nspare == spare && vm->size == size && vm->inuse == inuse);
}

static bool
hash_segment(enum vmem_segment_type type, vmem_addr_t addr, vmem_size_t size, void *arg)
{
	uint64_t *h = arg;

	*h = (*h ^ (uint64_t)type ^ addr) * 0x100000001b3u;
	*h = (*h ^ size) * 0x100000001b3u;
	return (true);
}

void
arena_picture(struct arena_picture *out, vmem_t *vm, struct pool *p)
{
	vmem_walk(vm, hash_segment, &out->walk);
	out->size = vmem_size(vm, VMEM_ALLOC | VMEM_FREE);
	out->inuse = vmem_size(vm, VMEM_ALLOC);
	out->largest = vmem_size(vm, VMEM_MAXFREE);
	out->busy = vm->nbusy;
	out->free = vm->nfree;
	out->spans = vm->nspan;
	out->spare = vm->nspare;
	out->out = p == NULL ? 0 : p->out;
}

vmem_addr_t
arena_get(vmem_t *vm, vmem_size_t size, int policy)
{
	vmem_addr_t addr;

	TEST_MUST(vmem_alloc(vm, size, M_NOWAIT | policy, &addr) == 0);
	return (addr);
}
