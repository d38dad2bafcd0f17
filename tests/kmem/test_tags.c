/*
 * The tag recursion: the reserve, its bound, and what may and may not touch it.
 *
 * R7 (FreeBSD's map-entry recursion, D26851) has no counterpart: there is no map with entries that
 * would need memory of their own. What takes their place are page tables, and those exist for the
 * whole window from the start (machine_map cannot fail), so no step of a refill allocates anything
 * but its one page and at most `bound` tags.
 */
#include <stdlib.h>
#include "kmem_test.h"

#define MANY 4096

static vm_offset_t kept[MANY];

/* Use tags up: a busy page of address space has one of its own. */
static unsigned
fragment(unsigned n)
{
	unsigned got = 0;

	while (got < n && (kept[got] = kva_alloc(PAGE_SIZE)) != 0)
		got++;
	return (got);
}

/* In an order that leaves holes until the last moment. */
static void
defragment(unsigned n)
{
	for (unsigned i = 0; i < n; i += 2)
		kva_free(kept[i], PAGE_SIZE);
	for (unsigned i = 1; i < n; i += 2)
		kva_free(kept[i], PAGE_SIZE);
}

/* Is nothing but the reserve left in the slabs of any domain? */
static bool
at_the_reserve(void)
{
	for (unsigned d = 0; d < cooper_shape()->ndomains; d++)
		if (tag_zone->keg->domain[d].free_items > tags_bound())
			return (false);
	return (true);
}

/* Use ordinary tags up until exactly the reserve is left in the slabs, and caches hold none. */
static unsigned
down_to_the_reserve(void)
{
	unsigned n;

	for (n = 0;; n++) {
		uma_zone_reclaim(tag_zone, UMA_RECLAIM_DRAIN_CPU);
		if (at_the_reserve())
			break;
		TEST_MUST(n < MANY);
		kept[n] = kva_alloc(PAGE_SIZE);
		TEST_MUST(kept[n] != 0);
	}
	return (n);
}

static void
run_mapped(uint64_t physmem, vm_size_t kva, void (*body)(void))
{
	struct machine_shape shape = mapped_shape(physmem, kva);

	on_exact_shape(&shape, body);
}

/* ---- R1 ------------------------------------------------------------------------------------------------ */

/*
 * R1 (PR 248008, r358097, D26772): slabs of tags that are wholly free are drained; the reserve is
 * not, and a request that needs a new slab of tags afterwards succeeds.
 */
static void
r1(void)
{
	unsigned n;

	for (unsigned round = 0; round < 3; round++) {
		n = fragment(400);
		TEST_MUST(n == 400 && tag_slab_pages() >= 3);
		defragment(n);
		settle();
		TEST_MUST(tags_in_slabs() >= tags_bound());
		tags_check("r1");
		n = fragment(400); /* refills, from nothing but the reserve */
		TEST_MUST(n == 400);
		uma_reclaim(UMA_RECLAIM_DRAIN);
		void *p = kmem_malloc(5 * PAGE_SIZE, M_WAITOK);
		TEST_MUST(p != NULL);
		kmem_free(p, 5 * PAGE_SIZE);
		defragment(n);
	}
}

/*
 * The worst place for the reserve: the first slab, which always stays, is all but full, and what else
 * is free lies in slabs that are wholly free. A drain that did not mind the reserve would take them all. Tags
 * are taken one by one, so that they fill the slabs in order; which of them fills the first one
 * depends on a tag's size, so each is tried.
 */
static void
r1_worst_place(void)
{
	unsigned kept_whole = 0;

	for (unsigned extra = 0; extra < 16; extra++) {
		unsigned n = down_to_the_reserve(), all = n + 150;

		for (unsigned i = n; i < all; i++) {
			uma_zone_reclaim(tag_zone, UMA_RECLAIM_DRAIN_CPU);
			TEST_MUST((kept[i] = kva_alloc(PAGE_SIZE)) != 0);
		}
		for (unsigned i = all; i-- > n + extra;)
			kva_free(kept[i], PAGE_SIZE);
		settle();
		TEST_MUST(tags_in_slabs() >= tags_bound());
		for (unsigned d = 0; d < cooper_shape()->ndomains; d++)
			kept_whole += tag_zone->keg->domain[d].free_slabs > 0;
		TEST_MUST((kept[all] = kva_alloc(PAGE_SIZE)) != 0);
		kva_free(kept[all], PAGE_SIZE);
		defragment(n + extra);
		settle();
	}
	TEST_MUST(kept_whole > 0);
}

static void
R1_reclaim_keeps_reserve(void **state)
{
	(void)state;
	run_mapped(16 << 20, 64 << 20, r1);
	run_mapped(16 << 20, 64 << 20, r1_worst_place);
}

/* What a storm leaves behind goes back: nothing is lost to it (no NOFREE). */
static void
storm_slabs_go_back(void)
{
	struct picture before, after;
	unsigned long slabs;
	unsigned n;

	defragment(fragment(1000));
	settle();
	picture_take(&before);
	slabs = tag_slab_pages();
	n = fragment(3000);
	TEST_MUST(n == 3000 && tag_slab_pages() >= slabs + 20);
	defragment(n);
	settle();
	TEST_MUST(tag_slab_pages() <= slabs);
	picture_take(&after);
	picture_equal(&before, &after);
}

static void
slabs_of_a_storm_are_given_back(void **state)
{
	(void)state;
	run_mapped(16 << 20, 64 << 20, storm_slabs_go_back);
	on_shape(16 << 20, 64 << 20, storm_slabs_go_back);
}

/* ---- R2, R3, R4 ------------------------------------------------------------------------------------------ */

/*
 * Leave empty buckets in this CPU's cache of them, of the size that a zone of such items uses: zones
 * below kmem take none but such.
 */
static void
buckets_at_hand(size_t item_size)
{
	uma_zone_t like =
	    uma_zcreate("like it", item_size, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	static void *item[1024];
	unsigned n;

	for (n = 0; n < 1024; n++)
		TEST_MUST((item[n] = uma_zalloc(like, M_WAITOK)) != NULL);
	while (n > 0)
		uma_zfree(like, item[--n]);
	uma_zdestroy(like);
}

/* R2 (D26771): with exactly the reserve left, one M_USE_RESERVE request takes one item, not a bucket. */
static void
r2(void)
{
	unsigned reserve = 8 * cooper_shape()->ncpus, last = cooper_shape()->ncpus - 1;
	uma_zone_t zone =
	    uma_zcreate("reserved", 56, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, UMA_ZONE_VM);
	const int flags = M_NOWAIT | M_NOVM | M_USE_RESERVE;
	struct uma_kdomain *dom = &zone->keg->domain[0];
	void *item[512], *a, *b;
	unsigned n = 0;

	for (unsigned cpu = 0; cpu < cooper_shape()->ncpus; cpu += last == 0 ? 1 : last) {
		machine_bind((int)cpu);
		buckets_at_hand(56);
	}
	machine_bind(0);
	uma_zone_reserve(zone, (int)reserve);
	uma_prealloc(zone, (int)reserve);
	while (n < 512 && (item[n] = uma_zalloc(zone, M_NOWAIT | M_NOVM)) != NULL)
		n++;
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	while (n < 512 && (item[n] = uma_zalloc(zone, M_NOWAIT | M_NOVM)) != NULL)
		n++;
	TEST_MUST(dom->free_items == reserve);
	TEST_MUST((a = uma_zalloc(zone, flags)) != NULL);
	TEST_MUST(dom->free_items == reserve - 1);
	machine_bind((int)last);
	TEST_MUST((b = uma_zalloc(zone, flags)) != NULL);
	TEST_MUST(dom->free_items == reserve - 2);
	TEST_MUST(uma_zalloc(zone, M_NOWAIT | M_NOVM) == NULL);
	uma_zfree(zone, a);
	uma_zfree(zone, b);
	while (n > 0)
		uma_zfree(zone, item[--n]);
	uma_zdestroy(zone);
}

static void
R2_one_reserved_item_a_call(void **state)
{
	(void)state;
	run_mapped(16 << 20, 64 << 20, r2);
}

/*
 * R3, R4 (D26770, D19337): a refill takes at most (2 to import + 2 to clip) x 2 layers, and the
 * reserve is that. Storms of every kind, with the caches emptied at each step, so that each refill
 * finds the reserve and no spare tag more than it must.
 */
static void
r3(void)
{
	uint64_t seed = 3;
	char *p[64] = { 0 };

	TEST_MUST(tags_bound() == 2 * (BT_IMPORT + BT_CLIP));
	for (unsigned i = 0; i < 2000; i++) {
		unsigned at = test_random(&seed) % 64;
		vm_size_t size = PAGE_SIZE * (1 + at % 7);

		if (p[at] != NULL) {
			kmem_free(p[at], size);
			p[at] = NULL;
		} else
			p[at] = kmem_malloc(size, M_WAITOK);
		if (i % 3 == 0)
			uma_zone_reclaim(tag_zone, UMA_RECLAIM_DRAIN_CPU);
		if (i % 500 == 0)
			defragment(fragment(MANY / 2));
	}
	for (unsigned at = 0; at < 64; at++)
		if (p[at] != NULL)
			kmem_free(p[at], PAGE_SIZE * (1 + at % 7));
	tags_check("r3");
	TEST_MUST(tags_peak > 0 && tags_peak <= tags_bound());
}

static void
R3_R4_a_refill_stays_within_the_bound(void **state)
{
	(void)state;
	run_mapped(16 << 20, 64 << 20, r3);
}

/* A refill from exactly the reserve, again and again. */
static void
from_the_reserve(void)
{
	for (unsigned round = 0; round < 5; round++) {
		unsigned long slabs;
		unsigned n = down_to_the_reserve();
		unsigned more = 0;
		vm_offset_t va[64];

		TEST_MUST(tags_in_slabs() >= tags_bound());
		slabs = tag_slab_pages();
		while (tag_slab_pages() == slabs && more < 64) {
			va[more] = kva_alloc(PAGE_SIZE);
			TEST_MUST(va[more] != 0);
			more++;
		}
		TEST_MUST(tag_slab_pages() > slabs);
		tags_check("from_the_reserve");
		while (more > 0)
			kva_free(va[--more], PAGE_SIZE);
		defragment(n);
	}
}

static void
R4_a_refill_needs_the_reserve_alone(void **state)
{
	(void)state;
	run_mapped(16 << 20, 64 << 20, from_the_reserve);
}

/* A deeper graph would need more in reserve than there is: refused, with a line that says why. */
static void
deeper(void)
{
	static struct kmem_arena third, fourth;
	struct kmem_arena *domain = kmem_domain_arena(0);
	unsigned bound = tags_bound();

	TEST_MUST(kmem_arena_create(&third, "third", domain, SOURCE_NONE, true) == COOPER_EINVAL);
	TEST_MUST(strstr(cooper_start_error(), "third") != NULL);
	TEST_MUST(strstr(cooper_start_error(), "3 arenas deep") != NULL);
	TEST_MUST(tags_bound() == bound);
	/* One that tag slabs are not cut from may be as deep as it likes. */
	TEST_MUST(kmem_arena_create(&fourth, "fourth", domain, SOURCE_NONE, false) == 0);
	TEST_MUST(tags_bound() == bound);
	kmem_arena_destroy(&fourth);
}

static void
R4_deeper_graphs_are_refused(void **state)
{
	(void)state;
	run_mapped(16 << 20, 64 << 20, deeper);
}

/* ---- R5, R6 ------------------------------------------------------------------------------------------------ */

/* R5 (D19337): no whole import quantum is free, single pages are plenty: a page can still be had. */
static void
r5(void)
{
	static vm_offset_t all[4096];
	unsigned n = 0, holes = 0;
	void *p;

	while (n < 4096 && (all[n] = kva_alloc(2 * PAGE_SIZE)) != 0)
		n++;
	TEST_MUST(n > 100);
	for (unsigned i = 0; i < n; i += 2, holes++) {
		kva_free(all[i], 2 * PAGE_SIZE);
		all[i] = 0;
	}
	TEST_MUST(
	    holes > 50 && vmem_size(kmem_arena_of(SOURCE_ROOT)->vm, VMEM_MAXFREE) < kva_quantum);
	for (unsigned i = 0; i < 16; i++) {
		p = kmem_malloc(2 * PAGE_SIZE, M_WAITOK);
		TEST_MUST(p != NULL);
		kmem_free(p, 2 * PAGE_SIZE);
	}
	for (unsigned i = 0; i < n; i++)
		if (all[i] != 0)
			kva_free(all[i], 2 * PAGE_SIZE);
}

static void
R5_fragments_smaller_than_a_quantum_serve(void **state)
{
	(void)state;
	run_mapped(8 << 20, 8 << 20, r5);
	on_shape(8 << 20, 8 << 20, r5);
}

/*
 * R6 (PR 235747): refills that fail, for want of pages or of addresses, leave the reserve as it was,
 * and nothing of it where ordinary requests could take it; when there are pages again, one succeeds.
 */
static void
r6(void)
{
	unsigned n, failed = 0;
	struct hoard hoard;
	unsigned long free;

	n = down_to_the_reserve();
	hoard_pages(&hoard, 0);
	for (unsigned i = 0; i < 200 && n < MANY; i++) {
		free = tags_in_slabs();
		kept[n] = kva_alloc(PAGE_SIZE);
		if (kept[n] != 0) {
			n++;
			continue;
		}
		failed++;
		TEST_MUST(tags_in_slabs() >= tags_bound());
		TEST_MUST(tags_in_slabs() >= free || free > tags_bound());
	}
	TEST_MUST(failed > 100);
	tags_check("r6");
	hoard_release(&hoard, 4);
	TEST_MUST((kept[n++] = kva_alloc(PAGE_SIZE)) != 0);
	hoard_end(&hoard);
	defragment(n);
}

/* The same with address space: it is the filler's own import that fails. */
static void
r6_addresses(void)
{
	unsigned n = 0, failed = 0;
	vm_offset_t rest[256];
	unsigned nrest = 0;
	vmem_size_t size;

	while (n < MANY && (kept[n] = kva_alloc(PAGE_SIZE)) != 0)
		n++;
	for (size = PAGE_SIZE; nrest < 256 && (rest[nrest] = kva_alloc(size)) != 0;)
		nrest++;
	for (unsigned i = 0; i < 100; i++) {
		void *p = kmem_malloc(PAGE_SIZE, M_NOWAIT);

		if (p == NULL)
			failed++;
		TEST_MUST(tags_in_slabs() >= tags_bound());
	}
	tags_check("r6_addresses");
	TEST_MUST(failed > 0);
	while (nrest > 0)
		kva_free(rest[--nrest], PAGE_SIZE);
	defragment(n);
	TEST_MUST((rest[0] = kva_alloc(64 * PAGE_SIZE)) != 0);
	kva_free(rest[0], 64 * PAGE_SIZE);
}

/* And with a failure at each of its steps: what it had taken by then is back in the slabs. */
static void
r6_each_step(void)
{
	for (uint64_t k = 1; k < 40; k++) {
		unsigned long slabs;
		unsigned n;

		vmem_trim(); /* no arena has a spare tag: the refill takes all that it may */
		n = down_to_the_reserve();
		slabs = tag_slab_pages();
		for (unsigned i = 0; i < 8 && tag_slab_pages() == slabs; i++) {
			cooper_inject_failure(k);
			kept[n] = kva_alloc(PAGE_SIZE);
			(void)cooper_inject_failure(0);
			n += kept[n] != 0;
			TEST_MUST(tags_in_slabs() >= tags_bound());
		}
		tags_check("r6_each_step");
		defragment(n);
	}
}

static void
R6_failed_refills_keep_the_reserve(void **state)
{
	(void)state;
	run_mapped(16 << 20, 64 << 20, r6_each_step);
	run_mapped(4 << 20, 64 << 20, r6);
	run_mapped(8 << 20, 2 << 20, r6_addresses);
}

/* ---- R8, H8 ------------------------------------------------------------------------------------------------ */

/* R8 (D32515): the whole reserve lies in domain 0; a CPU of domain 1 must come by it. */
static void
r8(void)
{
	unsigned n = 0;

	machine_bind((int)cooper_shape()->ncpus - 1);
	TEST_MUST(machine_cpu_domain(machine_cpu()) == 1);
	while (n < 1000 && (kept[n] = kva_alloc(PAGE_SIZE)) != 0)
		n++;
	TEST_MUST(n == 1000);
	tags_check("r8");
	defragment(n);
}

static void
R8_reserve_of_another_domain_serves(void **state)
{
	(void)state;
	NEED(harness_shape.ndomains == 2);
	run_mapped(16 << 20, 64 << 20, r8);
}

/* H8: the reserve is whole before the first ordinary request, with however many CPUs. */
static void
h8(void)
{
	TEST_MUST(tags_in_slabs() >= tags_bound());
	TEST_MUST(tags_bound() > 0);
	defragment(fragment(1000));
	tags_check("h8");
}

static void
H8_reserve_is_whole_from_the_start(void **state)
{
	static const unsigned cpus[] = { 1, 9, 19, 256 };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct machine_shape shape = mapped_shape(64 << 20, 64 << 20);

		shape.pin = true;
		shape.ncpus = cpus[i];
		shape.ndomains = 1;
		on_exact_shape(&shape, h8);
	}
}

/* ---- large machines ----------------------------------------------------------------------------------------- */

/* Tags reach only so far: on a machine larger than that their slabs stay near each other. */
static void
far(void)
{
	vm_size_t most = (vm_size_t)(20ull << 30);
	vm_offset_t low = kva_alloc(most);

	TEST_MUST(low != 0);
	machine_bind((int)cooper_shape()->ncpus - 1);
	TEST_MUST(fragment(3000) == 3000);
	for (unsigned i = 0; i < 64; i++)
		TEST_MUST(kmem_malloc(3 * PAGE_SIZE, M_WAITOK) != NULL);
	defragment(3000);
	tags_check("far");
	kva_free(low, most);
}

static void
tags_of_large_machines_stay_together(void **state)
{
	struct machine_shape shape = harness_shape;

	(void)state;
	NEED_MACHINE(sizeof(void *) == 8, "no memory so large in 32 bit");
	shape.physmem = (uint64_t)64 << 30;
	shape.kva_size = (vm_size_t)((uint64_t)128 << 30);
	on_exact_shape(&shape, far);
}

/* H1: an import that cannot meet the request is not repeated until the parent is empty. */
static void
h1(void)
{
	vm_size_t free = vmem_size(kmem_arena_of(SOURCE_ROOT)->vm, VMEM_FREE);
	vmem_t *vm = kmem_domain_arena(0)->vm;
	vmem_addr_t addr;

	TEST_MUST(vmem_xalloc(vm, PAGE_SIZE, 0, 0, 0, 1, PAGE_SIZE * 16, M_NOWAIT | M_FIRSTFIT,
		      &addr) == COOPER_ENOMEM);
	TEST_MUST(vmem_size(kmem_arena_of(SOURCE_ROOT)->vm, VMEM_FREE) + 4 * kva_quantum >= free);
	tags_check("h1");
}

static void
H1_futile_imports_are_bounded(void **state)
{
	(void)state;
	run_mapped(16 << 20, 64 << 20, h1);
	on_shape(0, 0, h1);
}

/* The reserve is for refills: who else says M_USE_RESERVE to a kernel arena gets nothing of it. */
static void
masked(void)
{
	vmem_t *root = kmem_arena_of(SOURCE_ROOT)->vm;
	unsigned n = down_to_the_reserve(), more = 0;
	struct hoard hoard;
	vmem_addr_t addr[64];

	hoard_pages(&hoard, 0);
	while (more < 64 && vmem_xalloc(root, PAGE_SIZE, 0, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX,
				M_NOWAIT | M_USE_RESERVE | M_BESTFIT, &addr[more]) == 0)
		more++;
	TEST_MUST(more < 64);
	TEST_MUST(tags_in_slabs() >= tags_bound());
	tags_check("masked");
	hoard_end(&hoard);
	while (more > 0)
		vmem_xfree(root, addr[--more], PAGE_SIZE);
	defragment(n);
}

static void
R6_nobody_else_takes_the_reserve(void **state)
{
	(void)state;
	run_mapped(4 << 20, 64 << 20, masked);
}

/* ---- R7 ------------------------------------------------------------------------------------------------ */

/*
 * R7 (D26851) has no map entries to recurse into here; page tables are what mapping could need
 * memory for. It needs none: the last pages that the machine has can be mapped, and nothing but
 * they is taken.
 */
static void
r7(void)
{
	const unsigned n = 64;
	vm_offset_t va = kva_alloc(ptoa(n));
	struct picture before, after;
	unsigned long size;
	struct hoard hoard;

	TEST_MUST(va != 0);
	settle();
	hoard_pages(&hoard, n);
	TEST_MUST(free_pages() == n);
	size = uma_size();
	picture_take(&before);
	TEST_MUST(kmem_back(va, ptoa(n), M_NOWAIT | M_USE_RESERVE) == 0);
	picture_take(&after);
	TEST_MUST(after.free_pages == 0 && uma_size() == size);
	TEST_MUST(after.segments == before.segments);
	memset((void *)va, 7, ptoa(n));
	kmem_unback(va, ptoa(n));
	TEST_MUST(free_pages() == n);
	hoard_end(&hoard);
	kva_free(va, ptoa(n));
}

static void
R7_mapping_allocates_nothing(void **state)
{
	(void)state;
	run_mapped(16 << 20, 64 << 20, r7);
	on_shape(16 << 20, 64 << 20, r7);
}

TEST_MAIN(cmocka_unit_test(R7_mapping_allocates_nothing),
    cmocka_unit_test(R1_reclaim_keeps_reserve), cmocka_unit_test(slabs_of_a_storm_are_given_back),
    cmocka_unit_test(R2_one_reserved_item_a_call),
    cmocka_unit_test(R3_R4_a_refill_stays_within_the_bound),
    cmocka_unit_test(R4_a_refill_needs_the_reserve_alone),
    cmocka_unit_test(R4_deeper_graphs_are_refused),
    cmocka_unit_test(R5_fragments_smaller_than_a_quantum_serve),
    cmocka_unit_test(R6_failed_refills_keep_the_reserve),
    cmocka_unit_test(R6_nobody_else_takes_the_reserve),
    cmocka_unit_test(R8_reserve_of_another_domain_serves),
    cmocka_unit_test(H8_reserve_is_whole_from_the_start),
    cmocka_unit_test(tags_of_large_machines_stay_together),
    cmocka_unit_test(H1_futile_imports_are_bounded))
