/*
 * The page daemon on a thread of its own: what wakes it, and what it does for sleepers.
 */
#include <unistd.h>

#include "page_test.h"
#include "base/atomic.h"

static struct hoard {
	struct mtx lock;
	struct waitq changed;
	uint32_t chain;
	unsigned calls, gives_at;
	enum page_pressure level;
} hoard;

/* From call number gives_at on, gives all it has. */
static void
hoard_give(enum page_pressure level, int domain, void *arg)
{
	uint32_t chain = PAGE_NIL;

	(void)domain;
	(void)arg;
	mtx_lock(&hoard.lock);
	hoard.level = level;
	if (++hoard.calls >= hoard.gives_at) {
		chain = hoard.chain;
		hoard.chain = PAGE_NIL;
	}
	waitq_wake_all(&hoard.changed);
	mtx_unlock(&hoard.lock);
	give_back(chain);
}

static struct lowmem_handler handler = { .fn = hoard_give };

static void
await_calls(unsigned n)
{
	mtx_lock(&hoard.lock);
	while (hoard.calls < n)
		waitq_sleep(&hoard.changed, &hoard.lock, 0, 0);
	mtx_unlock(&hoard.lock);
}

static void
start(void **state)
{
	struct machine_shape shape = harness_shape;
	const char *why = "";

	(void)state;
	shape.debug = shape.daemon = true;
	shape.physmem = 16 << 20;
	assert_int_equal(machine_start(&shape, &why), 0);
	sync_start();
	assert_int_equal(page_start(&why), 0);
	mtx_init(&hoard.lock, "hoard", RANK_KEG);
	waitq_init(&hoard.changed, "hoard");
	hoard.chain = PAGE_NIL;
	lowmem_register(&handler);
	page_daemon_start();
	assert_true(page_daemon_present());
	wait_for_sleepers("pagedaemon", 1); /* nothing to do: it sleeps */
	assert_int_equal(page_daemon_passes(), 0);
}

/* Take pages down to `left`; they are the hoard's to give from its call `gives_at` on. */
static void
hoard_down_to(uint32_t left, unsigned gives_at)
{
	uint32_t chain = PAGE_NIL;

	mtx_lock(&hoard.lock);
	hoard.calls = 0;
	hoard.gives_at = UINT32_MAX;
	mtx_unlock(&hoard.lock);
	while (page_domains[0].free > left) {
		struct vm_page *m = vm_page_alloc(0, M_NOWAIT | M_USE_RESERVE);

		m->next = chain;
		chain = page_number(m);
	}
	mtx_lock(&hoard.lock);
	hoard.chain = chain;
	hoard.gives_at = gives_at;
	mtx_unlock(&hoard.lock);
}

static void
falling_below_target_wakes_it(void **state)
{
	struct page_domain_stat st = stat_of(0);
	uint64_t passes = page_daemon_passes();
	struct vm_page *m;

	(void)state;
	hoard_down_to((uint32_t)st.target, 1);
	assert_int_equal(page_daemon_passes(), passes); /* not yet */
	m = vm_page_alloc(0, M_NOWAIT);
	await_calls(1);
	vm_page_free(m);
	wait_for_sleepers("pagedaemon", 1);
	assert_int_equal(hoard.level, PRESSURE_LOW);
	assert_int_equal(page_domains[0].free, st.total);
}

static void
a_sleeper_is_served(void **state)
{
	struct vm_page *m;

	(void)state;
	hoard_down_to(0, 1);
	/* The fall has started passes of its own; one more is due if they all came too early. */
	while ((m = vm_page_alloc(0, M_WAITOK)) == NULL)
		(void)vm_wait_domain(0);
	vm_page_free(m);
	wait_for_sleepers("pagedaemon", 1);
	assert_int_equal(page_domains[0].free, page_domains[0].total);
}

static void
H7_it_repeats_passes_while_there_are_sleepers(void **state)
{
	uint64_t seen;

	(void)state;
	hoard_down_to(0, 12);
	seen = vm_page_frees(0);
	vm_wait_free(0, PAGE_SYSTEM, seen);
	assert_int_equal(hoard.calls >= 12, true);
	verify_all();
	wait_for_sleepers("pagedaemon", 1);
	assert_int_equal(page_domains[0].free, page_domains[0].total);
}

static void
refused_requests_wake_it(void **state)
{
	unsigned calls;

	(void)state;
	hoard_down_to(0, UINT32_MAX);
	wait_for_sleepers("pagedaemon", 1);
	for (unsigned i = 0; i < 3; i++) { /* however often the passes were in vain */
		mtx_lock(&hoard.lock);
		calls = hoard.calls;
		mtx_unlock(&hoard.lock);
		for (unsigned fails = 0; fails <= 1024; fails++)
			assert_null(vm_page_alloc(0, M_NOWAIT));
		await_calls(calls + 1);
	}
	mtx_lock(&hoard.lock);
	calls = hoard.calls;
	mtx_unlock(&hoard.lock);
	assert_true(calls < 64); /* but not one each */
	hoard.gives_at = 1;
	while (!vm_wait_domain(0))
		continue;
	wait_for_sleepers("pagedaemon", 1);
}

static void
child(void *arg)
{
	(void)arg;
	page_fork_child();
	wait_for_sleepers("pagedaemon", 1);
	hoard_down_to(0, 1);
	while (!vm_wait_domain(0))
		continue;
}

static void
a_forked_child_gets_a_new_one(void **state)
{
	(void)state;
	NEED_MACHINE(!SANITIZED, "a sanitizer forbids threads in a forked child");
	in_child(child, NULL);
	assert_int_equal(page_domains[0].free, page_domains[0].total);
}

TEST_MAIN(cmocka_unit_test(start), cmocka_unit_test(falling_below_target_wakes_it),
    cmocka_unit_test(a_sleeper_is_served),
    cmocka_unit_test(H7_it_repeats_passes_while_there_are_sleepers),
    cmocka_unit_test(refused_requests_wake_it), cmocka_unit_test(a_forked_child_gets_a_new_one))
