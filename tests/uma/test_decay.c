/*
 * Decay and the ceiling: what goes back by itself, when, by whose request, and what all caches may hold.
 *
 * Periods are ended by hand (decay_round()) or waited for; how long they take is not looked at.
 */
#include <stdlib.h>
#include <string.h>
#include <cooper/cooper.h>
#include "many.h"
#include "zones.h"

static unsigned long
dirty_pages(void)
{
	struct page_domain_stat st;
	unsigned long dirty = 0;

	for (unsigned d = 0; d < page_ndomains(); d++) {
		page_stat(d, &st);
		dirty += st.dirty;
	}
	return (dirty);
}

/* ---- periods --------------------------------------------------------------------------------------- */

/* A whole period without use: the first round sees what was last wanted, the second lets it go. */
static void
what_a_period_did_not_want_goes(void **state)
{
	uma_zone_t z = uma_zcreate("decay", 512, NULL, NULL, NULL, NULL, 7, 0);
	struct uma_zone_stat st;
	unsigned long pages;

	(void)state;
	machine_bind(0);
	decay_round();
	many_fill(z, 10000);
	many_give_back(z, 10000);
	st = stat_of(z);
	pages = st.keg_pages;
	assert_true(st.cached_depot > 5000);
	decay_round(); /* in this period there was once nothing in the caches: all of it was wanted */
	assert_true(stat_of(z).cached_depot > 5000);
	assert_int_equal(stat_of(z).keg_pages, pages);
	decay_round();
	assert_int_equal(stat_of(z).cached_depot, 0);
	decay_round(); /* slabs that the buckets' items have left, and then their pages */
	decay_round();
	assert_true(stat_of(z).keg_pages < pages / 10);
	decay_round();
	assert_int_equal(dirty_pages(), 0);
	machine_bind(-1);
	uma_zdestroy(z);
}

/* What was wanted, if only once in the period, stays. */
static void
what_is_wanted_stays(void **state)
{
	uma_zone_t z = uma_zcreate("wanted", 512, NULL, NULL, NULL, NULL, 7, 0);

	(void)state;
	machine_bind(0);
	many_fill(z, 10000);
	many_give_back(z, 10000);
	decay_round();
	for (unsigned i = 0; i < 5; i++) {
		many_fill(z, 6000);
		many_give_back(z, 6000);
		decay_round();
	}
	assert_in_range(stat_of(z).cached_depot, 4000, 7000);
	machine_bind(-1);
	uma_zdestroy(z);
}

/* ---- by requests ------------------------------------------------------------------------------------ */

/* Requests that miss the CPU's buckets drive it; no thread is there. */
static void
drive(uma_zone_t z)
{
	void *some[600];

	for (unsigned i = 0; i < nitems(some); i++)
		some[i] = uma_zalloc(z, M_NOWAIT);
	for (unsigned i = 0; i < nitems(some); i++)
		uma_zfree(z, some[i]);
}

static void
requests_give_back(void **state)
{
	uma_zone_t z = uma_zcreate("silent", 2048, NULL, NULL, NULL, NULL, 7, 0);
	uma_zone_t other = uma_zcreate("busy", 64, NULL, NULL, NULL, NULL, 7, 0);

	(void)state;
	many_fill(z, 10000);
	many_give_back(z, 10000);
	assert_true(stat_of(z).cached_depot > 5000);
	assert_int_equal(cooper_set_decay(1), -1);
	/* Nobody touches the zone any more: another's requests are enough. It ends, or the test does. */
	while (stat_of(z).cached_depot > 0 || stat_of(z).keg_free_slabs > 0)
		drive(other);
	assert_true(stat_of(z).keg_pages < 200);
	(void)cooper_set_decay(-1);
	uma_zdestroy(z);
	uma_zdestroy(other);
}

static void
never_is_never(void **state)
{
	uma_zone_t z = uma_zcreate("never", 2048, NULL, NULL, NULL, NULL, 7, 0);
	uint64_t cached;

	(void)state;
	many_fill(z, 5000);
	many_give_back(z, 5000);
	cached = stat_of(z).cached_depot;
	(void)cooper_set_decay(-1);
	for (unsigned i = 0; i < 200; i++)
		decay_tend(z, M_WAITOK);
	assert_int_equal(stat_of(z).cached_depot, cached);
	uma_zdestroy(z);
}

static void
zero_is_at_once(void **state)
{
	uma_zone_t z = uma_zcreate("at once", 2048, NULL, NULL, NULL, NULL, 7, 0);
	struct uma_zone_stat st;

	(void)state;
	(void)cooper_set_decay(0);
	many_fill(z, 10000);
	many_give_back(z, 10000);
	st = stat_of(z);
	(void)cooper_set_decay(-1);
	assert_true(st.cached_depot <= 2 * st.bucket_size); /* the last bucket may be on its way */
	assert_true(st.keg_pages * PAGE_SIZE <=
		    (st.cached_cpu + st.cached_depot + st.ipers) * 2 * 2048 + 64 * PAGE_SIZE);
	assert_true(dirty_pages() < 64);
	uma_zdestroy(z);
}

static unsigned finis;

static void
count_fini(void *mem, int size)
{
	(void)mem;
	(void)size;
	sync_assert_may_sleep("fini");
	finis++;
}

static int
no_init(void *mem, int size, int flags)
{
	(void)mem;
	(void)size;
	(void)flags;
	return (0);
}

/* A request that may not sleep runs nobody's fini; one that may does. */
static void
callbacks_wait_for_who_may_sleep(void **state)
{
	uma_zone_t z = uma_zcreate("fini", 2048, NULL, NULL, no_init, count_fini, 7, 0);

	(void)state;
	many_fill(z, 4000);
	many_give_back(z, 4000);
	uma_zone_reclaim(z, UMA_RECLAIM_DRAIN_CPU);
	many_fill(z, 4000);
	many_give_back(z, 4000);
	finis = 0;
	assert_false(zone_calls_nobody(z));
	(void)cooper_set_decay(1);
	for (unsigned i = 0; i < 3000; i++)
		decay_tend(z, M_NOWAIT);
	assert_int_equal(finis, 0);
	while (finis == 0)
		decay_tend(z, M_WAITOK);
	(void)cooper_set_decay(-1);
	uma_zdestroy(z);
}

/* Zones come and go under the cursor, and threads exchange buckets meanwhile. */
static void
churn(struct test_thread *t)
{
	for (unsigned i = 0; i < TEST_STEPS(150); i++) {
		uma_zone_t z = uma_zcreate("churn", 300, NULL, NULL, NULL, NULL, 7, 0);

		for (unsigned k = 0; k < 3; k++)
			drive(z);
		if (t->index == 0)
			decay_round();
		uma_zdestroy(z);
	}
}

static void
zones_end_under_the_cursor(void **state)
{
	(void)state;
	(void)cooper_set_decay(1);
	run_threads(4, churn, NULL);
	(void)cooper_set_decay(-1);
	for (unsigned i = 0; i < 3; i++)
		decay_round();
	assert_null(decay_cursor);
}

/* ---- the sum and the ceiling ------------------------------------------------------------------------- */

static void
add_zone(const struct uma_zone_stat *st, void *arg)
{
	unsigned long *sum = arg;

	if (st->rsize != 0 &&
	    (st->flags & (UMA_ZONE_VM | UMA_ZONE_NOFREE | ZF_BUCKET | ZF_INTERNAL)) == 0)
		*sum += (st->cached_cpu + st->cached_depot) * st->size +
			ptoa(st->keg_free_slabs * st->ppera);
}

/* What really lies in the caches: no more than the sum says, when nobody is at it. */
static unsigned long
really_cached(void)
{
	unsigned long sum = ptoa(dirty_pages());

	uma_each_zone_stat(add_zone, &sum);
	return (sum);
}

static void
the_sum_is_a_bound(void **state)
{
	uma_zone_t z = uma_zcreate("sum", 1000, NULL, NULL, NULL, NULL, 7, 0);

	(void)state;
	for (unsigned i = 1; i <= 5; i++) {
		many_fill(z, 2000 * i);
		assert_true(really_cached() <= cooper_cached());
		many_give_back(z, 2000 * i);
		assert_true(really_cached() <= cooper_cached());
		uma_zone_reclaim(z, (int)(1 + i % 3));
		assert_true(really_cached() <= cooper_cached());
	}
	uma_zdestroy(z);
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	(void)page_discard_free(~0ul);
	assert_int_equal(really_cached(), 0);
	assert_int_equal(cooper_cached(), 0); /* nothing is lost on the way */
}

#define CEILING (1ul << 20)
#define THREADS 4

struct storm {
	uma_zone_t zone[3];
	uint32_t left;                   /* threads still at it */
	unsigned long seen[THREADS + 1]; /* most in caches; each thread's own */
};

static void
storm_thread(struct test_thread *t)
{
	struct storm *s = t->arg;
	unsigned long *seen = &s->seen[t->index];
	void *mine[400];
	uint32_t seed = t->index + 1;

	if (t->index == THREADS) { /* looks */
		while (atomic_load_relaxed(&s->left) != 0)
			*seen = MAX(*seen, cooper_cached());
		return;
	}
	for (unsigned round = 0; round < TEST_STEPS(200); round++) {
		uma_zone_t z = s->zone[(seed >> 8) % 3];
		unsigned n = 1 + (seed >> 16) % nitems(mine);

		for (unsigned i = 0; i < n; i++) {
			mine[i] = uma_zalloc(z, M_WAITOK);
			TEST_MUST(mine[i] != NULL);
		}
		for (unsigned i = 0; i < n; i++)
			uma_zfree(z, mine[i]);
		*seen = MAX(*seen, cooper_cached());
		seed = seed * 1664525 + 1013904223;
	}
	atomic_fetch_sub(&s->left, 1u);
}

/* Most that anybody saw. */
static unsigned long
storm_run(struct storm *s)
{
	unsigned long most = 0;

	memset(s->seen, 0, sizeof(s->seen));
	s->left = THREADS;
	run_threads(THREADS + 1, storm_thread, s);
	for (unsigned i = 0; i <= THREADS; i++)
		most = MAX(most, s->seen[i]);
	return (most);
}

static void
the_ceiling_holds(void **state)
{
	unsigned long slab = 0, seen;
	struct storm s;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		static const size_t sizes[] = { 200, 2000, 5000 };

		s.zone[i] = uma_zcreate("storm", sizes[i], NULL, NULL, NULL, NULL, 7, 0);
		slab = MAX(slab, ptoa(stat_of(s.zone[i]).ppera));
	}
	assert_true(storm_run(&s) > CEILING); /* or what follows says nothing */

	assert_int_equal(cooper_set_ceiling(CEILING), ~0ul);
	assert_true(cooper_cached() <= CEILING);
	seen = storm_run(&s);
	assert_true(seen > CEILING / 2);
	assert_true(seen <= CEILING + THREADS * slab); /* a new slab each, for a moment */
	assert_true(really_cached() <= cooper_cached());

	assert_int_equal(cooper_set_ceiling(0), CEILING);
	assert_int_equal(cooper_cached(), 0);
	assert_true(storm_run(&s) <= THREADS * slab);
	assert_int_equal(really_cached(), 0);
	(void)cooper_set_ceiling(~0ul);
	for (unsigned i = 0; i < 3; i++)
		uma_zdestroy(s.zone[i]);
}

/* The reserve is kept, whatever the ceiling. */
static void
a_reserve_is_above_the_ceiling(void **state)
{
	uma_zone_t z = uma_zcreate("reserve", 1000, NULL, NULL, NULL, NULL, 7, 0);

	(void)state;
	uma_zone_reserve(z, 100);
	uma_prealloc(z, 200);
	(void)cooper_set_ceiling(0);
	assert_true(stat_of(z).keg_free_items >= 100);
	many_fill(z, 300);
	many_give_back(z, 300);
	assert_true(stat_of(z).keg_free_items >= 100);
	(void)cooper_set_ceiling(~0ul);
	uma_zdestroy(z);
}

TEST_MAIN(cmocka_unit_test(what_a_period_did_not_want_goes), cmocka_unit_test(what_is_wanted_stays),
    cmocka_unit_test(requests_give_back), cmocka_unit_test(never_is_never),
    cmocka_unit_test(zero_is_at_once), cmocka_unit_test(callbacks_wait_for_who_may_sleep),
    cmocka_unit_test(zones_end_under_the_cursor), cmocka_unit_test(the_sum_is_a_bound),
    cmocka_unit_test(the_ceiling_holds), cmocka_unit_test(a_reserve_is_above_the_ceiling))
