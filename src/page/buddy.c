/*
 * Free memory of a domain: buddy lists, and fresh ranges from which blocks are carved on demand.
 *
 * The domain's lock is held throughout; `free` is counted by the callers. Lists are tried before
 * fresh memory, and on each list blocks with contents before zero ones, so that memory that costs
 * the host something is used again first. Fresh memory is taken from the bottom of the highest
 * range: page after page, so that records and frames are touched densely, and low memory is left to
 * requests that must have it.
 */
#include "page/page_int.h"

/* ---- lists -------------------------------------------------------------------------------------- */

static void
link_block(struct page_domain *d, uint32_t pn, unsigned order, uint8_t flags, uint32_t dirty)
{
	struct page_list *l = &d->free_list[order];
	struct vm_page *m = &page_array[pn];

	m->order = (uint8_t)order;
	m->flags = PG_FREE | flags;
	m->domain = (uint8_t)(d - page_domains);
	m->run = dirty;
	d->dirty += dirty;
	if (flags & PG_ZERO) {
		m->next = PAGE_NIL;
		m->prev = l->tail;
	} else {
		m->next = l->head;
		m->prev = PAGE_NIL;
	}
	*(m->prev == PAGE_NIL ? &l->head : &page_array[m->prev].next) = pn;
	*(m->next == PAGE_NIL ? &l->tail : &page_array[m->next].prev) = pn;
	l->count++;
}

void
buddy_unlink(struct page_domain *d, uint32_t pn)
{
	struct vm_page *m = &page_array[pn];
	struct page_list *l = &d->free_list[m->order];

	*(m->prev == PAGE_NIL ? &l->head : &page_array[m->prev].next) = m->next;
	*(m->next == PAGE_NIL ? &l->tail : &page_array[m->next].prev) = m->prev;
	m->flags &= (uint8_t)~PG_FREE;
	d->dirty -= m->run;
	l->count--;
}

void
buddy_free(struct page_domain *d, uint32_t pn, unsigned order, uint8_t flags)
{
	uint32_t dirty = (flags & PG_ZERO) != 0 ? 0 : 1u << order;

	while (order < PAGE_MAX_ORDER) {
		uint32_t other = pn ^ 1u << order;
		struct vm_page *b = &page_array[other];

		if ((b->flags & (PG_FREE | PG_NOFREE)) != PG_FREE || b->order != order ||
		    b->domain != (uint8_t)(d - page_domains))
			break;
		flags &= b->flags; /* zero only if both are */
		dirty += b->run;
		buddy_unlink(d, other);
		pn &= ~(1u << order++);
	}
	link_block(d, pn, order, flags & PG_ZERO, dirty);
}

void
buddy_free_range(struct page_domain *d, uint32_t start, uint32_t end, uint8_t flags)
{
	while (start < end) {
		unsigned room = fls_size(end - start) - 1;
		unsigned aligned = start == 0 ? PAGE_MAX_ORDER : ffs_size(start) - 1;
		unsigned order = MIN(MIN(room, aligned), (unsigned)PAGE_MAX_ORDER);

		buddy_free(d, start, order, flags);
		start += 1u << order;
	}
}

/* ---- fresh ranges ------------------------------------------------------------------------------- */

static void
fresh_remove(struct page_domain *d, unsigned i)
{
	memmove(&d->fresh_range[i], &d->fresh_range[i + 1],
	    (d->nfresh_ranges - i - 1) * sizeof(d->fresh_range[0]));
	d->nfresh_ranges--;
}

/* Give a range up to the lists. */
static void
fresh_spill(struct page_domain *d, uint32_t start, uint32_t end)
{
	d->fresh -= end - start;
	buddy_free_range(d, start, end, PAGE_FRESH_FLAGS);
}

void
fresh_cut(struct page_domain *d, unsigned i, uint32_t start, uint32_t end)
{
	struct page_range below = { d->fresh_range[i].start, start };
	struct page_range above = { end, d->fresh_range[i].end };

	d->fresh -= end - start;
	/* What is smaller than a largest block is worth no entry of the table, nor is a 33rd range. */
	if (below.end - below.start < 1u << PAGE_MAX_ORDER) {
		fresh_spill(d, below.start, below.end);
		below.start = below.end;
	} else if (above.start < above.end && d->nfresh_ranges == PAGE_MAXRANGE) {
		struct page_range *less = &above;

		if (below.end - below.start < above.end - above.start)
			less = &below;
		fresh_spill(d, less->start, less->end);
		less->start = less->end;
	}
	if (below.start == below.end && above.start == above.end) {
		fresh_remove(d, i);
	} else if (below.start == below.end) {
		d->fresh_range[i] = above;
	} else {
		d->fresh_range[i] = below;
		if (above.start == above.end)
			return;
		memmove(&d->fresh_range[i + 2], &d->fresh_range[i + 1],
		    (d->nfresh_ranges - i - 1) * sizeof(d->fresh_range[0]));
		d->fresh_range[i + 1] = above;
		d->nfresh_ranges++;
	}
}

static uint32_t
fresh_alloc(struct page_domain *d, unsigned order)
{
	for (unsigned i = d->nfresh_ranges; i-- > 0;) {
		struct page_range *r = &d->fresh_range[i];
		uint32_t start = round_up(r->start, 1u << order);

		if (start < r->end && r->end - start >= 1u << order) {
			fresh_cut(d, i, start, start + (1u << order));
			return (start);
		}
	}
	return (PAGE_NIL);
}

/* ---- both --------------------------------------------------------------------------------------- */

uint32_t
buddy_alloc(struct page_domain *d, unsigned order, uint8_t *flags)
{
	for (unsigned o = order; o < PAGE_ORDERS; o++) {
		uint32_t pn = d->free_list[o].head, dirty;

		if (pn == PAGE_NIL)
			continue;
		dirty = page_array[pn].run;
		*flags = page_array[pn].flags & PG_ZERO;
		buddy_unlink(d, pn);
		/* Which half has the contents nobody knows: each may have them all. */
		while (o-- > order)
			link_block(d, pn + (1u << o), o, *flags, MIN(dirty, 1u << o));
		return (pn);
	}
	*flags = PAGE_FRESH_FLAGS;
	return (fresh_alloc(d, order));
}

unsigned
page_largest_order(const struct page_domain *d)
{
	unsigned largest = 0;

	for (unsigned o = 0; o < PAGE_ORDERS; o++)
		if (d->free_list[o].head != PAGE_NIL)
			largest = o;
	for (unsigned i = 0; i < d->nfresh_ranges; i++)
		for (unsigned o = PAGE_MAX_ORDER; o > largest; o--) {
			uint32_t start = round_up(d->fresh_range[i].start, 1u << o);

			if (start < d->fresh_range[i].end &&
			    d->fresh_range[i].end - start >= 1u << o)
				largest = o;
		}
	return (largest);
}
