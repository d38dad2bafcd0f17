/*
 * Many items in one call: each once, counted exactly, and nothing lost when some cannot be had.
 */
#include <string.h>
#include "zones.h"

#define MANY 1200

static uma_zone_t zone;
static void *items[MANY];

static uma_zone_t
new_zone(uma_ctor ctor, uma_dtor dtor, uint32_t flags)
{
	return (uma_zcreate("bulk", 64, ctor, dtor, NULL, NULL, 7, flags));
}

/* No item twice: each is marked as it comes, and must bear no mark of before. */
static void
mark(void **store, int n)
{
	for (int i = 0; i < n; i++) {
		assert_non_null(store[i]);
		memset(store[i], 0, 64);
	}
	for (int i = 0; i < n; i++) {
		assert_int_equal(*(int *)store[i], 0);
		*(int *)store[i] = i + 1;
	}
	for (int i = 0; i < n; i++)
		assert_int_equal(*(int *)store[i], i + 1);
}

static void
empty(void)
{
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	assert_int_equal(stat_of(zone).used, 0);
	assert_int_equal(stat_of(zone).limit_items, 0);
	assert_int_equal(stat_of(zone).cached_cpu + stat_of(zone).cached_depot, 0);
}

/* ---- sizes and kinds ---------------------------------------------------------------------------------- */

static void
each_item_once(void **state)
{
	static const int counts[] = { 0, 1, 2, 50, 254, 255, 1000, MANY };
	static const uint32_t kinds[] = { 0, UMA_ZONE_NOBUCKET, UMA_ZONE_ROUNDROBIN,
		UMA_ZONE_NOTPAGE };
	uint64_t req;

	(void)state;
	for (unsigned k = 0; k < nitems(kinds); k++) {
		zone = new_zone(NULL, NULL, kinds[k]);
		uma_zone_set_max(zone, MANY * 4);
		req = 0;
		for (unsigned round = 0; round < 3; round++)
			for (unsigned i = 0; i < nitems(counts); i++) {
				machine_bind((int)(round % cooper_shape()->ncpus));
				assert_int_equal(
				    uma_zalloc_bulk(zone, items, counts[i], M_NOWAIT), counts[i]);
				req += (unsigned)counts[i];
				mark(items, counts[i]);
				assert_int_equal(stat_of(zone).used, counts[i]);
				assert_int_equal(stat_of(zone).req, req);
				uma_zfree_bulk(zone, items, counts[i]);
				assert_int_equal(stat_of(zone).used, 0);
			}
		machine_bind(-1);
		empty();
		uma_zdestroy(zone);
	}
}

/* One by one and at once are the same items. */
static void
mixes_with_single_calls(void **state)
{
	(void)state;
	zone = new_zone(NULL, NULL, 0);
	for (int i = 0; i < 300; i++)
		items[i] = uma_zalloc(zone, M_WAITOK);
	uma_zfree_bulk(zone, items, 300);
	assert_int_equal(stat_of(zone).used, 0);
	assert_int_equal(uma_zalloc_bulk(zone, items, 500, M_NOWAIT), 500);
	mark(items, 500);
	for (int i = 0; i < 500; i++)
		uma_zfree(zone, items[i]);
	assert_int_equal(stat_of(zone).used, 0);
	assert_int_equal(stat_of(zone).req, 800);
	empty();
	uma_zdestroy(zone);
}

static void
nulls_are_ignored(void **state)
{
	void *some[] = { NULL, NULL, NULL, NULL, NULL };

	(void)state;
	zone = new_zone(NULL, NULL, 0);
	uma_zfree_bulk(zone, some, 5);
	assert_int_equal(uma_zalloc_bulk(zone, some + 1, 3, M_WAITOK), 3);
	uma_zfree_bulk(zone, some, 5);
	assert_int_equal(stat_of(zone).used, 0);
	empty();
	uma_zdestroy(zone);
}

static void
zeroed(void **state)
{
	static const char zero[64];

	(void)state;
	zone = new_zone(NULL, NULL, 0);
	assert_int_equal(uma_zalloc_bulk(zone, items, 300, M_NOWAIT), 300);
	for (int i = 0; i < 300; i++)
		memset(items[i], 0xff, 64);
	uma_zfree_bulk(zone, items, 300);
	assert_int_equal(uma_zalloc_bulk(zone, items, 400, M_NOWAIT | M_ZERO), 400);
	for (int i = 0; i < 400; i++)
		assert_memory_equal(items[i], zero, 64);
	uma_zfree_bulk(zone, items, 400);
	empty();
	uma_zdestroy(zone);
}

/* ---- ctor and dtor ---------------------------------------------------------------------------------------- */

static int ctors, dtors, refuse_at;

static int
refusing_ctor(void *mem, int size, void *arg, int flags)
{
	(void)size, (void)flags;
	TEST_MUST(arg == NULL);
	if (ctors + 1 == refuse_at)
		return (COOPER_ENOMEM);
	ctors++;
	*(int *)mem = 77;
	return (0);
}

static void
counting_dtor(void *mem, int size, void *arg)
{
	(void)size;
	TEST_MUST(arg == NULL);
	TEST_MUST(*(int *)mem == 77);
	*(int *)mem = 0;
	dtors++;
}

/* The failed one and those behind it are the zone's again, those before it the user's. */
static void
ctor_failure_ends_the_call(void **state)
{
	uint64_t fails = 0;

	(void)state;
	zone = new_zone(refusing_ctor, counting_dtor, 0);
	uma_zone_set_max(zone, 100000);
	for (refuse_at = 1; refuse_at <= 700; refuse_at += 1 + refuse_at / 7) {
		for (int how = 0; how < 2; how++) {
			ctors = dtors = 0;
			assert_int_equal(
			    uma_zalloc_bulk(zone, items, 700, how == 0 ? M_NOWAIT : M_WAITOK),
			    refuse_at - 1);
			assert_int_equal(ctors, refuse_at - 1);
			assert_int_equal(stat_of(zone).used, refuse_at - 1);
			assert_int_equal(stat_of(zone).fail, ++fails);
			for (int i = 0; i < refuse_at - 1; i++)
				assert_int_equal(*(int *)items[i], 77);
			uma_zfree_bulk(zone, items, refuse_at - 1);
			assert_int_equal(dtors, ctors);
			assert_int_equal(stat_of(zone).used, 0);
		}
	}
	refuse_at = 0;
	empty();
	uma_zdestroy(zone);
}

/* ---- limits -------------------------------------------------------------------------------------------------- */

static void
no_more_than_the_limit(void **state)
{
	(void)state;
	zone = new_zone(NULL, NULL, 0);
	assert_int_equal(uma_zone_set_max(zone, 100), 100);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(uma_zalloc_bulk(zone, items, 101, M_NOWAIT), 100);
		assert_int_equal(uma_zalloc_bulk(zone, items + 100, 1, M_NOWAIT), 0);
		mark(items, 100);
		uma_zfree_bulk(zone, items + 40, 60);
		/* What waits for nobody is had; the rest is for another call. */
		assert_int_equal(uma_zalloc_bulk(zone, items + 40, 1000, M_WAITOK), 60);
		uma_zfree_bulk(zone, items, 100);
	}
	empty();
	uma_zdestroy(zone);
}

static int woken_with;

static void
ask_for_many(void *arg)
{
	(void)arg;
	woken_with = uma_zalloc_bulk(zone, items + 100, 50, M_WAITOK);
}

/* The first is waited for; a free of many wakes who waits. */
static void
waits_for_the_first_only(void **state)
{
	struct side_thread *side;

	(void)state;
	zone = new_zone(NULL, NULL, 0);
	assert_int_equal(uma_zone_set_max(zone, 100), 100);
	assert_int_equal(uma_zalloc_bulk(zone, items, 100, M_NOWAIT), 100);
	side = side_start(ask_for_many, NULL, -1);
	wait_for_sleepers("zonelimit", 1);
	uma_zfree_bulk(zone, items, 70);
	side_join(side);
	assert_in_range(woken_with, 1, 50);
	assert_int_equal(stat_of(zone).used, 30 + woken_with);
	uma_zfree_bulk(zone, items + 100, woken_with);
	uma_zfree_bulk(zone, items + 70, 30);
	empty();
	uma_zdestroy(zone);
}

/* ---- failures injected ------------------------------------------------------------------------------------------ */

struct snapshot {
	uint64_t used, limit_items;
	unsigned long keg_pages, pages;
};
static int got;

static void
snapshot(void *out, void *arg)
{
	struct snapshot *s = out;

	(void)arg;
	for (unsigned i = 0; i < 3; i++)
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	s->used = stat_of(zone).used;
	s->limit_items = stat_of(zone).limit_items;
	s->keg_pages = stat_of(zone).keg_pages;
	s->pages = pages_out();
}

static void
undo(void *arg)
{
	(void)arg;
	uma_zfree_bulk(zone, items, got);
	got = 0;
}

static bool
attempt(void *arg)
{
	int want = *(int *)arg;

	got = uma_zalloc_bulk(zone, items, want, M_NOWAIT);
	if (got == want)
		return (true);
	undo(NULL);
	return (false);
}

static void
failure_at_every_step(void **state)
{
	static const uint32_t kinds[] = { 0, UMA_ZONE_NOBUCKET, UMA_ZONE_ROUNDROBIN,
		UMA_ZONE_NOTPAGE };
	int wants[] = { 1, 40, 700 };

	(void)state;
	for (unsigned k = 0; k < nitems(kinds); k++)
		for (unsigned w = 0; w < nitems(wants); w++) {
			struct inject_case c = { attempt, undo, snapshot, sizeof(struct snapshot),
				&wants[w] };

			zone = new_zone(NULL, NULL, kinds[k]);
			uma_zone_set_max(zone, 2000);
			inject_each(&c);
			undo(NULL);
			empty();
			uma_zdestroy(zone);
		}
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

#define HANDS 90

static void
hand_to_hand(struct test_thread *t)
{
	uint64_t seed = t->index + 1;
	void *mine[HANDS];

	thread_barrier(t);
	for (int round = 0; round < 300; round++) {
		int want = (int)(test_random(&seed) % HANDS), n;

		n = uma_zalloc_bulk(zone, mine, want, M_NOWAIT);
		for (int i = 0; i < n; i++) {
			((unsigned *)mine[i])[0] = t->index;
			((unsigned *)mine[i])[1] = (unsigned)i;
		}
		if (round % 16 == 0)
			uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
		for (int i = 0; i < n; i++) {
			TEST_MUST(((unsigned *)mine[i])[0] == t->index);
			TEST_MUST(((unsigned *)mine[i])[1] == (unsigned)i);
		}
		if (round % 3 == 0)
			for (int i = 0; i < n; i++)
				uma_zfree(zone, mine[i]);
		else
			uma_zfree_bulk(zone, mine, n);
	}
}

static void
threads_share_nothing(void **state)
{
	(void)state;
	zone = new_zone(NULL, NULL, 0);
	uma_zone_set_max(zone, 250); /* short for six hands of 90 */
	run_threads(6, hand_to_hand, NULL);
	empty();
	uma_zdestroy(zone);
}

/* ---- misuse -------------------------------------------------------------------------------------------------------- */

static int
negative(void *arg)
{
	return (uma_zalloc_bulk(arg, items, -1, M_NOWAIT) == 0);
}

static int
both_ways(void *arg)
{
	return (uma_zalloc_bulk(arg, items, 1, M_NOWAIT | M_WAITOK) == 0);
}

static int
of_an_smr_zone(void *arg)
{
	return (uma_zalloc_bulk(arg, items, 1, M_NOWAIT) == 0);
}

static void
misuse_is_named(void **state)
{
	uma_zone_t smr = new_zone(NULL, NULL, UMA_ZONE_SMR);

	(void)state;
	zone = new_zone(NULL, NULL, 0);
	assert_int_equal(
	    expect_misuse(negative, zone, "uma_zalloc_bulk: zone bulk: -1 items"), !core_debug);
	assert_int_equal(
	    expect_misuse(both_ways, zone, "uma_zalloc_bulk: zone bulk: flags"), !core_debug);
	assert_int_equal(
	    expect_misuse(of_an_smr_zone, smr, "uma_zalloc_bulk: zone bulk is an SMR zone"),
	    !core_debug);
	uma_zdestroy(smr);
	uma_zdestroy(zone);
}

TEST_MAIN(cmocka_unit_test(each_item_once), cmocka_unit_test(mixes_with_single_calls),
    cmocka_unit_test(nulls_are_ignored), cmocka_unit_test(zeroed),
    cmocka_unit_test(ctor_failure_ends_the_call), cmocka_unit_test(no_more_than_the_limit),
    cmocka_unit_test(waits_for_the_first_only), cmocka_unit_test(failure_at_every_step),
    cmocka_unit_test(threads_share_nothing), cmocka_unit_test(misuse_is_named))
