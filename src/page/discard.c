/*
 * Giving the contents of free pages back to the machine.
 *
 * A block is discarded off its list, with the domain unlocked when that leaves the domain above its
 * target, so that the machine's work holds up nobody; in a shortage the lock is kept instead, so
 * that no request is refused for pages that are only on their way.
 */
#include "page/page_int.h"

/* Discard the first block with contents of this order; false if there is none or it stays dirty. */
static bool
discard_block(struct page_domain *d, unsigned order)
{
	uint32_t pn = d->free_list[order].head, n = 1u << order;
	struct page_events ev = { 0 };
	bool unlock, zero;

	if (pn == PAGE_NIL || (page_array[pn].flags & PG_ZERO) != 0)
		return (false); /* blocks with contents come first */
	buddy_unlink(d, pn);
	unlock = d->free >= d->target + n;
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
			while (done < max && discard_block(d, order))
				done += 1ul << order;
		mtx_unlock(&d->lock);
	}
	return (done);
}
