/*
 * First-touch zones on several domains: frees from other domains' CPUs go home.
 */
#include <stdlib.h>
#include <string.h>
#include "zones.h"

#define N 5000

static uma_zone_t zone;
static void *item[N];

/* A CPU of the domain, bound to. */
static void
go_to(unsigned domain)
{
	for (unsigned c = 0; c < uma_ncpus; c++)
		if (machine_cpu_domain(c) == domain) {
			machine_bind((int)c);
			return;
		}
	fail();
}

/* What lies in a domain's depot and slabs is of that domain. */
static void
each_is_at_home(void)
{
	for (unsigned d = 0; d < uma_ndomains; d++) {
		struct uma_zdomain *zdom = &zone->domain[d];

		for (struct uma_bucket *b = zdom->first; b != NULL; b = b->next)
			for (unsigned i = 0; i < b->count; i++)
				assert_int_equal(item_domain(zone, b->slot[i]), d);
		for (unsigned i = 0; zdom->cross != NULL && i < zdom->cross->count; i++)
			assert_int_equal(item_domain(zone, zdom->cross->slot[i]), d);
		LIST_EACH (l, &zone->keg->domain[d].part) {
			struct slab *s = list_entry(l, struct slab, link);

			assert_int_equal(s->domain, d);
			assert_int_equal(page_of_va((vm_offset_t)s->data)->domain, d);
		}
	}
}

static void
alloc_everywhere(void)
{
	for (unsigned i = 0; i < N; i++) {
		if (i % 100 == 0)
			go_to(i / 100 % uma_ndomains);
		item[i] = uma_zalloc(zone, M_WAITOK);
		assert_int_equal(item_domain(zone, item[i]), i / 100 % uma_ndomains);
	}
}

static void
cross_frees_go_home(void **state)
{
	uint64_t seed = 3;

	(void)state;
	zone = uma_zcreate("cross", 100, NULL, NULL, NULL, NULL, 7, UMA_ZONE_FIRSTTOUCH);
	for (unsigned round = 0; round < 3; round++) {
		alloc_everywhere();
		for (unsigned i = 0; i < N; i++) { /* in no order, from any CPU */
			unsigned k = i + (unsigned)(test_random(&seed) % (N - i));
			void *t = item[k];

			item[k] = item[i];
			item[i] = t;
			if (i % 50 == 0)
				go_to((unsigned)(test_random(&seed) % uma_ndomains));
			uma_zfree(zone, t);
		}
		each_is_at_home();
		assert_int_equal(stat_of(zone).used, 0);
		if (uma_ndomains > 1)
			assert_true(stat_of(zone).xdomain > N / 4);
	}
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	each_is_at_home();
	assert_int_equal(stat_of(zone).keg_pages, 0);
	machine_bind(-1);
	uma_zdestroy(zone);
}

/* Reclaim of one domain finds its items also where other domains' CPUs have freed them. */
static void
reclaim_of_a_domain_empties_cross_buckets(void **state)
{
	(void)state;
	NEED(uma_ndomains > 1);
	zone = uma_zcreate("cross", 100, NULL, NULL, NULL, NULL, 7, UMA_ZONE_FIRSTTOUCH);
	go_to(0);
	for (unsigned i = 0; i < 20; i++)
		item[i] = uma_zalloc(zone, M_WAITOK);
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	go_to(1);
	for (unsigned i = 0; i < 20; i++)
		uma_zfree(zone, item[i]);
	assert_true(zone->keg->domain[0].pages > 0);
	uma_zone_reclaim_domain(zone, UMA_RECLAIM_DRAIN_CPU, 0);
	assert_int_equal(zone->keg->domain[0].pages, 0);
	machine_bind(-1);
	uma_zdestroy(zone);
}

/* Without buckets for sorting, items go home one by one. */
static void
cross_frees_without_buckets(void **state)
{
	(void)state;
	zone = uma_zcreate("cross", 100, NULL, NULL, NULL, NULL, 7, UMA_ZONE_FIRSTTOUCH);
	for (uint64_t k = 1; k < 60; k++) {
		unsigned n = 0;

		for (unsigned d = 0; d < uma_ndomains; d++) {
			go_to(d);
			for (unsigned i = 0; i < 300; i++)
				item[n++] = uma_zalloc(zone, M_WAITOK);
		}
		cooper_inject_failure(k);
		for (unsigned i = 0; i < n; i++) {
			if (i % 64 == 0)
				go_to((i / 64 + 1) % uma_ndomains);
			uma_zfree(zone, item[(i * 7) % n]);
		}
		cooper_inject_failure(0);
		each_is_at_home();
		assert_int_equal(stat_of(zone).used, 0);
		if (k % 7 == 0)
			uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	}
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	assert_int_equal(stat_of(zone).keg_pages, 0);
	machine_bind(-1);
	uma_zdestroy(zone);
}

/* ---- many threads: each frees what others allocated -------------------------------------------------- */

#define TABLE 4096
static void *table[TABLE];

static void
pass_on(struct test_thread *t)
{
	uint64_t seed = t->index + 77;
	void *mine;

	for (unsigned i = 0; i < 20000; i++) {
		mine = uma_zalloc(zone, M_WAITOK);
		*(uint64_t *)mine = seed;
		mine =
		    __atomic_exchange_n(&table[test_random(&seed) % TABLE], mine, __ATOMIC_ACQ_REL);
		uma_zfree(zone, mine);
		if (i % 4000 == 0)
			uma_reclaim(1 + (int)(i / 4000 % 3));
	}
}

/* Sorting needs buckets, whose zones sort cross frees themselves. */
static void
R10_cross_sorting_does_not_deadlock(void **state)
{
	(void)state;
	zone = uma_zcreate("cross", 200, NULL, NULL, NULL, NULL, 7, UMA_ZONE_FIRSTTOUCH);
	run_threads(MAX(uma_ndomains * 2, 4), pass_on, NULL);
	for (unsigned i = 0; i < TABLE; i++) {
		uma_zfree(zone, table[i]);
		table[i] = NULL;
	}
	each_is_at_home();
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	assert_int_equal(stat_of(zone).used, 0);
	assert_int_equal(stat_of(zone).keg_pages, 0);
	uma_zdestroy(zone);
}

/* The domains of a round-robin zone fill alike, and so do its depots. */
static void
round_robin_spreads(void **state)
{
	(void)state;
	NEED(uma_ndomains > 1);
	zone = uma_zcreate("rr", 100, NULL, NULL, NULL, NULL, 7, UMA_ZONE_ROUNDROBIN);
	for (unsigned i = 0; i < N; i++)
		item[i] = uma_zalloc(zone, M_WAITOK);
	for (unsigned d = 0; d < uma_ndomains; d++)
		assert_true(
		    zone->keg->domain[d].pages >= stat_of(zone).keg_pages / uma_ndomains / 2);
	for (unsigned i = 0; i < N; i++)
		uma_zfree(zone, item[i]);
	for (unsigned d = 0; d < uma_ndomains; d++)
		assert_true(zone->domain[d].nitems > 0);
	uma_zdestroy(zone);
}

/*
 * The first free on a CPU is of an item taken on another. If it were the next to be taken there, two CPUs
 * would write on one line, as long as each gets back what it frees.
 */
static void
a_cpu_does_not_begin_with_anothers_item(void **state)
{
	uma_zone_t z;
	char *a, *b, *c;

	(void)state;
	NEED(cooper_shape()->ncpus > 1);
	/* Whose first buckets leave something in the slab. */
	z = uma_zcreate("small", 16, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, UMA_ZONE_MALLOC);
	machine_bind(0);
	a = uma_zalloc(z, M_WAITOK);
	b = uma_zalloc(z, M_WAITOK);
	machine_bind(1);
	uma_zfree(z, b);
	c = uma_zalloc(z, M_WAITOK);
	if (machine_cpu() == 1) /* a real one may be forbidden to us */
		assert_true((uintptr_t)a / CACHE_LINE != (uintptr_t)c / CACHE_LINE);
	uma_zfree(z, a);
	uma_zfree(z, c);
	machine_bind(-1);
	uma_zdestroy(z);
}

TEST_MAIN(cmocka_unit_test(a_cpu_does_not_begin_with_anothers_item),
    cmocka_unit_test(cross_frees_go_home),
    cmocka_unit_test(reclaim_of_a_domain_empties_cross_buckets),
    cmocka_unit_test(cross_frees_without_buckets),
    cmocka_unit_test(R10_cross_sorting_does_not_deadlock), cmocka_unit_test(round_robin_spreads))
