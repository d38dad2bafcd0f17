/*
 * Start-up on small and huge memories: nothing is touched, watermarks are sane, addresses are right.
 */
#include <stdio.h>

#include "page_test.h"

/* Resident memory of this process, in bytes. */
static unsigned long
resident(void)
{
	unsigned long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	TEST_MUST(f != NULL && fscanf(f, "%lu %lu", &size, &pages) == 2);
	fclose(f);
	return (pages * 4096);
}

static void
start(uint64_t physmem, unsigned ndomains)
{
	struct machine_shape shape = { .ncpus = 8,
		.ndomains = ndomains,
		.direct_map = true,
		.debug = true,
		.pin = true,
		.physmem = physmem,
		.kva_size = 64 << 20 };
	const char *why = "";
	unsigned long before;

	TEST_MUST(machine_start(&shape, &why) == 0);
	sync_start();
	before = resident();
	TEST_MUST(page_start(&why) == 0);
	printf("# %llu MiB: start touches %lu KiB\n", (unsigned long long)physmem >> 20,
	    (resident() - before) / 1024);
	TEST_MUST(SANITIZED || resident() - before <= 256 * 1024); /* code and stack included */
}

static void
check_marks(unsigned domain, uint64_t physmem)
{
	struct page_domain_stat st;

	page_stat(domain, &st);
	TEST_MUST(st.total == physmem >> PAGE_SHIFT && st.fresh == st.total);
	TEST_MUST(st.interrupt >= 1 && st.interrupt < st.severe && st.severe < st.min);
	TEST_MUST(st.min < st.target && st.target <= st.total / 4);
	TEST_MUST(st.target * PAGE_SIZE <= 80 << 20);
}

/* A thousand pages touch a thousand records and no more. */
static void
check_growth(void)
{
	static vm_paddr_t pa[1000];
	unsigned long before = resident();

	TEST_MUST(vm_page_alloc_bulk(0, M_NOWAIT, 1000, pa) == 1000);
	TEST_MUST(SANITIZED || resident() - before <= 128 * 1024);
	for (unsigned i = 1; i < 1000; i++)
		TEST_MUST(pa[i] == pa[i - 1] + PAGE_SIZE); /* densely */
	vm_page_free_bulk(pa, 1000);
}

static void
start_small(void *arg)
{
	(void)arg;
	start(4 << 20, 1);
	check_marks(0, 4 << 20);
}

static void
start_tiny_domains(void *arg)
{
	(void)arg;
	start(2 << 20, 8); /* 64 pages each */
	for (unsigned d = 0; d < 8; d++)
		check_marks(d, (2 << 20) / 8);
}

static void
start_large(void *arg)
{
	uint64_t physmem = sizeof(void *) == 8 ? (uint64_t)64 << 30 : (uint64_t)1 << 30;

	(void)arg;
	start(physmem, 1);
	check_marks(0, physmem);
	check_growth();
}

static void
start_large_domains(void *arg)
{
	uint64_t physmem = sizeof(void *) == 8 ? (uint64_t)64 << 30 : (uint64_t)1 << 30;

	(void)arg;
	start(physmem, 4);
	for (unsigned d = 0; d < 4; d++)
		check_marks(d, physmem / 4);
	check_growth();
}

static void
addresses(void *arg)
{
	const struct page_segment *s;
	struct vm_page *m;

	(void)arg;
	start(64 << 20, 2);
	for (unsigned i = 0; i < page_nsegments; i++) {
		vm_paddr_t first, last;

		s = &page_segments[i];
		first = (page_base + s->range.start) << PAGE_SHIFT;
		last = ((page_base + s->range.end) << PAGE_SHIFT) - 1;
		TEST_MUST(page_paddr(page_of_paddr(first)) == first);
		TEST_MUST(page_paddr(page_of_paddr(last)) == trunc_page(last));
		TEST_MUST(vm_page_domain_can((int)s->domain, first, last + 1, 1));
		TEST_MUST(vm_page_domain_can(
		    (int)s->domain, 0, MACHINE_NOPAGE, s->range.end - s->range.start));
		TEST_MUST(!vm_page_domain_can(
		    (int)s->domain, 0, MACHINE_NOPAGE, s->range.end - s->range.start + 1));
		TEST_MUST(!vm_page_domain_can((int)s->domain, 0, first, 1)); /* R28 */
	}
	TEST_MUST(page_of_paddr(0) == NULL);
	TEST_MUST(page_of_paddr(MACHINE_NOPAGE) == NULL);
	m = vm_page_alloc(1, M_NOWAIT);
	TEST_MUST(m->domain == 1);
	TEST_MUST(page_of_va((vm_offset_t)machine_direct(page_paddr(m)) + 5) == m);
	TEST_MUST(page_of_va((vm_offset_t)&m) == NULL);
	TEST_MUST(m->flags & PG_ZERO);
}

static void
zero_and_discarded_pages(void *arg)
{
	struct vm_page *m;
	unsigned char *mem;

	(void)arg;
	start(64 << 20, 1);
	m = vm_page_alloc_contig(0, M_NOWAIT, 256, 0, MACHINE_NOPAGE, 1 << 20, 0);
	mem = machine_direct(page_paddr(m));
	for (unsigned i = 0; i < 256; i++)
		*(unsigned char *)machine_direct(page_paddr(m + i)) = 1;
	vm_page_free_contig(m, 256);
	TEST_MUST(page_discard_free(128) == 256); /* whole blocks */
	TEST_MUST(page_discard_free(128) == 0);
	m = vm_page_alloc_contig(0, M_NOWAIT, 256, page_paddr(m), page_paddr(m + 256), 0, 0);
	for (unsigned i = 0; i < 256; i++)
		TEST_MUST((m[i].flags & PG_ZERO) && mem[i * PAGE_SIZE] == 0);
}

/* What was never touched goes, from each domain its share; what is in use and the marks stay. */
static void
memory_that_is_not_ours(void *arg)
{
	unsigned long all = (256 << 20) / PAGE_SIZE, gone, got = 0;
	struct vm_page *m;
	uint32_t chain[2];

	(void)arg;
	start(256 << 20, 2);
	m = vm_page_alloc(1, M_NOWAIT);
	TEST_MUST(page_forgo(all) == 0 && page_forgo(all + 1) == 0);
	gone = page_forgo(all / 4);
	TEST_MUST(gone <= all - all / 4 && gone >= all - all / 4 - (4 << PAGE_MAX_ORDER));
	verify_all();
	for (unsigned d = 0; d < 2; d++) {
		TEST_MUST(stat_of(d).total <= all / 8 + (2u << PAGE_MAX_ORDER));
		chain[d] = take_all((int)d, PAGE_INTERRUPT);
		TEST_MUST(stat_of(d).free == 0);
	}
	for (unsigned d = 0; d < 2; d++)
		for (uint32_t pn = chain[d]; pn != PAGE_NIL; pn = page_array[pn].next)
			got++;
	TEST_MUST(got + 1 == all - gone);
	TEST_MUST(page_forgo(1) == 0); /* all of it is in use */
	give_back(chain[0]);
	give_back(chain[1]);
	vm_page_free(m);
	TEST_MUST(page_forgo(1) == 0); /* or has been */
	verify_all();
}

#define CHILD_TEST(fn)                      \
	static void test_##fn(void **state) \
	{                                   \
		(void)state;                \
		in_child(fn, NULL);         \
	}
CHILD_TEST(start_small)
CHILD_TEST(start_tiny_domains)
CHILD_TEST(start_large)
CHILD_TEST(start_large_domains)
CHILD_TEST(addresses)
CHILD_TEST(zero_and_discarded_pages)
CHILD_TEST(memory_that_is_not_ours)

TEST_MAIN(cmocka_unit_test(test_start_small), cmocka_unit_test(test_start_tiny_domains),
    cmocka_unit_test(test_start_large), cmocka_unit_test(test_start_large_domains),
    cmocka_unit_test(test_addresses), cmocka_unit_test(test_zero_and_discarded_pages),
    cmocka_unit_test(test_memory_that_is_not_ours))
