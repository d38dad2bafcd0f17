/*
 * Mutexes and their order; the shared/exclusive lock.
 */
#include <string.h>

#include "harness.h"
#include "base/atomic.h"

#define THREADS 8

static struct mtx keg, arena, page;
static struct sx reclaim;

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
	sx_init(&reclaim, "reclaim", RANK_RECLAIM);
}

/* ---- order ------------------------------------------------------------------------------------------------ */

static void
rising_order_is_fine(void **state)
{
	(void)state;
	init();
	for (int i = 0; i < 3; i++) {
		sx_slock(&reclaim);
		mtx_lock(&arena);
		mtx_lock(&keg);
		mtx_lock(&page);
		assert_true(mtx_owned(&keg));
		mtx_unlock(&keg); /* out of order is fine too */
		mtx_unlock(&page);
		mtx_lock(&page);
		mtx_unlock(&page);
		mtx_unlock(&arena);
		sx_sunlock(&reclaim);
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
sx_under_mtx(void *arg)
{
	(void)arg;
	mtx_lock(&arena);
	sx_slock(&reclaim);
}

static void
sx_twice(void *arg)
{
	(void)arg;
	sx_slock(&reclaim);
	sx_slock(&reclaim);
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
	expect_stop(sx_under_mtx, NULL,
	    "sx_slock: reclaim (RECLAIM) taken while holding port arena (ARENA)");
	expect_stop(
	    sx_twice, NULL, "sx_slock: reclaim (RECLAIM) taken while holding an sx (RECLAIM)");
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
	for (unsigned i = 0; i < 10000; i++) {
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
	assert_int_equal(count, THREADS * 10000);
}

static struct {
	uint32_t sharers, owners, most_sharers;
} inside;

static void
share_or_own(struct test_thread *t)
{
	uint64_t seed = t->index;

	thread_barrier(t);
	for (unsigned i = 0; i < 3000; i++) {
		uint64_t r = test_random(&seed) % 8;

		if (r == 0) {
			sx_xlock(&reclaim);
			TEST_MUST(atomic_add_fetch(&inside.owners, 1) == 1);
			TEST_MUST(atomic_load_acquire(&inside.sharers) == 0);
			atomic_fetch_sub(&inside.owners, 1);
			sx_xunlock(&reclaim);
		} else {
			if (r != 1)
				sx_slock(&reclaim);
			else if (!sx_try_slock(&reclaim))
				continue;
			atomic_add_fetch(&inside.sharers, 1);
			TEST_MUST(atomic_load_acquire(&inside.owners) == 0);
			atomic_fetch_sub(&inside.sharers, 1);
			sx_sunlock(&reclaim);
		}
	}
}

static void
sharers_and_owners_exclude(void **state)
{
	(void)state;
	init();
	run_threads(THREADS, share_or_own, NULL);
	assert_int_equal(reclaim.holders, 0);
	assert_int_equal(reclaim.exclusive_waiters, 0);
	assert_int_equal(reclaim.queue.nwaiters, 0);
}

static void
all_share_at_once(struct test_thread *t)
{
	sx_slock(&reclaim);
	thread_barrier(t); /* would hang if one kept another out */
	sx_sunlock(&reclaim);
}

static void
own_once(void *arg)
{
	sx_xlock(&reclaim);
	*(bool *)arg = true;
	sx_xunlock(&reclaim);
}

static void
waiting_owner_stops_new_sharers(void **state)
{
	struct side_thread *owner;
	bool owned = false;

	(void)state;
	init();
	run_threads(THREADS, all_share_at_once, NULL);
	sx_slock(&reclaim);
	owner = side_start(own_once, &owned, -1);
	wait_for_sleepers("reclaim", 1);
	assert_false(sx_try_slock(&reclaim));
	assert_false(owned);
	sx_sunlock(&reclaim);
	side_join(owner);
	assert_true(owned);
	assert_true(sx_try_slock(&reclaim));
	sx_sunlock(&reclaim);
}

TEST_MAIN(cmocka_unit_test(rising_order_is_fine), cmocka_unit_test(violations_stop_with_both_names),
    cmocka_unit_test(trylock_is_exempt), cmocka_unit_test(mutexes_exclude),
    cmocka_unit_test(sharers_and_owners_exclude), cmocka_unit_test(waiting_owner_stops_new_sharers))
