/*
 * Each oracle must fire on what it is for, and stay silent on the same without it: waiting and waking,
 * lock order, and how else a run may end.
 */
#include "oracle_test.h"

LAB_STATE static uint32_t word = 0, turn = 0;
LAB_STATE static struct mtx low, high;

static void
nothing(void)
{
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
	    add_later, end_bare_arena, DEBUG, FAULT_add_without_wakeup, LAB_LOST_WAKEUP, 2);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_masked_wakeups),
		cmocka_unit_test(test_lost_wakeups),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_ends),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
