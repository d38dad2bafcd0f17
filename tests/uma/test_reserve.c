/*
 * The reserve: what ordinary requests, fills, drains and other domains may do to it.
 */
#include "zones.h"

#define RESERVE 32

static uma_zone_t zone;

static void
make_zone(size_t size, uint32_t flags, int reserve, int prealloc)
{
	zone = uma_zcreate("reserved", size, NULL, NULL, NULL, NULL, 7, flags);
	uma_zone_reserve(zone, reserve);
	uma_prealloc(zone, prealloc);
}

static unsigned long
free_items(unsigned domain)
{
	return (zone->keg->domain[domain].free_items);
}

/* Take what an ordinary request can have without new slabs; how many, in item[]. */
static unsigned
take_all(void **item, unsigned max, int flags)
{
	unsigned n = 0;

	while (n < max && (item[n] = uma_zalloc(zone, M_NOWAIT | M_NOVM | flags)) != NULL)
		n++;
	return (n);
}

/* Whole free slabs that hold the reserve survive any reclaim; what is over goes. */
static void
R1_reclaim_keeps_reserve(void **state)
{
	static const int reserves[] = { 1, 32, 71, 72, 73, 200, 1000 };
	static void *item[20000];
	struct uma_zone_stat st;
	unsigned n;

	(void)state;
	for (unsigned r = 0; r < nitems(reserves); r++) {
		make_zone(56, UMA_ZONE_VM, reserves[r], 1500 * (int)uma_ndomains);
		for (int req = UMA_RECLAIM_DRAIN; req <= UMA_RECLAIM_TRIM; req++)
			uma_reclaim(req);
		st = stat_of(zone);
		for (unsigned d = 0; d < uma_ndomains; d++)
			assert_int_equal(zone->keg->domain[d].free_slabs,
			    howmany((unsigned)reserves[r], st.ipers));
		/* Ordinary requests stop at it... */
		n = take_all(item, nitems(item), 0);
		for (unsigned d = 0; d < uma_ndomains; d++)
			assert_true(free_items(d) >= (unsigned)reserves[r] || n == 0);
		/* ... a reserved one gets one, with a partly used slab a drain counts its items... */
		item[n] = uma_zalloc(zone, M_NOWAIT | M_NOVM | M_USE_RESERVE);
		assert_non_null(item[n++]);
		uma_reclaim(UMA_RECLAIM_DRAIN);
		/* ... and everything reserved can still be had, one by one. */
		n += take_all(item + n, nitems(item) - n, M_USE_RESERVE);
		assert_true(n >= (unsigned)reserves[r]);
		while (n > 0)
			uma_zfree(zone, item[--n]);
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		for (unsigned d = 0; d < uma_ndomains; d++)
			assert_true(free_items(d) >= MIN((unsigned)reserves[r], 72) || d > 0);
		uma_zdestroy(zone);
	}
}

/* The arithmetic: keep ceil((reserve - partial) / ipers) whole slabs. */
static void
R1_partial_slabs_count_for_the_reserve(void **state)
{
	void *item[300];
	unsigned ipers, n;
	struct uma_zone_stat st;

	(void)state;
	NEED(uma_ndomains == 1);
	zone =
	    uma_zcreate("reserved", 56, NULL, NULL, NULL, NULL, 7, UMA_ZONE_VM | UMA_ZONE_NOBUCKET);
	uma_zone_reserve(zone, 100);
	uma_prealloc(zone, 1000);
	ipers = stat_of(zone).ipers;
	/* One slab with 10 items out: ipers - 10 free ones in it. */
	for (n = 0; n < 10; n++)
		item[n] = uma_zalloc(zone, M_NOWAIT);
	uma_reclaim(UMA_RECLAIM_DRAIN);
	st = stat_of(zone);
	assert_int_equal(st.keg_free_slabs, howmany(100 - (ipers - 10), ipers));
	assert_true(st.keg_free_items >= 100);
	while (n > 0)
		uma_zfree(zone, item[--n]);
	uma_zdestroy(zone);
}

/* At the reserve a fill takes one item a call, so that one CPU cannot carry it off. */
static void
R2_fill_stops_at_reserve(void **state)
{
	void *item[1000], *one, *other;
	unsigned n;

	(void)state;
	NEED(uma_ndomains == 1);
	make_zone(56, UMA_ZONE_VM | UMA_ZONE_MAXBUCKET, RESERVE, 500);
	n = take_all(item, nitems(item), 0);
	assert_int_equal(free_items(0), RESERVE);
	machine_bind(0);
	one = uma_zalloc(zone, M_NOWAIT | M_NOVM | M_USE_RESERVE);
	assert_non_null(one);
	assert_int_equal(free_items(0), RESERVE - 1);
	assert_null(uma_zalloc(zone, M_NOWAIT | M_NOVM));
	machine_bind((int)uma_ncpus - 1);
	other = uma_zalloc(zone, M_NOWAIT | M_NOVM | M_USE_RESERVE);
	assert_non_null(other);
	assert_int_equal(free_items(0), RESERVE - 2);
	machine_bind(-1);
	uma_zfree(zone, one);
	uma_zfree(zone, other);
	while (n > 0)
		uma_zfree(zone, item[--n]);
	uma_zdestroy(zone);
}

/* An ordinary request that makes a slab never takes the reserve below what it was. */
static void
new_slab_fills_the_reserve_first(void **state)
{
	void *item[200];
	unsigned long before;
	unsigned n;

	(void)state;
	NEED(uma_ndomains == 1);
	make_zone(1000, 0, RESERVE, 0);
	for (n = 0; n < 100; n++) {
		before = free_items(0);
		item[n] = uma_zalloc(zone, M_WAITOK);
		assert_true(free_items(0) >= MIN(before, RESERVE));
	}
	assert_true(free_items(0) >= RESERVE);
	while (n > 0)
		uma_zfree(zone, item[--n]);
	uma_zdestroy(zone);
}

/* M_USE_RESERVE may take any domain's slabs. */
static void
R8_reserve_of_any_domain(void **state)
{
	void *item[4];

	(void)state;
	NEED(uma_ndomains > 1);
	make_zone(56, UMA_ZONE_VM | UMA_ZONE_FIRSTTOUCH, 8, 1); /* one slab: domain 0 has it all */
	assert_int_equal(free_items(1), 0);
	for (unsigned c = 0; c < uma_ncpus; c++)
		if (machine_cpu_domain(c) == 1)
			machine_bind((int)c);
	for (unsigned i = 0; i < 4; i++) {
		item[i] = uma_zalloc(zone, M_NOWAIT | M_NOVM | M_USE_RESERVE);
		assert_non_null(item[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		uma_zfree(zone, item[i]);
	machine_bind(-1);
	uma_zdestroy(zone);
}

/* A first-touch request falls back to other domains' memory instead of waiting for its own. */
static void
R11_first_touch_falls_back(void **state)
{
	struct vm_page *first = NULL, *m;
	struct page_domain_stat st;
	void *item;

	(void)state;
	NEED(uma_ndomains > 1);
	zone = uma_zcreate("touch", 1000, NULL, NULL, NULL, NULL, 7, UMA_ZONE_FIRSTTOUCH);
	for (unsigned c = 0; c < uma_ncpus; c++)
		if (machine_cpu_domain(c) == 1)
			machine_bind((int)c);
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	while ((m = vm_page_alloc(1, M_NOWAIT | M_USE_RESERVE)) != NULL) {
		m->owner = (uintptr_t)first;
		first = m;
	}
	page_stat(1, &st);
	assert_int_equal(st.free, 0);
	item = uma_zalloc(zone, M_WAITOK);
	assert_non_null(item);
	assert_int_not_equal(page_of_va((vm_offset_t)item)->domain, 1);
	uma_zfree(zone, item);
	item = uma_zalloc_domain(zone, NULL, 1, M_NOWAIT);
	assert_null(item);
	while (first != NULL) {
		m = first;
		first = (struct vm_page *)m->owner;
		vm_page_free(m);
	}
	item = uma_zalloc_domain(zone, NULL, 1, M_NOWAIT);
	assert_non_null(item);
	assert_int_equal(page_of_va((vm_offset_t)item)->domain, 1);
	uma_zfree(zone, item);
	machine_bind(-1);
	uma_zdestroy(zone);
}

TEST_MAIN(cmocka_unit_test(R1_reclaim_keeps_reserve),
    cmocka_unit_test(R1_partial_slabs_count_for_the_reserve),
    cmocka_unit_test(R2_fill_stops_at_reserve), cmocka_unit_test(new_slab_fills_the_reserve_first),
    cmocka_unit_test(R8_reserve_of_any_domain), cmocka_unit_test(R11_first_touch_falls_back))
