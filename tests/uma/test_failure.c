/*
 * Failures in the middle: after each, everything is as it was before.
 */
#include <string.h>
#include "zones.h"

static uma_zone_t zone;
static void *items[300];
static unsigned nitems_out;

/* What must not change. What caches parked is given back first: it is nobody's. */
struct snapshot {
	uint64_t used, limit_items, cached;
	unsigned long keg_pages, keg_free_items, pages, total;
};

static void
snapshot(void *out, void *arg)
{
	struct snapshot *s = out;
	struct uma_zone_stat st;

	(void)arg;
	for (unsigned i = 0; i < 3; i++)
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	st = stat_of(zone);
	s->used = st.used;
	s->limit_items = st.limit_items;
	s->cached = st.cached_cpu + st.cached_depot;
	s->keg_pages = st.keg_pages;
	s->keg_free_items = st.keg_free_items;
	s->pages = pages_out();
	s->total = uma_size();
}

static bool
attempt(void *arg)
{
	unsigned want = *(unsigned *)arg;

	for (nitems_out = 0; nitems_out < want; nitems_out++) {
		items[nitems_out] = uma_zalloc(zone, M_NOWAIT);
		if (items[nitems_out] == NULL)
			break;
	}
	if (nitems_out == want)
		return (true);
	while (nitems_out > 0)
		uma_zfree(zone, items[--nitems_out]);
	return (false);
}

static void
undo(void *arg)
{
	(void)arg;
	while (nitems_out > 0)
		uma_zfree(zone, items[--nitems_out]);
}

static void
each_failure(unsigned want)
{
	struct inject_case c = { attempt, undo, snapshot, sizeof(struct snapshot), &want };

	/* A fill that fails is followed by a request for the one item, another domain by the next. */
	if (inject_each(&c) == 0)
		assert_true(uma_ndomains > 1 || zone_is_cached(zone));
	while (nitems_out > 0)
		uma_zfree(zone, items[--nitems_out]);
	uma_zdestroy(zone);
}

static int
an_init(void *mem, int size, int flags)
{
	(void)flags;
	memset(mem, 1, (size_t)size);
	return (0);
}

static void
failure_at_every_step(void **state)
{
	static const struct {
		size_t size;
		uint32_t flags;
		unsigned n;
	} cases[] = {
		{ 64, 0, 1 },
		{ 64, 0, 200 },
		{ 4096, 0, 5 }, /* off-page */
		{ 3000, 0, 20 },
		{ 64, UMA_ZONE_PCPU, 3 },
		{ 256, UMA_ZONE_NOTPAGE, 50 },
		{ 128, UMA_ZONE_VM, 100 },
		{ 6000, UMA_ZONE_CONTIG, 10 },
		{ 500, UMA_ZONE_NOBUCKET, 20 },
		{ 500, UMA_ZONE_ROUNDROBIN, 40 },
	};

	(void)state;
	for (unsigned i = 0; i < nitems(cases); i++) {
		zone =
		    uma_zcreate("fails", cases[i].size, NULL, NULL, NULL, NULL, 7, cases[i].flags);
		each_failure(cases[i].n);
		zone = uma_zcreate(
		    "fails", cases[i].size, NULL, NULL, an_init, NULL, 7, cases[i].flags);
		uma_zone_set_max(zone, 1000);
		each_failure(cases[i].n);
	}
}

static void
failure_with_reserved_addresses(void **state)
{
	(void)state;
	zone = uma_zcreate("fails", 3000, NULL, NULL, NULL, NULL, 7, 0);
	assert_int_equal(uma_zone_reserve_kva(zone, 50), 1);
	/* NOFREE: what the first success made stays, so only what is used is compared. */
	for (uint64_t k = 1;; k++) {
		unsigned want = 10;
		uint64_t seen;
		bool done;

		cooper_inject_failure(k);
		done = attempt(&want);
		seen = cooper_inject_failure(0);
		assert_int_equal(stat_of(zone).used, done ? 10 : 0);
		if (done) {
			undo(NULL);
			if (seen < k)
				break;
		}
	}
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	assert_int_equal(stat_of(zone).limit_items, 0);
	uma_zdestroy(zone);
}

/* ---- init ------------------------------------------------------------------------------------------- */

static int inits, finis, refuse_at;

static int
refusing_init(void *mem, int size, int flags)
{
	(void)flags;
	if (++inits == refuse_at)
		return (COOPER_ENOMEM);
	memset(mem, 0x31, (size_t)size);
	return (0);
}

static void
checking_fini(void *mem, int size)
{
	(void)size;
	TEST_MUST(*(uint8_t *)mem == 0x31);
	*(uint8_t *)mem = 0;
	finis++;
}

/* A keg's init that fails half-way through a slab: those done are finished, the slab goes back. */
static void
init_failure_unwinds_the_slab(void **state)
{
	struct snapshot before, after;

	(void)state;
	for (refuse_at = 1; refuse_at < 30; refuse_at++) {
		zone = uma_zcreate(
		    "init", 200, NULL, NULL, refusing_init, checking_fini, 7, UMA_ZONE_NOBUCKET);
		inits = finis = 0;
		snapshot(&before, NULL);
		if (uma_ndomains == 1 && refuse_at <= (int)stat_of(zone).ipers) {
			assert_null(uma_zalloc(zone, M_NOWAIT));
			assert_int_equal(finis, refuse_at - 1);
			snapshot(&after, NULL);
			assert_memory_equal(&before, &after, sizeof(before));
		}
		uma_zfree(zone, uma_zalloc(zone, M_WAITOK));
		uma_zdestroy(zone);
	}
}

/*
 * A zone's init that fails in the middle of a bucket: the initialised items are kept, the rest goes
 * back uninitialised; a bucket without items is freed, and the failure counts once.
 */
static void
R33_init_failure_in_a_bucket(void **state)
{
	uma_zone_t primary = uma_zcreate("primary", 200, NULL, NULL, NULL, NULL, 7, 0);
	struct uma_zone_stat st;
	void *item;

	(void)state;
	for (refuse_at = 1; refuse_at < 20; refuse_at++) {
		zone =
		    uma_zsecond_create("second", NULL, NULL, refusing_init, checking_fini, primary);
		uma_zone_set_max(zone, 10000);
		inits = finis = 0;
		item = uma_zalloc(zone, M_NOWAIT);
		st = stat_of(zone);
		if (refuse_at == 1) {
			/* The bucket came out empty; the single item that followed was good. */
			assert_non_null(item);
			assert_int_equal(st.limit_items, 1);
		} else {
			assert_non_null(item);
			assert_int_equal(st.cached_cpu, refuse_at - 2);
			assert_int_equal(st.limit_items, refuse_at - 1);
		}
		assert_int_equal(st.used, 1);
		uma_zfree(zone, item);
		uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
		assert_int_equal(stat_of(zone).limit_items, 0);
		assert_int_equal(finis, inits - 1);
		uma_zdestroy(zone);
	}
	/* Nothing can be initialised: one failure for one request. */
	zone = uma_zsecond_create("second", NULL, NULL, refusing_init, checking_fini, primary);
	uma_zone_set_max(zone, 10000);
	for (int i = 1; i < 5; i++) {
		inits = 0;
		refuse_at = 1;
		zone->bucket_size = 0; /* no bucket: straight to the item */
		assert_null(uma_zalloc(zone, M_WAITOK));
		st = stat_of(zone);
		assert_int_equal(st.fail, i);
		assert_int_equal(st.limit_items, 0);
	}
	uma_zdestroy(zone);
	uma_zdestroy(primary);
}

TEST_MAIN(cmocka_unit_test(failure_at_every_step),
    cmocka_unit_test(failure_with_reserved_addresses),
    cmocka_unit_test(init_failure_unwinds_the_slab), cmocka_unit_test(R33_init_failure_in_a_bucket))
