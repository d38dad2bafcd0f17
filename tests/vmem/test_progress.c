/*
 * Who waits in an arena that imports: not for ever, not busily, and woken by what helps.
 */
#include <string.h>

#include "arena.h"

static struct pool *pool;
static vmem_t *parent, *child;
static unsigned imports;
static vmem_addr_t free_on_import; /* 64 of the child's, freed while the next import is away */

static int
import(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	__atomic_fetch_add(&imports, 1, __ATOMIC_RELAXED);
	if (free_on_import != 0)
		vmem_xfree(child, free_on_import, 64);
	free_on_import = 0;
	return (vmem_xalloc(arg, size, 0, 0, 0, ANYWHERE,
	    (flags & (M_NOWAIT | M_WAITOK | M_NOVM | M_USE_RESERVE)) | M_FIRSTFIT, addrp));
}

static void
release(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	vmem_xfree(arg, addr, size);
}

static void
setup(vmem_size_t size, vmem_size_t quantum, bool releases)
{
	pool = pool_new(4096);
	imports = 0;
	parent = arena_new(pool, "above", 4096, size, 16);
	child = arena_new(pool, "below", 0, 0, 16);
	vmem_set_import(child, import, releases ? release : NULL, parent, quantum);
}

static void
teardown(void)
{
	arena_check(child);
	vmem_destroy(child);
	arena_check(parent);
	vmem_destroy(parent);
	pool_delete(pool);
}

struct want {
	vmem_size_t size;
	vmem_addr_t min, max, got;
	int error;
};

static void
take(void *arg)
{
	struct want *w = arg;

	w->error =
	    vmem_xalloc(child, w->size, 0, 0, 0, w->min, w->max, M_WAITOK | M_FIRSTFIT, &w->got);
}

/*
 * A window that is busy, and imports that come from elsewhere: each waiter imports in vain a bounded
 * number of times and sleeps. What it puts back wakes neither it nor the other.
 */
static void
H1_futile_importers_sleep(void **state)
{
	struct want w[2] = { { .size = 64, .min = 4096, .max = 4096 + 1023 },
		{ .size = 64, .min = 4096, .max = 4096 + 1023 } };
	struct side_thread *t[2];
	uint64_t sleeps;
	vmem_addr_t a;
	unsigned made;

	(void)state;
	setup(65536, 1024, true);
	a = arena_get(child, 1024, M_FIRSTFIT);
	assert_int_equal(a, 4096);
	for (int i = 0; i < 2; i++)
		t[i] = side_start(take, &w[i], -1);
	wait_for_sleepers("below", 2);
	made = __atomic_load_n(&imports, __ATOMIC_RELAXED);
	assert_true(made <= 1 + 2 * 3);
	sleeps = child->counts.sleeps;
	assert_true(sleeps <= 2 * 3);
	/* Both asleep, nothing happens: nothing may happen by itself either. */
	wait_for_sleepers("below", 2);
	assert_int_equal(__atomic_load_n(&imports, __ATOMIC_RELAXED), made);
	vmem_xfree(child, a, 1024);
	for (int i = 0; i < 2; i++) {
		side_join(t[i]);
		assert_int_equal(w[i].error, 0);
		assert_true(w[i].got >= w[i].min && w[i].got + 63 <= w[i].max);
	}
	for (int i = 0; i < 2; i++)
		vmem_xfree(child, w[i].got, 64);
	teardown();
}

/* The parent is full and the child empty: a span that is added to the child ends the wait. */
static void
add_to_child_ends_a_wait_for_the_parent(void **state)
{
	struct want w = { .size = 1024, .max = VMEM_ADDR_MAX };
	struct side_thread *t;
	vmem_addr_t all;

	(void)state;
	setup(4096, 1024, false);
	all = arena_get(parent, 4096, M_FIRSTFIT);
	t = side_start(take, &w, -1);
	wait_for_sleepers("below", 1);
	assert_int_equal(vmem_add(child, 1 << 20, 1024, M_NOWAIT), 0);
	side_join(t);
	assert_int_equal(w.error, 0);
	assert_int_equal(w.got, 1 << 20);
	vmem_xfree(child, w.got, 1024);
	vmem_xfree(parent, all, 4096);
	teardown();
}

/* And what comes back to the parent is imported, through two layers. */
static void
free_in_parent_ends_a_wait_in_child(void **state)
{
	struct want w = { .size = 1024, .max = VMEM_ADDR_MAX };
	struct side_thread *t;
	vmem_addr_t all;

	(void)state;
	setup(4096, 1024, true);
	all = arena_get(parent, 4096, M_FIRSTFIT);
	t = side_start(take, &w, -1);
	wait_for_sleepers("below", 1);
	vmem_xfree(parent, all, 4096);
	side_join(t);
	assert_int_equal(w.error, 0);
	vmem_xfree(child, w.got, 1024);
	teardown();
}

/*
 * While an import is away something is freed, and the request is served from there: the span that
 * came is free as a whole, and goes back to the parent, where the next request needs all there is.
 */
static void
an_import_that_was_not_needed_goes_back(void **state)
{
	struct want w = { .size = 4096, .max = VMEM_ADDR_MAX };
	struct side_thread *t;
	vmem_addr_t a[16], again;

	(void)state;
	setup(4096, 1024, true);
	for (unsigned i = 0; i < nitems(a); i++)
		a[i] = arena_get(child, 64, M_FIRSTFIT);
	assert_int_equal(imports, 1);
	free_on_import = a[3];
	again = arena_get(child, 64, M_FIRSTFIT);
	assert_int_equal(again, a[3]);
	assert_int_equal(imports, 2);
	assert_int_equal(vmem_size(child, VMEM_ALLOC | VMEM_FREE), 1024);
	assert_int_equal(vmem_size(parent, VMEM_ALLOC), 1024);
	arena_check(child);
	t = side_start(take, &w, -1);
	wait_for_sleepers("below", 1);
	for (unsigned i = 0; i < nitems(a); i++)
		vmem_xfree(child, a[i], 64);
	side_join(t);
	assert_int_equal(w.error, 0);
	vmem_xfree(child, w.got, 4096);
	teardown();
}

TEST_MAIN(cmocka_unit_test(an_import_that_was_not_needed_goes_back),
    cmocka_unit_test(H1_futile_importers_sleep),
    cmocka_unit_test(add_to_child_ends_a_wait_for_the_parent),
    cmocka_unit_test(free_in_parent_ends_a_wait_in_child))
