/*
 * Runs of physically contiguous pages, within limits.
 *
 * Three searches, each under the domain's lock and all bounded by one budget of blocks looked at:
 * blocks that hold the run whole, smallest first; fresh ranges; and runs put together of adjacent
 * free blocks and fresh memory, which finds what buddies cannot say (odd sizes, runs larger than a
 * largest block). The last follows each maximal free range from its beginning to its end, and so is
 * exact as long as the domain's free memory is in at most CONTIG_BUDGET pieces.
 */
#include "page/page_int.h"

#define CONTIG_BUDGET 1024

uint32_t
page_window_fit(const struct page_window *w, uint32_t start, uint32_t end)
{
	uint64_t first = MAX(page_base + start, w->low), last = MIN(page_base + end, w->high);

	first = round_up(first, w->align);
	if (w->boundary != 0 && ((first ^ (first + w->n - 1)) & ~(w->boundary - 1)) != 0)
		first = round_up(first, MAX(w->boundary, w->align));
	if (first < last && last - first >= w->n)
		return ((uint32_t)(first - page_base));
	return (PAGE_NIL);
}

/* ---- taking ------------------------------------------------------------------------------------- */

/* Index of the fresh range that holds the page; -1 if none does. */
static int
fresh_index(const struct page_domain *d, uint32_t pn)
{
	for (unsigned i = 0; i < d->nfresh_ranges; i++)
		if (pn >= d->fresh_range[i].start && pn < d->fresh_range[i].end)
			return ((int)i);
	return (-1);
}

/*
 * Wire [start, end), which is free. `at` is the first page of the block or of the fresh range that
 * start lies in; the free ranges that follow it begin where the one before ends.
 */
static void
take_run(struct page_domain *d, uint32_t at, uint32_t start, uint32_t end)
{
	while (at < end) {
		int fresh = fresh_index(d, at);
		uint32_t to =
		    fresh >= 0 ? d->fresh_range[fresh].end : at + (1u << page_array[at].order);
		uint32_t from = MAX(at, start), upto = MIN(to, end);
		uint8_t flags = fresh >= 0 ? PAGE_FRESH_FLAGS : page_array[at].flags & PG_ZERO;

		if (fresh >= 0) {
			fresh_cut(d, (unsigned)fresh, from, upto);
		} else {
			buddy_unlink(d, at);
			buddy_free_range(d, at, from, flags);
			buddy_free_range(d, upto, to, flags);
		}
		for (uint32_t pn = from; pn < upto; pn++)
			page_wire(d, pn, flags);
		at = to;
	}
}

/* ---- searching ---------------------------------------------------------------------------------- */

struct run {
	uint32_t at; /* where the free memory begins that start lies in, as take_run() wants it */
	uint32_t start; /* PAGE_NIL: not found */
};

static struct run
search_blocks(const struct page_domain *d, const struct page_window *w, unsigned *budget)
{
	for (unsigned o = fls_size(w->n - 1); o < PAGE_ORDERS; o++)
		for (uint32_t pn = d->free_list[o].head; pn != PAGE_NIL && *budget > 0;
		     pn = page_array[pn].next, --*budget) {
			uint32_t start = page_window_fit(w, pn, pn + (1u << o));

			if (start != PAGE_NIL)
				return ((struct run){ pn, start });
		}
	return ((struct run){ PAGE_NIL, PAGE_NIL });
}

static struct run
search_fresh(const struct page_domain *d, const struct page_window *w)
{
	for (unsigned i = d->nfresh_ranges; i-- > 0;) {
		const struct page_range *r = &d->fresh_range[i];
		uint32_t start = page_window_fit(w, r->start, r->end);

		if (start != PAGE_NIL)
			return ((struct run){ r->start, start });
	}
	return ((struct run){ PAGE_NIL, PAGE_NIL });
}

/* Is a free block of the domain's at pn? */
static bool
free_block(const struct page_domain *d, uint32_t pn)
{
	const struct vm_page *m = &page_array[pn];

	return ((m->flags & (PG_FREE | PG_NOFREE)) == PG_FREE &&
		m->domain == (uint8_t)(d - page_domains));
}

/* End of the free block or fresh range that begins at pn; pn itself if none does. */
static uint32_t
free_until(const struct page_domain *d, uint32_t pn)
{
	for (unsigned i = 0; i < d->nfresh_ranges; i++)
		if (d->fresh_range[i].start == pn)
			return (d->fresh_range[i].end);
	if (pn < page_count && free_block(d, pn))
		return (pn + (1u << page_array[pn].order));
	return (pn);
}

/* Does no free memory end where the block or fresh range at pn begins? */
static bool
begins_range(const struct page_domain *d, uint32_t pn)
{
	for (unsigned i = 0; i < d->nfresh_ranges; i++)
		if (d->fresh_range[i].end == pn)
			return (false);
	for (unsigned o = 0; o < PAGE_ORDERS && pn > 0; o++) {
		uint32_t before = round_down(pn - 1, 1u << o);

		if (free_block(d, before) && page_array[before].order == o)
			return (false);
	}
	return (true);
}

/* Follow the free memory that begins at pn, as far as the run needs it. */
static struct run
follow(const struct page_domain *d, const struct page_window *w, uint32_t pn, unsigned *budget)
{
	uint32_t end = pn, piece = pn, next;

	while (*budget > 0 && (next = free_until(d, end)) != end) {
		uint32_t start;

		--*budget;
		end = next;
		start = page_window_fit(w, pn, end);
		if (start != PAGE_NIL) {
			while ((next = free_until(d, piece)) <= start)
				piece = next;
			return ((struct run){ piece, start });
		}
	}
	return ((struct run){ PAGE_NIL, PAGE_NIL });
}

static struct run
search_adjacent(const struct page_domain *d, const struct page_window *w, unsigned *budget)
{
	struct run run;

	for (unsigned i = 0; i < d->nfresh_ranges; i++) {
		uint32_t pn = d->fresh_range[i].start;

		if (begins_range(d, pn) && (run = follow(d, w, pn, budget)).start != PAGE_NIL)
			return (run);
	}
	for (unsigned o = PAGE_ORDERS; o-- > 0;)
		for (uint32_t pn = d->free_list[o].head; pn != PAGE_NIL && *budget > 0;
		     pn = page_array[pn].next, --*budget)
			if (begins_range(d, pn) &&
			    (run = follow(d, w, pn, budget)).start != PAGE_NIL)
				return (run);
	return ((struct run){ PAGE_NIL, PAGE_NIL });
}

static struct run
search(const struct page_domain *d, const struct page_window *w)
{
	unsigned budget = CONTIG_BUDGET;
	struct run run = search_blocks(d, w, &budget);

	if (run.start == PAGE_NIL)
		run = search_fresh(d, w);
	if (run.start == PAGE_NIL) {
		budget = 2 * CONTIG_BUDGET; /* each piece as a beginning, and once on the way */
		run = search_adjacent(d, w, &budget);
	}
	return (run);
}

/* ---- the request -------------------------------------------------------------------------------- */

/* Turn the caller's bytes into page frames; false if no memory could ever meet it. */
static bool
make_window(struct page_window *w, unsigned long n, vm_paddr_t low, vm_paddr_t high,
    vm_size_t align, vm_paddr_t boundary)
{
	bool sane = n > 0 && low < high && (align == 0 || is_pow2(align)) &&
		    (boundary == 0 || is_pow2(boundary));

	CHECK(sane,
	    "vm_page_alloc_contig: %lu pages in [0x%llx, 0x%llx), align 0x%zx, boundary 0x%llx", n,
	    (unsigned long long)low, (unsigned long long)high, align, (unsigned long long)boundary);
	if (!sane || n >= PAGE_NIL || low > ~(vm_paddr_t)PAGE_MASK)
		return (false);
	*w = (struct page_window){
		.low = (low + PAGE_MASK) >> PAGE_SHIFT,
		.high = high >> PAGE_SHIFT,
		.align = MAX(align >> PAGE_SHIFT, (vm_size_t)1),
		.boundary = boundary >> PAGE_SHIFT,
		.n = (uint32_t)n,
	};
	return (boundary == 0 || w->boundary >= n);
}

/* A run in free memory; if there is none, in what idle NOFREE runs free when they are dissolved. */
static struct run
search_all(struct page_domain *d, const struct page_window *w, int flags)
{
	struct run run = search(d, w);

	if (run.start == PAGE_NIL && (flags & M_NORECLAIM) == 0 && nofree_dissolve(d))
		run = search(d, w);
	return (run);
}

/* Find and wire the run; d is locked and has enough pages. */
static uint32_t
take_window(struct page_domain *d, const struct page_window *w, int flags)
{
	struct run run;

	if ((flags & M_NEVERFREED) != 0) {
		uint8_t pgflags;
		uint32_t pn = nofree_alloc(d, w, &pgflags);

		if (pn != PAGE_NIL) {
			for (uint32_t i = 0; i < w->n; i++)
				page_wire(d, pn + i, pgflags | PG_NOFREE);
			return (pn);
		}
	}
	run = search_all(d, w, flags);
	if (run.start != PAGE_NIL)
		take_run(d, run.at, run.start, run.start + w->n);
	return (run.start);
}

struct vm_page *
vm_page_alloc_contig(int domain, int flags, unsigned long n, vm_paddr_t low, vm_paddr_t high,
    vm_size_t align, vm_paddr_t boundary)
{
	struct page_domain *d = page_domain_of(domain, __func__);
	struct page_events ev = { 0 };
	struct page_window w;
	uint32_t pn = PAGE_NIL;

	if (!page_flags_ok(flags, __func__) || !make_window(&w, n, low, high, align, boundary))
		return (NULL);
	mtx_lock(&d->lock);
	if (page_admit(d, page_class_of(flags), n))
		pn = take_window(d, &w, flags);
	if (pn == PAGE_NIL) {
		d->contig_fails++;
		page_refuse(d);
		return (NULL);
	}
	d->contig_allocs++;
	page_count_out(d, (uint32_t)n, &ev);
	page_unlock(d, &ev);
	return (&page_array[pn]);
}

bool
vm_page_contig_available(int domain, unsigned long n)
{
	struct page_domain *d = page_domain_of(domain, __func__);
	struct page_window w;
	bool found;

	if (!make_window(&w, n, 0, ~(vm_paddr_t)0, 0, 0))
		return (false);
	mtx_lock(&d->lock);
	found = page_grants(d, PAGE_SYSTEM, n) && search_all(d, &w, 0).start != PAGE_NIL;
	mtx_unlock(&d->lock);
	return (found);
}
