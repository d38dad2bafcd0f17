/*
 * Each oracle must fire on what it is for, and stay silent on the same without it.
 *
 * A case is a scenario that breaks one promise on purpose: by calling the core past the shadow
 * (__real_*), by writing to a core structure, by a fault of lab/faults.def, or by doing what a
 * scenario must not. Shapes without debug keep the core from stopping itself first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "kmem/kmem_int.h"
#include "lab/run.h"
#include "lab/view.h"
#include "machine/machine.h"
#include "page/page_int.h"
#include "smr/smr_int.h"
#include "uma/uma_int.h"
#include "vmem/vmem_int.h"

#define PAGES(n) ((vm_size_t)(n)*PAGE_SIZE)

LAB_STATE static uma_zone_t zone;
LAB_STATE static vmem_t *arena;
LAB_STATE static void *kept[64];
LAB_STATE static vmem_addr_t addr;
LAB_STATE static uint32_t word = 0, turn = 0;
LAB_STATE static struct mtx low, high;

void __real_uma_zfree_arg(uma_zone_t z, void *item, void *arg);
void *__real_uma_zalloc_arg(uma_zone_t z, void *arg, int flags);
void __real_vmem_xfree(vmem_t *vm, vmem_addr_t a, vmem_size_t size);
void __real_vm_page_free(struct vm_page *m);

/* ---- running ------------------------------------------------------------------------------------- */

static uint64_t random_state;

static void
random_begin(void *arg, uint64_t seed, uint64_t expected)
{
	(void)arg;
	(void)expected;
	random_state = seed;
}

static unsigned
random_choose(void *arg, enum sim_choice what, uint64_t set, unsigned dflt)
{
	unsigned skip;

	(void)arg;
	(void)what;
	(void)dflt;
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	sim_ask_at = sim_steps() + 1 + (unsigned)(random_state >> 60);
	skip = (unsigned)(random_state >> 33) % (unsigned)__builtin_popcountll(set);
	while (skip-- > 0)
		set &= set - 1;
	return ((unsigned)__builtin_ctzll(set));
}

static const struct lab_strategy random_strategy = { random_begin, random_choose, NULL };

enum { DEBUG = 1, DIRECT = 2, DAEMON = 4, TWO_DOMAINS = 8 };

static struct lab_result
run_once(const struct lab_scenario *scenario, unsigned how, uint64_t faults, uint64_t seed)
{
	struct lab_spec spec = {
		.scenario = scenario, .shape = lab_shape(scenario), .faults = faults, .seed = seed
	};
	struct lab_result result;

	spec.shape.debug = (how & DEBUG) != 0;
	spec.shape.direct_map = (how & DIRECT) != 0;
	spec.shape.daemon = (how & DAEMON) != 0;
	spec.shape.ndomains = how & TWO_DOMAINS ? 2 : 1;
	lab_run(&spec, seed == 0 ? &lab_default_strategy : &random_strategy, NULL, NULL, &result);
	return (result);
}

/* The run must end like this, with a line that has `part` in it. */
static void
expect(void (*setup)(void), void (*finish)(void), unsigned how, enum lab_verdict verdict,
    const char *part)
{
	struct lab_scenario scenario = {
		.name = "case", .about = "case", .setup = setup, .finish = finish
	};
	struct lab_result r = run_once(&scenario, how, 0, 0);

	if (r.verdict != verdict || strstr(r.line, part) == NULL)
		fail_msg("%s: \"%s\", not %s: \"%s\"", lab_verdict_names[r.verdict], r.line,
		    lab_verdict_names[verdict], part);
}

/* The fault must be found within `seeds` random runs, and nothing without it. */
static void
expect_fault(void (*setup)(void), void (*finish)(void), unsigned how, uint64_t patience,
    enum core_fault fault, enum lab_verdict verdict, unsigned seeds)
{
	struct lab_scenario scenario = { .name = "case",
		.about = "case",
		.setup = setup,
		.finish = finish,
		.patience = patience };
	struct lab_result r = { 0 };
	unsigned found = 0;

	for (unsigned seed = 0; seed < seeds; seed++) {
		r = run_once(&scenario, how, 0, seed);
		if (r.verdict != LAB_HELD)
			fail_msg("seed %u: %s: %s", seed, lab_verdict_names[r.verdict], r.line);
	}
	for (unsigned seed = 0; seed < seeds && found == 0; seed++) {
		r = run_once(&scenario, how, (uint64_t)1 << fault, seed);
		if (r.verdict != LAB_HELD && r.verdict != verdict)
			fail_msg("seed %u: %s: %s", seed, lab_verdict_names[r.verdict], r.line);
		found += r.verdict == verdict;
	}
	if (found == 0)
		fail_msg("%s: not found in %u runs", lab_faults[fault].name, seeds);
}

static void
nothing(void)
{
}

static void
make_zone(void)
{
	zone = uma_zcreate("items", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
}

static void
end_zone(void)
{
	uma_zdestroy(zone);
}

static void
make_arena(void)
{
	arena = vmem_create("ids", 16, 64, 1, 0, M_WAITOK | M_BESTFIT);
	vmem_xalloc(arena, 4, 0, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX, M_WAITOK | M_BESTFIT, &addr);
}

static void
end_arena(void)
{
	vmem_xfree(arena, addr, 4);
	vmem_destroy(arena);
}

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
	expect_fault(smr_readers, smr_end, 0, 0, FAULT_smr_bucket_reused_early, LAB_FREED, 50);
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
	expect_fault(use_reserve, end_zone, 0, 0, FAULT_fill_swallows_reserve, LAB_RESERVE, 1);
}

/* ---- waiting ----------------------------------------------------------------------------------------------- */

static void
wait_for_ever(void *arg)
{
	(void)arg;
	lab_wait(&word, 1);
}

static void
nobody_posts(void)
{
	lab_thread("patient", -1, wait_for_ever, NULL);
}

static void
taker(void *arg)
{
	(void)arg;
	kept[1] = uma_zalloc(zone, M_WAITOK);
	uma_zfree(zone, kept[1]);
}

/* The one item that there may be is with us; the taker sleeps. */
static void
take_all(void)
{
	make_zone();
	uma_zone_set_max(zone, 1);
	kept[0] = uma_zalloc(zone, M_WAITOK);
	lab_thread("taker", -1, taker, NULL);
}

static void
raise_behind_its_back(void)
{
	take_all();
	lab_sleep(1000000);
	zone->max_items = 2;
}

static void
give_back(void)
{
	take_all();
	lab_sleep(1000000);
	uma_zfree(zone, kept[0]);
}

static void
range_taker(void *arg)
{
	vmem_addr_t a;

	(void)arg;
	if (vmem_xalloc(
		arena, 8, 0, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX, M_WAITOK | M_FIRSTFIT, &a) == 0)
		vmem_xfree(arena, a, 8);
}

static void
add_later(void)
{
	arena = vmem_create("ids", 0, 0, 1, 0, M_WAITOK | M_FIRSTFIT);
	lab_thread("taker", -1, range_taker, NULL);
	lab_sleep(1000000);
	vmem_add(arena, 64, 64, M_WAITOK);
}

static void
end_bare_arena(void)
{
	vmem_destroy(arena);
}

/* What is left of memory is too little for ever: the scenario's fault, here on purpose. */
static void
take_memory(void)
{
	while (kmem_malloc(PAGES(1), M_NOWAIT) != NULL)
		;
	(void)kmem_malloc(PAGES(8), M_WAITOK);
}

static void
turn_round(void)
{
	for (;;)
		lab_note("still here");
}

static void
holder(void *arg)
{
	uma_zone_t other = arg;

	for (unsigned i = 0; i < 2000; i++)
		uma_zfree(other, uma_zalloc(other, M_WAITOK));
	uma_zfree(zone, kept[0]);
	uma_zdestroy(other);
}

static void
hold_long(void)
{
	take_all();
	lab_thread("holder", -1, holder,
	    uma_zcreate("others", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0));
}

static void
test_waiting(void **state)
{
	struct lab_scenario starve = { .name = "case",
		.about = "case",
		.setup = hold_long,
		.finish = end_zone,
		.patience = 2000 };

	(void)state;
	expect(nobody_posts, NULL, DEBUG, LAB_DEADLOCK, "");
	expect(give_back, end_zone, DEBUG, LAB_HELD, "");
	expect(take_all, NULL, DEBUG, LAB_DEADLOCK, "taker on \"zonelimit\" in uma_zalloc");
	expect(raise_behind_its_back, NULL, DEBUG, LAB_LOST_WAKEUP, "below its limit");
	expect(take_memory, NULL, DEBUG, LAB_LIVELOCK, "on \"vmwait\" in kmem_malloc");
	expect(take_memory, NULL, DEBUG | DIRECT | TWO_DOMAINS, LAB_LIVELOCK, "free: ");
	expect(turn_round, NULL, DEBUG, LAB_LIVELOCK, "no call has ended");
	expect(hold_long, end_zone, DEBUG, LAB_HELD, "");
	assert_int_equal(run_once(&starve, DEBUG, 0, 0).verdict, LAB_STARVATION);
	starve.patience = 0;
	assert_int_equal(run_once(&starve, DEBUG, 0, 1).verdict, LAB_HELD);
}

/* ---- things that come back in silence: a timer of the sleeper's must not hide it ------------------- */

#define MS 1000000ull

LAB_STATE static bool loud = false;
LAB_STATE static unsigned nkept = 0;

static void
wants_pages(void *arg)
{
	void *p = kmem_malloc(PAGES(32), M_WAITOK); /* more than an import leaves */

	(void)arg;
	kmem_free(p, PAGES(32));
}

/* The window is used up; then the largest part of it comes back. */
static void
addresses_come_back(void)
{
	struct kmem_arena *root = kmem_arena_of(SOURCE_ROOT);
	vm_size_t size[nitems(kept)];
	vm_offset_t at;

	for (vm_size_t s = cooper_shape()->kva_size; s >= PAGE_SIZE; s /= 2)
		while (nkept < nitems(kept) && (at = kva_alloc(s)) != 0) {
			size[nkept] = s;
			kept[nkept++] = (void *)at;
		}
	lab_thread("wants", -1, wants_pages, NULL);
	lab_sleep(20 * MS);
	if (!loud)
		root->tags.event = NULL;
	while (nkept-- > 0)
		kva_free((vm_offset_t)kept[nkept], size[nkept]);
}

static void
pages_come_back(void)
{
	uint32_t waiters;

	for (vm_size_t s = PAGES(64); s >= PAGES(1); s /= 2)
		while (nkept < nitems(kept) && (kept[nkept] = kmem_malloc(s, M_NOWAIT)) != NULL)
			nkept++;
	lab_thread("wants", -1, wants_pages, NULL);
	lab_sleep(20 * MS);
	waiters = vm_waiters;
	if (!loud)
		vm_waiters = 0;
	kmem_free(kept[0], PAGES(64));
	vm_waiters = waiters;
}

static void
wants_tags(void *arg)
{
	(void)arg;
	vmem_add(arena, 1000, 10, M_WAITOK);
}

static void
tags_come_back(void)
{
	void *tag[256];
	unsigned n = 0;

	arena = vmem_create("ids", 0, 0, 1, 0, M_WAITOK | M_BESTFIT);
	for (unsigned i = 0; i < 3; i++) { /* until a pass finds nothing more */
		for (vm_size_t s = PAGES(64); s >= PAGES(1); s /= 2)
			while (kmem_malloc(s, M_NOWAIT) != NULL)
				;
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		vmem_trim();
		while (vm_page_alloc(0, M_NOWAIT | M_USE_RESERVE) != NULL)
			;
	}
	while (n < nitems(tag) && (tag[n] = uma_zalloc(tag_zone, M_NOWAIT | M_NOVM)) != NULL)
		n++;
	lab_thread("wants", -1, wants_tags, NULL);
	lab_sleep(20 * MS);
	keg_release(tag_zone, tag, (int)n);
}

static void
waits_for_readers(void *arg)
{
	smr_synchronize(arg);
}

static void
reader_leaves(void)
{
	struct smr *smr = smr_create("readers", 0, 0);

	smr_enter(smr);
	lab_thread("writer", -1, waits_for_readers, smr);
	lab_sleep(MS);
	smr->sleepers = loud;
	smr_exit(smr);
}

static void
loud_addresses(void)
{
	loud = true;
	addresses_come_back();
}

static void
loud_reader(void)
{
	loud = true;
	reader_leaves();
}

static void
test_masked_wakeups(void **state)
{
	(void)state;
	expect(loud_addresses, NULL, DEBUG, LAB_HELD, "");
	expect(addresses_come_back, NULL, DEBUG, LAB_LOST_WAKEUP, "\"kva\" in kmem_malloc");
	expect(pages_come_back, NULL, DEBUG, LAB_LOST_WAKEUP, "\"vmwait\" in kmem_malloc");
	expect(pages_come_back, NULL, DEBUG | DIRECT, LAB_LOST_WAKEUP, "pages for it");
	expect(tags_come_back, NULL, DEBUG, LAB_LOST_WAKEUP, "\"btalloc\" in vmem_add");
	expect(loud_reader, NULL, DEBUG, LAB_HELD, "");
	expect(reader_leaves, NULL, DEBUG, LAB_LOST_WAKEUP, "\"smr\" in smr_synchronize");
}

static void
test_lost_wakeups(void **state)
{
	(void)state;
	expect_fault(
	    add_later, end_bare_arena, DEBUG, 0, FAULT_add_without_wakeup, LAB_LOST_WAKEUP, 2);
}

/* ---- lock order ------------------------------------------------------------------------------------------------ */

static void
two_locks(void)
{
	mtx_init(&low, "low", RANK_ARENA);
	mtx_init(&high, "high", RANK_PAGE);
	mtx_lock(&low);
	mtx_lock(&high);
	mtx_unlock(&high);
	mtx_unlock(&low);
	mtx_lock(&high);
	if (mtx_trylock(&low)) /* exempt */
		mtx_unlock(&low);
	if (turn != 0)
		mtx_lock(&low);
	mtx_unlock(&high);
	mtx_destroy(&low);
	mtx_destroy(&high);
}

static void
wrong_way(void)
{
	turn = 1;
	two_locks();
}

static void
lock_in_a_part(void)
{
	unsigned cpu;

	make_zone();
	mtx_init(&low, "low", RANK_ARENA);
	(void)percpu_enter(zone->cache, &cpu);
	mtx_lock(&low);
}

static void
test_order(void **state)
{
	(void)state;
	expect(two_locks, NULL, 0, LAB_HELD, "");
	expect(
	    wrong_way, NULL, 0, LAB_LOCK_ORDER, "\"low\" (ARENA) while it holds \"high\" (PAGE)");
	expect(lock_in_a_part, NULL, 0, LAB_LOCK_ORDER, "in a CPU's part");
}

/* ---- the rest ------------------------------------------------------------------------------------------------------ */

static void
break_promise(void)
{
	lab_must(1 + 1 == 3, "%d is not 3", 2);
}

static void
free_twice(void)
{
	make_zone();
	kept[0] = uma_zalloc(zone, M_WAITOK);
	uma_zfree(zone, kept[0]);
	__real_uma_zfree_arg(zone, kept[0], NULL);
}

static void
test_ends(void **state)
{
	struct lab_scenario scenario = { .name = "case", .about = "case", .setup = turn_round };
	struct lab_spec spec = {
		.scenario = &scenario, .shape = lab_shape(&scenario), .max_steps = 1000
	};
	struct lab_result r;

	(void)state;
	expect(nothing, NULL, DEBUG, LAB_HELD, "");
	expect(break_promise, NULL, DEBUG, LAB_PROMISE, "2 is not 3");
	expect(free_twice, NULL, DEBUG, LAB_PANIC, "double free");
	lab_run(&spec, &lab_default_strategy, NULL, NULL, &r);
	assert_int_equal(r.verdict, LAB_TOO_LONG);
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
				lab_run(&spec, &random_strategy, NULL, NULL, &r);
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
	expect(wrong_way, NULL, 0, LAB_LOCK_ORDER, "");
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
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_masked_wakeups),
		cmocka_unit_test(test_lost_wakeups),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_gauges),
		cmocka_unit_test(test_same_again),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
