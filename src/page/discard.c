/*
 * Giving the contents of free pages back to the machine.
 *
 * A block is discarded off its list, with the domain unlocked when that leaves the domain above its
 * target, so that the machine's work holds up nobody; in a shortage an explicit request keeps the
 * lock instead, so that no request is refused for pages that are only on their way, and the decay
 * leaves the block: it will be used soon. Free buddies are merged, so a block is as many neighbours
 * as there are, up to a largest block, in one request to the machine.
 *
 * DECAY. `dirty_low` is the least number of pages with contents in this period: so many were never
 * wanted in it. When it ends they are due.
 */
#include "page/page_int.h"

/* Discard the first block with contents of this order; false if there is none or it stays dirty. */
static bool
discard_block(struct page_domain *d, unsigned order, bool always)
{
	uint32_t pn = d->free_list[order].head, n = 1u << order;
	struct page_events ev = { 0 };
	bool unlock, zero;

	if (pn == PAGE_NIL || (page_array[pn].flags & PG_ZERO) != 0)
		return (false); /* blocks with contents come first */
	unlock = d->free >= d->target + n;
	if (!unlock && !always)
		return (false);
	buddy_unlink(d, pn);
	if (unlock) {
		atomic_store_relaxed(&d->free, d->free - n);
		mtx_unlock(&d->lock);
	}
	zero = machine_discard(page_paddr(&page_array[pn]), n);
	if (unlock) {
		mtx_lock(&d->lock);
		atomic_store_relaxed(&d->free, d->free + n);
		ev.wake = vm_waiters != 0;
	}
	buddy_free(d, pn, order, zero ? PG_ZERO : 0);
	page_tell_dirty(d);
	if (ev.wake) {
		page_unlock(d, &ev);
		mtx_lock(&d->lock);
	}
	return (zero);
}

unsigned long
page_discard_free(unsigned long max)
{
	unsigned long done = 0;

	for (unsigned i = 0; i < page_ndomains(); i++) {
		struct page_domain *d = &page_domains[i];

		mtx_lock(&d->lock);
		for (unsigned order = PAGE_ORDERS; order-- > 0;)
			while (done < max && discard_block(d, order, true))
				done += 1ul << order;
		d->dirty_low = MIN(d->dirty_low, d->dirty);
		mtx_unlock(&d->lock);
	}
	return (done);
}

void
page_discard_period(void)
{
	for (unsigned i = 0; i < page_ndomains() && PAGE_HAS_CACHE; i++) {
		struct page_domain *d = &page_domains[i];

		mtx_lock(&d->lock);
		d->dirty_due = d->dirty_low;
		d->dirty_low = d->dirty;
		mtx_unlock(&d->lock);
	}
}

/* Up to *max pages of what is due in d, which is locked; the largest blocks first. */
static void
discard_due(struct page_domain *d, unsigned long *max)
{
	for (unsigned order = PAGE_ORDERS; order-- > 0;)
		while (d->dirty_due > 0 && *max > 0) {
			uint32_t before = d->dirty, done;

			if (!discard_block(d, order, false))
				break;
			done = before > d->dirty ? before - d->dirty : 1;
			d->dirty_due -= MIN(d->dirty_due, done);
			*max -= MIN(*max, (unsigned long)done);
		}
	if (*max > 0)
		d->dirty_due = 0; /* there is no more */
	d->dirty_low = MIN(d->dirty_low, d->dirty);
}

bool
page_discard_due(unsigned long max)
{
	bool more = false;

	for (unsigned i = 0; i < page_ndomains() && PAGE_HAS_CACHE; i++) {
		struct page_domain *d = &page_domains[i];

		mtx_lock(&d->lock);
		discard_due(d, &max);
		more |= d->dirty_due > 0;
		mtx_unlock(&d->lock);
	}
	return (more);
}
