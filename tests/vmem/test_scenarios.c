/*
 * Scenarios of the field, by number: what went wrong somewhere once, and what must happen.
 */
#include <string.h>

#include "arena.h"
#include "base/atomic.h"

/* A parent to import from: an arena, and counts of what was asked. */
struct parent {
	vmem_t *vm;
	unsigned imports, releases;
	vmem_size_t last;
	int last_flags;
};

static int
import(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	struct parent *from = arg;
	int error;

	from->last = size;
	from->last_flags = flags;
	error = vmem_xalloc(from->vm, size, 0, 0, 0, ANYWHERE,
	    (flags & (M_NOWAIT | M_WAITOK | M_NOVM | M_USE_RESERVE)) | M_BESTFIT, addrp);
	from->imports += error == 0;
	return (error);
}

static void
release(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	struct parent *from = arg;

	from->releases++;
	vmem_xfree(from->vm, addr, size);
}

static struct pool *pool;
static struct parent parent;
static vmem_t *vm;

static void
strip_spare_tags(vmem_t *arena)
{
	while (arena->nspare > 0)
		arena->tags->free(arena->tags, spare_take(arena));
}

/* A child of quantum 16 over a parent with [4096, 4096 + size). */
static void
setup(vmem_size_t size, vmem_size_t quantum, bool releases)
{
	pool = pool_new(4096);
	memset(&parent, 0, sizeof(parent));
	parent.vm = arena_new(pool, "parent", 4096, size, 16);
	vm = arena_new(pool, "child", 0, 0, 16);
	vmem_set_import(vm, import, releases ? release : NULL, &parent, quantum);
}

static void
teardown(void)
{
	arena_check(vm);
	vmem_destroy(vm);
	arena_check(parent.vm);
	vmem_destroy(parent.vm);
	pool_delete(pool);
}

/* ---- imports ------------------------------------------------------------------------------------- */

/* An aligned request asks the parent for no more than it may need. */
static void
R5_import_is_no_larger_than_needed(void **state)
{
	vmem_addr_t addr;

	(void)state;
	setup(1024 + 1024 - 16, 16, true);
	assert_int_equal(
	    vmem_xalloc(vm, 1024, 1024, 0, 0, ANYWHERE, M_NOWAIT | M_BESTFIT, &addr), 0);
	assert_int_equal(addr % 1024, 0);
	assert_int_equal(parent.last, 1024 + 1024 - 16);
	vmem_xfree(vm, addr, 1024);
	assert_int_equal(parent.releases, 1);
	teardown();
}

/* Imports that touch are one free segment when nothing is released. */
static void
R22_imports_merge(void **state)
{
	vmem_addr_t a, b, c;

	(void)state;
	setup(4096, 1024, false);
	a = arena_get(vm, 1024, M_FIRSTFIT);
	b = arena_get(vm, 1024, M_FIRSTFIT);
	assert_int_equal(parent.imports, 2);
	vmem_free(vm, a, 1024);
	vmem_free(vm, b, 1024);
	c = arena_get(vm, 1536, M_FIRSTFIT);
	assert_int_equal(parent.imports, 2);
	assert_int_equal(vm->nspan, 1);
	vmem_free(vm, c, 1536);
	assert_int_equal(vmem_size(vm, VMEM_MAXFREE), 2048);
	teardown();

	/* Where spans are released they stay apart. */
	setup(4096, 1024, true);
	a = arena_get(vm, 1024, M_FIRSTFIT);
	b = arena_get(vm, 1024, M_FIRSTFIT);
	assert_int_equal(vm->nspan, 2);
	vmem_free(vm, a, 1024);
	assert_int_equal(parent.releases, 1);
	vmem_free(vm, b, 1024);
	assert_int_equal(parent.releases, 2);
	assert_int_equal(vmem_size(vm, VMEM_ALLOC | VMEM_FREE), 0);
	teardown();
}

static void
reclaim_nothing(vmem_t *arena, int flags)
{
	(void)arena;
	(void)flags;
}

/* A window that no import meets: a bounded number of imports, then ENOMEM; all of it goes back. */
static void
H1_futile_imports_are_bounded(void **state)
{
	vmem_addr_t addr;

	(void)state;
	for (int releases = 0; releases < 2; releases++) {
		for (int flags = M_NOWAIT; flags <= M_WAITOK; flags++) {
			setup(65536, 1024, releases);
			vmem_set_reclaim(vm, reclaim_nothing);
			assert_int_equal(vmem_xalloc(vm, 64, 0, 0, 0, 1 << 20, 2 << 20,
					     flags | M_FIRSTFIT, &addr),
			    COOPER_ENOMEM);
			assert_int_equal(parent.imports, 1);
			assert_int_equal(parent.releases, releases);
			assert_int_equal(
			    vmem_size(vm, VMEM_ALLOC | VMEM_FREE), releases ? 0 : 1024);
			teardown();
		}
	}
}

/* The size is rounded before next fit sees it, so what remains starts on a quantum. */
static void
H2_next_fit_rounds_first(void **state)
{
	vmem_addr_t a, b;

	(void)state;
	setup(4096, 4096, true);
	assert_int_equal(vmem_xalloc(vm, 17, 0, 0, 0, ANYWHERE, M_NOWAIT | M_NEXTFIT, &a), 0);
	assert_int_equal(vmem_xalloc(vm, 1, 0, 0, 0, ANYWHERE, M_NOWAIT | M_NEXTFIT, &b), 0);
	assert_int_equal(a % 16, 0);
	assert_int_equal(b, a + 32);
	arena_check(vm);
	vmem_free(vm, a, 17);
	vmem_free(vm, b, 1);
	teardown();
}

/* Failing to add the first span leaves the caller's storage to the caller. */
static void
H3_init_on_own_storage(void **state)
{
	static _Alignas(VMEM_STORAGE_ALIGN) char storage[VMEM_STORAGE];
	struct pool *p = pool_new(64);

	(void)state;
	p->left = 0;
	vmem_set_default_tags(&p->source);
	assert_null(vmem_init((vmem_t *)storage, "static", 0, 4096, 16, 0, M_NOWAIT));
	memset(storage, 0x5a, sizeof(storage));
	p->left = 64;
	vm = vmem_init((vmem_t *)storage, "static", 16, 4096, 16, 0, M_NOWAIT);
	assert_ptr_equal(vm, storage);
	assert_int_equal(arena_get(vm, 4096, M_FIRSTFIT), 16);
	vmem_free(vm, 16, 4096);
	vmem_destroy(vm);
	vmem_set_default_tags(NULL);
	pool_delete(p);
}

/* ---- tags ---------------------------------------------------------------------------------------- */

/* Four tags a layer, taken at once before the search: with four each, two layers succeed. */
static void
D26770_four_tags_a_layer(void **state)
{
	vmem_addr_t addr;

	(void)state;
	setup(65536, 1024, true);
	/* Strip both of spare tags. */
	for (int i = 0; i < 2; i++) {
		vmem_t *a = i == 0 ? vm : parent.vm;

		while (a->nspare > 0)
			pool->source.free(&pool->source, spare_take(a));
	}
	pool->left = 2 * BT_MAXALLOC;
	/* Clipped on both sides in both layers. */
	assert_int_equal(vmem_xalloc(vm, 32, 64, 16, 0, ANYWHERE, M_NOWAIT | M_BESTFIT, &addr), 0);
	assert_true(pool->left + pool->out <= pool->size);
	pool->left = pool->size;
	vmem_xfree(vm, addr, 32);
	teardown();
}

/* A reserve fill that fails leaves nothing of the reserve with the arena. */
static void
R6_failed_reserve_fill_gives_back(void **state)
{
	vmem_addr_t addr;

	(void)state;
	setup(65536, 1024, true);
	pool->source.reserve = true;
	for (unsigned have = 0; have < BT_MAXALLOC; have++) {
		struct arena_picture before = { 0 }, after = { 0 };

		pool->left = have;
		arena_picture(&before, vm, pool);
		assert_int_equal(vmem_xalloc(vm, 64, 0, 0, 0, ANYWHERE,
				     M_NOWAIT | M_NOVM | M_USE_RESERVE | M_BESTFIT, &addr),
		    COOPER_ENOMEM);
		arena_picture(&after, vm, pool);
		assert_memory_equal(&before, &after, sizeof(before));
		assert_int_equal(pool->left, have);
	}
	assert_true(pool->reserved > 0);
	pool->left = pool->size;
	teardown();
}

/* Threads that sleep for space hold no tags: with four tags in all, others go on. */
static struct {
	vmem_t *vm;
	unsigned done;
} sleep_case;

static void
sleeper(void *arg)
{
	vmem_addr_t addr;

	(void)arg;
	TEST_MUST(vmem_alloc(sleep_case.vm, 512, M_WAITOK | M_FIRSTFIT, &addr) == 0);
	vmem_free(sleep_case.vm, addr, 512);
	__atomic_add_fetch(&sleep_case.done, 1, __ATOMIC_SEQ_CST);
}

static void
H11_sleepers_hide_no_tags(void **state)
{
	struct side_thread *t[8];
	vmem_addr_t a, b;

	(void)state;
	pool = pool_new(7); /* the span's, the segments', and one request's */
	pool_take_turns(pool);
	vm = arena_new(pool, "h11", 16, 1024, 16);
	sleep_case.vm = vm;
	sleep_case.done = 0;
	a = arena_get(vm, 1024 - 16, M_FIRSTFIT);
	for (int i = 0; i < 8; i++)
		t[i] = side_start(sleeper, NULL, -1);
	wait_for_sleepers("h11", 8);
	b = arena_get(vm, 16, M_FIRSTFIT);
	vmem_free(vm, b, 16);
	vmem_free(vm, a, 1024 - 16);
	for (int i = 0; i < 8; i++)
		side_join(t[i]);
	assert_int_equal(sleep_case.done, 8);
	arena_check(vm);
	vmem_destroy(vm);
	pool_delete(pool);
}

/* ---- waiting --------------------------------------------------------------------------------------- */

static void
H4_add_wakes_waiters(void **state)
{
	struct side_thread *t[3];

	(void)state;
	pool = pool_new(256);
	vm = arena_new(pool, "h4", 0, 0, 16);
	sleep_case.vm = vm;
	sleep_case.done = 0;
	for (int i = 0; i < 3; i++)
		t[i] = side_start(sleeper, NULL, -1);
	wait_for_sleepers("h4", 3);
	assert_int_equal(vmem_add(vm, 4096, 512, M_NOWAIT), 0);
	for (int i = 0; i < 3; i++)
		side_join(t[i]);
	assert_int_equal(sleep_case.done, 3);
	vmem_destroy(vm);
	pool_delete(pool);
}

/* The last piece of a span leaves the arena: who waits must import again. */
static void
R25_release_wakes_waiters(void **state)
{
	struct side_thread *t;
	vmem_addr_t a;

	(void)state;
	setup(1024, 1024, true);
	sleep_case.vm = vm;
	sleep_case.done = 0;
	a = arena_get(vm, 1024, M_FIRSTFIT);
	t = side_start(sleeper, NULL, -1);
	wait_for_sleepers("child", 1);
	vmem_free(vm, a, 1024);
	side_join(t);
	assert_int_equal(sleep_case.done, 1);
	assert_int_equal(parent.releases, 2);
	teardown();
}

/* A free in the parent wakes who waits in the child: nobody sleeps where the event is not. */
static void
free_in_parent_wakes_child(void **state)
{
	struct side_thread *t;
	vmem_addr_t a, b;

	(void)state;
	setup(2048, 1024, true);
	sleep_case.vm = vm;
	sleep_case.done = 0;
	a = arena_get(vm, 1024, M_FIRSTFIT);
	b = arena_get(parent.vm, 1024, M_FIRSTFIT);
	t = side_start(sleeper, NULL, -1);
	wait_for_sleepers("child", 1);
	vmem_free(parent.vm, b, 1024);
	side_join(t);
	vmem_free(vm, a, 1024);
	teardown();
}

static void
R26_limit(void **state)
{
	struct side_thread *t;
	vmem_addr_t a, b;

	(void)state;
	setup(8192, 1024, true);
	vmem_set_limit(vm, 2048);
	sleep_case.vm = vm;
	sleep_case.done = 0;
	a = arena_get(vm, 1024, M_FIRSTFIT);
	b = arena_get(vm, 1024, M_FIRSTFIT);
	assert_int_equal(
	    vmem_alloc(vm, 512, M_NOWAIT | M_FIRSTFIT, &(vmem_addr_t){ 0 }), COOPER_ENOMEM);
	t = side_start(sleeper, NULL, -1);
	wait_for_sleepers("child", 1);
	vmem_free(vm, a, 1024);
	side_join(t);
	a = arena_get(vm, 1024, M_FIRSTFIT);
	t = side_start(sleeper, NULL, -1);
	wait_for_sleepers("child", 1);
	vmem_set_limit(vm, 3072);
	side_join(t);
	assert_int_equal(sleep_case.done, 2);
	vmem_free(vm, a, 1024);
	vmem_free(vm, b, 1024);
	teardown();
}

/* What the callback frees is found, for M_NOWAIT too, whatever other threads do to the sums. */
static vmem_addr_t hoard;

static void
give_up_hoard(vmem_t *arena, int flags)
{
	(void)flags;
	assert_false(mtx_owned(&arena->lock) && core_debug);
	if (hoard != 0)
		vmem_free(arena, hoard, 512);
	hoard = 0;
}

static void
H10_reclaim_then_retry(void **state)
{
	vmem_addr_t a;

	(void)state;
	setup(512, 512, false);
	vmem_set_reclaim(vm, give_up_hoard);
	hoard = arena_get(vm, 512, M_FIRSTFIT);
	a = arena_get(vm, 256, M_FIRSTFIT);
	assert_int_equal(hoard, 0);
	assert_int_equal(
	    vmem_alloc(vm, 512, M_NOWAIT | M_FIRSTFIT, &(vmem_addr_t){ 0 }), COOPER_ENOMEM);
	vmem_free(vm, a, 256);
	teardown();
}

/* ---- quantum caches ---------------------------------------------------------------------------------- */

static void
R23_address_zero(void **state)
{
	vmem_addr_t addr[64], again;
	bool zero = false;

	(void)state;
	vm = vmem_create("r23", 0, 64, 1, 1, M_WAITOK);
	assert_non_null(vm);
	for (int i = 0; i < 64; i++) {
		assert_int_equal(vmem_alloc(vm, 1, M_NOWAIT | M_FIRSTFIT, &addr[i]), 0);
		zero |= addr[i] == 0;
	}
	assert_true(zero);
	assert_int_equal(vmem_alloc(vm, 1, M_NOWAIT | M_FIRSTFIT, &again), COOPER_ENOMEM);
	for (int i = 0; i < 64; i++)
		vmem_free(vm, addr[i], 1);
	assert_int_equal(vmem_alloc(vm, 1, M_WAITOK | M_FIRSTFIT, &again), 0);
	vmem_free(vm, again, 1);
	qcache_drain(vm, true);
	vmem_destroy(vm);
}

static void
xfree_of_cached(void *arg)
{
	(void)arg;
	vmem_xfree(vm, arena_get(vm, 16, M_FIRSTFIT), 16);
}

static void
free_of_xalloced(void *arg)
{
	vmem_addr_t addr;

	(void)arg;
	TEST_MUST(vmem_xalloc(vm, 16, 0, 0, 0, ANYWHERE, M_NOWAIT | M_FIRSTFIT, &addr) == 0);
	vmem_free(vm, addr, 16);
}

static void
free_twice(void *arg)
{
	vmem_addr_t addr = arena_get(vm, 16, M_FIRSTFIT);

	(void)arg;
	vmem_free(vm, addr, 16);
	vmem_free(vm, addr, 16);
}

static void
R24_crossed_frees(void **state)
{
	(void)state;
	NEED(core_debug);
	vm = vmem_create("r24", 4096, 65536, 16, 64, M_WAITOK);
	expect_stop(xfree_of_cached, NULL, "vmem_xfree: arena \"r24\"");
	expect_stop(free_of_xalloced, NULL, "vmem_xalloc's: it must not enter a cache");
	expect_stop(free_twice, NULL, "free already");
	vmem_destroy(vm);
}

/* ---- frees that are wrong ------------------------------------------------------------------------------ */

static void
free_elsewhere(void *arg)
{
	(void)arg;
	vmem_xfree(vm, 1 << 20, 64);
}

static void
free_other_size(void *arg)
{
	(void)arg;
	vmem_xfree(vm, arena_get(vm, 64, M_FIRSTFIT), 32);
}

static void
free_inside(void *arg)
{
	(void)arg;
	vmem_xfree(vm, arena_get(vm, 64, M_FIRSTFIT) + 16, 48);
}

static void
R20_free_to_the_wrong_arena(void **state)
{
	(void)state;
	setup(4096, 1024, true);
	expect_stop(free_elsewhere, NULL,
	    "vmem_xfree: arena \"child\": 100000 + 40 is no allocated segment");
	expect_stop(free_other_size, NULL, "has another size");
	expect_stop(free_inside, NULL, "is no allocated segment");
	teardown();
}

/* Destroying an arena gives its spans back, and says what was never freed. */
static void
H9_destroy_says_what_is_missing(void **state)
{
	vmem_addr_t a;

	(void)state;
	setup(8192, 1024, true);
	a = arena_get(vm, 64, M_FIRSTFIT);
	assert_int_equal(vmem_size(parent.vm, VMEM_ALLOC), 1024);
	(void)a;
	vmem_destroy(vm);
	/* The span with the leaked piece stays out: somebody may be using it. */
	assert_int_equal(vmem_size(parent.vm, VMEM_ALLOC), 1024);
	vmem_destroy(parent.vm);
	pool_delete(pool);

	/* A span that a lost race left wholly free goes back. */
	setup(8192, 1024, true);
	a = arena_get(vm, 64, M_FIRSTFIT);
	vmem_free(vm, a, 64);
	vmem_destroy(vm);
	assert_int_equal(vmem_size(parent.vm, VMEM_ALLOC), 0);
	vmem_destroy(parent.vm);
	pool_delete(pool);
}

/*
 * R3 (D26770): a request that imports through two layers, each of which must be clipped on both sides,
 * with no spare tag anywhere: four tags a layer are enough, also without new slabs of tags.
 */
static void
R3_four_tags_a_layer(void **state)
{
	vmem_addr_t addr;

	(void)state;
	for (unsigned have = 0; have <= 2 * BT_MAXALLOC; have++) {
		int error;

		setup(65536, 1024, true);
		strip_spare_tags(vm);
		strip_spare_tags(parent.vm);
		pool->left = have;
		error = vmem_xalloc(vm, 48, 128, 32, 0, ANYWHERE,
		    M_NOWAIT | M_NOVM | M_USE_RESERVE | M_BESTFIT, &addr);
		pool->left = 4096;
		if (have == 2 * BT_MAXALLOC)
			assert_int_equal(error, 0);
		if (error == 0) {
			assert_int_equal(addr % 128, 32);
			vmem_xfree(vm, addr, 48);
		} else
			assert_int_equal(vmem_size(parent.vm, VMEM_ALLOC), 0);
		teardown();
	}
}

TEST_MAIN(cmocka_unit_test(R3_four_tags_a_layer),
    cmocka_unit_test(R5_import_is_no_larger_than_needed), cmocka_unit_test(R22_imports_merge),
    cmocka_unit_test(H1_futile_imports_are_bounded), cmocka_unit_test(H2_next_fit_rounds_first),
    cmocka_unit_test(H3_init_on_own_storage), cmocka_unit_test(D26770_four_tags_a_layer),
    cmocka_unit_test(R6_failed_reserve_fill_gives_back),
    cmocka_unit_test(H11_sleepers_hide_no_tags), cmocka_unit_test(H4_add_wakes_waiters),
    cmocka_unit_test(R25_release_wakes_waiters), cmocka_unit_test(free_in_parent_wakes_child),
    cmocka_unit_test(R26_limit), cmocka_unit_test(H10_reclaim_then_retry),
    cmocka_unit_test(R23_address_zero), cmocka_unit_test(R24_crossed_frees),
    cmocka_unit_test(R20_free_to_the_wrong_arena),
    cmocka_unit_test(H9_destroy_says_what_is_missing))
