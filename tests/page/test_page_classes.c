/*
 * Classes against watermarks, the counters, misuse.
 */
#include "page_test.h"

static void
watermarks_are_ordered(void **state)
{
	(void)state;
	for (unsigned i = 0; i < page_ndomains(); i++) {
		struct page_domain_stat st = stat_of(i);

		if (st.total == 0)
			continue;
		assert_true(st.interrupt > 0 && st.interrupt < st.severe);
		assert_true(st.severe < st.min && st.min < st.target);
		assert_true(st.target < st.total / 2);
	}
}

static void
each_class_stops_at_its_mark(void **state)
{
	(void)state;
	for (unsigned i = 0; i < page_ndomains(); i++) {
		struct page_domain_stat st = stat_of(i);
		uint32_t normal, system, interrupt;

		assert_false(vm_page_count_low((int)i));
		normal = take_all((int)i, PAGE_NORMAL);
		assert_int_equal(stat_of(i).free, st.min);
		assert_true(vm_page_count_low((int)i) && !vm_page_count_min((int)i));
		system = take_all((int)i, PAGE_SYSTEM);
		assert_int_equal(stat_of(i).free, st.interrupt);
		assert_true(vm_page_count_min((int)i) && vm_page_count_severe((int)i));
		assert_null(vm_page_alloc((int)i, M_NOWAIT));
		assert_null(vm_page_alloc_contig((int)i, M_NOWAIT, 2, ALL_MEMORY, 0, 0));
		interrupt = take_all((int)i, PAGE_INTERRUPT);
		assert_int_equal(stat_of(i).free, 0);
		assert_null(vm_page_alloc((int)i, M_NOWAIT | M_USE_RESERVE));
		verify_all();
		assert_int_equal(vm_page_count_low(-1), page_ndomains() == 1);
		give_back(interrupt);
		give_back(system);
		give_back(normal);
		verify_all();
		assert_int_equal(stat_of(i).free, st.total);
		assert_int_equal(stat_of(i).allocs - st.allocs, st.total);
		assert_int_equal(stat_of(i).frees - st.frees, st.total);
		assert_int_equal(stat_of(i).fails - st.fails, 6);
		assert_int_equal(stat_of(i).contig_fails - st.contig_fails, 1);
	}
}

static void
a_bulk_request_gets_what_there_is(void **state)
{
	struct page_domain *d = &page_domains[0];
	uint32_t rest = take_all(0, PAGE_SYSTEM);
	vm_paddr_t pa[8], more[8];

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		struct vm_page *m = &page_array[rest];

		rest = m->next;
		vm_page_free(m);
	}
	assert_int_equal(vm_page_alloc_bulk(0, M_NOWAIT, 8, pa), 5);
	assert_int_equal(vm_page_alloc_bulk(0, M_NOWAIT, 8, more), 0);
	vm_page_free_bulk(pa, 5);
	give_back(rest);
	assert_int_equal(d->free, d->total);
	verify_all();
}

static int
reserve_without_nowait(void *arg)
{
	(void)arg;
	return (vm_page_alloc(0, M_USE_RESERVE | M_WAITOK) != NULL);
}

static int
contig_reserve_without_nowait(void *arg)
{
	(void)arg;
	return (vm_page_alloc_contig(0, M_USE_RESERVE, 2, ALL_MEMORY, 0, 0) != NULL);
}

static void
R29_the_reserve_is_for_nowait_alone(void **state)
{
	(void)state;
	assert_int_equal(
	    expect_misuse(reserve_without_nowait, NULL, "M_USE_RESERVE without M_NOWAIT"), 0);
	assert_int_equal(
	    expect_misuse(contig_reserve_without_nowait, NULL, "M_USE_RESERVE without M_NOWAIT"),
	    0);
}

static void
free_twice(void *arg)
{
	vm_page_free(arg);
	vm_page_free(arg);
}

static void
free_never_allocated(void *arg)
{
	uint32_t pn = page_segments[0].range.end - 1;

	(void)arg;
	while ((page_array[pn].flags & PG_WIRED) != 0)
		pn--;
	vm_page_free(&page_array[pn]);
}

static void
no_such_domain(void *arg)
{
	(void)arg;
	(void)vm_page_alloc(COOPER_MAXDOMAIN, M_NOWAIT);
}

static void
misuse_is_named_in_every_shape(void **state)
{
	struct vm_page *m = vm_page_alloc(0, M_NOWAIT), *high = vm_page_alloc(0, M_NOWAIT);

	(void)state;
	expect_stop(free_twice, m, "vm_page_free: page 0x");
	expect_stop(free_never_allocated, NULL, "vm_page_free: page 0x");
	expect_stop(no_such_domain, NULL, "vm_page_alloc: domain 8 of");
	vm_page_free(m);
	vm_page_free(high);
}

TEST_MAIN(cmocka_unit_test(watermarks_are_ordered), cmocka_unit_test(each_class_stops_at_its_mark),
    cmocka_unit_test(a_bulk_request_gets_what_there_is),
    cmocka_unit_test(R29_the_reserve_is_for_nowait_alone),
    cmocka_unit_test(misuse_is_named_in_every_shape))
