/*
 * Mutexes and their order.
 */
#include <string.h>

#include "harness.h"
#include "base/atomic.h"

#define THREADS 8

static struct mtx keg, arena, page;

static void
init(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	mtx_init(&keg, "widget keg", RANK_KEG);
	mtx_init(&arena, "port arena", RANK_ARENA);
	mtx_init(&page, "page domain 0", RANK_PAGE);
}

/* ---- order ------------------------------------------------------------------------------------------------ */

static void
rising_order_is_fine(void **state)
{
	(void)state;
	init();
	for (int i = 0; i < 3; i++) {
		mtx_lock(&arena);
		mtx_lock(&keg);
		mtx_lock(&page);
		assert_true(mtx_owned(&keg));
		mtx_unlock(&keg); /* out of order is fine too */
		mtx_unlock(&page);
		mtx_lock(&page);
		mtx_unlock(&page);
		mtx_unlock(&arena);
	}
	assert_false(mtx_owned(&keg));
	sync_assert_may_sleep("a test");
}

static void
falling_order(void *arg)
{
	(void)arg;
	mtx_lock(&page);
	mtx_lock(&keg);
}

static void
same_rank(void *arg)
{
	struct mtx other;

	(void)arg;
	mtx_init(&other, "gadget keg", RANK_KEG);
	mtx_lock(&keg);
	mtx_lock(&other);
}

static void
same_lock(void *arg)
{
	(void)arg;
	mtx_lock(&keg);
	mtx_lock(&keg);
}

static void
unlock_free(void *arg)
{
	(void)arg;
	mtx_unlock(&keg);
}

static void
sleep_with_lock(void *arg)
{
	(void)arg;
	mtx_lock(&keg);
	sync_assert_may_sleep("vm_wait_domain");
}

static void
destroy_held(void *arg)
{
	(void)arg;
	mtx_lock(&keg);
	mtx_destroy(&keg);
}

static void
bad_rank(void *arg)
{
	struct mtx m;

	(void)arg;
	mtx_init(&m, "odd", RANK_COUNT);
}

static void
violations_stop_with_both_names(void **state)
{
	(void)state;
	init();
	expect_stop(bad_rank, NULL, "mtx_init: odd: rank");
	NEED(cooper_shape()->debug);
	expect_stop(falling_order, NULL,
	    "mtx_lock: widget keg (KEG) taken while holding page domain 0 (PAGE)");
	expect_stop(
	    same_rank, NULL, "mtx_lock: gadget keg (KEG) taken while holding widget keg (KEG)");
	expect_stop(same_lock, NULL, "mtx_lock: widget keg is already held by this thread");
	expect_stop(unlock_free, NULL, "mtx_unlock: widget keg is not held by this thread");
	expect_stop(
	    sleep_with_lock, NULL, "vm_wait_domain: may sleep, but widget keg (KEG) is held");
	expect_stop(destroy_held, NULL, "mtx_destroy: widget keg is locked");
}

static void
trylock_is_exempt(void **state)
{
	(void)state;
	init();
	mtx_lock(&page);
	assert_true(mtx_trylock(&keg));
	assert_false(mtx_trylock(&keg));
	mtx_unlock(&keg);
	mtx_unlock(&page);
}

/* ---- exclusion ---------------------------------------------------------------------------------------------- */

static uint64_t count;

static void
count_up(struct test_thread *t)
{
	thread_barrier(t);
	for (unsigned i = 0; i < TEST_STEPS(10000); i++) {
		mtx_lock(&keg);
		count++;
		mtx_unlock(&keg);
	}
}

static void
mutexes_exclude(void **state)
{
	(void)state;
	init();
	count = 0;
	run_threads(THREADS, count_up, NULL);
	assert_int_equal(count, THREADS * TEST_STEPS(10000));
}

TEST_MAIN(cmocka_unit_test(rising_order_is_fine), cmocka_unit_test(violations_stop_with_both_names),
    cmocka_unit_test(trylock_is_exempt), cmocka_unit_test(mutexes_exclude))
