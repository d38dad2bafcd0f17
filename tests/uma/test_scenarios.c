/*
 * Scenarios of the field, by number, that are about zones and have no file of their own.
 */
#include <string.h>
#include "uma/cache.h"
#include "zones.h"

static void
drain_all(void)
{
	for (unsigned i = 0; i < 4; i++)
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
}

/* ---- R19 -------------------------------------------------------------------------------------------- */

#define N 3000
static void *items[N];

/* Cached both ways: in full buckets and in this CPU's part. */
static uma_zone_t
cached_zone(void)
{
	uma_zone_t zone = uma_zcreate("pressed", 64, NULL, NULL, NULL, NULL, 7, 0);

	/* The second round is served from the caches: that makes them the working set. */
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < N; i++)
			items[i] = uma_zalloc(zone, M_WAITOK);
		for (unsigned i = 0; i < N; i++)
			uma_zfree(zone, items[i]);
	}
	assert_true(stat_of(zone).cached_cpu > 0);
	assert_true(stat_of(zone).cached_depot > 0);
	return (zone);
}

/*
 * R19 (D22395): the page daemon does no full drain because a domain is merely short. A shortage trims,
 * below the minimum depots are emptied, and only a severe one empties the CPUs' parts too.
 */
static void
R19_a_pass_does_what_the_shortage_asks(void **state)
{
	uma_zone_t zone = cached_zone();
	struct uma_zone_stat st = stat_of(zone), now;

	(void)state;
	uma_pressure(PRESSURE_LOW, UMA_ANYDOMAIN);
	now = stat_of(zone);
	assert_int_equal(now.cached_cpu, st.cached_cpu);
	assert_true(now.cached_depot > 0); /* the working set stays */
	uma_pressure(PRESSURE_MIN, UMA_ANYDOMAIN);
	now = stat_of(zone);
	assert_int_equal(now.cached_cpu, st.cached_cpu);
	assert_int_equal(now.cached_depot, 0);
	uma_pressure(PRESSURE_SEVERE, UMA_ANYDOMAIN);
	assert_int_equal(stat_of(zone).cached_cpu, 0);
	uma_zdestroy(zone);
}

/* ---- R32 -------------------------------------------------------------------------------------------- */

struct bucket_sum {
	unsigned rung;
	uint64_t used;
};

/* No part of a bucket zone stands on a bucket of the zone's own kind. */
static void
look_at_bucket_zone(struct uma_zone *zone, void *arg)
{
	struct bucket_sum *sum = arg;

	for (unsigned cpu = 0; zone_is_cached(zone) && cpu < uma_ncpus; cpu++) {
		struct percpu *c;

		if (!zone_cpu_used(zone, cpu))
			continue;
		c = percpu_enter_cpu(zone->cache, cpu);
		for (int slot = SLOT_ALLOC; slot <= SLOT_CROSS; slot++) {
			struct uma_bucket *b = bucket_of(c, slot);

			TEST_MUST(b == NULL || b->rung != sum->rung);
		}
		percpu_exit(zone->cache, cpu);
	}
	sum->used += stat_of(zone).used;
	sum->rung++;
}

static uint64_t
buckets_in_use(void)
{
	struct bucket_sum sum = { 0, 0 };

	bucket_zones_each(look_at_bucket_zone, &sum);
	return (sum.used);
}

/*
 * R32: getting a bucket may need a bucket for the bucket, and nothing deeper; and never one of its own
 * kind. With everything cold one request takes two buckets at most.
 */
static void
R32_buckets_for_buckets_end_at_one(void **state)
{
	static const size_t sizes[] = { 16, 64, 128, 256, 512, 1024, 2048, 3072, 4096, 8000 };
	uint64_t before, seed = 32;

	(void)state;
	for (unsigned i = 0; i < nitems(sizes); i++) {
		uma_zone_t zone = uma_zcreate(
		    "cold", sizes[i], NULL, NULL, NULL, NULL, 7, UMA_ZONE_MAXBUCKET * (i % 2));
		unsigned held = 0;

		drain_all();
		before = buckets_in_use();
		items[held++] = uma_zalloc(zone, M_WAITOK);
		assert_in_range(buckets_in_use() - before, 0, 2);
		for (unsigned turn = 0; turn < 2000; turn++) {
			if (held < 500 && (held == 0 || test_random(&seed) % 2 == 0))
				items[held++] = uma_zalloc(zone, M_WAITOK);
			else
				uma_zfree(zone, items[--held]);
			if (turn % 100 == 0)
				(void)buckets_in_use();
		}
		while (held > 0)
			uma_zfree(zone, items[--held]);
		(void)buckets_in_use();
		uma_zdestroy(zone);
	}
	drain_all();
	assert_int_equal(buckets_in_use(), 0);
}

/* ---- R35 -------------------------------------------------------------------------------------------- */

/* Items of this CPU's two stacks. */
static void
stacks(uma_zone_t zone, unsigned *alloc, unsigned *free)
{
	struct percpu *c = percpu_enter_cpu(zone->cache, 0);

	*alloc = c->alloc.count;
	*free = c->free.count;
	percpu_exit(zone->cache, 0);
}

/*
 * R35: where the buckets are not swapped (the field's KASAN) a request starves beside a free bucket
 * that is full. What stays of it here: at the limit, with nothing left to import, each cached
 * item can be had, those of the free bucket too.
 */
static void
R35_the_free_bucket_serves(void **state)
{
	const unsigned max = 64 * uma_ncpus;
	uma_zone_t zone;
	unsigned n, cached, alloc, free;
	bool seen = false;

	(void)state;
	NEED(cooper_shape()->pin);
	machine_bind(0);
	zone = uma_zcreate("starved", 64, NULL, NULL, NULL, NULL, 7, 0);
	assert_int_equal(uma_zone_set_max(zone, (int)max), max);
	for (n = 0; n < max && (items[n] = uma_zalloc(zone, M_NOWAIT)) != NULL;)
		n++;
	assert_int_equal(n, max);
	assert_null(uma_zalloc(zone, M_NOWAIT));
	for (unsigned i = 0; i < 2 * (unsigned)zone->bucket_size; i++)
		uma_zfree(zone, items[--n]);
	cached = (unsigned)stat_of(zone).cached_cpu;
	assert_int_equal(cached, max - n);
	while (cached-- > 0) {
		stacks(zone, &alloc, &free);
		seen |= alloc == 0 && free > 0;
		items[n] = uma_zalloc(zone, M_NOWAIT);
		assert_non_null(items[n]);
		n++;
		stacks(zone, &alloc, &free);
		seen |= alloc == 0 && free > 0;
	}
	assert_true(seen);
	assert_int_equal(n, max);
	while (n > 0)
		uma_zfree(zone, items[--n]);
	uma_zdestroy(zone);
}

/* ---- H5 --------------------------------------------------------------------------------------------- */

static void
h5_look(const struct uma_zone_stat *st, void *arg)
{
	(void)arg;
	if (strcmp(st->name, "h5") == 0)
		TEST_MUST((st->flags & ZF_CACHE) != 0 && st->size == 8 && st->bucket_size > 0);
}

static bool h5_over;

static void
h5_thread(struct test_thread *t)
{
	static int something;

	if (t->index == 0) {
		for (unsigned i = 0; i < 400; i++) {
			uma_zone_t zone = uma_zcache_create("h5", 8, NULL, NULL, NULL, NULL,
			    import_arg, release_arg, &something, 0);
			void *item = uma_zalloc(zone, M_WAITOK);

			TEST_MUST(item == &something);
			uma_zfree(zone, item);
			uma_zdestroy(zone);
		}
		atomic_store_release(&h5_over, true);
		return;
	}
	while (!atomic_load_acquire(&h5_over)) {
		if (t->index == 1)
			uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		else
			uma_each_zone_stat(h5_look, NULL);
	}
}

/* H5: a cache zone is on the list of all zones when it is complete, and a pass may come at once. */
static void
H5_cache_zones_appear_complete(void **state)
{
	(void)state;
	h5_over = false;
	run_threads(3, h5_thread, NULL);
}

TEST_MAIN(cmocka_unit_test(R19_a_pass_does_what_the_shortage_asks),
    cmocka_unit_test(R32_buckets_for_buckets_end_at_one),
    cmocka_unit_test(R35_the_free_bucket_serves), cmocka_unit_test(H5_cache_zones_appear_complete))
