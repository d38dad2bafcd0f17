/*
 * malloc(9): the contract of each function of cooper/malloc.h.
 */
#include <string.h>

#include <cooper/kmem.h>
#include <cooper/malloc.h>
#include "harness.h"
#include "malloc/malloc_int.h"
#include "uma/uma_int.h"

MALLOC_DEFINE(M_TEST, "test", "memory of the tests");

static void
fill(void *p, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)p)[i] = (uint8_t)(seed + i * 7);
}

static bool
filled(const void *p, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		if (((const uint8_t *)p)[i] != (uint8_t)(seed + i * 7))
			return (false);
	return (true);
}

static bool
all_zero(const void *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((const uint8_t *)p)[i] != 0)
			return (false);
	return (true);
}

static unsigned long
in_use(struct malloc_type *type)
{
	struct malloc_type_stats sum;

	malloc_type_sum(type, &sum);
	return (sum.numallocs - sum.numfrees);
}

/* ---- size classes ------------------------------------------------------------------------------------ */

static void
classes_fit_tightly(void **state)
{
	(void)state;
	for (size_t size = 1; size <= MALLOC_SMALL_MAX; size++) {
		unsigned class = malloc_class(size);
		size_t block = malloc_class_size(class);

		TEST_MUST(class < MALLOC_CLASSES && block >= size && block % 16 == 0);
		TEST_MUST(class == 0 || malloc_class_size(class - 1) < size);
		TEST_MUST(size <= 128 || (block - size) * 8 <= size); /* at most 12.5 % */
	}
	assert_int_equal(malloc_class_size(MALLOC_CLASSES - 1), MALLOC_SMALL_MAX);
	assert_int_equal(malloc_class_size(7), 128);
}

static void
classes_have_their_names(void **state)
{
	char name[32];

	(void)state;
	cooper_malloc_prepare();
	for (unsigned class = 0; class < MALLOC_CLASSES; class ++) {
		core_snprintf(name, sizeof(name), "malloc-%zu", malloc_class_size(class));
		assert_string_equal(malloc_zones[class]->name, name);
		assert_int_equal(malloc_zones[class]->size, malloc_class_size(class));
	}
}

static void
nowait_before_a_class_exists(void **state)
{
	unsigned made = malloc_class(1024);
	void *p, *q;

	(void)state;
	p = cooper_malloc(700, M_TEST, M_NOWAIT); /* no zone at all yet: pages */
	assert_non_null(p);
	assert_null(malloc_zones[malloc_class(700)]);
	assert_true(cooper_malloc_usable_size(p) >= 700);
	assert_non_null(malloc_zone_make(made));
	q = cooper_malloc(700, M_TEST, M_NOWAIT); /* the next larger class */
	assert_non_null(q);
	assert_int_equal(cooper_malloc_usable_size(q), 1024);
	cooper_free(p, M_TEST);
	cooper_free(q, M_TEST);
	p = cooper_malloc(700, M_TEST, M_WAITOK);
	assert_int_equal(cooper_malloc_usable_size(p), cooper_malloc_size(700));
	cooper_free(p, M_TEST);
	assert_int_equal(in_use(M_TEST), 0);
}

/* ---- sizes, alignment, contents ------------------------------------------------------------------------ */

static void
every_size_is_usable(void **state)
{
	(void)state;
	for (size_t size = 0; size <= 200000; size += size < 1100 ? 1 : 997) {
		uint8_t *p = cooper_malloc(size, M_TEST, M_WAITOK), *q;
		size_t usable = cooper_malloc_usable_size(p);

		TEST_MUST(p != NULL && (uintptr_t)p % 16 == 0);
		TEST_MUST(usable >= size && usable == cooper_malloc_size(size));
		memset(p, 0xa5, usable);
		q = cooper_malloc(size, M_TEST, M_WAITOK);
		TEST_MUST(q != NULL && q != p);
		memset(q, 0x5a, usable);
		TEST_MUST(p[0] == 0xa5 && p[usable - 1] == 0xa5);
		cooper_free(p, M_TEST);
		cooper_free(q, M_TEST);
	}
	assert_int_equal(in_use(M_TEST), 0);
}

static void
classes_are_aligned_to_their_power(void **state)
{
	void *p[5];

	(void)state;
	for (unsigned class = 0; class < MALLOC_CLASSES; class ++) {
		size_t size = malloc_class_size(class), align = MIN(size & -size, PAGE_SIZE);

		for (unsigned i = 0; i < 5; i++) {
			p[i] = cooper_malloc(size, M_TEST, M_WAITOK);
			TEST_MUST(((uintptr_t)p[i] & (align - 1)) == 0);
		}
		for (unsigned i = 0; i < 5; i++)
			cooper_free(p[i], M_TEST);
	}
}

static void
aligned_for_each_power(void **state)
{
	static const size_t sizes[] = { 0, 1, 24, 100, 1000, 4097, 70000 };

	(void)state;
	for (size_t align = 1; align <= (size_t)1 << 20; align <<= 1)
		for (unsigned i = 0; i < nitems(sizes); i++) {
			uint8_t *p = cooper_malloc_aligned(sizes[i], align, M_TEST, M_WAITOK);
			size_t usable = cooper_malloc_usable_size(p);

			TEST_MUST(p != NULL && ((uintptr_t)p & (align - 1)) == 0);
			TEST_MUST(usable >= sizes[i]);
			memset(p, 1, usable);
			cooper_free(p, M_TEST);
			p = cooper_malloc_aligned(sizes[i], align, M_TEST, M_WAITOK | M_ZERO);
			TEST_MUST(all_zero(p, sizes[i]));
			cooper_free(p, M_TEST);
		}
	assert_int_equal(in_use(M_TEST), 0);
}

static void
zero_after_reuse(void **state)
{
	static const size_t sizes[] = { 16, 100, 2048, 4096, 65536, 65537, 300000 };

	(void)state;
	for (unsigned i = 0; i < nitems(sizes); i++)
		for (unsigned round = 0; round < 8; round++) {
			uint8_t *p = cooper_malloc(sizes[i], M_TEST, M_WAITOK | M_ZERO);

			assert_true(all_zero(p, sizes[i]));
			memset(p, 0xff, sizes[i]);
			cooper_free(p, M_TEST);
		}
}

static void
realloc_keeps_contents(void **state)
{
	uint8_t *p = NULL, *q;
	size_t size = 1;

	(void)state;
	for (unsigned step = 0; size < 400000; step++) {
		q = cooper_realloc(p, size, M_TEST, M_WAITOK);
		assert_non_null(q);
		if (p != NULL)
			assert_true(filled(q, size * 2 / 3, step - 1));
		fill(q, size, step);
		p = q;
		size += size / 2 + 1;
	}
	for (unsigned step = 0; size > 1; size /= 3) {
		size_t old = cooper_malloc_usable_size(p);

		fill(p, old, ++step);
		p = cooper_realloc(p, size, M_TEST, M_WAITOK);
		assert_true(filled(p, MIN(size, old), step));
	}
	cooper_free(p, M_TEST);
	assert_int_equal(in_use(M_TEST), 0);
}

static void
realloc_stays_while_half_used(void **state)
{
	void *p = cooper_malloc(1000, M_TEST, M_WAITOK);
	size_t usable = cooper_malloc_usable_size(p);

	(void)state;
	assert_ptr_equal(cooper_realloc(p, usable, M_TEST, M_WAITOK), p);
	assert_ptr_equal(cooper_realloc(p, usable / 2 + 1, M_TEST, M_WAITOK), p);
	assert_ptr_not_equal(p = cooper_realloc(p, usable / 2, M_TEST, M_WAITOK), NULL);
	assert_int_equal(cooper_malloc_usable_size(p), cooper_malloc_size(usable / 2));
	p = cooper_realloc(p, 1, M_TEST, M_WAITOK);
	assert_ptr_equal(cooper_realloc(p, 0, M_TEST, M_WAITOK), p);
	cooper_free(p, M_TEST);
}

static void
realloc_failure_leaves_the_block(void **state)
{
	struct malloc_type_stats sum;
	uint8_t *p = cooper_malloc(100, M_TEST, M_WAITOK);

	(void)state;
	fill(p, 100, 3);
	assert_null(cooper_realloc(p, SIZE_MAX / 2, M_TEST, M_NOWAIT));
	assert_true(filled(p, 100, 3));
	assert_int_equal(in_use(M_TEST), 1);
	assert_null(cooper_reallocf(p, SIZE_MAX / 2, M_TEST, M_NOWAIT));
	assert_int_equal(in_use(M_TEST), 0);
	malloc_type_sum(M_TEST, &sum);
	assert_true(sum.failed >= 2);
}

static void
zfree_zeroes(void **state)
{
	uint8_t *p;

	(void)state;
	NEED(!cooper_shape()->debug); /* which writes its pattern over the zeroes */
	p = cooper_malloc(500, M_TEST, M_WAITOK);
	memset(p, 0xee, cooper_malloc_usable_size(p));
	cooper_zfree(p, M_TEST);
	assert_true(all_zero(p + 16, 500 - 16));
	cooper_zfree(NULL, M_TEST);
	p = cooper_malloc(300000, M_TEST, M_WAITOK);
	cooper_zfree(p, M_TEST);
	assert_int_equal(in_use(M_TEST), 0);
}

static void
mallocarray_overflow_is_an_error(void **state)
{
	struct malloc_type_stats before, after;
	void *p = cooper_mallocarray(10, 30, M_TEST, M_WAITOK | M_ZERO);

	(void)state;
	assert_true(cooper_malloc_usable_size(p) >= 300);
	assert_true(all_zero(p, 300));
	cooper_free(p, M_TEST);
	malloc_type_sum(M_TEST, &before);
	assert_null(cooper_mallocarray(SIZE_MAX / 2, 3, M_TEST, M_WAITOK));
	assert_null(cooper_mallocarray(SIZE_MAX, SIZE_MAX, M_TEST, M_NOWAIT));
	assert_null(cooper_mallocarray_domainset(SIZE_MAX / 2, 3, M_TEST, NULL, M_WAITOK));
	malloc_type_sum(M_TEST, &after);
	assert_int_equal(after.overflowed - before.overflowed, 3);
	assert_int_equal(after.failed - before.failed, 3);
	assert_int_equal(in_use(M_TEST), 0);
}

static void
impossible_sizes_are_refused(void **state)
{
	(void)state;
	assert_null(cooper_malloc(SIZE_MAX, M_TEST, M_WAITOK));
	assert_null(cooper_malloc(SIZE_MAX - 4095, M_TEST, M_NOWAIT));
	assert_null(
	    cooper_malloc_aligned(1, (size_t)1 << (8 * sizeof(size_t) - 1), M_TEST, M_WAITOK));
	assert_int_equal(cooper_malloc_size(SIZE_MAX), 0);
	assert_int_equal(cooper_malloc_usable_size(NULL), 0);
	cooper_free(NULL, M_TEST);
}

/* ---- large, executable, contiguous, by domain ------------------------------------------------------------ */

static unsigned long
free_pages(void)
{
	struct page_domain_stat s;
	unsigned long n = 0;

	for (unsigned d = 0; d < page_ndomains(); d++) {
		page_stat(d, &s);
		n += s.free;
	}
	return (n);
}

static void
large_blocks_come_and_go(void **state)
{
	unsigned long before;
	uint8_t *p;

	(void)state;
	p = cooper_malloc(1 << 20, M_TEST, M_WAITOK);
	cooper_free(p, M_TEST);
	before = free_pages();
	for (unsigned i = 0; i < 50; i++) {
		p = cooper_malloc(1 << 20, M_TEST, M_WAITOK);
		assert_int_equal((uintptr_t)p % PAGE_SIZE, 0);
		assert_int_equal(cooper_malloc_usable_size(p), 1 << 20);
		p[0] = p[(1 << 20) - 1] = 1;
		cooper_free(p, M_TEST);
	}
	assert_int_equal(free_pages(), before);
}

static void
executable_memory_runs(void **state)
{
	static const uint8_t code[] = { 0xb8, 42, 0, 0, 0, 0xc3 }; /* x86: mov $42, %eax; ret */
	void *p;

	(void)state;
	p = cooper_malloc_exec(sizeof(code), M_TEST, M_WAITOK);
	assert_non_null(p);
	memcpy(p, code, sizeof(code));
#if defined(__x86_64__) || defined(__i386__)
	assert_int_equal(((int (*)(void))p)(), 42);
#endif
	cooper_free(p, M_TEST);
	assert_int_equal(in_use(M_TEST), 0);
}

static void
contigmalloc_keeps_its_promises(void **state)
{
	struct machine_segment seg[8];
	size_t size = 5 * PAGE_SIZE;
	vm_paddr_t first;
	uint8_t *p, *q;

	(void)state;
	machine_segments(seg, nitems(seg));
	p = cooper_contigmalloc(
	    size - 10, M_TEST, M_WAITOK | M_ZERO, 0, ~(vm_paddr_t)0, 65536, 65536);
	assert_non_null(p);
	assert_int_equal(cooper_malloc_usable_size(p), size);
	assert_true(all_zero(p, size));
	first = machine_extract((vm_offset_t)p);
	assert_int_equal(first % 65536, 0);
	for (size_t at = 0; at < size; at += PAGE_SIZE)
		assert_int_equal(machine_extract((vm_offset_t)p + at), first + at);
	fill(p, size, 9);
	q = cooper_realloc(p, 2 * size, M_TEST, M_WAITOK); /* moves to ordinary memory */
	assert_true(filled(q, size, 9));
	cooper_free(q, M_TEST);
	p = cooper_contigmalloc(
	    PAGE_SIZE, M_TEST, M_NOWAIT, seg[0].start, seg[0].start + 64 * PAGE_SIZE, 0, 0);
	if (p != NULL)
		assert_true(machine_extract((vm_offset_t)p) < seg[0].start + 64 * PAGE_SIZE);
	cooper_free(p, M_TEST);
	/* A window that no memory lies in can never be met: no waiting. */
	assert_null(cooper_contigmalloc(PAGE_SIZE, M_TEST, M_WAITOK, 0, PAGE_SIZE, 0, 0));
	assert_int_equal(in_use(M_TEST), 0);
}

static void
domains_are_respected(void **state)
{
	(void)state;
	NEED(cooper_shape()->ndomains > 1);
	for (int d = 0; d < (int)cooper_shape()->ndomains; d++) {
		struct domainset fixed = { DOMAINSET_FIXED, d, 0, 0 };
		void *p[40];

		for (unsigned i = 0; i < nitems(p); i++) {
			p[i] = cooper_malloc_domainset(
			    i < 30 ? 128 : 100000, M_TEST, &fixed, M_WAITOK);
			assert_int_equal(page_of_va((vm_offset_t)p[i])->domain, d);
		}
		for (unsigned i = 0; i < nitems(p); i++)
			cooper_free(p[i], M_TEST);
	}
	assert_int_equal(in_use(M_TEST), 0);
}

/* The domain of every page of a block; -1: more than one, or none. */
static int
domain_of_block(const void *p, size_t size)
{
	int domain = page_of_va((vm_offset_t)p)->domain;

	for (size_t at = 0; at < size; at += PAGE_SIZE) {
		struct vm_page *m = page_of_va((vm_offset_t)p + at);

		if (m == NULL || m->domain != domain)
			return (-1);
	}
	return (domain);
}

static bool
is_one_run(const void *p, size_t size)
{
	vm_paddr_t first = machine_extract((vm_offset_t)p);

	for (size_t at = 0; at < size; at += PAGE_SIZE)
		if (machine_extract((vm_offset_t)p + at) != first + at)
			return (false);
	return (true);
}

/* One of each kind of block that has a domain set; its size in *size. */
enum kind { ARRAY, LARGE_ARRAY, ALIGNED, LARGE_ALIGNED, EXEC, CONTIG, KINDS };

static void *
by_domain(enum kind kind, struct domainset *ds, int flags, size_t *size)
{
	static const size_t sizes[KINDS] = { 30 * 100, 50 * 3000, 3000, 5 * PAGE_SIZE + 1, 5000,
		5 * PAGE_SIZE };

	*size = sizes[kind];
	switch (kind) {
	case ARRAY:
		return (cooper_mallocarray_domainset(30, 100, M_TEST, ds, flags));
	case LARGE_ARRAY:
		return (cooper_mallocarray_domainset(50, 3000, M_TEST, ds, flags));
	case ALIGNED:
		return (cooper_malloc_domainset_aligned(*size, 1024, M_TEST, ds, flags));
	case LARGE_ALIGNED:
		return (cooper_malloc_domainset_aligned(*size, 65536, M_TEST, ds, flags));
	case EXEC:
		return (cooper_malloc_domainset_exec(*size, M_TEST, ds, flags));
	default:
		return (cooper_contigmalloc_domainset(
		    *size, M_TEST, ds, flags, 0, ~(vm_paddr_t)0, 16384, 65536));
	}
}

/* What the functions without a domain set promise holds with one, also with none (NULL). */
static void
kinds_keep_their_promises(void **state)
{
	static const size_t align[KINDS] = { 16, PAGE_SIZE, 1024, 65536, PAGE_SIZE, PAGE_SIZE };
	struct domainset prefer = { DOMAINSET_PREFER, 0, 0, 0 };
	size_t size;

	(void)state;
	for (int kind = 0; kind < KINDS; kind++)
		for (int set = 0; set < 2; set++) {
			uint8_t *p = by_domain(
			    (enum kind)kind, set ? &prefer : NULL, M_WAITOK | M_ZERO, &size);

			assert_non_null(p);
			assert_true(cooper_malloc_usable_size(p) >= size);
			assert_int_equal((uintptr_t)p % align[kind], 0);
			assert_true(all_zero(p, size));
			if (kind == CONTIG) {
				assert_true(is_one_run(p, size));
				assert_int_equal(machine_extract((vm_offset_t)p) % 16384, 0);
			}
			fill(p, size, 3);
			cooper_free(p, M_TEST);
		}
	assert_int_equal(in_use(M_TEST), 0);
}

static void
domains_of_all_kinds(void **state)
{
	size_t size;

	(void)state;
	NEED(cooper_shape()->ndomains > 1);
	for (int d = 0; d < (int)cooper_shape()->ndomains; d++)
		for (int kind = 0; kind < KINDS; kind++)
			for (int policy = DOMAINSET_PREFER; policy <= DOMAINSET_FIXED; policy++) {
				struct domainset ds = { (enum domainset_policy)policy, d, 0, 0 };
				void *p = by_domain((enum kind)kind, &ds, M_WAITOK, &size);

				assert_non_null(p);
				assert_int_equal(domain_of_block(p, size), d);
				cooper_free(p, M_TEST);
			}
	assert_int_equal(in_use(M_TEST), 0);
}

/* Domain 0 has no page any more: FIXED fails and changes nothing, PREFER goes on to domain 1. */
static void
with_domain_0_empty(void *arg)
{
	struct domainset fixed = { DOMAINSET_FIXED, 0, 0, 0 };
	struct domainset prefer = { DOMAINSET_PREFER, 0, 0, 0 };
	struct domainset masked = { DOMAINSET_ROUNDROBIN, 0, 1u << 1, 0 };
	vm_paddr_t pa[512];
	size_t size;
	void *p;

	(void)arg;
	cooper_malloc_prepare();
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	while (vm_page_alloc_bulk(0, M_NOWAIT, 512, pa) != 0)
		;
	for (int kind = 0; kind < KINDS; kind++) {
		unsigned long before = free_pages();

		p = by_domain((enum kind)kind, &fixed, M_NOWAIT, &size);
		TEST_MUST(p == NULL);
		TEST_MUST(free_pages() == before);
		p = by_domain((enum kind)kind, &prefer, M_NOWAIT, &size);
		TEST_MUST(p != NULL && domain_of_block(p, size) == 1);
		cooper_free(p, M_TEST);
		p = by_domain((enum kind)kind, &masked, M_WAITOK, &size);
		TEST_MUST(p != NULL && domain_of_block(p, size) == 1);
		cooper_free(p, M_TEST);
	}
	TEST_MUST(in_use(M_TEST) == 0);
}

static void
preference_falls_back_and_fixed_does_not(void **state)
{
	(void)state;
	NEED(cooper_shape()->ndomains == 2);
	in_child(with_domain_0_empty, NULL);
}

/* ---- types ------------------------------------------------------------------------------------------------- */

static void
count_from_all_cpus(struct test_thread *t)
{
	struct malloc_type *type = t->arg;
	void *p[64];

	thread_barrier(t);
	for (unsigned round = 0; round < 50; round++) {
		machine_bind((int)((t->index + round) % cooper_shape()->ncpus));
		for (unsigned i = 0; i < nitems(p); i++)
			TEST_MUST((p[i] = cooper_malloc(100, type, M_WAITOK)) != NULL);
		for (unsigned i = round == 49 && t->index == 0; i < nitems(p); i++)
			cooper_free(p[i], type);
	}
}

static void
statistics_are_exact(void **state)
{
	static MALLOC_DEFINE(M_COUNTED, "counted", "");
	struct malloc_type_stats sum;
	size_t block = cooper_malloc_size(100);

	(void)state;
	run_threads(4, count_from_all_cpus, M_COUNTED);
	malloc_type_sum(M_COUNTED, &sum);
	assert_int_equal(sum.numallocs, 4 * 50 * 64);
	assert_int_equal(sum.numfrees, 4 * 50 * 64 - 1);
	assert_int_equal(sum.memalloced, 4 * 50 * 64 * block);
	assert_int_equal(sum.memalloced - sum.memfreed, block);
	assert_int_equal(sum.sizes, 1u << 7);
	assert_int_equal(sum.failed, 0);
}

static void
types_are_listed(void **state)
{
	static MALLOC_DEFINE(M_LISTED, "listed", "");
	bool found = false;

	(void)state;
	malloc_init(M_LISTED);
	for (struct malloc_type *t = malloc_types; t != NULL; t = t->ks_next)
		found |= t == M_LISTED;
	assert_true(found);
	malloc_uninit(M_LISTED);
	for (struct malloc_type *t = malloc_types; t != NULL; t = t->ks_next)
		assert_ptr_not_equal(t, M_LISTED);
}

static void
leave_a_leak(void *arg)
{
	static MALLOC_DEFINE(M_LEAK, "leaky", "");

	(void)arg;
	TEST_MUST(cooper_malloc(100, M_LEAK, M_WAITOK) != NULL);
	malloc_uninit(M_LEAK);
}

static void
leaks_are_told(void **state)
{
	(void)state;
	expect_words(leave_a_leak, NULL, "leaky");
	expect_words(leave_a_leak, NULL, "1 blocks of 112 bytes");
}

/* ---- misuse ------------------------------------------------------------------------------------------------- */

static void
free_address(void *arg)
{
	cooper_free(arg, M_TEST);
}

static void
free_twice(void *arg)
{
	cooper_free(arg, M_TEST);
	cooper_free(arg, M_TEST);
}

static void
free_of_anything_else_stops(void **state)
{
	static int thing;
	char *p = cooper_malloc(1 << 20, M_TEST, M_WAITOK);

	(void)state;
	expect_stop(free_address, &thing, "free: address");
	expect_stop(free_address, p + PAGE_SIZE, "is not an allocated block");
	expect_stop(free_twice, p, "is not an allocated block");
	cooper_free(p, M_TEST);
}

static int
bad_flags(void *arg)
{
	return (cooper_malloc(10, M_TEST, *(int *)arg) == NULL);
}

static int
bad_alignment(void *arg)
{
	return (cooper_malloc_aligned(10, *(size_t *)arg, M_TEST, M_WAITOK) == NULL);
}

static void
misuse_is_named(void **state)
{
	int flags[] = { 0, M_NOWAIT | M_WAITOK, M_WAITOK | M_EXEC, M_WAITOK | M_NEVERFREED,
		M_WAITOK | M_USE_RESERVE };
	size_t aligns[] = { 0, 3, 48 };
	bool debug = cooper_shape()->debug;

	(void)state;
	for (unsigned i = 0; i < nitems(flags); i++)
		assert_int_equal(expect_misuse(bad_flags, &flags[i], "malloc: type test"), !debug);
	for (unsigned i = 0; i < nitems(aligns); i++)
		assert_int_equal(
		    expect_misuse(bad_alignment, &aligns[i], "is not a power of two"), !debug);
}

/* What one size does not use any more serves another: without that they stay one size's for long. */
static void
free_blocks_are_not_one_sizes_for_ever(void **state)
{
	enum { SIZE = 8192, BLOCKS = 1200 };
	static void *p[BLOCKS];
	struct uma_zone_stat st;
	unsigned long bound;

	(void)state;
	for (unsigned i = 0; i < BLOCKS; i++)
		p[i] = cooper_malloc(SIZE, M_TEST, M_WAITOK);
	for (unsigned i = 0; i < BLOCKS; i++)
		cooper_free(p[i], M_TEST);
	uma_zone_get_stat(malloc_zones[malloc_class(SIZE)], &st);
	assert_int_equal(st.used, 0);
	/* In each domain the depot's MiB and 64 pages of free slabs; and what buckets hold. */
	bound = cooper_shape()->ndomains * (256 + 64 + st.ppera);
	assert_true(st.keg_pages <= bound + st.cached_cpu * st.ppera);
	assert_true(bound < BLOCKS * SIZE / PAGE_SIZE);
}

TEST_MAIN(cmocka_unit_test(classes_fit_tightly), cmocka_unit_test(nowait_before_a_class_exists),
    cmocka_unit_test(every_size_is_usable), cmocka_unit_test(classes_are_aligned_to_their_power),
    cmocka_unit_test(classes_have_their_names), cmocka_unit_test(aligned_for_each_power),
    cmocka_unit_test(zero_after_reuse), cmocka_unit_test(realloc_keeps_contents),
    cmocka_unit_test(realloc_stays_while_half_used),
    cmocka_unit_test(realloc_failure_leaves_the_block), cmocka_unit_test(zfree_zeroes),
    cmocka_unit_test(mallocarray_overflow_is_an_error),
    cmocka_unit_test(impossible_sizes_are_refused), cmocka_unit_test(large_blocks_come_and_go),
    cmocka_unit_test(free_blocks_are_not_one_sizes_for_ever),
    cmocka_unit_test(executable_memory_runs), cmocka_unit_test(contigmalloc_keeps_its_promises),
    cmocka_unit_test(domains_are_respected), cmocka_unit_test(kinds_keep_their_promises),
    cmocka_unit_test(domains_of_all_kinds),
    cmocka_unit_test(preference_falls_back_and_fixed_does_not),
    cmocka_unit_test(statistics_are_exact), cmocka_unit_test(types_are_listed),
    cmocka_unit_test(leaks_are_told), cmocka_unit_test(free_of_anything_else_stops),
    cmocka_unit_test(misuse_is_named))
