/*
 * Address space with pages: what goes out comes back, to where it came from, or not at all.
 */
#include "kmem_test.h"

/* ---- plain use -------------------------------------------------------------------------------------- */

static void
malloc_and_free(void **state)
{
	static const vm_size_t sizes[] = { 1, 4096, 4097, 65536, 300000, 1 << 20 };
	struct picture before, after;
	char *p[6];

	(void)state;
	settle();
	picture_take(&before);
	for (unsigned i = 0; i < 6; i++) {
		p[i] = kmem_malloc(sizes[i], M_WAITOK | M_ZERO);
		assert_non_null(p[i]);
		assert_int_equal((vm_offset_t)p[i] & PAGE_MASK, 0);
		for (vm_size_t at = 0; at < sizes[i]; at += 512)
			assert_int_equal(p[i][at], 0);
		memset(p[i], 0x40 + (int)i, sizes[i]);
	}
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(p[i][0], 0x40 + i);
		assert_int_equal(p[i][sizes[i] - 1], 0x40 + i);
		kmem_free(p[i], sizes[i]);
	}
	settle();
	picture_take(&after);
	picture_equal(&before, &after);
}

static void
memory_is_zero_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		char *p = kmem_malloc(2 * PAGE_SIZE, M_WAITOK | M_ZERO);

		assert_non_null(p);
		for (vm_size_t at = 0; at < 2 * PAGE_SIZE; at++)
			assert_int_equal(p[at], 0);
		memset(p, 0xff, 2 * PAGE_SIZE);
		kmem_free(p, 2 * PAGE_SIZE);
	}
}

static void
kva_is_address_space_alone(void **state)
{
	unsigned long pages;
	vm_offset_t a, b;

	(void)state;
	settle();
	pages = free_pages();
	a = kva_alloc(3 * PAGE_SIZE);
	b = kva_alloc_aligned(PAGE_SIZE, 64 * PAGE_SIZE);
	assert_int_not_equal(a, 0);
	assert_int_not_equal(b, 0);
	assert_int_equal(b % (64 * PAGE_SIZE), 0);
	assert_true(machine_extract(a) == MACHINE_NOPAGE);
	kva_free(a, 3 * PAGE_SIZE);
	kva_free(b, PAGE_SIZE);
	settle();
	assert_int_equal(free_pages(), pages);
	assert_int_equal(kva_alloc((vm_size_t)1 << (8 * sizeof(vm_size_t) - 2)), 0);
}

static void
back_and_unback(void **state)
{
	struct picture before, after;
	vm_offset_t va;

	(void)state;
	settle();
	picture_take(&before);
	va = kva_alloc(5 * PAGE_SIZE);
	assert_int_not_equal(va, 0);
	assert_int_equal(kmem_back(va, 5 * PAGE_SIZE, M_WAITOK | M_ZERO), 0);
	memset((void *)va, 1, 5 * PAGE_SIZE);
	kmem_unback(va, 5 * PAGE_SIZE);
	assert_true(machine_extract(va) == MACHINE_NOPAGE);
	assert_int_equal(kmem_back(va, PAGE_SIZE, M_NOWAIT | M_ZERO), 0);
	assert_int_equal(*(char *)va, 0);
	kmem_unback(va, PAGE_SIZE);
	kva_free(va, 5 * PAGE_SIZE);
	settle();
	picture_take(&after);
	picture_equal(&before, &after);
}

static void
more_than_the_machine_has(void **state)
{
	vm_size_t size = cooper_shape()->physmem + PAGE_SIZE;

	(void)state;
	assert_null(kmem_malloc(size, M_NOWAIT));
	assert_null(kmem_malloc(size, M_WAITOK)); /* no wait could help */
	assert_null(kmem_malloc(2 * cooper_shape()->kva_size, M_WAITOK));
}

static void
pages_of_the_domain_asked_for(void **state)
{
	(void)state;
	for (unsigned d = 0; d < cooper_shape()->ndomains; d++) {
		struct domainset ds = { .policy = DOMAINSET_FIXED, .prefer = (int)d };
		char *p = kmem_malloc_domainset(&ds, 3 * PAGE_SIZE, M_WAITOK);

		assert_non_null(p);
		for (unsigned i = 0; i < 3; i++) {
			struct vm_page *m = page_of_va((vm_offset_t)p + ptoa(i));

			assert_int_equal(m->domain, d);
			assert_int_equal(m->source, SOURCE_DOMAIN + d);
		}
		kmem_free(p, 3 * PAGE_SIZE);
	}
}

/*
 * R11: the preferred domain has no page, others do. Preference falls back, FIXED does not; and a
 * request that no domain can meet alone gets pages of several.
 */
static void
r11(void)
{
	struct domainset first = { .policy = DOMAINSET_PREFER, .prefer = 0 };
	struct domainset fixed = { .policy = DOMAINSET_FIXED, .prefer = 0 };
	unsigned long n = free_pages() * 3 / 5;
	vm_paddr_t pa[512];
	unsigned got;
	char *p, *all = kmem_malloc(ptoa(n), M_WAITOK);

	TEST_MUST(all != NULL);
	kmem_free(all, ptoa(n));
	while ((got = vm_page_alloc_bulk(0, M_NOWAIT, 512, pa)) != 0)
		;
	TEST_MUST(kmem_malloc_domainset(&fixed, PAGE_SIZE, M_NOWAIT) == NULL);
	p = kmem_malloc_domainset(&first, PAGE_SIZE, M_WAITOK);
	TEST_MUST(p != NULL && page_of_va((vm_offset_t)p)->domain == 1);
	kmem_free(p, PAGE_SIZE);
}

static void
R11_full_domain_falls_back(void **state)
{
	(void)state;
	NEED(cooper_shape()->ndomains == 2);
	in_child((void (*)(void *))r11, NULL);
}

static void
back_takes_the_domain_asked_for(void **state)
{
	int none = (int)cooper_shape()->ndomains;
	vm_offset_t va = kva_alloc(300 * PAGE_SIZE);
	unsigned long pages;

	(void)state;
	settle();
	pages = free_pages();
	for (int d = 0; d < none; d++) {
		assert_int_equal(
		    kmem_back_domain(d, va, 300 * PAGE_SIZE, d == 0 ? M_WAITOK : M_NOWAIT), 0);
		for (unsigned i = 0; i < 300; i++) {
			assert_int_equal(page_of_va(va + ptoa(i))->domain, d);
			assert_int_equal(page_of_va(va + ptoa(i))->source, SOURCE_CALLER);
		}
		kmem_unback(va, 300 * PAGE_SIZE);
	}
	if (none < COOPER_MAXDOMAIN) { /* it has nothing to wait for */
		assert_int_equal(kmem_back_domain(none, va, PAGE_SIZE, M_NOWAIT), COOPER_ENOMEM);
		assert_int_equal(kmem_back_domain(none, va, PAGE_SIZE, M_WAITOK), COOPER_ENOMEM);
	}
	assert_int_equal(free_pages(), pages);
	kva_free(va, 300 * PAGE_SIZE);
}

/* A domain that runs out half way gives back what it gave; the other's pages are not asked for. */
static void
back_of_a_short_domain(void *arg)
{
	vm_offset_t va = kva_alloc(4 * PAGE_SIZE);
	unsigned long before;
	vm_paddr_t pa, last = 0;

	(void)arg;
	TEST_MUST(va != 0);
	while (vm_page_alloc_bulk(0, M_NOWAIT, 1, &pa) != 0)
		last = pa;
	TEST_MUST(kmem_back_domain(0, va, PAGE_SIZE, M_NOWAIT) == COOPER_ENOMEM);
	vm_page_free_bulk(&last, 1);
	before = free_pages();
	TEST_MUST(kmem_back_domain(0, va, 4 * PAGE_SIZE, M_NOWAIT) == COOPER_ENOMEM);
	TEST_MUST(free_pages() == before && page_of_va(va) == NULL);
	TEST_MUST(kmem_back_domain(0, va, PAGE_SIZE, M_NOWAIT) == 0);
	TEST_MUST(page_of_va(va)->domain == 0);
	kmem_unback(va, PAGE_SIZE);
	TEST_MUST(kmem_back(va, 4 * PAGE_SIZE, M_NOWAIT) == 0);
	kmem_unback(va, 4 * PAGE_SIZE);
}

static void
back_does_not_leave_its_domain(void **state)
{
	(void)state;
	NEED(cooper_shape()->ndomains == 2);
	in_child(back_of_a_short_domain, NULL);
}

/* ---- arenas are recorded ------------------------------------------------------------------------------ */

/* R20: the arena of a range is found from its page, whoever frees it. */
static void
R20_free_goes_to_the_arena_it_came_from(void **state)
{
	struct picture before, after;
	char *code, *data;

	(void)state;
	settle();
	picture_take(&before);
	code = kmem_malloc(2 * PAGE_SIZE, M_WAITOK | M_EXEC);
	data = kmem_malloc(2 * PAGE_SIZE, M_WAITOK);
	assert_non_null(code);
	assert_non_null(data);
	assert_int_equal(page_of_va((vm_offset_t)code)->source, SOURCE_EXEC);
	assert_int_equal(page_of_va((vm_offset_t)data)->source,
	    SOURCE_DOMAIN + page_of_va((vm_offset_t)data)->domain);
	picture_take(&after);
	assert_int_equal(after.allocated[SOURCE_EXEC], 2 * PAGE_SIZE);
	kmem_free(code, 2 * PAGE_SIZE);
	kmem_free(data, 2 * PAGE_SIZE);
	settle();
	picture_take(&after);
	picture_equal(&before, &after);
}

/* R21: what is never freed has an arena of its own, and if it is freed after all it goes back there. */
static void
R21_neverfreed_is_recorded_too(void **state)
{
	struct picture before, after;
	char *p;

	(void)state;
	p = kmem_malloc(PAGE_SIZE, M_WAITOK | M_NEVERFREED); /* the arena keeps its first import */
	assert_non_null(p);
	kmem_free(p, PAGE_SIZE);
	settle();
	picture_take(&before);
	p = kmem_malloc(PAGE_SIZE, M_WAITOK | M_NEVERFREED);
	assert_non_null(p);
	assert_int_equal(page_of_va((vm_offset_t)p)->source, SOURCE_NOFREE);
	assert_int_equal(page_of_va((vm_offset_t)p)->flags & PG_NOFREE, PG_NOFREE);
	kmem_free(p, PAGE_SIZE);
	settle();
	picture_take(&after);
	picture_equal(&before, &after);
}

static void
free_twice(void *p)
{
	kmem_free(p, 2 * PAGE_SIZE);
	kmem_free(p, 2 * PAGE_SIZE);
}

static void
free_inside(void *p)
{
	kmem_free((char *)p + PAGE_SIZE, PAGE_SIZE);
}

static void
free_too_much(void *p)
{
	kmem_free(p, 3 * PAGE_SIZE);
}

static void
unback_malloced(void *p)
{
	kmem_unback((vm_offset_t)p, PAGE_SIZE);
}

static void
wrong_frees_are_stopped(void **state)
{
	char *p = kmem_malloc(2 * PAGE_SIZE, M_WAITOK);

	(void)state;
	assert_non_null(p);
	expect_stop(free_twice, p, "not the start of an allocation");
	expect_stop(free_inside, p, "not the start of an allocation");
	expect_stop(free_too_much, p, "were allocated");
	expect_stop(unback_malloced, p, "kmem_unback");
	kmem_free(p, 2 * PAGE_SIZE);
}

static int
malloc_nothing(void *arg)
{
	(void)arg;
	return (kmem_malloc(0, M_NOWAIT) == NULL);
}

static int
malloc_both(void *arg)
{
	(void)arg;
	return (kmem_malloc(1, M_NOWAIT | M_WAITOK) == NULL);
}

static int
malloc_reserve_waiting(void *arg)
{
	(void)arg;
	return (kmem_malloc(1, M_WAITOK | M_USE_RESERVE) == NULL);
}

static int
back_outside(void *arg)
{
	(void)arg;
	return (kmem_back(PAGE_SIZE, PAGE_SIZE, M_NOWAIT) == COOPER_EINVAL);
}

static int
contig_without_window(void *arg)
{
	(void)arg;
	return (kmem_alloc_contig(PAGE_SIZE, M_NOWAIT, 8192, 4096, 0, 0, 0) == NULL);
}

static int
contig_odd_align(void *arg)
{
	(void)arg;
	return (
	    kmem_alloc_contig(PAGE_SIZE, M_NOWAIT, 0, ~(vm_paddr_t)0, 3 * PAGE_SIZE, 0, 0) == NULL);
}

static int
attr_unknown(void *arg)
{
	(void)arg;
	return (kmem_alloc_attr(PAGE_SIZE, M_NOWAIT, 0, ~(vm_paddr_t)0, 7) == NULL);
}

static int
kva_odd_align(void *arg)
{
	(void)arg;
	return (kva_alloc_aligned(PAGE_SIZE, 3 * PAGE_SIZE) == 0);
}

static void
bad_requests_are_named(void **state)
{
	static const struct {
		int (*fn)(void *);
		const char *text;
	} bad[] = {
		{ malloc_nothing, "kmem_malloc: size 0" },
		{ malloc_both, "kmem_malloc: flags" },
		{ malloc_reserve_waiting, "M_USE_RESERVE" },
		{ back_outside, "kmem_back" },
		{ contig_without_window, "kmem_alloc_contig" },
		{ contig_odd_align, "kmem_alloc_contig" },
		{ attr_unknown, "memory attribute 7" },
		{ kva_odd_align, "kva_alloc_aligned" },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!cooper_shape()->debug)
			assert_int_equal(expect_misuse(bad[i].fn, NULL, bad[i].text), 1);
		else
			(void)expect_misuse(bad[i].fn, NULL, bad[i].text);
}

/* ---- physical demands ---------------------------------------------------------------------------------- */

static void
contiguous_runs(void **state)
{
	struct picture before, after;
	char *p;

	(void)state;
	settle();
	picture_take(&before);
	p = kmem_alloc_contig(8 * PAGE_SIZE, M_WAITOK | M_ZERO, 0, ~(vm_paddr_t)0, 8 * PAGE_SIZE,
	    16 * PAGE_SIZE, VM_MEMATTR_DEFAULT);
	assert_non_null(p);
	for (unsigned i = 0; i < 8; i++)
		assert_true(machine_extract((vm_offset_t)p + ptoa(i)) ==
			    machine_extract((vm_offset_t)p) + ptoa(i));
	assert_int_equal(machine_extract((vm_offset_t)p) % (8 * PAGE_SIZE), 0);
	memset(p, 1, 8 * PAGE_SIZE);
	kmem_free(p, 8 * PAGE_SIZE);
	settle();
	picture_take(&after);
	picture_equal(&before, &after);
}

/* The middle half of domain 0's memory. */
static void
window(vm_paddr_t *low, vm_paddr_t *high)
{
	struct machine_segment seg[8];

	assert_true(machine_segments(seg, 8) > 0);
	*low = seg[0].start + (seg[0].end - seg[0].start) / 4 / PAGE_SIZE * PAGE_SIZE;
	*high = seg[0].end - (seg[0].end - seg[0].start) / 4 / PAGE_SIZE * PAGE_SIZE;
}

static void
pages_of_a_window(void **state)
{
	vm_paddr_t low, high;
	char *p;

	(void)state;
	window(&low, &high);
	p = kmem_alloc_attr(7 * PAGE_SIZE, M_WAITOK, low, high, VM_MEMATTR_DEFAULT);
	assert_non_null(p);
	for (unsigned i = 0; i < 7; i++) {
		vm_paddr_t pa = machine_extract((vm_offset_t)p + ptoa(i));

		assert_true(pa >= low && pa + PAGE_SIZE <= high);
	}
	kmem_free(p, 7 * PAGE_SIZE);
}

/* R28: a window that no domain has, or only one, is not waited for in the others. */
static void
R28_impossible_window_is_refused(void **state)
{
	vm_paddr_t low, high, beyond = (vm_paddr_t)1 << 60;
	struct picture before, after;
	char *p;

	(void)state;
	settle();
	picture_take(&before);
	assert_null(kmem_alloc_contig(PAGE_SIZE, M_WAITOK, beyond, beyond + (1 << 20), 0, 0, 0));
	assert_null(kmem_alloc_attr(PAGE_SIZE, M_WAITOK, beyond, beyond + (1 << 20), 0));
	window(&low, &high);
	assert_null(kmem_alloc_contig(high - low + PAGE_SIZE, M_WAITOK, low, high, 0, 0, 0));
	settle();
	picture_take(&after);
	picture_equal(&before, &after);

	machine_bind(
	    (int)cooper_shape()->ncpus - 1); /* of the last domain; the window is in the first */
	p = kmem_alloc_contig(PAGE_SIZE, M_WAITOK, low, high, 0, 0, 0);
	machine_bind(cooper_shape()->pin ? 0 : -1);
	assert_non_null(p);
	assert_int_equal(page_of_va((vm_offset_t)p)->domain, 0);
	kmem_free(p, PAGE_SIZE);
}

/* R36: a NOWAIT range that finds pages for a part only leaves nothing behind. */
static void
r36(void)
{
	struct picture before, after;
	struct hoard hoard;
	vm_offset_t va;
	unsigned kept;

	settle();
	va = kva_alloc(64 * PAGE_SIZE);
	TEST_MUST(va != 0);
	hoard_pages(&hoard, 40);
	for (kept = 0; kept < 3; kept++) {
		picture_take(&before);
		TEST_MUST(kmem_malloc(64 * PAGE_SIZE, M_NOWAIT) == NULL);
		TEST_MUST(kmem_back(va, 64 * PAGE_SIZE, M_NOWAIT) == COOPER_ENOMEM);
		/* The unchecked path: it takes what there is before it fails. */
		struct domain_iter it;
		domain_iter_start(&it, NULL);
		TEST_MUST(domain_iter_next(&it) && kmem_fill(va, 64, &it, it.domain, M_NOWAIT,
						       SOURCE_CALLER) == COOPER_ENOMEM);
		picture_take(&after);
		picture_equal(&before, &after);
		for (unsigned i = 0; i < 64; i++)
			TEST_MUST(machine_extract(va + ptoa(i)) == MACHINE_NOPAGE);
	}
	hoard_end(&hoard);
	TEST_MUST(kmem_back(va, 64 * PAGE_SIZE, M_NOWAIT) == 0);
}

static void
R36_partial_range_unwinds(void **state)
{
	(void)state;
	in_child((void (*)(void *))r36, NULL);
}

TEST_MAIN(cmocka_unit_test(malloc_and_free), cmocka_unit_test(memory_is_zero_again),
    cmocka_unit_test(kva_is_address_space_alone), cmocka_unit_test(back_and_unback),
    cmocka_unit_test(more_than_the_machine_has), cmocka_unit_test(pages_of_the_domain_asked_for),
    cmocka_unit_test(R11_full_domain_falls_back), cmocka_unit_test(back_takes_the_domain_asked_for),
    cmocka_unit_test(back_does_not_leave_its_domain),
    cmocka_unit_test(R20_free_goes_to_the_arena_it_came_from),
    cmocka_unit_test(R21_neverfreed_is_recorded_too), cmocka_unit_test(wrong_frees_are_stopped),
    cmocka_unit_test(bad_requests_are_named), cmocka_unit_test(contiguous_runs),
    cmocka_unit_test(pages_of_a_window), cmocka_unit_test(R28_impossible_window_is_refused),
    cmocka_unit_test(R36_partial_range_unwinds))
