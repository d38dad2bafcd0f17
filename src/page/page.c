/*
 * The page array, addresses and start-up: what is fixed once memory is known.
 *
 * No lock: everything here is written by page_start() and only read afterwards, the counters in
 * page_stat() apart, and what page_forgo() takes away under a domain's lock.
 */
#include "page/page_int.h"

CORE_STATE struct page_domain page_domains[COOPER_MAXDOMAIN];
CORE_STATE struct vm_page *page_array;
CORE_STATE uint32_t page_count;
CORE_STATE uint64_t page_base;
CORE_STATE uint32_t page_memory;
CORE_STATE struct page_segment page_segments[PAGE_MAXRANGE];
CORE_STATE unsigned page_nsegments;
CORE_STATE static unsigned domain_count;

_Static_assert(sizeof(struct vm_page) <= 32, "a page's record is small");

/* ---- addresses ---------------------------------------------------------------------------------- */

struct vm_page *
page_of_paddr(vm_paddr_t pa)
{
	uint64_t pn = (pa >> PAGE_SHIFT) - page_base; /* wraps far out of range below the base */

	for (unsigned i = 0; i < page_nsegments; i++) {
		const struct page_range *r = &page_segments[i].range;

		if (pn >= r->start && pn < r->end)
			return (&page_array[pn]);
	}
	return (NULL);
}

vm_paddr_t
page_paddr(const struct vm_page *m)
{
	return ((page_base + page_number(m)) << PAGE_SHIFT);
}

struct vm_page *
page_of_va(vm_offset_t va)
{
	vm_paddr_t pa = machine_extract(va);

	return (pa == MACHINE_NOPAGE ? NULL : page_of_paddr(pa));
}

unsigned
page_ndomains(void)
{
	return (domain_count);
}

struct page_domain *
page_domain_of(int domain, const char *func)
{
	MUST(domain >= 0 && (unsigned)domain < domain_count, "%s: domain %d of %u", func, domain,
	    domain_count);
	return (&page_domains[domain]);
}

bool
vm_page_domain_can(int domain, vm_paddr_t low, vm_paddr_t high, unsigned long n)
{
	uint64_t first = (low + PAGE_MASK) >> PAGE_SHIFT, last = high >> PAGE_SHIFT;

	if (low > high || low > ~(vm_paddr_t)PAGE_MASK)
		return (false);
	for (unsigned i = 0; i < page_nsegments; i++) {
		const struct page_segment *s = &page_segments[i];
		uint64_t start = MAX(page_base + s->range.start, first);
		uint64_t end = MIN(page_base + s->range.end, last);

		if (s->domain == (unsigned)domain && start < end && end - start >= n)
			return (true);
	}
	return (false);
}

/* ---- start -------------------------------------------------------------------------------------- */

static uint32_t
scaled(uint32_t total, uint32_t part, uint32_t least, uint32_t most)
{
	/* On a tiny domain not even `least` is sane: never more than a sixteenth for one mark. */
	return (MIN(MAX(total / part, MIN(least, howmany(total, 16))), most));
}

/*
 * Each mark is a part of the domain between two bounds. The interrupt reserve feeds refills that
 * take a page at a time under one lock, so it need not grow with memory; the others must leave a
 * pass time to work, which a few MiB do on any machine.
 *
 *	domain      interrupt   severe     min   target   (pages)
 *	4 MiB               2        6      10       26
 *	256 MiB            64      192     448     1472
 *	64 GiB             64      576    1600    17984
 */
static void
set_watermarks(struct page_domain *d)
{
	d->interrupt = scaled(d->total, 1024, 2, 64);
	d->severe = d->interrupt + scaled(d->total, 512, 4, 512);
	d->min = d->severe + scaled(d->total, 256, 4, 1024);
	d->target = d->min + scaled(d->total, 64, 8, 16384);
	d->kick_at = d->target;

	/* A run apart is at most a sixteenth of the domain, and at most a largest block. */
	while (d->nofree_order < PAGE_MAX_ORDER && (2u << d->nofree_order) <= d->total / 16)
		d->nofree_order++;
}

static void
init_domain(struct page_domain *d)
{
	mtx_init(&d->lock, "page domain", RANK_PAGE);
	for (unsigned order = 0; order < PAGE_ORDERS; order++)
		d->free_list[order].head = d->free_list[order].tail = PAGE_NIL;
	d->nofree_head = PAGE_NIL;
}

/* Take the machine's segments; neighbours of one domain become one. Returns 0 or an errno. */
static int
read_segments(const char **why)
{
	struct machine_segment seg[PAGE_MAXRANGE];
	unsigned n = machine_segments(seg, PAGE_MAXRANGE);
	vm_paddr_t top = 0;

	*why = "the machine has no memory segment";
	if (n == 0)
		return (COOPER_EINVAL);
	page_base = round_down(seg[0].start >> PAGE_SHIFT, (uint64_t)1 << PAGE_MAX_ORDER);
	*why = "memory segments must be ascending, page aligned and of a possible domain";
	for (unsigned i = 0; i < n; i++) {
		struct page_segment *s = &page_segments[page_nsegments];

		if (seg[i].start < top || seg[i].start >= seg[i].end || seg[i].start == 0 ||
		    ((seg[i].start | seg[i].end) & PAGE_MASK) != 0 ||
		    seg[i].domain >= COOPER_MAXDOMAIN)
			return (COOPER_EINVAL);
		top = seg[i].end;
		if ((top >> PAGE_SHIFT) - page_base >= PAGE_NIL - ((uint32_t)2 << PAGE_MAX_ORDER)) {
			*why = "memory spans more pages than 32 bits can number";
			return (COOPER_EINVAL);
		}
		if (page_nsegments > 0 && s[-1].domain == seg[i].domain &&
		    s[-1].range.end == (seg[i].start >> PAGE_SHIFT) - page_base) {
			s[-1].range.end = (uint32_t)((top >> PAGE_SHIFT) - page_base);
			continue;
		}
		s->range.start = (uint32_t)((seg[i].start >> PAGE_SHIFT) - page_base);
		s->range.end = (uint32_t)((top >> PAGE_SHIFT) - page_base);
		s->domain = seg[i].domain;
		page_nsegments++;
	}
	return (0);
}

int
page_start(const char **why)
{
	int error = read_segments(why);
	uint64_t bytes;

	if (error != 0)
		return (error);
	/* Whole largest blocks, so that a block's buddy always has a record. */
	page_count = round_up(page_segments[page_nsegments - 1].range.end, 1u << PAGE_MAX_ORDER);
	bytes = (uint64_t)page_count * sizeof(struct vm_page);
	page_array = bytes > SIZE_MAX ? NULL : machine_boot_alloc((vm_size_t)bytes, CACHE_LINE);
	if (page_array == NULL) {
		*why = "no room for the page array";
		return (COOPER_ENOMEM);
	}
	for (unsigned i = 0; i < COOPER_MAXDOMAIN; i++)
		init_domain(&page_domains[i]);
	for (unsigned i = 0; i < page_nsegments; i++) {
		struct page_segment *s = &page_segments[i];
		struct page_domain *d = &page_domains[s->domain];

		d->fresh_range[d->nfresh_ranges++] = s->range;
		d->total += s->range.end - s->range.start;
		domain_count = MAX(domain_count, s->domain + 1);
		page_memory |= 1u << s->domain;
	}
	for (unsigned i = 0; i < domain_count; i++) {
		page_domains[i].free = page_domains[i].fresh = page_domains[i].total;
		set_watermarks(&page_domains[i]);
	}
	wait_start();
	daemon_start();
	*why = "";
	return (0);
}

/* ---- memory that turns out not to be ours ------------------------------------------------------- */

/* Up to n fresh pages of the domain's highest; d locked. Whole largest blocks, as ranges are cut. */
static uint32_t
forgo_fresh(struct page_domain *d, uint32_t n)
{
	uint32_t gone = 0;

	n = round_down(n, 1u << PAGE_MAX_ORDER);
	while (gone < n && d->nfresh_ranges > 0) {
		struct page_range *last = &d->fresh_range[d->nfresh_ranges - 1];
		uint32_t take = MIN(n - gone, last->end - last->start);

		last->end -= take;
		if (last->start == last->end)
			d->nfresh_ranges--;
		gone += take;
	}
	d->fresh -= gone;
	atomic_store_relaxed(&d->total, d->total - gone);
	atomic_store_relaxed(&d->free, d->free - gone);
	return (gone);
}

unsigned long
page_forgo(unsigned long keep)
{
	unsigned long all = 0, gone = 0;

	for (unsigned i = 0; i < domain_count; i++)
		all += atomic_load_relaxed(&page_domains[i].total);
	for (unsigned i = 0; i < domain_count && keep < all; i++) {
		struct page_domain *d = &page_domains[i];
		uint32_t share, spare;

		mtx_lock(&d->lock);
		share = (uint32_t)((uint64_t)d->total * (all - keep) / all);
		spare = d->free - MIN(d->free, d->target);
		gone += forgo_fresh(d, MIN(MIN(share, spare), d->fresh));
		mtx_unlock(&d->lock);
	}
	return (gone);
}

/* ---- watermarks --------------------------------------------------------------------------------- */

/* Is the domain, or for -1 each that has memory, below the mark at this offset? */
static bool
below(int domain, size_t mark)
{
	if (domain >= 0) {
		const struct page_domain *d = page_domain_of(domain, "vm_page_count");

		return (
		    atomic_load_relaxed(&d->free) < *(const uint32_t *)((const char *)d + mark));
	}
	for (unsigned i = 0; i < domain_count; i++)
		if ((page_memory & 1u << i) != 0 && !below((int)i, mark))
			return (false);
	return (true);
}

bool
vm_page_count_low(int domain)
{
	return (below(domain, offsetof(struct page_domain, target)));
}

bool
vm_page_count_min(int domain)
{
	return (below(domain, offsetof(struct page_domain, min)));
}

bool
vm_page_count_severe(int domain)
{
	return (below(domain, offsetof(struct page_domain, severe)));
}

/* ---- statistics ----------------------------------------------------------------------------------- */

void
page_stat(unsigned domain, struct page_domain_stat *out)
{
	struct page_domain *d = page_domain_of((int)domain, __func__);

	mtx_lock(&d->lock);
	*out = (struct page_domain_stat){
		.total = d->total,
		.free = d->free,
		.fresh = d->fresh,
		.nofree = d->nofree,
		.nofree_idle = d->nofree_idle,
		.dirty = PAGE_HAS_CACHE ? d->dirty : 0,
		.largest_order = page_largest_order(d),
		.target = d->target,
		.min = d->min,
		.severe = d->severe,
		.interrupt = d->interrupt,
		.allocs = d->allocs,
		.frees = d->frees,
		.fails = d->fails,
		.contig_allocs = d->contig_allocs,
		.contig_fails = d->contig_fails,
		.passes = d->passes,
	};
	mtx_unlock(&d->lock);
	mtx_lock(&vm_lock);
	out->waits = vm_waits[domain];
	mtx_unlock(&vm_lock);
}
