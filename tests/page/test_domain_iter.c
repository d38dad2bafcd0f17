/*
 * In which order domains are tried. The machine has as many as the shape says; memory can be taken
 * from one by pretending.
 */
#include "page_test.h"
#include "base/atomic.h"

static void
each_domain_once_from_the_start(void **state)
{
	struct domainset ds = { .policy = DOMAINSET_PREFER };
	unsigned n = page_ndomains();

	(void)state;
	for (unsigned prefer = 0; prefer < n; prefer++) {
		struct domain_iter it;

		ds.prefer = (int)prefer;
		domain_iter_start(&it, &ds);
		assert_int_equal(it.domain, -1);
		for (unsigned i = 0; i < n; i++) {
			assert_true(domain_iter_next(&it));
			assert_int_equal(it.domain, (prefer + i) % n);
		}
		assert_false(domain_iter_next(&it));
		assert_int_equal(it.domain, -1);
		assert_true(domain_iter_restart(&it));
		assert_true(domain_iter_next(&it));
		assert_int_equal(it.domain, prefer);
	}
}

static void
first_touch_begins_at_home(void **state)
{
	struct domain_iter it;

	(void)state;
	for (unsigned cpu = 0; cpu < cooper_shape()->ncpus && cooper_shape()->pin; cpu++) {
		machine_bind((int)cpu);
		domain_iter_start(&it, NULL);
		assert_true(domain_iter_next(&it));
		assert_int_equal(it.domain, machine_cpu_domain(cpu));
	}
	machine_bind(-1);
}

static void
round_robin_moves_on(void **state)
{
	struct domainset ds = { .policy = DOMAINSET_ROUNDROBIN };
	struct domain_iter it;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		domain_iter_start(&it, &ds);
		assert_true(domain_iter_next(&it));
		assert_int_equal(it.domain, i % page_ndomains());
	}
}

struct shared {
	struct domainset ds;
	unsigned wrong;
};

/* R9: however the shared cursor moves, each call tries each domain exactly once. */
static void
iterate(struct test_thread *t)
{
	struct shared *s = t->arg;

	for (unsigned i = 0; i < 2000; i++) {
		struct domain_iter it;
		uint32_t tried = 0;

		domain_iter_start(&it, &s->ds);
		while (domain_iter_next(&it)) {
			if (tried & 1u << it.domain)
				atomic_add_relaxed(&s->wrong, 1u);
			tried |= 1u << it.domain;
		}
		if (tried != page_memory)
			atomic_add_relaxed(&s->wrong, 1u);
	}
}

static void
R9_a_shared_cursor_disturbs_nobody(void **state)
{
	struct shared s = { .ds = { .policy = DOMAINSET_ROUNDROBIN } };

	(void)state;
	run_threads(4, iterate, &s);
	assert_int_equal(s.wrong, 0);
}

static void
R11_a_preferred_domain_without_memory_falls_back(void **state)
{
	struct domainset ds = { .policy = DOMAINSET_PREFER, .prefer = 1 };
	struct domainset fixed = { .policy = DOMAINSET_FIXED, .prefer = 1 };
	uint32_t memory = page_memory, chain;
	struct vm_page *m = NULL;
	struct domain_iter it;

	(void)state;
	/* It owns none. */
	page_memory = 1;
	domain_iter_start(&it, &ds);
	assert_true(domain_iter_next(&it));
	assert_int_equal(it.domain, 0);
	assert_false(domain_iter_next(&it));
	domain_iter_start(&it, &fixed);
	assert_false(domain_iter_next(&it));
	assert_false(domain_iter_restart(&it));
	page_memory = memory;
	/* It has given all away. */
	NEED(page_ndomains() > 1);
	chain = take_all(1, PAGE_SYSTEM);
	domain_iter_start(&it, &ds);
	while (m == NULL && domain_iter_next(&it))
		m = vm_page_alloc(it.domain, M_WAITOK);
	assert_non_null(m);
	assert_int_equal(m->domain, 0);
	vm_page_free(m);
	give_back(chain);
}

static void
R28_a_domain_that_can_never_serve_is_removed(void **state)
{
	struct page_range r = page_segments[0].range;
	vm_paddr_t low = (page_base + r.start) << PAGE_SHIFT;
	vm_paddr_t high = (page_base + r.end) << PAGE_SHIFT;
	struct vm_page *m = NULL;
	struct domain_iter it;
	unsigned left = 0;

	(void)state;
	domain_iter_start(&it, NULL);
	while (domain_iter_next(&it))
		if (!vm_page_domain_can(it.domain, low, high, 1))
			domain_iter_remove(&it);
	assert_true(domain_iter_restart(&it));
	for (; domain_iter_next(&it); left++)
		m = vm_page_alloc_contig(it.domain, M_NOWAIT, 1, low, high, 0, 0);
	assert_int_equal(left, 1);
	assert_non_null(m);
	vm_page_free(m);
	/* Nowhere: the set is empty, and a request must end instead of waiting. */
	domain_iter_start(&it, NULL);
	while (domain_iter_next(&it))
		if (!vm_page_domain_can(it.domain, 0, PAGE_SIZE, 1))
			domain_iter_remove(&it);
	assert_false(domain_iter_restart(&it));
}

TEST_MAIN(cmocka_unit_test(each_domain_once_from_the_start),
    cmocka_unit_test(first_touch_begins_at_home), cmocka_unit_test(round_robin_moves_on),
    cmocka_unit_test(R9_a_shared_cursor_disturbs_nobody),
    cmocka_unit_test(R11_a_preferred_domain_without_memory_falls_back),
    cmocka_unit_test(R28_a_domain_that_can_never_serve_is_removed))
