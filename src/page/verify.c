/*
 * The invariants of a domain's free memory, as page_int.h states them, checked one by one. For
 * tests and for whoever suspects corruption; holds the domain's lock for the length of its lists.
 */
#include "page/page_int.h"

#define EXPECT(cond)                    \
	do {                            \
		if (!(cond)) {          \
			*why = #cond;   \
			return (false); \
		}                       \
	} while (0)

static bool
in_segment(unsigned domain, uint32_t start, uint32_t end)
{
	for (unsigned i = 0; i < page_nsegments; i++) {
		const struct page_segment *s = &page_segments[i];

		if (s->domain == domain && start >= s->range.start && end <= s->range.end)
			return (true);
	}
	return (false);
}

static bool
verify_list(const struct page_domain *d, unsigned order, uint64_t *listed, uint64_t *dirty,
    const char **why)
{
	const struct page_list *l = &d->free_list[order];
	unsigned domain = (unsigned)(d - page_domains);
	uint32_t prev = PAGE_NIL, n = 0;
	bool zero = false;

	for (uint32_t pn = l->head; pn != PAGE_NIL; prev = pn, pn = page_array[pn].next, n++) {
		const struct vm_page *m = &page_array[pn];
		const struct vm_page *buddy = &page_array[pn ^ 1u << order];

		EXPECT((pn & ((1u << order) - 1)) == 0);
		EXPECT(in_segment(domain, pn, pn + (1u << order)));
		EXPECT((m->flags & (PG_FREE | PG_NOFREE | PG_WIRED)) == PG_FREE);
		EXPECT(m->order == order && m->domain == domain && m->prev == prev);
		EXPECT(!zero || (m->flags & PG_ZERO) != 0); /* zero blocks at the tail */
		EXPECT(m->run <= 1u << order);
		EXPECT((m->flags & PG_ZERO) == 0 || m->run == 0);
		*dirty += m->run;
		zero = (m->flags & PG_ZERO) != 0;
		EXPECT(order == PAGE_MAX_ORDER || buddy->order != order ||
		       (buddy->flags & (PG_FREE | PG_NOFREE)) != PG_FREE ||
		       buddy->domain != domain);
		for (uint32_t i = 1; i < 1u << order; i++)
			EXPECT((m[i].flags & (PG_FREE | PG_WIRED)) == 0);
	}
	EXPECT(l->tail == prev && l->count == n);
	*listed += (uint64_t)n << order;
	return (true);
}

static bool
verify_fresh(const struct page_domain *d, const char **why)
{
	uint64_t fresh = 0;
	uint32_t last = 0;

	for (unsigned i = 0; i < d->nfresh_ranges; i++) {
		const struct page_range *r = &d->fresh_range[i];

		EXPECT(r->start >= last && r->start < r->end);
		EXPECT(in_segment((unsigned)(d - page_domains), r->start, r->end));
		fresh += r->end - r->start;
		last = r->end;
	}
	EXPECT(fresh == d->fresh);
	return (true);
}

static bool
verify_nofree(const struct page_domain *d, const char **why)
{
	uint32_t prev = PAGE_NIL, idle = 0;

	for (uint32_t pn = d->nofree_head; pn != PAGE_NIL; prev = pn, pn = page_array[pn].next) {
		const struct vm_page *m = &page_array[pn];

		EXPECT((m->flags & (PG_FREE | PG_NOFREE | PG_WIRED)) == (PG_FREE | PG_NOFREE));
		EXPECT(m->run > 0 && m->prev == prev);
		for (uint32_t i = 1; i < m->run; i++)
			EXPECT((m[i].flags & (PG_FREE | PG_WIRED)) == 0);
		idle += m->run;
	}
	EXPECT(idle == d->nofree_idle);
	return (true);
}

static bool
verify_locked(const struct page_domain *d, const char **why)
{
	uint64_t listed = 0, dirty = 0;

	for (unsigned order = 0; order < PAGE_ORDERS; order++)
		if (!verify_list(d, order, &listed, &dirty, why))
			return (false);
	if (!verify_fresh(d, why) || !verify_nofree(d, why))
		return (false);
	EXPECT(d->free == listed + d->fresh + d->nofree_idle);
	EXPECT(d->dirty == dirty);
	EXPECT(d->free <= d->total && d->total - d->free == d->allocs - d->frees);
	return (true);
}

bool
page_verify(unsigned domain, const char **why)
{
	struct page_domain *d = page_domain_of((int)domain, __func__);
	bool ok;

	mtx_lock(&d->lock);
	ok = verify_locked(d, why);
	mtx_unlock(&d->lock);
	return (ok);
}
