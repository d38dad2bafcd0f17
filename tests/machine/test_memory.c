/*
 * Memory of the posix machine: segments, the window and its soft page table, the direct map, what
 * the host pays for them, and that all of it is private.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "posix.h"

static vm_paddr_t
frame(unsigned long n)
{
	return (POSIX_PHYS_BASE + ((vm_paddr_t)n << PAGE_SHIFT));
}

static vm_offset_t
window(unsigned long page)
{
	vm_offset_t base;
	vm_size_t size;

	machine_kva(&base, &size);
	assert_in_range(page, 0, atop(size) - 1);
	return (base + ptoa(page));
}

static bool
resident(const void *p)
{
	unsigned char there = 0;

	assert_int_equal(mincore((void *)trunc_page((vm_offset_t)p), PAGE_SIZE, &there), 0);
	return ((there & 1) != 0);
}

static unsigned
count_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned lines = 0;

	assert_non_null(f);
	for (int c; (c = getc(f)) != EOF;)
		lines += c == '\n';
	fclose(f);
	return (lines);
}

/* ---- what there is -------------------------------------------------------------------------------------- */

static void
segments_are_all_memory(void **state)
{
	const struct machine_shape *shape = cooper_shape();
	struct machine_segment seg[COOPER_MAXDOMAIN];
	unsigned n = machine_segments(seg, COOPER_MAXDOMAIN);
	uint64_t total = 0;

	(void)state;
	assert_int_equal(n, shape->ndomains);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(seg[i].domain, i);
		assert_true(seg[i].start != 0 && seg[i].start < seg[i].end);
		assert_true((seg[i].start & PAGE_MASK) == 0 && (seg[i].end & PAGE_MASK) == 0);
		assert_true(i == 0 || seg[i - 1].end <= seg[i].start);
		total += seg[i].end - seg[i].start;
	}
	assert_true(total == shape->physmem);
	assert_int_equal(machine_segments(seg, 1), 1);
}

static void
boot_memory_is_zero_and_apart(void **state)
{
	static const vm_size_t sizes[] = { 1, 24, 4096, 100000, 1 << 20, 3 << 20 };
	static const vm_size_t aligns[] = { 1, 8, 64, 4096, 65536 };
	unsigned char *last = NULL;
	vm_size_t last_size = 0;

	(void)state;
	for (unsigned round = 0; round < 20; round++)
		for (unsigned s = 0; s < nitems(sizes); s++)
			for (unsigned a = 0; a < nitems(aligns); a++) {
				unsigned char *p = machine_boot_alloc(sizes[s], aligns[a]);

				assert_non_null(p);
				assert_int_equal((vm_offset_t)p & (aligns[a] - 1), 0);
				assert_int_equal(p[0] | p[sizes[s] / 2] | p[sizes[s] - 1], 0);
				p[0] = p[sizes[s] - 1] = 0xff;
				assert_true(p >= last + last_size || p + sizes[s] <= last);
				last = p;
				last_size = sizes[s];
			}
	assert_null(machine_boot_alloc((vm_size_t)-1 - PAGE_SIZE, 8));
}

/* ---- the window --------------------------------------------------------------------------------------------- */

static void
mapping_is_a_page_table(void **state)
{
	vm_paddr_t pa[4] = { frame(7), frame(3), frame(100), frame(101) };
	vm_offset_t va = window(10);

	(void)state;
	assert_true(machine_extract(va) == MACHINE_NOPAGE);
	machine_map(va, pa, 4, false);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(machine_extract(va + ptoa(i)) == pa[i]);
		assert_true(machine_extract(va + ptoa(i) + 1234) == pa[i] + 1234);
		memset((void *)(va + ptoa(i)), 0xa5, PAGE_SIZE);
	}
	assert_true(machine_extract(va - 1) == MACHINE_NOPAGE);
	assert_true(machine_extract(va + ptoa(4)) == MACHINE_NOPAGE);
	machine_unmap(va + PAGE_SIZE, 2);
	assert_true(machine_extract(va) == pa[0]);
	assert_true(machine_extract(va + PAGE_SIZE) == MACHINE_NOPAGE);
	assert_int_equal(*(unsigned char *)va, 0xa5);
	machine_unmap(va, 1);
	machine_unmap(va + ptoa(3), 1);
}

/* Addresses that are nobody's have no page: below and above everything, the null page, the stack. */
static void
foreign_addresses_have_no_page(void **state)
{
	vm_offset_t base;
	vm_size_t size;

	(void)state;
	machine_kva(&base, &size);
	assert_true(machine_extract(0) == MACHINE_NOPAGE);
	assert_true(machine_extract((vm_offset_t)-1) == MACHINE_NOPAGE);
	assert_true(machine_extract((vm_offset_t)&base) == MACHINE_NOPAGE);
	assert_true(machine_extract(base + size) == MACHINE_NOPAGE);
}

static void
unmapped_memory_goes_back(void **state)
{
	vm_paddr_t pa = frame(9);
	unsigned char *p = (unsigned char *)window(20);

	(void)state;
	machine_map((vm_offset_t)p, &pa, 1, false);
	assert_false(resident(p)); /* lazily touched */
	memset(p, 0xa5, PAGE_SIZE);
	assert_true(resident(p));
	machine_unmap((vm_offset_t)p, 1);
	assert_false(resident(p));
	machine_map((vm_offset_t)p, &pa, 1, false);
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(p[i], 0);
	machine_unmap((vm_offset_t)p, 1);
}

/* A program that locks its memory keeps its pages, but not what is in them. */
static void
locked_memory_still_reads_zero(void **state)
{
	vm_paddr_t pa = frame(9);
	unsigned char *p = (unsigned char *)window(30);

	(void)state;
	machine_map((vm_offset_t)p, &pa, 1, false);
	NEED(mlock(p, PAGE_SIZE) == 0);
	memset(p, 0xa5, PAGE_SIZE);
	machine_unmap((vm_offset_t)p, 1);
	machine_map((vm_offset_t)p, &pa, 1, false);
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(p[i], 0);
	munlock(p, PAGE_SIZE);
	machine_unmap((vm_offset_t)p, 1);
}

static void
touch(void *p)
{
	*(volatile char *)p = 1;
}

static void
debug_shape_faults_on_unmapped(void **state)
{
	vm_paddr_t pa[3] = { frame(1), frame(2), frame(3) };
	vm_offset_t va = window(40);

	(void)state;
	NEED(cooper_shape()->debug);
	machine_map(va, pa, 3, false);
	in_child(touch, (void *)(va + ptoa(2)));
	expect_fault(touch, (void *)(va + ptoa(3)));
	machine_unmap(va, 3);
	expect_fault(touch, (void *)va);
}

static void
executable_memory_runs(void **state)
{
#ifdef __x86_64__
	static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 }; /* mov $42, %eax; ret */
	vm_paddr_t pa = frame(5);
	vm_offset_t va = window(50);

	(void)state;
	machine_map(va, &pa, 1, true);
	assert_true(machine_extract(va) == pa);
	memcpy((void *)va, code, sizeof(code));
	assert_int_equal(((int (*)(void))va)(), 42);
	machine_unmap(va, 1);
	machine_map(va, &pa, 1, false);
	memcpy((void *)va, code, sizeof(code));
	expect_fault((void (*)(void *))va, NULL);
	machine_unmap(va, 1);
#else
	(void)state;
#endif
}

/* ---- the direct map --------------------------------------------------------------------------------------- */

static void
direct_map_is_there_or_not(void **state)
{
	unsigned char *p = machine_direct(frame(200));

	(void)state;
	if (!cooper_shape()->direct_map) {
		assert_null(p);
		assert_false(machine_discard(frame(200), 1));
		return;
	}
	assert_non_null(p);
	assert_ptr_equal(machine_direct_run(frame(201), 8), p + PAGE_SIZE);
	assert_true(machine_extract((vm_offset_t)p + 5) == frame(200) + 5);
	memset(p, 0xa5, 9 * PAGE_SIZE);
	assert_true(machine_discard(frame(200), 9));
	assert_false(resident(p));
	assert_int_equal(p[0] | p[8 * PAGE_SIZE], 0);
	/* The last byte of memory is there too. */
	p = machine_direct(POSIX_PHYS_BASE + cooper_shape()->physmem - PAGE_SIZE);
	p[PAGE_MASK] = 1;
}

static void
frame_is_never_paid_twice(void **state)
{
	vm_paddr_t pa[3] = { frame(300), frame(301), frame(555) };
	unsigned char *direct[3], *p = (unsigned char *)window(60);

	(void)state;
	NEED(cooper_shape()->direct_map);
	for (unsigned i = 0; i < 3; i++)
		memset(direct[i] = machine_direct(pa[i]), 0xa5, PAGE_SIZE);
	machine_map((vm_offset_t)p, pa, 3, false);
	memset(p, 0x5a, 3 * PAGE_SIZE);
	for (unsigned i = 0; i < 3; i++)
		assert_false(resident(direct[i]));
	machine_unmap((vm_offset_t)p, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(*(unsigned char *)machine_direct(pa[i]), 0);
}

/* ---- fork --------------------------------------------------------------------------------------------------- */

static void
child_scribbles(void *arg)
{
	unsigned char **p = arg;

	for (unsigned i = 0; i < 2; i++)
		if (p[i] != NULL) {
			TEST_MUST(*p[i] == 0xa5);
			memset(p[i], 0, PAGE_SIZE);
		}
	machine_unmap((vm_offset_t)p[0], 1);
	TEST_MUST(machine_extract((vm_offset_t)p[0]) == MACHINE_NOPAGE);
}

static void
memory_is_private_across_fork(void **state)
{
	vm_paddr_t pa = frame(400);
	unsigned char *p[2] = { (unsigned char *)window(70), machine_direct(frame(401)) };

	(void)state;
	machine_map((vm_offset_t)p[0], &pa, 1, false);
	for (unsigned i = 0; i < 2; i++)
		if (p[i] != NULL)
			memset(p[i], 0xa5, PAGE_SIZE);
	in_child(child_scribbles, p);
	for (unsigned i = 0; i < 2; i++)
		if (p[i] != NULL)
			assert_int_equal(p[i][100], 0xa5);
	assert_true(machine_extract((vm_offset_t)p[0]) == pa);
	machine_unmap((vm_offset_t)p[0], 1);
}

/* ---- the kernel's mappings ------------------------------------------------------------------------------------ */

/* Every second page of the window and of memory, in a shuffled order. */
static void
scattered_pages_are_few_mappings(void **state)
{
	unsigned long n = atop(cooper_shape()->kva_size) / 2, step = 7919;
	unsigned long frames = (unsigned long)(cooper_shape()->physmem >> PAGE_SHIFT);
	unsigned before = count_mappings();

	(void)state;
	NEED(!cooper_shape()->debug);
	for (unsigned long i = 0; i < n; i++) {
		unsigned long page = i * step % n;
		vm_paddr_t pa = frame(page % frames);

		machine_map(window(2 * page), &pa, 1, false);
		*(unsigned char *)window(2 * page) = 1;
	}
	assert_in_range(count_mappings(), 1, before + 4);
	for (unsigned long i = 0; i < n; i++)
		machine_unmap(window(2 * (i * step % n)), 1);
	assert_in_range(count_mappings(), 1, before + 4);
}

/* ---- misuse ------------------------------------------------------------------------------------------------- */

static void
map_beyond_window(void *arg)
{
	vm_paddr_t pa[2] = { frame(1), frame(2) };

	(void)arg;
	machine_map(posix_memory.kva + posix_memory.kva_size - PAGE_SIZE, pa, 2, false);
}

static void
map_twice(void *arg)
{
	vm_paddr_t pa = frame(1);

	(void)arg;
	machine_map(window(80), &pa, 1, false);
	machine_map(window(80), &pa, 1, false);
}

static void
unmap_unmapped(void *arg)
{
	(void)arg;
	machine_unmap(window(80), 1);
}

static void
misuse_is_named(void **state)
{
	(void)state;
	expect_stop(map_beyond_window, NULL, "machine_map: 2 pages at 0x");
	if (cooper_shape()->debug) {
		expect_stop(map_twice, NULL, "is mapped");
		expect_stop(unmap_unmapped, NULL, "is not mapped");
	}
}

TEST_MAIN(cmocka_unit_test(segments_are_all_memory),
    cmocka_unit_test(boot_memory_is_zero_and_apart), cmocka_unit_test(mapping_is_a_page_table),
    cmocka_unit_test(foreign_addresses_have_no_page), cmocka_unit_test(unmapped_memory_goes_back),
    cmocka_unit_test(locked_memory_still_reads_zero),
    cmocka_unit_test(debug_shape_faults_on_unmapped), cmocka_unit_test(executable_memory_runs),
    cmocka_unit_test(direct_map_is_there_or_not), cmocka_unit_test(frame_is_never_paid_twice),
    cmocka_unit_test(memory_is_private_across_fork),
    cmocka_unit_test(scattered_pages_are_few_mappings), cmocka_unit_test(misuse_is_named))
