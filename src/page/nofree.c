/*
 * Pages that never come back, packed (R27). One such page among ordinary ones pins the superpage
 * around it for ever, so they are cut, page after page, out of runs set apart for them.
 *
 *	nofree_head -> [run of 37 pages] -> [run of 3 pages]     what is left of two runs
 *
 * A new run is set apart only when no unused one fits, at the largest order the domain can afford;
 * what an old one has left stays on the list, and single pages use it up. Unused runs are free
 * memory: when ordinary requests find nothing else they are broken up. The domain's lock is held.
 */
#include "page/page_int.h"

#define NOFREE_SEARCH 16 /* runs looked at; single pages always take from the first */

static void
run_link(struct page_domain *d, uint32_t pn, uint32_t n, uint8_t zero)
{
	struct vm_page *m = &page_array[pn];

	m->flags = PG_FREE | PG_NOFREE | zero;
	m->domain = (uint8_t)(d - page_domains);
	m->run = n;
	m->prev = PAGE_NIL;
	m->next = d->nofree_head;
	if (m->next != PAGE_NIL)
		page_array[m->next].prev = pn;
	d->nofree_head = pn;
	d->nofree_idle += n;
}

/* Returns PG_ZERO if the run reads as zero. */
static uint8_t
run_unlink(struct page_domain *d, uint32_t pn)
{
	struct vm_page *m = &page_array[pn];
	uint8_t zero = m->flags & PG_ZERO;

	*(m->prev == PAGE_NIL ? &d->nofree_head : &page_array[m->prev].next) = m->next;
	if (m->next != PAGE_NIL)
		page_array[m->next].prev = m->prev;
	m->flags = 0;
	d->nofree_idle -= m->run;
	return (zero);
}

/* Cut [pn, pn + n) out of the run at `first`; what is left goes back on the list. */
static uint8_t
run_cut(struct page_domain *d, uint32_t first, uint32_t pn, uint32_t n)
{
	uint32_t end = first + page_array[first].run;
	uint8_t zero = run_unlink(d, first);

	if (pn > first)
		run_link(d, first, pn - first, zero);
	if (pn + n < end && !FAULT(nofree_tail_lost))
		run_link(d, pn + n, end - pn - n, zero);
	return (zero);
}

/* Set a new run apart: the largest that is to be had, but not less than `order`. */
static bool
run_add(struct page_domain *d, unsigned order)
{
	for (unsigned o = MAX(order, d->nofree_order) + 1; o-- > order;) {
		uint8_t flags;
		uint32_t pn = buddy_alloc(d, o, &flags);

		if (pn != PAGE_NIL) {
			run_link(d, pn, 1u << o, flags);
			return (true);
		}
	}
	return (false);
}

static uint32_t
run_search(struct page_domain *d, const struct page_window *w, uint8_t *flags)
{
	unsigned looked = 0;

	for (uint32_t run = d->nofree_head; run != PAGE_NIL && looked < NOFREE_SEARCH;
	     run = page_array[run].next, looked++) {
		uint32_t pn = page_window_fit(w, run, run + page_array[run].run);

		if (pn != PAGE_NIL) {
			*flags = run_cut(d, run, pn, w->n);
			return (pn);
		}
	}
	return (PAGE_NIL);
}

uint32_t
nofree_alloc(struct page_domain *d, const struct page_window *w, uint8_t *flags)
{
	unsigned order = fls_size(w->n - 1);
	uint32_t pn = run_search(d, w, flags);

	if (pn == PAGE_NIL && order < PAGE_ORDERS && run_add(d, order)) {
		uint32_t run = d->nofree_head, n = page_array[run].run;

		pn = run_search(d, w, flags);
		if (pn == PAGE_NIL) /* not where it is wanted: undo */
			buddy_free_range(d, run, run + n, run_unlink(d, run));
	}
	if (pn != PAGE_NIL)
		d->nofree += w->n;
	return (pn);
}

/* Only an undone allocation comes here: put the pages back where they were cut from. */
void
nofree_free(struct page_domain *d, uint32_t pn, uint32_t n)
{
	uint32_t end = pn + n;
	unsigned looked = 0;

	d->nofree -= n;
	for (uint32_t run = d->nofree_head, next; run != PAGE_NIL && looked < NOFREE_SEARCH;
	     run = next, looked++) {
		uint32_t run_end = run + page_array[run].run;

		next = page_array[run].next;
		if (run_end != pn && run != end)
			continue;
		(void)run_unlink(d, run);
		pn = MIN(pn, run);
		end = MAX(end, run_end);
	}
	run_link(d, pn, end - pn, 0);
}

bool
nofree_dissolve(struct page_domain *d)
{
	if (d->nofree_head == PAGE_NIL)
		return (false);
	while (d->nofree_head != PAGE_NIL) {
		uint32_t run = d->nofree_head, n = page_array[run].run;

		buddy_free_range(d, run, run + n, run_unlink(d, run));
	}
	return (true);
}
