/*
 * What the tests of the page room share.
 */
#ifndef PAGE_TEST_H
#define PAGE_TEST_H

#include "harness.h"
#include "page/page_int.h"

/* A sanitizer's shadow is resident memory too, and its run time starts no thread after a fork. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

#define ALL_MEMORY 0, MACHINE_NOPAGE /* low, high: no limits */

/* Every domain's invariants hold. */
static inline void
verify_all(void)
{
	const char *why = NULL;

	for (unsigned d = 0; d < page_ndomains(); d++)
		if (!page_verify(d, &why))
			fail_msg("domain %u: %s", d, why);
}

static inline struct page_domain_stat
stat_of(unsigned domain)
{
	struct page_domain_stat st;

	page_stat(domain, &st);
	return (st);
}

/* All pages that a class may have, as a chain through `next`; give_back() frees them. */
static inline uint32_t
take_all(int domain, enum page_class class)
{
	uint32_t chain = PAGE_NIL;
	struct vm_page *m;

	while ((m = vm_page_alloc_class(domain, class, M_NOWAIT)) != NULL) {
		m->next = chain;
		chain = page_number(m);
	}
	return (chain);
}

static inline void
give_back(uint32_t chain)
{
	while (chain != PAGE_NIL) {
		struct vm_page *m = &page_array[chain];

		chain = m->next;
		vm_page_free(m);
	}
}

#endif
