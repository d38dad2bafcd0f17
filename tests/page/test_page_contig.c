/*
 * Contiguous runs: limits, odd sizes, adjacency across blocks, NORECLAIM, bad arguments, failures.
 */
#include <string.h>

#include "page_test.h"

#define MIB ((vm_paddr_t)1 << 20)

static void
limits_are_kept(void **state)
{
	struct page_range r = page_segments[0].range;
	vm_paddr_t base = (page_base + r.start) << PAGE_SHIFT;
	vm_paddr_t low = base + 3 * MIB + 1, high = base + 5 * MIB;
	int domain = (int)page_segments[0].domain;
	struct vm_page *m;

	(void)state;
	m = vm_page_alloc_contig(domain, M_NOWAIT, 100, low, high, 64 * 1024, MIB);
	assert_non_null(m);
	assert_true(page_paddr(m) >= low && page_paddr(m) + 100 * PAGE_SIZE <= high);
	assert_int_equal(page_paddr(m) % (64 * 1024), 0);
	assert_int_equal(page_paddr(m) / MIB, (page_paddr(m) + 100 * PAGE_SIZE - 1) / MIB);
	verify_all();
	vm_page_free_contig(m, 100);
	/* No room: outside the memory, too narrow, across its own boundary. */
	assert_null(vm_page_alloc_contig(domain, M_NOWAIT, 1, 1, base, 0, 0));
	assert_null(vm_page_alloc_contig(domain, M_NOWAIT, 2, base, base + PAGE_SIZE, 0, 0));
	assert_null(vm_page_alloc_contig(domain, M_NOWAIT, 2, ALL_MEMORY, 0, PAGE_SIZE));
	assert_int_equal(page_domains[domain].free, page_domains[domain].total);
	verify_all();
}

static void
a_run_larger_than_any_block(void **state)
{
	int domain = (int)page_segments[0].domain;
	uint32_t n = (3u << PAGE_MAX_ORDER) + 5;
	struct vm_page *m, *again;

	(void)state;
	NEED(page_domains[domain].total > n + 64);
	m = vm_page_alloc_contig(domain, M_NOWAIT, n, ALL_MEMORY, 0, 0);
	assert_non_null(m);
	vm_page_free_contig(m, n);
	verify_all();
	/* Now it is many blocks on lists; the run must be found again. */
	again = vm_page_alloc_contig(
	    domain, M_NOWAIT, n, page_paddr(m), page_paddr(m) + n * PAGE_SIZE, 0, 0);
	assert_ptr_equal(again, m);
	vm_page_free_contig(again, n);
	verify_all();
}

/* Pages 1..6 of eight are free: 1, 2-3, 4-5, 6: no block of 4, yet a run of 6. */
static void
odd_runs_across_buddies(void **state)
{
	int domain = (int)page_segments[0].domain;
	struct vm_page *m = vm_page_alloc_contig(domain, M_NOWAIT, 8, ALL_MEMORY, 8 * PAGE_SIZE, 0);
	vm_paddr_t low, high;

	(void)state;
	assert_non_null(m);
	low = page_paddr(m);
	high = low + 8 * PAGE_SIZE;
	vm_page_free_contig(m + 1, 6);
	verify_all();
	assert_null(vm_page_alloc_contig(domain, M_NOWAIT, 7, low, high, 0, 0));
	assert_ptr_equal(vm_page_alloc_contig(domain, M_NOWAIT, 6, low, high, 0, 0), m + 1);
	vm_page_free_contig(m, 8);
	verify_all();
}

static void
noreclaim_leaves_nofree_runs_alone(void **state)
{
	int domain = (int)page_segments[0].domain;
	struct page_domain *d = &page_domains[domain];
	struct vm_page *keep = vm_page_alloc(domain, M_NOWAIT | M_NEVERFREED), *m;
	uint32_t run = page_number(keep) + 1, n = d->nofree_idle;
	vm_paddr_t low = page_paddr(keep + 1), high = low + n * PAGE_SIZE;

	(void)state;
	assert_true(n > 0);
	m = vm_page_alloc_contig(domain, M_NOWAIT | M_NORECLAIM, n, low, high, 0, 0);
	assert_null(m);
	assert_int_equal(d->nofree_idle, n);
	m = vm_page_alloc_contig(domain, M_NOWAIT, n, low, high, 0, 0);
	assert_non_null(m);
	assert_int_equal(page_number(m), run);
	assert_int_equal(d->nofree_idle, 0);
	vm_page_free_contig(m, n);
	vm_page_free(keep);
	assert_int_equal(d->free, d->total);
	verify_all();
}

static int
not_a_power_of_two(void *arg)
{
	(void)arg;
	return (vm_page_alloc_contig(0, M_NOWAIT, 4, ALL_MEMORY, 3 * PAGE_SIZE, 0) != NULL);
}

static int
no_pages(void *arg)
{
	(void)arg;
	return (vm_page_alloc_contig(0, M_NOWAIT, 0, ALL_MEMORY, 0, 0) != NULL);
}

static int
empty_window(void *arg)
{
	(void)arg;
	return (vm_page_alloc_contig(0, M_NOWAIT, 1, MIB, MIB, 0, 0) != NULL);
}

static void
impossible_arguments_are_refused(void **state)
{
	(void)state;
	assert_int_equal(
	    expect_misuse(not_a_power_of_two, NULL, "vm_page_alloc_contig: 4 pages"), 0);
	assert_int_equal(expect_misuse(no_pages, NULL, "vm_page_alloc_contig: 0 pages"), 0);
	assert_int_equal(expect_misuse(empty_window, NULL, "vm_page_alloc_contig: 1 pages"), 0);
}

/* ---- injected failures -------------------------------------------------------------------------- */

static struct vm_page *got[3];
static vm_paddr_t bulk[40];
static unsigned nbulk;

static bool
allocate_all_ways(void *arg)
{
	(void)arg;
	nbulk = 0;
	got[0] = vm_page_alloc(0, M_NOWAIT);
	got[1] = vm_page_alloc_contig(0, M_NOWAIT, 5, ALL_MEMORY, 0, 0);
	got[2] = vm_page_alloc(0, M_NOWAIT | M_NEVERFREED);
	if (got[0] != NULL && got[1] != NULL && got[2] != NULL)
		nbulk = vm_page_alloc_bulk(0, M_NOWAIT, 40, bulk);
	if (nbulk == 40)
		return (true);
	/* R36: what a partly filled request got goes back, in any order. */
	vm_page_free_bulk(bulk, nbulk);
	if (got[2] != NULL)
		vm_page_free(got[2]);
	if (got[1] != NULL)
		vm_page_free_contig(got[1], 5);
	if (got[0] != NULL)
		vm_page_free(got[0]);
	return (false);
}

static void
undo_all(void *arg)
{
	(void)arg;
	vm_page_free_bulk(bulk, 40);
	vm_page_free(got[2]);
	vm_page_free_contig(got[1], 5);
	vm_page_free(got[0]);
}

static void
snapshot(void *out, void *arg)
{
	unsigned long counts[3] = { page_domains[0].free, page_domains[0].nofree,
		(unsigned long)(page_domains[0].allocs - page_domains[0].frees) };

	(void)arg;
	memcpy(out, counts, sizeof(counts));
}

static void
R36_failures_leave_everything_as_before(void **state)
{
	struct inject_case c = { allocate_all_ways, undo_all, snapshot, 3 * sizeof(unsigned long),
		NULL };

	(void)state;
	assert_int_equal(inject_each(&c), 43);
	verify_all();
}

TEST_MAIN(cmocka_unit_test(limits_are_kept), cmocka_unit_test(a_run_larger_than_any_block),
    cmocka_unit_test(odd_runs_across_buddies), cmocka_unit_test(noreclaim_leaves_nofree_runs_alone),
    cmocka_unit_test(impossible_arguments_are_refused),
    cmocka_unit_test(R36_failures_leave_everything_as_before))
