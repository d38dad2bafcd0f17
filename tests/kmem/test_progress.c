/*
 * M_WAITOK that can never be served says so instead of turning in circles, and one that can be
 * served sleeps until then.
 */
#include "kmem_test.h"
#include <cooper/malloc.h>
#include "page/page_int.h"

static int
refuse(void *mem, int size, int flags)
{
	(void)mem;
	(void)size;
	(void)flags;
	return (COOPER_ENOMEM);
}

static void
init_that_fails(void)
{
	uma_zone_t zone = uma_zcreate("refusing", 100, NULL, NULL, refuse, NULL, 7, 0);
	unsigned long before;

	settle();
	before = free_pages();
	TEST_MUST(uma_zalloc(zone, M_WAITOK) == NULL);
	uma_prealloc(zone, 1000);
	settle();
	TEST_MUST(free_pages() == before);
	uma_zdestroy(zone);
}

static void
waitok_ends_when_init_fails(void **state)
{
	(void)state;
	on_shape(8 << 20, 32 << 20, init_that_fails);
}

static void
slab_beyond_the_machine(void)
{
	size_t size = 48 << 20;
	uma_zone_t zone = uma_zcreate("giant", size, NULL, NULL, NULL, NULL, 7, 0);

	TEST_MUST(zone != NULL);
	TEST_MUST(uma_zalloc(zone, M_WAITOK) == NULL);
	uma_prealloc(zone, 2);
	uma_zdestroy(zone);
}

/* More pages than there are, or more address space. */
static void
waitok_ends_when_no_slab_is_possible(void **state)
{
	(void)state;
	on_shape(16 << 20, 256 << 20, slab_beyond_the_machine);
	on_shape(256 << 20, 32 << 20, slab_beyond_the_machine);
}

/* All of the window but the first slab of tags is the most that can be asked for. */
static void
whole_window(void)
{
	void *p = kmem_malloc(cooper_shape()->kva_size, M_WAITOK);

	TEST_MUST(p == NULL || cooper_shape()->direct_map);
	if (p != NULL)
		kmem_free(p, cooper_shape()->kva_size);
}

static void
waitok_for_the_whole_window_ends(void **state)
{
	(void)state;
	on_shape(256 << 20, 32 << 20, whole_window);
}

/* A limit raised beyond the reserved addresses: who finds them used up sleeps for an item. */
static uma_zone_t zone;

static void
take_item(void *arg)
{
	*(void **)arg = uma_zalloc(zone, M_WAITOK);
}

static void
reserved_addresses(void)
{
	static void *item[64];
	struct side_thread *side;
	void *late = NULL;

	NEED(!cooper_shape()->direct_map);
	zone = uma_zcreate("reserved", 2000, NULL, NULL, NULL, NULL, 7, UMA_ZONE_NOBUCKET);
	TEST_MUST(uma_zone_reserve_kva(zone, 8) == 1);
	int n = uma_zone_get_max(zone);
	uma_zone_set_max(zone, n + 8);
	for (int i = 0; i < n; i++)
		TEST_MUST((item[i] = uma_zalloc(zone, M_WAITOK)) != NULL);
	side = side_start(take_item, &late, 0);
	wait_for_sleepers("vmwait", 1);
	uma_zfree(zone, item[0]);
	side_join(side);
	TEST_MUST(late != NULL);
	uma_zfree(zone, late);
	for (int i = 1; i < n; i++)
		uma_zfree(zone, item[i]);
	uma_zdestroy(zone);
}

static void
used_up_reserved_addresses_sleep(void **state)
{
	(void)state;
	on_shape(16 << 20, 64 << 20, reserved_addresses);
}

/* An aligned block waits for addresses, which may come back without any page. */
static MALLOC_DEFINE(M_ALIGNED, "aligned", "of this test");

static void
take_aligned(void *arg)
{
	*(void **)arg = cooper_malloc_aligned(64 * PAGE_SIZE, 16 * PAGE_SIZE, M_ALIGNED, M_WAITOK);
}

/* One that the window's second page does not have, wherever the host has placed the window. */
static size_t
alignment_of_no_second_page(void)
{
	vm_size_t size, align = 2 * PAGE_SIZE;
	vm_offset_t base;

	machine_kva(&base, &size);
	while (((base + PAGE_SIZE) & (align - 1)) == 0)
		align *= 2;
	return (align);
}

static void
aligned_waits_for_addresses(void)
{
	static vm_offset_t va[8192];
	struct side_thread *side;
	void *p = NULL;
	unsigned n = 0;

	/* No place in the window at all, without its first page: the wait would have no end. */
	if (!cooper_shape()->direct_map)
		TEST_MUST(cooper_malloc_aligned(cooper_shape()->kva_size - PAGE_SIZE,
			      alignment_of_no_second_page(), M_ALIGNED, M_WAITOK) == NULL);
	while (n < 8192 && (va[n] = kva_alloc(8 * PAGE_SIZE)) != 0)
		n++;
	side = side_start(take_aligned, &p, 0);
	wait_for_sleepers("kva", 1);
	while (n > 0)
		kva_free(va[--n], 8 * PAGE_SIZE);
	side_join(side);
	TEST_MUST(p != NULL && ((uintptr_t)p & (16 * PAGE_SIZE - 1)) == 0);
	cooper_free(p, M_ALIGNED);
}

static void
waitok_aligned_waits_for_addresses(void **state)
{
	(void)state;
	on_shape(16 << 20, 8 << 20, aligned_waits_for_addresses);
}

/*
 * A request of many pages that waits gathers them while no other does: what it has in its hands when
 * it fails another may lack, and two could undo each other's work for ever.
 */
#define MANY 300 /* pages: several batches */

static void
take_many(void *arg)
{
	*(void **)arg = kmem_malloc(MANY * PAGE_SIZE, M_WAITOK);
}

static uint64_t
pages_taken(void)
{
	struct page_domain_stat st;
	uint64_t n = 0;

	for (unsigned d = 0; d < cooper_shape()->ndomains; d++) {
		page_stat(d, &st);
		n += st.allocs;
	}
	return (n);
}

static void
gather_in_turn(void)
{
	struct side_thread *side;
	struct hoard hoard;
	void *p = NULL;
	uint64_t taken;

	warm_up();
	hoard_pages(&hoard, MANY / 2);
	mtx_lock(&kmem_gather_lock); /* another one gathers */
	side = side_start(take_many, &p, 0);
	while (!lock_is_wanted(&kmem_gather_lock))
		machine_park(machine_now() + 1000000);
	hoard_release(&hoard, 2 * MANY);
	taken = pages_taken();
	machine_park(machine_now() + 2000000);
	TEST_MUST(p == NULL && pages_taken() == taken);
	mtx_unlock(&kmem_gather_lock);
	side_join(side);
	TEST_MUST(p != NULL);
	kmem_free(p, MANY * PAGE_SIZE);
	hoard_end(&hoard);
}

static void
waiting_gatherers_take_turns(void **state)
{
	(void)state;
	on_shape(8 << 20, 32 << 20, gather_in_turn);
}

/*
 * Free pages enough, but no two of them side by side: who wants a contiguous slab sleeps, and looks
 * again when pages come back, not at each moment.
 */
static void
contig_sleeps(void)
{
	static struct vm_page *page[16384];
	struct side_thread *side;
	struct page_domain_stat st;
	void *late = NULL;
	uint64_t passes;
	unsigned n = 0;

	zone = uma_zcreate("runs", 2 * PAGE_SIZE, NULL, NULL, NULL, NULL, PAGE_SIZE - 1,
	    UMA_ZONE_CONTIG | UMA_ZONE_NOBUCKET);
	warm_up();
	for (unsigned d = 0; d < cooper_shape()->ndomains; d++)
		while (n < nitems(page) &&
		       (page[n] = vm_page_alloc((int)d, M_NOWAIT | M_USE_RESERVE)) != NULL)
			n++;
	TEST_MUST(n < nitems(page));
	for (unsigned i = 0; i < n; i++)
		if (page_number(page[i]) % 2 != 0) {
			vm_page_free(page[i]);
			page[i] = NULL;
		}
	side = side_start(take_item, &late, 0);
	wait_for_sleepers("kva", 1);
	page_stat(0, &st);
	passes = st.passes;
	for (unsigned i = 0; i < 20; i++)
		machine_park(machine_now() + 1000000);
	wait_for_sleepers("kva", 1);
	page_stat(0, &st);
	TEST_MUST(st.passes - passes < 40); /* 20 ms and more: a pass at 1, 3, 7, 15 ... */
	TEST_MUST(late == NULL);
	for (unsigned i = 0; i < n; i++)
		if (page[i] != NULL)
			vm_page_free(page[i]);
	side_join(side);
	TEST_MUST(late != NULL);
	uma_zfree(zone, late);
	uma_zdestroy(zone);
}

static void
waitok_for_a_run_sleeps(void **state)
{
	(void)state;
	on_shape(8 << 20, 32 << 20, contig_sleeps);
}

TEST_MAIN(cmocka_unit_test(waiting_gatherers_take_turns), cmocka_unit_test(waitok_for_a_run_sleeps),
    cmocka_unit_test(waitok_aligned_waits_for_addresses),
    cmocka_unit_test(waitok_ends_when_init_fails),
    cmocka_unit_test(waitok_ends_when_no_slab_is_possible),
    cmocka_unit_test(waitok_for_the_whole_window_ends),
    cmocka_unit_test(used_up_reserved_addresses_sleep))
