/*
 * Giving memory back: what each request takes, what it must not, and what may run beside it.
 */
#include <string.h>
#include "many.h"
#include "zones.h"

/* ---- what is taken ------------------------------------------------------------------------------- */

static void
drain_and_drain_cpu(void **state)
{
	uma_zone_t z = uma_zcreate("drain", 100, NULL, NULL, NULL, NULL, 7, 0);
	struct uma_zone_stat st;

	(void)state;
	many_fill(z, 5000);
	many_give_back(z, 5000);
	st = stat_of(z);
	assert_true(st.cached_depot > 0 && st.cached_cpu > 0);
	uma_zone_reclaim(z, UMA_RECLAIM_DRAIN);
	st = stat_of(z);
	assert_int_equal(st.cached_depot, 0);
	assert_true(st.cached_cpu > 0);
	uma_zone_reclaim(z, UMA_RECLAIM_DRAIN_CPU);
	st = stat_of(z);
	assert_int_equal(st.cached_depot + st.cached_cpu, 0);
	assert_int_equal(st.keg_pages, 0);
	uma_zdestroy(z);
}

/* What frees piled up is no working set (R18): a trim takes it all. */
static void
R18_frees_are_no_working_set(void **state)
{
	uma_zone_t z = uma_zcreate("arc", 100, NULL, NULL, NULL, NULL, 7, 0);

	(void)state;
	machine_bind(0);
	many_fill(z, 10000);
	uma_zone_reclaim(z, UMA_RECLAIM_TRIM);
	many_give_back(z, 10000);
	assert_true(stat_of(z).cached_depot > 8000);
	uma_zone_reclaim(z, UMA_RECLAIM_TRIM);
	assert_true(stat_of(z).cached_depot < 1000);
	machine_bind(-1);
	uma_zdestroy(z);
}

/* What allocations took out, again and again, is: a trim leaves it. */
static void
trim_keeps_the_working_set(void **state)
{
	uma_zone_t z = uma_zcreate("busy", 100, NULL, NULL, NULL, NULL, 7, 0);
	struct uma_zone_stat st;

	(void)state;
	machine_bind(0);
	many_fill(z, 10000);
	many_give_back(z, 10000);
	for (unsigned i = 0; i < 3; i++) {
		many_fill(z, 3000);
		many_give_back(z, 3000);
	}
	uma_zone_reclaim(z, UMA_RECLAIM_TRIM);
	st = stat_of(z);
	assert_in_range(st.cached_depot + st.cached_cpu, 2000, 4500);
	/* ... and forgets it when nobody takes any more. */
	for (unsigned i = 0; i < 40; i++)
		uma_zone_reclaim(z, UMA_RECLAIM_TRIM);
	assert_int_equal(stat_of(z).cached_depot, 0);
	machine_bind(-1);
	uma_zdestroy(z);
}

/* Caches that nobody touches shrink with time. */
static void
idle_caches_shrink(void **state)
{
	uma_zone_t z = uma_zcreate("idle", 100, NULL, NULL, NULL, NULL, 7, 0);
	struct uma_zone_stat before, after;

	(void)state;
	many_fill(z, 10000);
	many_give_back(z, 10000);
	before = stat_of(z);
	for (unsigned i = 0; i < 2000; i++)
		uma_timeout();
	after = stat_of(z);
	assert_true(after.cached_depot < before.cached_depot / 2);
	assert_true(after.keg_pages < before.keg_pages);
	uma_zdestroy(z);
}

/* Round-robin: the buckets of all domains, the slabs of one. */
static void
R31_domain_drain_of_round_robin(void **state)
{
	uma_zone_t z = uma_zcreate("rr", 1000, NULL, NULL, NULL, NULL, 7, UMA_ZONE_ROUNDROBIN);

	(void)state;
	NEED(uma_ndomains > 1);
	many_fill(z, 2000);
	for (unsigned d = 0; d < uma_ndomains; d++)
		assert_true(z->keg->domain[d].pages > 0);
	many_give_back(z, 2000);
	uma_zone_reclaim_domain(z, UMA_RECLAIM_DRAIN_CPU, 1);
	assert_int_equal(stat_of(z).cached_depot, 0);
	assert_int_equal(z->keg->domain[1].pages, 0);
	assert_true(z->keg->domain[0].pages > 0);
	uma_zone_reclaim(z, UMA_RECLAIM_DRAIN_CPU);
	uma_zdestroy(z);

	/* First-touch: both of the one. */
	z = uma_zcreate("ft", 1000, NULL, NULL, NULL, NULL, 7, UMA_ZONE_FIRSTTOUCH);
	for (unsigned d = 0; d < uma_ndomains; d++)
		many_item[d] = uma_zalloc_domain(z, NULL, (int)d, M_WAITOK);
	for (unsigned d = 0; d < uma_ndomains; d++) {
		assert_int_equal(page_of_va((vm_offset_t)many_item[d])->domain, d);
		uma_zfree(z, many_item[d]);
	}
	uma_zone_reclaim(z, UMA_RECLAIM_DRAIN_CPU);
	for (unsigned d = 0; d < uma_ndomains; d++)
		assert_int_equal(z->keg->domain[d].pages, 0);
	uma_zdestroy(z);
}

/* ---- what may run beside it ------------------------------------------------------------------------ */

static void
create_and_destroy(struct test_thread *t)
{
	static int thing;
	uma_zone_t z, s;

	if (t->index == 0) {
		for (unsigned i = 0; i < 60; i++) {
			uma_reclaim(1 + (int)(i % 3));
			uma_timeout();
		}
		return;
	}
	for (unsigned i = 0; i < 60; i++) {
		if (t->index % 2 == 0) {
			z = uma_zcache_create(
			    "cache", 8, NULL, NULL, NULL, NULL, import_arg, release_arg, &thing, 0);
			s = NULL;
		} else {
			z = uma_zcreate("zone", 200, NULL, NULL, NULL, NULL, 7, 0);
			s = uma_zsecond_create("second", NULL, NULL, NULL, NULL, z);
			uma_zfree(s, uma_zalloc(s, M_WAITOK));
		}
		for (unsigned k = 0; k < 20; k++)
			uma_zfree(z, uma_zalloc(z, M_WAITOK));
		uma_zone_reclaim(z, UMA_RECLAIM_DRAIN_CPU);
		if (s != NULL)
			uma_zdestroy(s);
		uma_zdestroy(z);
	}
}

static unsigned
zones_now(void)
{
	unsigned n = 0;

	LIST_EACH (l, &uma_zones)
		n++;
	return (n);
}

/* Zones come and go while passes run; a pass never sees half a zone (H5). */
static void
R14_create_and_destroy_during_reclaim(void **state)
{
	unsigned zones = zones_now();

	(void)state;
	run_threads(4, create_and_destroy, NULL);
	assert_int_equal(zones_now(), zones);
}

static uma_zone_t helper;
static int sleepy;

static void
sleepy_fini(void *mem, int size)
{
	(void)mem;
	(void)size;
	sync_assert_may_sleep("fini");
	uma_zfree(helper, uma_zalloc(helper, M_WAITOK));
	sleepy++;
}

static int
plain_init(void *mem, int size, int flags)
{
	(void)flags;
	memset(mem, 0, (size_t)size);
	return (0);
}

/* Callbacks of a pass may sleep, allocate, reclaim and make zones. */
static void
H6_callbacks_run_without_locks(void **state)
{
	uma_zone_t z;

	(void)state;
	helper = uma_zcreate("helper", 64, NULL, NULL, NULL, NULL, 7, 0);
	z = uma_zcreate("sleepy", 64, NULL, NULL, plain_init, sleepy_fini, 7, 0);
	sleepy = 0;
	many_fill(z, 500);
	many_give_back(z, 500);
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	assert_true(sleepy >= 500);
	uma_zdestroy(z);
	uma_zdestroy(helper);
}

/* ---- pressure ---------------------------------------------------------------------------------------- */

static int handled;

static void
on_lowmem(enum page_pressure level, int domain, void *arg)
{
	(void)level;
	(void)domain;
	(void)arg;
	handled++;
}

/* Crossing the soft limit starts a pass, which empties the caches. */
static void
soft_limit_starts_a_pass(void **state)
{
	struct lowmem_handler h = { .fn = on_lowmem };
	uma_zone_t z = uma_zcreate("soft", 4000, NULL, NULL, NULL, NULL, 7, 0);

	(void)state;
	handled = 0;
	lowmem_register(&h);
	many_fill(z, 1000);
	many_give_back(z, 1000);
	assert_int_equal(handled, 0);
	uma_set_limit(uma_size() - 100 * PAGE_SIZE);
	assert_true(uma_avail() < 0);
	many_fill(z, 1200);
	assert_true(handled >= 1);
	many_give_back(z, 1200);
	uma_set_limit(0);
	assert_true(uma_avail() > 0);
	lowmem_unregister(&h);
	uma_zdestroy(z);
}

/* The daemon's pass takes what caches hold; while pages are short no bucket is made. */
static void
shortage_empties_caches_and_stops_buckets(void **state)
{
	uma_zone_t z = uma_zcreate("short", 4000, NULL, NULL, NULL, NULL, 7, 0);
	struct vm_page *first = NULL, *m;
	unsigned long pages;

	(void)state;
	many_fill(z, 500);
	many_give_back(z, 500);
	pages = pages_out();
	page_daemon_pass(-1, PRESSURE_SEVERE);
	assert_true(pages_out() + 400 < pages);

	for (unsigned d = 0; d < uma_ndomains; d++)
		while ((m = vm_page_alloc((int)d, M_NOWAIT)) != NULL) {
			m->owner = (uintptr_t)first;
			first = m;
		}
	bucket_enable();
	assert_false(uma_buckets_on);
	while (first != NULL) {
		m = first;
		first = (struct vm_page *)m->owner;
		vm_page_free(m);
	}
	bucket_enable();
	assert_true(uma_buckets_on);
	uma_zdestroy(z);
}

TEST_MAIN(cmocka_unit_test(drain_and_drain_cpu), cmocka_unit_test(R18_frees_are_no_working_set),
    cmocka_unit_test(trim_keeps_the_working_set), cmocka_unit_test(idle_caches_shrink),
    cmocka_unit_test(R31_domain_drain_of_round_robin),
    cmocka_unit_test(R14_create_and_destroy_during_reclaim),
    cmocka_unit_test(H6_callbacks_run_without_locks), cmocka_unit_test(soft_limit_starts_a_pass),
    cmocka_unit_test(shortage_empties_caches_and_stops_buckets))
