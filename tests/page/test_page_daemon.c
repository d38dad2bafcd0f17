/*
 * Passes, waiting and waking, where no daemon thread runs: who needs pages runs the pass himself.
 */
#include "page_test.h"
#include "base/atomic.h"

/* ---- passes ------------------------------------------------------------------------------------- */

static unsigned passes_now, passes_most, passes_run;

static void
count_pass(enum page_pressure level, int domain, void *arg)
{
	unsigned now = atomic_add_fetch(&passes_now, 1u);

	(void)level;
	(void)domain;
	(void)arg;
	TEST_MUST(machine_thread_state()->in_reclaim);
	if (now > atomic_load_relaxed(&passes_most))
		atomic_store_relaxed(&passes_most, now);
	for (unsigned i = 0; i < 50; i++)
		vm_page_free(vm_page_alloc(0, M_NOWAIT)); /* some work to overlap with */
	atomic_add_relaxed(&passes_run, 1u);
	atomic_fetch_sub(&passes_now, 1u);
}

static void
run_passes(struct test_thread *t)
{
	for (unsigned i = 0; i < 50; i++) {
		thread_barrier(t);
		(void)page_daemon_pass((int)(i % page_ndomains()), PRESSURE_LOW);
	}
}

static void
one_pass_at_a_time(void **state)
{
	struct lowmem_handler h = { .fn = count_pass };
	uint64_t before = page_daemon_passes();

	(void)state;
	passes_most = passes_run = 0;
	lowmem_register(&h);
	run_threads(6, run_passes, NULL);
	lowmem_unregister(&h);
	assert_int_equal(passes_most, 1);
	assert_int_equal(page_daemon_passes() - before, passes_run);
	assert_in_range(passes_run, 50, 300);
	(void)page_daemon_pass(-1, PRESSURE_LOW);
	assert_int_equal(
	    page_daemon_passes() - before, passes_run + 1); /* h is not called any more */
}

static void
try_all_from_a_pass(enum page_pressure level, int domain, void *arg)
{
	(void)level;
	(void)domain;
	assert_int_equal(page_daemon_pass(0, PRESSURE_SEVERE), 0);
	assert_false(vm_wait_domain(0));
	++*(unsigned *)arg;
}

static void
wait_from_a_pass(enum page_pressure level, int domain, void *arg)
{
	(void)level;
	(void)domain;
	(void)arg;
	vm_wait_free(0, PAGE_SYSTEM, vm_page_frees(0));
}

static void
pass_that_waits(void *arg)
{
	struct lowmem_handler h = { .fn = wait_from_a_pass };

	(void)arg;
	lowmem_register(&h);
	(void)page_daemon_pass(0, PRESSURE_LOW);
}

static void
a_pass_cannot_wait(void **state)
{
	unsigned calls = 0;
	struct lowmem_handler h = { .fn = try_all_from_a_pass, .arg = &calls };
	uint32_t chain = take_all(0, PAGE_SYSTEM);

	(void)state;
	lowmem_register(&h);
	(void)page_daemon_pass(-1, PRESSURE_LOW);
	lowmem_unregister(&h);
	assert_int_equal(calls, 1);
	give_back(chain);
	expect_stop(pass_that_waits, NULL, "vm_wait_free: domain 0: called from a reclaim pass");
}

/* ---- the waiter's own pass ------------------------------------------------------------------------ */

struct hoard {
	uint32_t chain;
	unsigned calls, gives_at; /* the call at which it gives a page back */
	enum page_pressure level;
};

static void
hoard_give(enum page_pressure level, int domain, void *arg)
{
	struct hoard *hoard = arg;

	(void)domain;
	hoard->level = level;
	if (++hoard->calls >= hoard->gives_at && hoard->chain != PAGE_NIL) {
		struct vm_page *m = &page_array[hoard->chain];

		hoard->chain = m->next;
		vm_page_free(m);
	}
}

static void
waiting_runs_a_pass(void **state)
{
	struct hoard hoard = { .gives_at = 2 };
	struct lowmem_handler h = { .fn = hoard_give, .arg = &hoard };
	struct vm_page *m;

	(void)state;
	hoard.chain = take_all(0, PAGE_SYSTEM);
	lowmem_register(&h);
	assert_false(vm_wait_domain(0)); /* a pass in vain */
	assert_int_equal(hoard.calls, 1);
	assert_int_equal(hoard.level, PRESSURE_SEVERE);
	assert_true(vm_wait_domain(0));
	assert_int_equal(hoard.calls, 2);
	assert_true(vm_wait_domain(0)); /* there is a page: no pass */
	assert_int_equal(hoard.calls, 2);
	m = vm_page_alloc(0, M_WAITOK);
	assert_non_null(m);
	vm_page_free(m);
	lowmem_unregister(&h);
	give_back(hoard.chain);
	verify_all();
}

/* No event tells of memory that comes to rest in a cache: passes are repeated, and find it. */
static void
H7_passes_are_repeated_without_a_fixed_pause(void **state)
{
	struct hoard hoard = { .gives_at = 6 };
	struct lowmem_handler h = { .fn = hoard_give, .arg = &hoard };
	uint64_t seen = vm_page_frees(0), start;

	(void)state;
	hoard.chain = take_all(0, PAGE_SYSTEM);
	seen = vm_page_frees(0);
	lowmem_register(&h);
	start = machine_now();
	vm_wait_free(0, PAGE_SYSTEM, seen);
	assert_int_equal(hoard.calls, 6); /* 1 + 2 + 4 + 8 + 16 + 32 ms */
	assert_true(machine_now() - start < 900000000ull);
	lowmem_unregister(&h);
	give_back(hoard.chain);
	verify_all();
}

/* ---- waking --------------------------------------------------------------------------------------- */

struct waiters {
	int domain;
	enum page_class class;
	uint64_t seen;
	unsigned done;
};

/* Wait for a page, take it, keep it. */
static void
waiter(void *arg)
{
	struct waiters *w = arg;
	int flags = w->class == PAGE_INTERRUPT ? M_NOWAIT | M_USE_RESERVE : M_WAITOK;
	int from = MAX(w->domain, 0);
	uint64_t seen = w->seen;

	while (vm_page_alloc_class(from, w->class, flags) == NULL) {
		vm_wait_free(w->domain, w->class, seen);
		seen = vm_page_frees(w->domain);
	}
	atomic_add_relaxed(&w->done, 1u);
}

#define WAITERS 6

static void
each_free_wakes_one_who_waits(void **state)
{
	struct waiters w = { .domain = 0, .class = PAGE_SYSTEM };
	struct side_thread *thread[WAITERS];
	struct page_domain *d = &page_domains[0];
	uint32_t chain = take_all(0, PAGE_SYSTEM), allocs;

	(void)state;
	w.seen = vm_page_frees(0);
	allocs = (uint32_t)d->allocs;
	for (unsigned i = 0; i < WAITERS; i++)
		thread[i] = side_start(waiter, &w, -1);
	wait_for_sleepers("vmwait", WAITERS);
	for (unsigned i = 0; i < WAITERS; i++) {
		struct vm_page *m = &page_array[chain];

		chain = m->next;
		vm_page_free(m);
	}
	for (unsigned i = 0; i < WAITERS; i++)
		side_join(thread[i]); /* each got its page: no wakeup was lost */
	assert_int_equal(w.done, WAITERS);
	assert_int_equal((uint32_t)d->allocs - allocs, WAITERS);
	assert_int_equal(vm_waiters, 0);
	give_back(chain);
}

/* One bulk free serves all of them. */
static void
a_bulk_free_wakes_all_whom_it_serves(void **state)
{
	struct waiters w = { .domain = 0, .class = PAGE_SYSTEM };
	struct side_thread *thread[WAITERS];
	uint32_t chain = take_all(0, PAGE_SYSTEM);
	vm_paddr_t pa[WAITERS];

	(void)state;
	w.seen = vm_page_frees(0);
	for (unsigned i = 0; i < WAITERS; i++)
		thread[i] = side_start(waiter, &w, -1);
	wait_for_sleepers("vmwait", WAITERS);
	for (unsigned i = 0; i < WAITERS; i++) {
		pa[i] = page_paddr(&page_array[chain]);
		chain = page_array[chain].next;
	}
	vm_page_free_bulk(pa, WAITERS);
	for (unsigned i = 0; i < WAITERS; i++)
		side_join(thread[i]);
	assert_int_equal(w.done, WAITERS);
	give_back(chain);
}

static void
a_class_wakes_at_its_own_mark(void **state)
{
	struct waiters system = { .domain = 0, .class = PAGE_SYSTEM }, reserve = system;
	struct side_thread *a, *b;
	uint32_t chain = take_all(0, PAGE_INTERRUPT);
	struct vm_page *m = &page_array[chain];

	(void)state;
	reserve.class = PAGE_INTERRUPT;
	system.seen = reserve.seen = vm_page_frees(0);
	a = side_start(waiter, &system, -1);
	b = side_start(waiter, &reserve, -1);
	wait_for_sleepers("vmwait", 2);
	chain = m->next;
	vm_page_free(m); /* the last page but none: it is not for SYSTEM */
	side_join(b);
	assert_int_equal(reserve.done, 1);
	assert_int_equal(system.done, 0);
	give_back(chain);
	side_join(a);
	assert_int_equal(system.done, 1);
}

static void
any_domain_will_do(void **state)
{
	struct waiters any = { .domain = -1, .class = PAGE_SYSTEM };
	struct side_thread *thread;
	uint32_t chain[COOPER_MAXDOMAIN];
	struct vm_page *m;

	(void)state;
	for (unsigned d = 0; d < page_ndomains(); d++)
		chain[d] = take_all((int)d, PAGE_SYSTEM);
	any.seen = vm_page_frees(-1);
	thread = side_start(waiter, &any, -1);
	wait_for_sleepers("vmwait", 1);
	for (unsigned d = page_ndomains(); d-- > 0;) { /* the last first, its own at the end */
		m = &page_array[chain[d]];
		chain[d] = m->next;
		vm_page_free(m);
	}
	side_join(thread);
	for (unsigned d = 0; d < page_ndomains(); d++)
		give_back(chain[d]);
	verify_all();
}

/* ---- the hook --------------------------------------------------------------------------------------- */

static unsigned hook_calls;
static int hook_domain;

static void
count_hook(int domain)
{
	TEST_MUST(!mtx_owned(&page_domains[domain].lock) || !core_debug);
	hook_calls++;
	hook_domain = domain;
}

static void
the_freed_hook_tells_who_wants_it(void **state)
{
	struct vm_page *m = vm_page_alloc(0, M_NOWAIT);

	(void)state;
	page_freed_hook = count_hook;
	vm_page_free(m);
	assert_int_equal(hook_calls, 0);
	page_freed_wanted = 1;
	vm_page_free(vm_page_alloc(0, M_NOWAIT));
	assert_int_equal(hook_calls, 1);
	assert_int_equal(hook_domain, 0);
	page_freed_wanted = 0;
	page_freed_hook = NULL;
}

TEST_MAIN(cmocka_unit_test(one_pass_at_a_time), cmocka_unit_test(a_pass_cannot_wait),
    cmocka_unit_test(waiting_runs_a_pass),
    cmocka_unit_test(H7_passes_are_repeated_without_a_fixed_pause),
    cmocka_unit_test(each_free_wakes_one_who_waits),
    cmocka_unit_test(a_bulk_free_wakes_all_whom_it_serves),
    cmocka_unit_test(a_class_wakes_at_its_own_mark), cmocka_unit_test(any_domain_will_do),
    cmocka_unit_test(the_freed_hook_tells_who_wants_it))
