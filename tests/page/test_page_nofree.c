/*
 * R27: pages that never come back touch as few superpages as can be, and no tail is lost.
 */
#include <stdlib.h>

#include "page_test.h"

#define SUPERPAGE 512u /* pages: 2 MiB */
#define NOFREE    600  /* pages that never come back */
#define CHURN     3000 /* ordinary pages alive among them */

static unsigned
count_superpages(const uint32_t *pn, unsigned n)
{
	bool *touched = calloc(page_count / SUPERPAGE + 1, sizeof(*touched));
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++)
		if (!touched[pn[i] / SUPERPAGE]) {
			touched[pn[i] / SUPERPAGE] = true;
			count++;
		}
	free(touched);
	return (count);
}

/* NOFREE pages are asked for one by one, while ordinary ones come and go. */
static unsigned
churn(int flags, uint32_t *nofree)
{
	static struct vm_page *ordinary[CHURN];
	uint64_t seed = 27;
	unsigned n = 0;

	while (n < NOFREE) {
		for (unsigned i = 0; i < CHURN / 8; i++) {
			struct vm_page **m = &ordinary[test_random(&seed) % CHURN];

			if (*m != NULL)
				vm_page_free(*m);
			*m = vm_page_alloc(0, M_NOWAIT);
		}
		nofree[n++] = page_number(vm_page_alloc(0, M_NOWAIT | flags));
	}
	verify_all();
	for (unsigned i = 0; i < CHURN; i++) {
		if (ordinary[i] != NULL)
			vm_page_free(ordinary[i]);
		ordinary[i] = NULL;
	}
	return (count_superpages(nofree, NOFREE));
}

static void
R27_nofree_pages_are_packed(void **state)
{
	static uint32_t nofree[NOFREE];
	unsigned scattered, packed;

	(void)state;
	NEED(page_domains[0].total > 2 * CHURN);
	scattered = churn(0, nofree);
	for (unsigned i = 0; i < NOFREE; i++)
		vm_page_free(&page_array[nofree[i]]);
	packed = churn(M_NEVERFREED, nofree);
	print_message("# %u NOFREE pages in %u superpages; without packing in %u\n", NOFREE, packed,
	    scattered);
	assert_true(packed <= NOFREE / SUPERPAGE + 2);
	assert_true(packed < scattered);
	assert_int_equal(page_domains[0].nofree, NOFREE);
	for (unsigned i = 0; i < NOFREE; i++)
		vm_page_free(&page_array[nofree[i]]);
	assert_int_equal(page_domains[0].nofree, 0);
	assert_int_equal(page_domains[0].free, page_domains[0].total);
	verify_all();
}

/* A request too large for what a run has left starts another; what was left is still used. */
static void
R27_a_tail_survives_a_switch(void **state)
{
	struct page_domain *d = &page_domains[0];
	uint32_t run = 1u << d->nofree_order, chain, n = 0;
	struct vm_page *first, *large, *m;

	(void)state;
	/* Use up what other tests have set apart, so that the first run is a whole one. */
	chain = take_all(0, PAGE_INTERRUPT);
	give_back(chain);
	assert_int_equal(d->nofree_idle, 0);
	first = vm_page_alloc(0, M_NOWAIT | M_NEVERFREED);
	assert_int_equal(d->nofree_idle, run - 1);
	large = vm_page_alloc_contig(0, M_NOWAIT | M_NEVERFREED, run - 1, ALL_MEMORY, 0, 0);
	assert_ptr_equal(large, first + 1);
	vm_page_free_contig(large, run - 1);
	large = vm_page_alloc_contig(0, M_NOWAIT | M_NEVERFREED, run, ALL_MEMORY, 0, 0);
	assert_int_equal(d->nofree_idle, run - 1); /* a second run, wholly used; the tail waits */
	for (chain = PAGE_NIL; n < run - 1; n++) {
		m = vm_page_alloc(0, M_NOWAIT | M_NEVERFREED);
		assert_true(m > first && m < first + run);
		m->next = chain;
		chain = page_number(m);
	}
	assert_int_equal(d->nofree_idle, 0);
	give_back(chain);
	vm_page_free_contig(large, run);
	vm_page_free(first);
	assert_int_equal(d->free, d->total);
	verify_all();
}

/* What is set apart is not withheld: ordinary requests get the last page. */
static void
unused_runs_are_given_up_in_a_shortage(void **state)
{
	struct page_domain *d = &page_domains[0];
	struct vm_page *m = vm_page_alloc(0, M_NOWAIT | M_NEVERFREED);
	uint32_t chain;

	(void)state;
	assert_true(d->nofree_idle > 0);
	chain = take_all(0, PAGE_INTERRUPT);
	assert_int_equal(d->free, 0);
	assert_int_equal(d->nofree_idle, 0);
	verify_all();
	give_back(chain);
	/* Nothing but single pages left: NOFREE requests still get them. */
	vm_page_free(m);
	chain = take_all(0, PAGE_INTERRUPT);
	m = &page_array[chain];
	chain = m->next;
	vm_page_free(m);
	verify_all();
	m = vm_page_alloc(0, M_NOWAIT | M_USE_RESERVE | M_NEVERFREED);
	assert_non_null(m);
	vm_page_free(m);
	give_back(chain);
	assert_int_equal(d->free, d->total);
	verify_all();
}

TEST_MAIN(cmocka_unit_test(R27_nofree_pages_are_packed),
    cmocka_unit_test(R27_a_tail_survives_a_switch),
    cmocka_unit_test(unused_runs_are_given_up_in_a_shortage))
