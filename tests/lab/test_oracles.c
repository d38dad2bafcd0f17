/*
 * Each oracle must fire on what it is for, and stay silent on the same without it: what is handed out,
 * given back, counted and kept in reserve; and the gauges.
 */
#include "oracle_test.h"

LAB_STATE static uint32_t turn = 0;

/* ---- overlap ------------------------------------------------------------------------------------- */

static void
range_twice(void)
{
	make_arena();
	__real_vmem_xfree(arena, addr, 4);
	vmem_xalloc(arena, 2, 0, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX, M_WAITOK | M_BESTFIT, &addr);
}

static void
range_of_nobody(void)
{
	make_arena();
	vmem_xfree(arena, addr + 1, 3);
}

static void
item_twice(void)
{
	make_zone();
	kept[0] = uma_zalloc(zone, M_WAITOK);
	__real_uma_zfree_arg(zone, kept[0], NULL);
	kept[1] = uma_zalloc(zone, M_WAITOK);
}

static void
item_of_nobody(void)
{
	make_zone();
	uma_zfree(zone, __real_uma_zalloc_arg(zone, NULL, M_WAITOK));
}

static int
import_one(void *arg, void **store, int count, int domain, int flags)
{
	(void)arg;
	(void)count;
	(void)domain;
	(void)flags;
	store[0] = (void *)(uintptr_t)0x1000;
	return (1);
}

static void
release_one(void *arg, void **store, int count)
{
	(void)arg;
	(void)store;
	(void)count;
}

static void
cache_item_twice(void)
{
	zone = uma_zcache_create(
	    "numbers", 64, NULL, NULL, NULL, NULL, import_one, release_one, NULL, 0);
	kept[0] = uma_zalloc(zone, M_WAITOK);
	kept[1] = uma_zalloc(zone, M_WAITOK);
}

static void
page_twice(void)
{
	struct vm_page *m = vm_page_alloc(0, M_NOWAIT);

	__real_vm_page_free(m);
	while (vm_page_alloc(0, M_NOWAIT) != NULL)
		;
}

static void
test_overlap(void **state)
{
	(void)state;
	expect(make_arena, end_arena, DEBUG, LAB_HELD, "");
	expect(range_twice, NULL, 0, LAB_OVERLAP, "arena \"ids\": 0x10 + 0x2 was handed out");
	expect(range_of_nobody, NULL, 0, LAB_OVERLAP, "which nobody has");
	expect(item_twice, NULL, 0, LAB_OVERLAP, "zone \"items\": item");
	expect(item_of_nobody, NULL, 0, LAB_OVERLAP, "which nobody has");
	expect(cache_item_twice, NULL, 0, LAB_OVERLAP, "zone \"numbers\": item 0x1000");
	expect(page_twice, NULL, 0, LAB_OVERLAP, "was handed out twice");
}

/* ---- use of freed memory ---------------------------------------------------------------------------- */

static void
item_written(void)
{
	make_zone();
	for (unsigned i = 0; i < 4; i++)
		kept[i] = uma_zalloc(zone, M_WAITOK);
	for (unsigned i = 0; i < 4; i++)
		uma_zfree(zone, kept[i]);
	if (turn == 0)
		((char *)kept[2])[40] = 1;
	for (unsigned i = 0; i < 4; i++)
		kept[i] = uma_zalloc(zone, M_WAITOK);
	for (unsigned i = 0; i < 4; i++)
		uma_zfree(zone, kept[i]);
}

static void
item_not_written(void)
{
	turn = 1;
	item_written();
}

static void
page_written(void)
{
	struct vm_page *m = vm_page_alloc(0, M_NOWAIT), *other;
	char *at = machine_direct(page_paddr(m));

	vm_page_free(m);
	at[100] = 1;
	do
		other = vm_page_alloc(0, M_NOWAIT);
	while (other != m);
}

static void
window_touched(void)
{
	char *p = kmem_malloc(PAGES(1), M_WAITOK);

	kmem_free(p, PAGES(1));
	p[8] = 1;
}

static void
test_freed(void **state)
{
	(void)state;
	expect(item_not_written, end_zone, 0, LAB_HELD, "");
	expect(item_written, end_zone, 0, LAB_FREED, "was written after it was freed");
	expect(item_written, end_zone, DIRECT, LAB_FREED, "at offset 40");
	expect(page_written, NULL, DIRECT, LAB_FREED, "page");
	expect(window_touched, NULL, 0, LAB_BAD_TOUCH, "window");
}

/* Readers hold what they have found for a while; writers replace it. */
LAB_STATE static uint32_t *shared;

static void
reader(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 4; i++) {
		smr_enter(uma_zone_get_smr(zone));
		(void)*(volatile uint32_t *)__atomic_load_n(&shared, __ATOMIC_ACQUIRE);
		for (unsigned k = 0; k < 200; k++)
			lab_note("looks at it");
		smr_exit(uma_zone_get_smr(zone));
	}
}

static void
writer(void *arg)
{
	uint32_t *old, *new;

	(void)arg;
	for (unsigned i = 0; i < 40; i++) {
		new = uma_zalloc_smr(zone, M_WAITOK);
		*new = i;
		old = shared;
		__atomic_store_n(&shared, new, __ATOMIC_RELEASE);
		uma_zfree_smr(zone, old);
	}
}

static void
smr_readers(void)
{
	zone = uma_zcreate("smr items", 2048, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, UMA_ZONE_SMR);
	shared = uma_zalloc_smr(zone, M_WAITOK);
	lab_thread("reader", 0, reader, NULL);
	lab_thread("writer", 1, writer, NULL);
}

static void
smr_end(void)
{
	uma_zfree_smr(zone, shared);
	uma_zdestroy(zone);
}

static void
test_reused_early(void **state)
{
	(void)state;
	expect_fault(smr_readers, smr_end, 0, FAULT_smr_bucket_reused_early, LAB_FREED, 50);
}

/* ---- accounts ------------------------------------------------------------------------------------------ */

static void
leak_pages(void)
{
	kept[0] = kmem_malloc(PAGES(3), M_WAITOK);
}

static void
leak_addresses(void)
{
	addr = kva_alloc(PAGES(2));
}

static void
miscount_limit(void)
{
	make_zone();
	uma_zone_set_max(zone, 10);
	uma_zfree(zone, uma_zalloc(zone, M_WAITOK));
	zone->items--;
}

static void
miscount_items(void)
{
	make_zone();
	uma_zfree(zone, uma_zalloc(zone, M_WAITOK));
	zone->allocs++;
}

static void
miscount_slab(void)
{
	make_zone();
	kept[0] = uma_zalloc(zone, M_WAITOK);
	zone->keg->domain[0].free_items--;
}

static void
miscount_pages(void)
{
	page_domains[0].free--;
}

static void
miscount_arena(void)
{
	make_arena();
	arena->inuse++;
}

static void
take_tag(void)
{
	kept[0] = uma_zalloc(tag_zone, M_NOWAIT);
}

static void
lose_page(void)
{
	(void)vm_page_alloc(0, M_NOWAIT);
}

static void
forget_range(void)
{
	make_arena();
	__real_vmem_xfree(arena, addr, 4);
}

static void
test_accounts(void **state)
{
	(void)state;
	expect(make_zone, end_zone, DEBUG, LAB_HELD, "");
	expect(make_zone, end_zone, DEBUG | DIRECT | DAEMON | TWO_DOMAINS, LAB_HELD, "");
	expect(make_zone, NULL, DEBUG, LAB_ACCOUNT, "zone \"items\" was never destroyed");
	expect(make_arena, NULL, DEBUG, LAB_ACCOUNT, "arenas at the end");
	expect(leak_pages, NULL, DEBUG, LAB_ACCOUNT, "3 pages more are in use");
	expect(lose_page, NULL, DIRECT, LAB_ACCOUNT, "1 pages more are in use");
	expect(leak_addresses, NULL, DEBUG, LAB_ACCOUNT, "8192 bytes more of addresses");
	expect(miscount_limit, end_zone, 0, LAB_ACCOUNT, "count against its limit");
	expect(miscount_items, end_zone, 0, LAB_ACCOUNT, "users have 1 items by its count");
	expect(miscount_slab, NULL, 0, LAB_ACCOUNT, "free items");
	expect(miscount_pages, NULL, 0, LAB_ACCOUNT, "page domain 0: not so");
	expect(miscount_arena, NULL, 0, LAB_ACCOUNT, "arena \"ids\": not so");
	expect(forget_range, NULL, 0, LAB_ACCOUNT, "arena \"ids\": 0 are in use by its count, 4");
	expect(take_tag, NULL, DEBUG, LAB_ACCOUNT, "tags are out, but arenas have");
}

/* ---- reserves ------------------------------------------------------------------------------------------- */

/* Items of the tag zone's slabs, past what the zone lets through. */
static void
take_reserve(void)
{
	for (;;)
		if (keg_import(tag_zone, &kept[0], 1, 0, true, M_NOWAIT | M_NOVM | M_USE_RESERVE) ==
		    0)
			break;
}

static void
make_reserve(void)
{
	make_zone();
	uma_zone_reserve(zone, 8);
	uma_prealloc(zone, 16);
}

/* With leave, one by one: as it should be. */
static void
use_reserve(void)
{
	unsigned n;

	make_reserve();
	for (n = 0; n < 64; n++)
		if ((kept[n] = uma_zalloc(zone, M_NOWAIT | M_USE_RESERVE)) == NULL)
			break;
	while (n-- > 0)
		uma_zfree(zone, kept[n]);
}

static void
swallow_reserve(void)
{
	make_reserve();
	while (keg_import(zone, kept, 4, 0, true, M_NOWAIT | M_NOVM | M_USE_RESERVE) != 0)
		;
}

/* Threads that are moved between CPUs in the midst of it. */
static void
moving(void *arg)
{
	void *item;

	(void)arg;
	for (unsigned i = 0; i < 8; i++)
		if ((item = uma_zalloc(zone, M_NOWAIT | M_USE_RESERVE)) != NULL)
			uma_zfree(zone, item);
}

static void
use_reserve_moving(void)
{
	make_reserve();
	while (keg_import(zone, kept, 1, 0, true, M_NOWAIT | M_NOVM) != 0)
		;
	for (unsigned i = 0; i < 3; i++)
		lab_thread("moving", -1, moving, NULL);
}

/* A request that was moved left a reserved item in the depot, where anybody could have it. */
static void
test_reserve_is_not_cached(void **state)
{
	struct lab_scenario scenario = {
		.name = "case", .about = "case", .setup = use_reserve_moving
	};
	struct lab_result r;

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		r = run_once(&scenario, DEBUG | TWO_DOMAINS, 0, seed);
		if (r.verdict == LAB_RESERVE)
			fail_msg("seed %u: %s", (unsigned)seed, r.line);
	}
}

static void
test_reserves(void **state)
{
	(void)state;
	expect(take_reserve, NULL, 0, LAB_RESERVE, "zone \"vmem btag\"");
	expect(use_reserve, end_zone, 0, LAB_HELD, "");
	expect(swallow_reserve, NULL, 0, LAB_RESERVE, "zone \"items\", domain 0");
	expect_fault(use_reserve, end_zone, 0, FAULT_fill_swallows_reserve, LAB_RESERVE, 1);
}

/* ---- the scenarios that there are, and gauges ---------------------------------------------------------------------- */

static void
test_silent(void **state)
{
	struct lab_spec spec = { 0 };
	struct lab_result r;

	(void)state;
	for (unsigned i = 0; i < lab_nscenarios; i++)
		for (unsigned how = 0; how < 4; how++)
			for (spec.seed = 1; spec.seed < 4; spec.seed++) {
				spec.scenario = lab_scenarios[i];
				spec.shape = lab_shape(spec.scenario);
				spec.shape.debug = (how & 1) != 0;
				if ((how & 2) != 0 && spec.scenario->direct_map_too)
					spec.shape.direct_map = true;
				lab_run(&spec, random_strategy(), NULL, NULL, &r);
				if (r.verdict != LAB_HELD)
					fail_msg("%s, shape %u, seed %u: %s: %s",
					    spec.scenario->name, how, (unsigned)spec.seed,
					    lab_verdict_names[r.verdict], r.line);
			}
}

static void
look_at_gauges(void)
{
	int64_t before[LAB_GAUGES], after[LAB_GAUGES];
	vm_offset_t va;

	view_gauges(before);
	lab_must(view_reserve() == (cooper_shape()->direct_map ? 0 : tags_bound()), "reserve");
	lab_must(before[GAUGE_TAGS_FREE] >= view_reserve(), "tags free");
	lab_must(before[GAUGE_TAG_SLABS] == 1 && before[GAUGE_SLEEPERS] == 0, "slabs, sleepers");
	va = kva_alloc(PAGES(5));
	kept[0] = vm_page_alloc(0, M_NOWAIT);
	view_gauges(after);
	lab_must(after[GAUGE_KVA_FREE] == before[GAUGE_KVA_FREE] - 5, "addresses free");
	lab_must(after[GAUGE_PAGES_FREE] == before[GAUGE_PAGES_FREE] - 1, "pages free");
	lab_must(after[GAUGE_TAGS_LIVE] == before[GAUGE_TAGS_LIVE] + 1, "tags live");
	lab_must(after[GAUGE_TAGS_LIVE] + after[GAUGE_TAGS_CACHED] + after[GAUGE_TAGS_FREE] ==
		     before[GAUGE_TAGS_LIVE] + before[GAUGE_TAGS_CACHED] + before[GAUGE_TAGS_FREE],
	    "tags in all");
	kva_free(va, PAGES(5));
	vm_page_free(kept[0]);
}

static void
look_at_sleepers(void)
{
	int64_t gauge[LAB_GAUGES];

	take_all();
	lab_sleep(1000000);
	view_gauges(gauge);
	lab_must(gauge[GAUGE_SLEEPERS] == 1 && gauge[GAUGE_SLEEP_OTHER] == 1, "one at the limit");
	uma_zfree(zone, kept[0]);
}

static void
test_gauges(void **state)
{
	(void)state;
	expect(look_at_gauges, NULL, DEBUG, LAB_HELD, "");
	expect(look_at_gauges, NULL, DEBUG | DIRECT, LAB_HELD, "");
	expect(look_at_sleepers, end_zone, DEBUG | DAEMON, LAB_HELD, "");
}

/* A run is the same with what earlier runs have left in the shadow, and whatever ended them. */
static void
test_same_again(void **state)
{
	struct lab_result a = run_once(lab_scenarios[0], DEBUG, 0, 7), b;

	(void)state;
	expect(item_twice, NULL, 0, LAB_OVERLAP, "item");
	expect(page_twice, NULL, 0, LAB_OVERLAP, "page");
	b = run_once(lab_scenarios[0], DEBUG, 0, 7);
	assert_int_equal(a.verdict, b.verdict);
	assert_true(a.hash == b.hash && a.steps == b.steps);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_freed),
		cmocka_unit_test(test_reused_early),
		cmocka_unit_test(test_accounts),
		cmocka_unit_test(test_reserves),
		cmocka_unit_test(test_reserve_is_not_cached),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_gauges),
		cmocka_unit_test(test_same_again),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
