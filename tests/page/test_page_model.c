/*
 * The page allocator against a bitmap: every request, with every constraint, both ways. Whatever it
 * gives must be free in the model and meet the constraints; whatever it refuses must be impossible
 * in the model, as far as its bounded search promises.
 */
#include <stdlib.h>
#include <string.h>

#include "page_test.h"

#define STEPS     TEST_STEPS(40000)
#define MAX_OWNED 4096
#define BUDGET    1024 /* free pieces up to which the search is exact */

struct owned {
	struct vm_page *m;
	uint32_t n;
};

struct model {
	uint64_t seed;
	bool *used; /* by page number */
	struct owned owned[MAX_OWNED];
	unsigned nowned;
	uint32_t free[COOPER_MAXDOMAIN];
	unsigned refused, impossible;
};

static uint32_t
pick(struct model *md, uint32_t below)
{
	return ((uint32_t)(test_random(&md->seed) % below));
}

static bool
in_domain(uint32_t pn, unsigned domain)
{
	for (unsigned i = 0; i < page_nsegments; i++)
		if (page_segments[i].domain == domain && pn >= page_segments[i].range.start &&
		    pn < page_segments[i].range.end)
			return (true);
	return (false);
}

/* Does the model have a free run that the request could get? */
static bool
model_has(const struct model *md, unsigned domain, const struct page_window *w)
{
	for (uint32_t pn = 0; pn + w->n <= page_count; pn++) {
		uint64_t pfn = page_base + pn;
		uint32_t i = 0;

		if (pfn % w->align != 0 || pfn < w->low || pfn + w->n > w->high ||
		    (w->boundary != 0 && pfn / w->boundary != (pfn + w->n - 1) / w->boundary))
			continue;
		while (i < w->n && !md->used[pn + i] && in_domain(pn + i, domain))
			i++;
		if (i == w->n)
			return (true);
		pn += i; /* the next start is past the page in the way */
	}
	return (false);
}

static bool
search_is_exact(unsigned domain)
{
	const struct page_domain *d = &page_domains[domain];
	unsigned pieces = d->nfresh_ranges;

	for (unsigned o = 0; o < PAGE_ORDERS; o++)
		pieces += d->free_list[o].count;
	return (pieces < BUDGET);
}

/* A page that claims to be zero must be; then it gets contents. */
static void
check_contents(struct vm_page *m)
{
	unsigned char *mem = machine_direct(page_paddr(m));

	if (mem == NULL)
		return;
	if (m->flags & PG_ZERO)
		for (unsigned i = 0; i < PAGE_SIZE; i += 509)
			assert_int_equal(mem[i], 0);
	memset(mem, 0xa5, PAGE_SIZE);
}

static void
model_take(struct model *md, unsigned domain, struct vm_page *m, uint32_t n)
{
	uint32_t pn = page_number(m);

	for (uint32_t i = pn; i < pn + n; i++) {
		assert_false(md->used[i]);
		assert_true(in_domain(i, domain));
		assert_int_equal(page_array[i].flags & (PG_WIRED | PG_FREE), PG_WIRED);
		assert_int_equal(page_array[i].owner, 0);
		assert_int_equal(page_array[i].domain, domain);
		page_array[i].owner = i + 1; /* the owner's words are its own */
		md->used[i] = true;
		if (md->nowned % 8 == 0)
			check_contents(&page_array[i]);
	}
	md->free[domain] -= n;
	md->owned[md->nowned++] = (struct owned){ m, n };
}

static void
model_give(struct model *md, uint32_t pn, uint32_t n)
{
	unsigned domain = page_array[pn].domain;

	for (uint32_t i = pn; i < pn + n; i++) {
		assert_true(md->used[i]);
		assert_int_equal(page_array[i].owner, i + 1);
		md->used[i] = false;
	}
	md->free[domain] += n;
}

/* ---- operations --------------------------------------------------------------------------------- */

static void
alloc_one(struct model *md)
{
	static const int kinds[] = { 0, M_USE_RESERVE, M_NEVERFREED };
	unsigned domain = pick(md, page_ndomains());
	int flags = M_NOWAIT | kinds[pick(md, 3)];
	enum page_class class = page_class_of(flags);
	struct vm_page *m = vm_page_alloc((int)domain, flags);

	assert_int_equal(m != NULL, md->free[domain] > page_keep(&page_domains[domain], class));
	if (m != NULL)
		model_take(md, domain, m, 1);
}

static void
alloc_bulk(struct model *md)
{
	unsigned domain = pick(md, page_ndomains()), want = 1 + pick(md, 64), got;
	uint32_t keep = page_domains[domain].interrupt, avail = md->free[domain];
	vm_paddr_t pa[64];

	got = vm_page_alloc_bulk((int)domain, M_NOWAIT, want, pa);
	assert_int_equal(got, avail <= keep ? 0 : MIN(want, avail - keep));
	for (unsigned i = 0; i < got; i++)
		model_take(md, domain, page_of_paddr(pa[i]), 1);
}

static void
alloc_contig(struct model *md)
{
	unsigned domain = pick(md, page_ndomains());
	uint32_t n = pick(md, 4) == 0 ? 1 + pick(md, 3000) : 1 + pick(md, 40);
	vm_size_t align = pick(md, 2) ? 0 : PAGE_SIZE << pick(md, 13);
	vm_paddr_t boundary = pick(md, 3) ? 0 : (vm_paddr_t)PAGE_SIZE << pick(md, 14);
	vm_paddr_t low = 0, high = MACHINE_NOPAGE;
	struct page_window w = { .n = n };
	uint32_t keep = page_domains[domain].interrupt;
	struct vm_page *m;

	if (pick(md, 2)) {
		low = ((page_base + pick(md, page_count)) << PAGE_SHIFT) + pick(md, 3);
		high = low + 1 + ((vm_paddr_t)pick(md, page_count) << PAGE_SHIFT);
	}
	w.low = (low + PAGE_MASK) >> PAGE_SHIFT;
	w.high = high >> PAGE_SHIFT;
	w.align = MAX(align >> PAGE_SHIFT, (vm_size_t)1);
	w.boundary = boundary >> PAGE_SHIFT;
	m = vm_page_alloc_contig((int)domain, M_NOWAIT, n, low, high, align, boundary);
	if (m != NULL) {
		uint64_t pfn = page_base + page_number(m);

		assert_true(pfn % w.align == 0 && pfn >= w.low && pfn + n <= w.high);
		assert_true(w.boundary == 0 || pfn / w.boundary == (pfn + n - 1) / w.boundary);
		assert_true(md->free[domain] >= keep + n);
		model_take(md, domain, m, n);
		return;
	}
	md->refused++;
	if (md->free[domain] < keep + n)
		return;
	if (search_is_exact(domain) && md->refused % 8 == 0) { /* the model's search is slow */
		md->impossible++;
		assert_false(model_has(md, domain, &w));
	}
}

static void
free_one(struct model *md)
{
	struct owned o;
	unsigned i;

	if (md->nowned == 0)
		return;
	i = pick(md, md->nowned);
	o = md->owned[i];
	md->owned[i] = md->owned[--md->nowned];
	if (o.n > 1 && pick(md, 3) == 0) { /* a part first */
		uint32_t part = 1 + pick(md, o.n - 1);

		model_give(md, page_number(o.m), part);
		vm_page_free_contig(o.m, part);
		o.m += part;
		o.n -= part;
	}
	model_give(md, page_number(o.m), o.n);
	if (o.n == 1)
		vm_page_free(o.m);
	else
		vm_page_free_contig(o.m, o.n);
}

static void
free_bulk(struct model *md)
{
	vm_paddr_t pa[32];
	unsigned n = 0;

	while (n < 32 && md->nowned > 0 && md->owned[md->nowned - 1].n == 1) {
		struct vm_page *m = md->owned[--md->nowned].m;

		model_give(md, page_number(m), 1);
		pa[n++] = page_paddr(m);
	}
	vm_page_free_bulk(pa, n);
}

static void
random_requests_match_the_model(void **state)
{
	struct model *md = calloc(1, sizeof(*md));
	bool filling = true;

	(void)state;
	assert_non_null(md);
	md->seed = 20200824;
	md->used = calloc(page_count, sizeof(*md->used));
	for (unsigned d = 0; d < page_ndomains(); d++)
		md->free[d] = page_domains[d].free;
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned op = pick(md, 100);

		if (step % 4096 == 0)
			filling = !filling;
		if (md->nowned > MAX_OWNED - 64)
			free_one(md);
		else if (op < (filling ? 55u : 30u))
			alloc_contig(md);
		else if (op < (filling ? 65u : 35u))
			alloc_one(md);
		else if (op < (filling ? 67u : 36u))
			alloc_bulk(md);
		else if (op < 98)
			free_one(md);
		else if (op < 99)
			free_bulk(md);
		else
			(void)page_discard_free(pick(md, 256));
		for (unsigned d = 0; d < page_ndomains(); d++)
			assert_int_equal(page_domains[d].free, md->free[d]);
		if (step % 512 == 0)
			verify_all();
	}
	assert_in_range(md->impossible, 1, STEPS); /* both ways were tried */
	while (md->nowned > 0)
		free_one(md);
	verify_all();
	for (unsigned d = 0; d < page_ndomains(); d++)
		assert_int_equal(page_domains[d].free, page_domains[d].total);
	free(md->used);
	free(md);
}

TEST_MAIN(cmocka_unit_test(random_requests_match_the_model))
