/*
 * Every internal request fails once, at every place; and threads that wait for one another's frees.
 */
#include <string.h>

#include "arena.h"
#include "uma/uma_int.h"

/* ---- injected failures ------------------------------------------------------------------------------ */

struct two_layers {
	struct pool *pool;
	vmem_t *parent, *child;
	vmem_size_t size, align, phase;
	vmem_addr_t addr;
	int flags;
};

static int
import(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	struct two_layers *c = arg;

	return (vmem_xalloc(
	    c->parent, size, 0, 0, 0, ANYWHERE, (flags & ~M_VMEM_POLICY) | M_BESTFIT, addrp));
}

static void
release(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	vmem_xfree(((struct two_layers *)arg)->parent, addr, size);
}

static bool
attempt(void *arg)
{
	struct two_layers *c = arg;

	return (vmem_xalloc(
		    c->child, c->size, c->align, c->phase, 0, ANYWHERE, c->flags, &c->addr) == 0);
}

static void
strip_spare_tags(vmem_t *vm)
{
	while (vm->nspare > 0)
		vm->tags->free(vm->tags, spare_take(vm));
}

static void
undo(void *arg)
{
	struct two_layers *c = arg;

	vmem_xfree(c->child, c->addr, c->size);
	strip_spare_tags(c->child);
	strip_spare_tags(c->parent);
	arena_check(c->child);
	arena_check(c->parent);
}

static void
snapshot(void *out, void *arg)
{
	struct two_layers *c = arg;
	struct arena_picture *p = out;

	arena_picture(&p[0], c->child, c->pool);
	arena_picture(&p[1], c->parent, c->pool);
}

static void
each_request_fails_once(void **state)
{
	static const int flags[] = { M_FIRSTFIT, M_BESTFIT, M_NEXTFIT, M_TOPDOWN,
		M_BESTFIT | M_NOVM | M_USE_RESERVE };
	unsigned failed;

	(void)state;
	for (unsigned i = 0; i < 2 * nitems(flags); i++) {
		struct two_layers c = {
			.pool = pool_new(256), .size = 48, .align = 128, .phase = 32
		};
		struct inject_case inject = { .attempt = attempt,
			.undo = undo,
			.snapshot = snapshot,
			.snapshot_size = 2 * sizeof(struct arena_picture),
			.arg = &c };
		vmem_addr_t kept;

		c.flags = M_NOWAIT | flags[i / 2];
		c.pool->no_slab = i % 2 != 0 && (c.flags & M_NOVM) == 0;
		c.pool->source.reserve = true;
		c.parent = arena_new(c.pool, "parent", 4096, 65536, 16);
		c.child = arena_new(c.pool, "child", 0, 0, 16);
		vmem_set_import(c.child, import, release, &c, 1024);
		kept = arena_get(
		    c.child, 1024 - 32, M_FIRSTFIT); /* too little is left for the request */
		strip_spare_tags(c.child);
		strip_spare_tags(c.parent);
		failed = inject_each(&inject);
		assert_true(failed >= (c.pool->no_slab || (c.flags & M_NOVM) != 0 ? 9 : 1));
		vmem_free(c.child, kept, 1024 - 32);
		vmem_destroy(c.child);
		vmem_destroy(c.parent);
		pool_delete(c.pool);
	}
}

/* A table that cannot grow stays right, and catches up when it can. */
static void
table_without_memory(void **state)
{
	struct pool *p = pool_new(20000);
	vmem_t *vm = arena_new(p, "table", 1, 1 << 20, 1);
	static vmem_addr_t addr[8000];

	(void)state;
	tables_start();
	table_dry = true;
	for (unsigned i = 0; i < 4000; i++)
		addr[i] = arena_get(vm, 1 + i % 7, M_FIRSTFIT);
	arena_check(vm);
	assert_int_equal(vm->table.slots, TABLE_FIRST);
	table_dry = false;
	for (unsigned i = 4000; i < nitems(addr); i++)
		addr[i] = arena_get(vm, 1 + i % 7, M_FIRSTFIT);
	assert_true(vm->table.slots >= nitems(addr) / 2);
	arena_check(vm);
	for (unsigned i = 0; i < nitems(addr); i++) {
		vmem_free(vm, addr[i], 1 + i % 7);
		if (i % 1000 == 0)
			arena_check(vm);
	}
	assert_int_equal(vm->table.slots, TABLE_FIRST);
	assert_int_equal(tables_out, 0);
	vmem_destroy(vm);
	pool_delete(p);
}

/* ---- threads ----------------------------------------------------------------------------------------- */

#define THREADS 4
#define TURNS   4000
#define UNITS   256

struct contest {
	struct two_layers layers;
	unsigned char owner[UNITS + 16];
};

/* Take, mark as mine, see that nobody else does, give: all must get through, and nothing overlaps. */
static void
contender(struct test_thread *t)
{
	struct contest *c = t->arg;
	uint64_t random = t->index + 1;
	unsigned char me = (unsigned char)(t->index + 1);

	for (unsigned i = 0; i < TURNS; i++) {
		static const int policy[] = { M_FIRSTFIT, M_BESTFIT, M_NEXTFIT, M_TOPDOWN };
		vmem_size_t size = 1 + test_random(&random) % (i % 16 == 0 ? 100 : 8);
		bool constrained = test_random(&random) % 4 == 0;
		int flags = policy[test_random(&random) % 4] | M_WAITOK;
		vmem_addr_t addr;

		if (constrained)
			TEST_MUST(vmem_xalloc(c->layers.child, size, 4, 0, 128, ANYWHERE, flags,
				      &addr) == 0);
		else
			TEST_MUST(vmem_alloc(c->layers.child, size, flags, &addr) == 0);
		for (vmem_size_t u = 0; u < size; u++) {
			TEST_MUST(c->owner[addr + u] == 0);
			c->owner[addr + u] = me;
		}
		for (vmem_size_t u = 0; u < size; u++) {
			TEST_MUST(c->owner[addr + u] == me);
			c->owner[addr + u] = 0;
		}
		if (constrained)
			vmem_xfree(c->layers.child, addr, size);
		else
			vmem_free(c->layers.child, addr, size);
	}
}

static void
contest(vmem_size_t qcache_max, unsigned tags)
{
	static struct contest c;

	memset(&c, 0, sizeof(c));
	c.layers.pool = pool_new(tags);
	c.layers.parent = arena_new(c.layers.pool, "parent", 1, UNITS, 1);
	c.layers.child = vmem_create("child", 0, 0, 1, qcache_max, M_WAITOK);
	vmem_set_tags(c.layers.child, &c.layers.pool->source);
	vmem_set_import(c.layers.child, import, release, &c.layers, 32);
	run_threads(THREADS, contender, &c);
	for (unsigned i = 0; i < c.layers.child->nqcache; i++) {
		uma_zone_reclaim(c.layers.child->qcache[i].zone, UMA_RECLAIM_DRAIN_CPU);
		assert_int_equal(uma_zone_get_cur(c.layers.child->qcache[i].zone), 0);
		assert_int_equal(c.layers.child->qcache[i].zone->sleepers, 0);
	}
	arena_check(c.layers.child);
	assert_int_equal(vmem_size(c.layers.child, VMEM_ALLOC), 0);
	assert_int_equal(vmem_size(c.layers.parent, VMEM_ALLOC),
	    vmem_size(c.layers.child, VMEM_ALLOC | VMEM_FREE));
	vmem_destroy(c.layers.child);
	assert_int_equal(vmem_size(c.layers.parent, VMEM_ALLOC), 0);
	vmem_destroy(c.layers.parent);
	pool_delete(c.layers.pool);
}

static void
threads_wait_for_space(void **state)
{
	(void)state;
	contest(0, 2048);
}

static void
threads_with_quantum_caches(void **state)
{
	(void)state;
	contest(4, 2048);
}

TEST_MAIN(cmocka_unit_test(each_request_fails_once), cmocka_unit_test(table_without_memory),
    cmocka_unit_test(threads_wait_for_space), cmocka_unit_test(threads_with_quantum_caches))
