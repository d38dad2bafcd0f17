/*
 * SMR zones: what a reader may still see is not reused, and is reused once it may not.
 */
#include <stdlib.h>
#include <string.h>
#include "zones.h"

#define N    2000
#define GOOD 0x600d600du
#define DEAD 0xdeaddeadu

struct node {
	uint32_t state; /* GOOD between ctor and dtor; atomic */
	uint32_t value;
	uint64_t more[6];
};

static uma_zone_t zone;
static unsigned dtors;

static int
node_ctor(void *mem, int size, void *arg, int flags)
{
	struct node *n = mem;

	(void)size;
	(void)arg;
	(void)flags;
	__atomic_store_n(&n->state, GOOD, __ATOMIC_RELAXED);
	return (0);
}

static void
node_dtor(void *mem, int size, void *arg)
{
	struct node *n = mem;

	(void)size;
	(void)arg;
	TEST_MUST(n->state == GOOD);
	__atomic_store_n(&n->state, DEAD, __ATOMIC_RELAXED);
	__atomic_fetch_add(&dtors, 1, __ATOMIC_RELAXED);
}

static void
make_zone(void)
{
	zone = uma_zcreate(
	    "nodes", sizeof(struct node), node_ctor, node_dtor, NULL, NULL, 7, UMA_ZONE_SMR);
	assert_non_null(zone);
	assert_non_null(uma_zone_get_smr(zone));
	dtors = 0;
}

/* ---- one reader ------------------------------------------------------------------------------------- */

static uint32_t reader_in, reader_go;

static void
reader(void *arg)
{
	(void)arg;
	smr_enter(uma_zone_get_smr(zone));
	__atomic_store_n(&reader_in, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&reader_go, __ATOMIC_ACQUIRE) == 0)
		machine_park(machine_now() + 1000000);
	smr_exit(uma_zone_get_smr(zone));
}

static struct side_thread *
start_reader(void)
{
	struct side_thread *t;

	reader_in = reader_go = 0;
	t = side_start(reader, NULL, -1);
	while (__atomic_load_n(&reader_in, __ATOMIC_ACQUIRE) == 0)
		machine_park(machine_now() + 1000000);
	return (t);
}

static void
end_reader(struct side_thread *t)
{
	__atomic_store_n(&reader_go, 1, __ATOMIC_RELEASE);
	side_join(t);
}

static int
compare(const void *a, const void *b)
{
	return (memcmp(a, b, sizeof(void *)));
}

static void
nothing_is_reused_before_its_readers_leave(void **state)
{
	static void *old[N], *new[N];
	struct side_thread *t;

	(void)state;
	make_zone();
	machine_bind(0); /* on one CPU: what it frees is what it takes */
	for (unsigned i = 0; i < N; i++)
		old[i] = uma_zalloc_smr(zone, M_WAITOK);
	t = start_reader();
	for (unsigned i = 0; i < N; i++)
		uma_zfree_smr(zone, old[i]);
	assert_int_equal(stat_of(zone).used, 0);
	assert_int_equal(dtors, 0);
	qsort(old, N, sizeof(old[0]), compare);
	for (unsigned i = 0; i < N; i++) {
		new[i] = uma_zalloc_smr(zone, M_WAITOK);
		assert_null(bsearch(&new[i], old, N, sizeof(old[0]), compare));
	}
	assert_int_equal(dtors, 0);
	end_reader(t);

	/* The reader is gone: full buckets are handed out again, their dtors having run. */
	for (unsigned i = 0; i < N; i++)
		uma_zfree_smr(zone, new[i]);
	for (unsigned i = 0; i < N / 2; i++)
		new[i] = uma_zalloc_smr(zone, M_WAITOK);
	assert_true(dtors >= N / 2);
	for (unsigned i = 0; i < N / 2; i++)
		uma_zfree_smr(zone, new[i]);
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	assert_int_equal(stat_of(zone).keg_pages, 0);
	assert_int_equal(stat_of(zone).used, 0);
	assert_int_equal(dtors, 2 * N + N / 2);
	machine_bind(-1);
	uma_zdestroy(zone);
}

static void
drain(void *arg)
{
	(void)arg;
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
}

/* A drain waits for readers; it does not take what they see. */
static void
drain_waits_for_readers(void **state)
{
	static void *item[N];
	struct side_thread *t, *d;

	(void)state;
	make_zone();
	for (unsigned i = 0; i < N; i++)
		item[i] = uma_zalloc_smr(zone, M_WAITOK);
	t = start_reader();
	for (unsigned i = 0; i < N; i++)
		uma_zfree_smr(zone, item[i]);
	d = side_start(drain, NULL, -1);
	wait_for_sleepers("smr", 1);
	assert_true(stat_of(zone).keg_pages > 0);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(((struct node *)item[i])->state, GOOD);
	end_reader(t);
	side_join(d);
	assert_int_equal(stat_of(zone).keg_pages, 0);
	uma_zdestroy(zone);
}

/* ---- many ------------------------------------------------------------------------------------------- */

#define SLOTS 64
static struct node *slot[SLOTS];

static void
reader_or_writer(struct test_thread *t)
{
	struct smr *smr = uma_zone_get_smr(zone);
	uint64_t seed = t->index + 5;
	struct node *n;

	for (unsigned i = 0; i < 20000; i++) {
		unsigned at = (unsigned)(test_random(&seed) % SLOTS);

		if (t->index % 2 == 0) {
			smr_enter(smr);
			n = __atomic_load_n(&slot[at], __ATOMIC_ACQUIRE);
			for (unsigned look = 0; n != NULL && look < 5; look++)
				TEST_MUST(__atomic_load_n(&n->state, __ATOMIC_RELAXED) == GOOD);
			smr_exit(smr);
			continue;
		}
		n = uma_zalloc_smr(zone, i % 2 == 0 ? M_WAITOK : M_NOWAIT);
		TEST_MUST(n == NULL || n->state == GOOD);
		if (n != NULL)
			n->value = at;
		n = __atomic_exchange_n(&slot[at], n, __ATOMIC_ACQ_REL);
		if (n != NULL) {
			TEST_MUST(n->value == at);
			uma_zfree_smr(zone, n);
		}
		if (i % 1000 == 0)
			uma_zone_reclaim(zone, 1 + (int)(i / 1000 % 3));
	}
}

static void
readers_and_writers(void **state)
{
	(void)state;
	make_zone();
	run_threads(4, reader_or_writer, NULL);
	for (unsigned i = 0; i < SLOTS; i++)
		if (slot[i] != NULL)
			uma_zfree_smr(zone, slot[i]);
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	assert_int_equal(stat_of(zone).used, 0);
	assert_int_equal(stat_of(zone).keg_pages, 0);
	assert_int_equal(dtors, stat_of(zone).req);
	uma_zdestroy(zone);
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

static void
zones_share_a_context(void **state)
{
	smr_t smr = smr_create("shared", 0, 0);
	uma_zone_t a = uma_zcreate("a", 64, NULL, NULL, NULL, NULL, 7, 0);
	uma_zone_t b = uma_zcreate("b", 64, NULL, NULL, NULL, NULL, 7, 0);

	(void)state;
	uma_zone_set_smr(a, smr);
	uma_zone_set_smr(b, smr);
	assert_ptr_equal(uma_zone_get_smr(a), smr);
	for (unsigned i = 0; i < 500; i++) {
		uma_zfree_smr(a, uma_zalloc_smr(a, M_WAITOK));
		uma_zfree_smr(b, uma_zalloc_smr(b, M_WAITOK));
	}
	uma_zdestroy(a);
	uma_zdestroy(b);
	smr_destroy(smr);
}

static void
plain_free(void *arg)
{
	uma_zfree(zone, arg);
}

static void
smr_zones_want_smr_calls(void **state)
{
	(void)state;
	NEED(core_debug);
	make_zone();
	expect_stop(plain_free, uma_zalloc_smr(zone, M_WAITOK), "is an SMR zone");
	expect_stop((void (*)(void *))uma_zwait, zone, "is an SMR zone");
}

TEST_MAIN(cmocka_unit_test(nothing_is_reused_before_its_readers_leave),
    cmocka_unit_test(drain_waits_for_readers), cmocka_unit_test(readers_and_writers),
    cmocka_unit_test(zones_share_a_context), cmocka_unit_test(smr_zones_want_smr_calls))
