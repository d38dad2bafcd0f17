/*
 * The page room under many threads: nobody is given a page that somebody has, and nothing is lost.
 * Each thread claims what it gets in the owner word, and finds its claim when it gives it back.
 */
#include "page_test.h"

#define OPS  6000
#define HELD 48

struct held {
	struct vm_page *m;
	uint32_t n;
};

static void
claim(struct held *h, struct vm_page *m, uint32_t n, uintptr_t me)
{
	*h = (struct held){ m, n };
	for (uint32_t i = 0; i < n; i++) {
		TEST_MUST(m[i].owner == 0);
		m[i].owner = me;
	}
}

static void
release(struct held *h, uintptr_t me)
{
	for (uint32_t i = 0; i < h->n; i++)
		TEST_MUST(h->m[i].owner == me);
	vm_page_free_contig(h->m, h->n);
	h->m = NULL;
}

static void
take_and_give(struct test_thread *t)
{
	uint64_t seed = t->index;
	struct held held[HELD] = { 0 };
	uintptr_t me = (t->index + 1) << 4;

	thread_barrier(t);
	for (unsigned op = 0; op < OPS; op++) {
		uint64_t dice = test_random(&seed);
		struct held *h = &held[dice % HELD];
		int domain = (int)((dice >> 8) % page_ndomains());
		uint32_t n = dice >> 16 & 7 ? 1 : 1 + (dice >> 24) % 100;
		int flags = M_NOWAIT | (dice >> 40 & 15 ? 0 : M_NEVERFREED);
		struct vm_page *m;

		if (h->m != NULL) {
			release(h, me);
			continue;
		}
		m = n == 1 ? vm_page_alloc(domain, flags)
			   : vm_page_alloc_contig(domain, flags, n, ALL_MEMORY, 0, 0);
		if (m != NULL)
			claim(h, m, n, me);
		if ((dice >> 48 & 255) == 0)
			(void)page_discard_free(64);
	}
	for (unsigned i = 0; i < HELD; i++)
		if (held[i].m != NULL)
			release(&held[i], me);
}

static void
nobody_gets_what_another_has(void **state)
{
	(void)state;
	run_threads(6, take_and_give, NULL);
	verify_all();
	for (unsigned d = 0; d < page_ndomains(); d++) {
		assert_int_equal(page_domains[d].free, page_domains[d].total);
		assert_int_equal(page_domains[d].nofree, 0);
	}
}

/* ---- more threads than pages: everybody waits, everybody gets on ---------------------------------- */

#define ROUNDS 60
#define EACH   3 /* pages a round */

static void
want_pages(struct test_thread *t)
{
	thread_barrier(t);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct vm_page *mine[EACH];
		unsigned got = 0;

		while (got < EACH) {
			uint64_t seen = vm_page_frees(0);

			mine[got] = vm_page_alloc(0, M_WAITOK);
			if (mine[got] != NULL) {
				got++;
				continue;
			}
			if (got > 0) { /* never wait with pages in hand: they may be the last */
				while (got > 0)
					vm_page_free(mine[--got]);
				continue;
			}
			if (!vm_wait_domain(0))
				vm_wait_free(0, PAGE_SYSTEM, seen);
		}
		while (got > 0)
			vm_page_free(mine[--got]);
	}
}

static void
waiters_all_get_on(void **state)
{
	uint32_t chain = take_all(0, PAGE_SYSTEM);

	(void)state;
	for (unsigned i = 0; i < EACH + 1; i++) { /* enough for one thread, not for two */
		struct vm_page *m = &page_array[chain];

		chain = m->next;
		vm_page_free(m);
	}
	run_threads(6, want_pages, NULL);
	assert_int_equal(vm_waiters, 0);
	give_back(chain);
	assert_int_equal(page_domains[0].free, page_domains[0].total);
	verify_all();
}

TEST_MAIN(cmocka_unit_test(nobody_gets_what_another_has), cmocka_unit_test(waiters_all_get_on))
