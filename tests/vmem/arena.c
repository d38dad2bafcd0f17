#include <stdlib.h>
#include <string.h>

#include "arena.h"

/* ---- tags ------------------------------------------------------------------------------------------ */

struct vmem_btag *
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
	/* Not aligned_alloc(): bare metal's tests have none. */
	p->memory = calloc(1, size * sizeof(*p->array) + vmem_btag_align);
	p->array = (struct vmem_btag *)round_up((uintptr_t)p->memory, vmem_btag_align);
	p->size = p->left = size;
	return (p);
}

static struct thread_state *whose_turn;

static void
turn_begin(struct tag_source *ts, struct tag_waiter *w)
{
	(void)ts;
	(void)w;
}

static void
turn_wait(struct tag_source *ts, struct tag_waiter *w)
{
	struct thread_state *nobody = NULL, *me = machine_thread_state();

	(void)ts;
	(void)w;
	if (__atomic_compare_exchange_n(
		&whose_turn, &nobody, me, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		me->tags_turn = true;
	if (!me->tags_turn)
		harness_nap();
}

static void
turn_end(struct tag_source *ts, struct tag_waiter *w)
{
	struct thread_state *me = machine_thread_state();

	(void)ts;
	(void)w;
	if (me->tags_turn)
		__atomic_store_n(&whose_turn, NULL, __ATOMIC_SEQ_CST);
	me->tags_turn = false;
}

void
pool_take_turns(struct pool *p)
{
	p->source.wait_begin = turn_begin;
	p->source.wait = turn_wait;
	p->source.wait_end = turn_end;
}

void
pool_delete(struct pool *p)
{
	TEST_MUST(p->out == 0);
	free(p->memory);
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

void
arena_check(vmem_t *vm)
{
	const char *why = "";

	TEST_MUST(
	    vmem_verify(vm, &why) || (fprintf(stderr, "arena \"%s\": %s\n", vm->name, why), false));
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
