/*
 * Limits: exact, in order, no lost wakeup, and nobody waits for an item that lies in a cache.
 */
#include <string.h>
#include "zones.h"

#define LIMIT 50

static uma_zone_t zone;

static void
make_zone(int max)
{
	zone = uma_zcreate("limited", 100, NULL, NULL, NULL, NULL, 7, 0);
	assert_int_equal(uma_zone_set_max(zone, max), max);
	assert_int_equal(uma_zone_get_max(zone), max);
}

static void
no_more_than_the_limit(void **state)
{
	void *item[LIMIT + 1];

	(void)state;
	make_zone(LIMIT);
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < LIMIT; i++) {
			item[i] = uma_zalloc(zone, M_NOWAIT);
			assert_non_null(item[i]);
			assert_true(stat_of(zone).limit_items <= LIMIT);
		}
		assert_null(uma_zalloc(zone, M_NOWAIT));
		assert_int_equal(stat_of(zone).fail, round + 1);
		for (unsigned i = 0; i < LIMIT; i++)
			uma_zfree(zone, item[i]);
	}
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	assert_int_equal(stat_of(zone).limit_items, 0);
	uma_zdestroy(zone);
}

/* A limit so small that a bucket a CPU would be all of it still lets items be cached or used. */
static void
R13_limit_below_the_caches(void **state)
{
	void *item[64];

	(void)state;
	for (int max = 1; max <= 64; max++) {
		make_zone(max);
		for (unsigned c = 0; c < uma_ncpus; c++) {
			machine_bind((int)c);
			for (int i = 0; i < max; i++) {
				item[i] =
				    uma_zalloc(zone, M_WAITOK); /* also what other CPUs cache */
				assert_non_null(item[i]);
			}
			for (int i = 0; i < max; i++)
				uma_zfree(zone, item[i]);
		}
		machine_bind(-1);
		uma_zdestroy(zone);
	}
	/* Four items a CPU are enough to cache one in each bucket. */
	make_zone((int)uma_ncpus * 8);
	assert_true(zone->bucket_size >= 1);
	uma_zfree(zone, uma_zalloc(zone, M_WAITOK));
	assert_true(stat_of(zone).cached_cpu > 0);
	uma_zdestroy(zone);
}

/* ---- waiters --------------------------------------------------------------------------------------- */

static unsigned served[16], nserved;
static void *got[16];

static void
wait_for_item(void *arg)
{
	void *item = uma_zalloc(zone, M_WAITOK);
	uintptr_t who = (uintptr_t)arg;

	TEST_MUST(item != NULL);
	got[who] = item;
	served[who] = __atomic_load_n(&nserved, __ATOMIC_SEQ_CST); /* one goes on at a time */
	__atomic_fetch_add(&nserved, 1, __ATOMIC_SEQ_CST);
}

static void
wait_until_served(unsigned n)
{
	while (__atomic_load_n(&nserved, __ATOMIC_SEQ_CST) < n)
		machine_park(machine_now() + 1000000);
}

/* Each free lets exactly one go on, the one that came first. */
static void
R12_waiters_run_in_order(void **state)
{
	struct side_thread *t[8];
	void *item[4];

	(void)state;
	make_zone(4);
	nserved = 0;
	for (unsigned i = 0; i < 4; i++)
		item[i] = uma_zalloc(zone, M_WAITOK);
	for (unsigned i = 0; i < 4; i++) {
		t[i] = side_start(wait_for_item, (void *)(uintptr_t)i, -1);
		wait_for_sleepers("zonelimit", i + 1);
	}
	assert_true(uma_zone_exhausted(zone));
	/* Nobody passes the queue. */
	for (unsigned i = 0; i < 4; i++) {
		assert_null(uma_zalloc(zone, M_NOWAIT));
		uma_zfree(zone, item[i]);
		wait_until_served(i + 1);
		assert_int_equal(served[i], i);
		assert_int_equal(stat_of(zone).limit_items, 4);
	}
	for (unsigned i = 0; i < 4; i++)
		side_join(t[i]);
	assert_false(uma_zone_exhausted(zone));
	assert_int_equal(stat_of(zone).sleep, 4);
	for (unsigned i = 0; i < 4; i++)
		uma_zfree(zone, got[i]);
	uma_zdestroy(zone);
}

/* Raising the limit lets as many go on as it has room for. */
static void
R12_raising_wakes(void **state)
{
	struct side_thread *t[6];
	void *first;

	(void)state;
	make_zone(1);
	nserved = 0;
	first = uma_zalloc(zone, M_WAITOK);
	assert_non_null(first);
	for (unsigned i = 0; i < 6; i++)
		t[i] = side_start(wait_for_item, (void *)(uintptr_t)i, -1);
	wait_for_sleepers("zonelimit", 6);
	uma_zone_set_max(zone, 4);
	wait_until_served(3);
	wait_for_sleepers("zonelimit", 3);
	assert_int_equal(nserved, 3);
	uma_zone_set_max(zone, 100);
	for (unsigned i = 0; i < 6; i++)
		side_join(t[i]);
	for (unsigned i = 0; i < 6; i++)
		uma_zfree(zone, got[i]);
	uma_zfree(zone, first);
	uma_zdestroy(zone);
}

/* An item in another CPU's cache is no reason to sleep. */
static void
cached_items_are_found_before_sleeping(void **state)
{
	void *item[8];

	(void)state;
	NEED(uma_ncpus > 1);
	make_zone(64 * (int)uma_ncpus);
	machine_bind(0);
	for (unsigned i = 0; i < 8; i++)
		item[i] = uma_zalloc(zone, M_WAITOK);
	for (unsigned i = 0; i < 8; i++)
		uma_zfree(zone, item[i]);
	assert_true(stat_of(zone).cached_cpu >= 8);
	uma_zone_set_max(zone, (int)stat_of(zone).limit_items);
	machine_bind(1);
	item[0] = uma_zalloc(zone, M_WAITOK);
	assert_non_null(item[0]);
	assert_int_equal(stat_of(zone).sleep, 0);
	uma_zfree(zone, item[0]);
	machine_bind(-1);
	uma_zdestroy(zone);
}

/* ---- a fill on its way while another goes to sleep -------------------------------------------------- */

static bool held[8];
static struct side_thread *late;

static int
slow_import(void *arg, void **store, int count, int domain, int flags)
{
	int n = 0;

	(void)arg;
	(void)domain;
	(void)flags;
	if (late == NULL) { /* the limit is charged: whoever comes now must wait */
		late = side_start(wait_for_item, NULL, -1);
		wait_for_sleepers("zonelimit", 1);
	}
	for (uintptr_t i = 1; i < nitems(held) && n < count; i++)
		if (!held[i]) {
			held[i] = true;
			store[n++] = &held[i];
		}
	return (n);
}

static void
slow_release(void *arg, void **store, int count)
{
	(void)arg;
	for (int i = 0; i < count; i++)
		*(bool *)store[i] = false;
}

static void
a_fill_on_its_way_is_shared(void **state)
{
	void *item;

	(void)state;
	zone = uma_zcache_create(
	    "slow", 1, NULL, NULL, NULL, NULL, slow_import, slow_release, NULL, 0);
	uma_zone_set_max(zone, 4);
	zone->bucket_size = zone->bucket_size_max = 4;
	nserved = 0;
	late = NULL;
	item = uma_zalloc(zone, M_NOWAIT);
	assert_non_null(item);
	side_join(late); /* it got one of the three that no one else has */
	assert_int_equal(stat_of(zone).sleep, 1);
	uma_zfree(zone, item);
	uma_zfree(zone, got[0]);
	uma_zdestroy(zone);
}

#define CHURN 3000

static void
churn(struct test_thread *t)
{
	uint64_t seed = t->index + 1;
	void *item[3];

	for (unsigned i = 0; i < CHURN; i++) {
		unsigned n = 1 + (unsigned)(test_random(&seed) % 2);

		for (unsigned k = 0; k < n; k++) {
			item[k] = uma_zalloc(zone, k == 0 ? M_WAITOK : M_NOWAIT);
			TEST_MUST(item[k] != NULL || k > 0);
			if (item[k] != NULL)
				memset(item[k], (int)t->index, 100);
		}
		for (unsigned k = 0; k < n; k++) {
			if (item[k] == NULL)
				continue;
			for (unsigned b = 0; b < 100; b++)
				TEST_MUST(((uint8_t *)item[k])[b] == t->index);
			uma_zfree(zone, item[k]);
		}
	}
}

/* Many threads, few items: everybody gets through, and the count is right at the end. */
static void
R12_no_wakeup_is_lost(void **state)
{
	(void)state;
	for (int max = 1; max <= 9; max += 4) {
		make_zone(max);
		run_threads(6, churn, NULL);
		uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
		assert_int_equal(stat_of(zone).limit_items, 0);
		assert_int_equal(stat_of(zone).used, 0);
		uma_zdestroy(zone);
	}
}

/* ---- warnings ------------------------------------------------------------------------------------------ */

static int actions;

static void
action(uma_zone_t z, int unused)
{
	(void)unused;
	assert_ptr_equal(z, zone);
	assert_false(mtx_owned(&z->domain[0].lock) && core_debug);
	uma_zfree(z, NULL);
	(void)uma_zone_get_cur(z);
	actions++;
}

static void
warnings_and_actions_are_rare(void **state)
{
	(void)state;
	make_zone(1);
	actions = 0;
	uma_zone_set_warning(zone, "the test's limit is reached");
	uma_zone_set_maxaction(zone, action);
	void *item = uma_zalloc(zone, M_WAITOK);
	for (unsigned i = 0; i < 100; i++)
		assert_null(uma_zalloc(zone, M_NOWAIT));
	assert_int_equal(actions, 1);
	uma_zfree(zone, item);
	uma_zdestroy(zone);
}

static void
meet_with_warnings_off(void *arg)
{
	(void)arg;
	make_zone(1);
	actions = 0;
	uma_zone_set_warning(zone, "not to be read");
	uma_zone_set_maxaction(zone, action);
	TEST_MUST(uma_set_warnings(false)); /* they were on */
	TEST_MUST(uma_zalloc(zone, M_WAITOK) != NULL);
	for (unsigned i = 0; i < 3; i++)
		TEST_MUST(uma_zalloc(zone, M_NOWAIT) == NULL);
	TEST_MUST(actions == 1);
	TEST_MUST(!uma_set_warnings(false));
}

/* What was met while they were off does not count: the next one is told, at once. */
static void
meet_with_warnings_on_again(void *arg)
{
	meet_with_warnings_off(arg);
	TEST_MUST(!uma_set_warnings(true));
	uma_zone_set_warning(zone, "on again");
	TEST_MUST(uma_zalloc(zone, M_NOWAIT) == NULL);
	TEST_MUST(uma_set_warnings(true));
}

static void
warnings_can_be_switched_off(void **state)
{
	(void)state;
	expect_silence(meet_with_warnings_off, NULL);
	expect_words(meet_with_warnings_on_again, NULL, "[zone: limited] on again");
}

TEST_MAIN(cmocka_unit_test(no_more_than_the_limit), cmocka_unit_test(R13_limit_below_the_caches),
    cmocka_unit_test(R12_waiters_run_in_order), cmocka_unit_test(R12_raising_wakes),
    cmocka_unit_test(cached_items_are_found_before_sleeping),
    cmocka_unit_test(a_fill_on_its_way_is_shared), cmocka_unit_test(R12_no_wakeup_is_lost),
    cmocka_unit_test(warnings_and_actions_are_rare), cmocka_unit_test(warnings_can_be_switched_off))
