/*
 * The cut of slabs into items: every size, each flag that matters, both kinds of header.
 */
#include "harness.h"
#include "uma/uma_int.h"

static struct keg_layout
ask(vm_size_t size, uint32_t align, uint32_t flags, bool debug)
{
	struct keg_question q = {
		.size = size, .align = align, .flags = flags, .ncpus = 4, .debug = debug
	};
	struct keg_layout l;

	TEST_MUST(keg_layout(&q, &l));
	return (l);
}

static unsigned
percent(const struct keg_layout *l, bool debug)
{
	uint64_t bytes = (uint64_t)l->ppera * PAGE_SIZE;

	if ((l->flags & ZF_OFFPAGE) != 0)
		bytes += slab_zone_size(l->ipers > SLAB_MAX_SETSIZE / 2, debug);
	return ((unsigned)((uint64_t)l->ipers * l->rsize * 100 / bytes));
}

/* Items fit, do not meet the header, and are as large and aligned as asked. */
static void
sane(vm_size_t size, uint32_t align, uint32_t flags, bool debug)
{
	struct keg_layout l = ask(size, align, flags, debug);
	vm_size_t end = (vm_size_t)(l.ipers - 1) * l.rsize + size;
	vm_size_t bytes = (vm_size_t)l.ppera * PAGE_SIZE;

	TEST_MUST(l.ipers >= 1 && l.ipers <= SLAB_MAX_SETSIZE);
	TEST_MUST(l.rsize >= size && l.rsize >= UMA_SMALLEST_UNIT);
	TEST_MUST(l.rsize % (align + 1) == 0);
	if ((l.flags & ZF_OFFPAGE) != 0) {
		TEST_MUST(end <= bytes);
		TEST_MUST((l.flags & (ZF_VTOSLAB | ZF_HASH)) != 0);
	} else {
		TEST_MUST(end <= l.pgoff);
		TEST_MUST(l.pgoff + slab_header_size(l.ipers, debug) == bytes);
		TEST_MUST(l.pgoff % sizeof(void *) == 0);
		if ((l.flags & (ZF_VTOSLAB | ZF_HASH)) == 0)
			TEST_MUST((vm_size_t)(l.ipers - 1) * l.rsize < PAGE_SIZE);
	}
}

static void
every_size_fits(void **state)
{
	static const uint32_t aligns[] = { 0, 3, 7, 15, 63, 4095 };
	static const uint32_t flags[] = { 0, UMA_ZONE_NOTOUCH, UMA_ZONE_VM, UMA_ZONE_MALLOC,
		UMA_ZONE_NOTPAGE, UMA_ZONE_CONTIG, ZF_INTERNAL };

	(void)state;
	for (vm_size_t size = 1; size <= 20000; size++)
		for (unsigned a = 0; a < nitems(aligns); a++)
			sane(size, aligns[a], flags[(size + a) % nitems(flags)], size % 2);
}

/* The rule itself: nine tenths of a slab are items, at any size, where a slab may grow. */
static void
every_size_is_efficient(void **state)
{
	(void)state;
	for (vm_size_t size = 1; size <= 20000; size++) {
		struct keg_layout l = ask(size, UMA_ALIGN_PTR, 0, false);

		if (percent(&l, false) < UMA_MIN_EFFICIENCY) {
			print_error("size %zu: %u%%, %u items in %u pages\n", size,
			    percent(&l, false), l.ipers, l.ppera);
			fail();
		}
	}
}

static void
known_layouts(void **state)
{
	struct keg_layout l;

	(void)state;
	/* Boundary tags: a page of them, header inline. */
	l = ask(14 * sizeof(void *) / 2, UMA_ALIGN_PTR, UMA_ZONE_VM, false);
	assert_int_equal(l.ppera, 1);
	assert_int_equal(l.flags & ZF_OFFPAGE, 0);
	assert_int_equal(l.ipers, sizeof(void *) == 8 ? 72 : 144);
	/* Page-sized items: one a page, header elsewhere. */
	l = ask(4096, 4095, UMA_ZONE_MALLOC, false);
	assert_int_equal(l.ppera, 1);
	assert_int_equal(l.ipers, 1);
	assert_int_equal(l.flags, ZF_OFFPAGE | ZF_VTOSLAB);
	/* Tiny items: a page is enough, inline. */
	l = ask(1, 0, 0, false);
	assert_int_equal(l.rsize, 8);
	assert_int_equal(l.ppera, 1);
	/* Below kmem headers never leave the slab. */
	for (vm_size_t size = 1; size <= 20000; size += 7)
		assert_int_equal(ask(size, 7, UMA_ZONE_VM, false).flags & ZF_OFFPAGE, 0);
	/* Start-up zones are found by arithmetic alone. */
	for (vm_size_t size = 1; size <= 20000; size += 7)
		assert_int_equal(ask(size, 7, ZF_INTERNAL, false).flags, 0);
}

static void
pcpu_layout(void **state)
{
	struct keg_question q = { .size = 4097, .align = 0, .flags = UMA_ZONE_PCPU, .ncpus = 4 };
	struct keg_layout l = ask(64, 63, UMA_ZONE_PCPU, false);

	(void)state;
	assert_int_equal(l.ppera, 4);
	assert_int_equal(l.ipers, 64);
	assert_int_equal(l.flags, ZF_OFFPAGE | ZF_VTOSLAB);
	assert_false(keg_layout(&q, &l));
	q = (struct keg_question){ .size = 0 };
	assert_false(keg_layout(&q, &l));
}

/* Items start on every cache line in turn. */
static void
cachespread_layout(void **state)
{
	(void)state;
	for (vm_size_t size = 1; size <= 4096; size += 13) {
		struct keg_layout l = ask(size, 63, UMA_ZONE_CACHESPREAD, false);
		uint64_t seen = 0;

		assert_int_equal(l.rsize / 64 % 2, 1);
		assert_true((vm_size_t)l.ppera * PAGE_SIZE <= UMA_CACHESPREAD_MAX + l.rsize);
		for (unsigned i = 0; i < l.ipers; i++)
			seen |= (uint64_t)1 << ((uint64_t)i * l.rsize % PAGE_SIZE / 64);
		if (l.ipers >= 64)
			assert_true(seen == ~(uint64_t)0);
		else
			assert_int_equal(__builtin_popcountll(seen), l.ipers);
	}
}

TEST_MAIN(cmocka_unit_test(every_size_fits), cmocka_unit_test(every_size_is_efficient),
    cmocka_unit_test(known_layouts), cmocka_unit_test(pcpu_layout),
    cmocka_unit_test(cachespread_layout))
