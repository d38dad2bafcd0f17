/*
 * Pages out and in: admission by class, the counts, and who is told.
 *
 * The domain's lock guards the counts. `free` falls before a request's pages leave the lists and
 * the sum in page_int.h holds again when the lock is dropped. What must be told to sleepers and to
 * the daemon is gathered under the lock and done after it.
 */
#include "page/page_int.h"

CORE_STATE void (*page_freed_hook)(int domain);
CORE_STATE uint32_t page_freed_wanted;

enum page_class
page_class_of(int flags)
{
	return ((flags & M_USE_RESERVE) != 0 ? PAGE_INTERRUPT : PAGE_SYSTEM);
}

bool
page_flags_ok(int flags, const char *func)
{
	bool ok = (flags & M_USE_RESERVE) == 0 || (flags & (M_NOWAIT | M_WAITOK)) == M_NOWAIT;

	CHECK(ok, "%s: M_USE_RESERVE without M_NOWAIT, flags 0x%x", func, (unsigned)flags);
	return (ok);
}

/* ---- counts ------------------------------------------------------------------------------------- */

bool
page_admit(struct page_domain *d, enum page_class pclass, unsigned long n)
{
	return (page_grants(d, pclass, n) && !inject_failure());
}

/* The free count that wakes the daemon next: each further quarter used up, while it cannot win. */
static uint32_t
next_kick(uint32_t free)
{
	return (free - howmany(free, 4));
}

void
page_count_out(struct page_domain *d, uint32_t n, struct page_events *ev)
{
	atomic_store_relaxed(&d->free, d->free - n);
	d->allocs += n;
	d->dirty_low = MIN(d->dirty_low, d->dirty);
	page_tell_dirty(d);
	if (d->free < d->kick_at) {
		d->kick_at = next_kick(d->free);
		ev->kick = true;
	}
}

void
page_count_in(struct page_domain *d, uint32_t n, struct page_events *ev)
{
	atomic_store_relaxed(&d->free, d->free + n);
	d->frees += n;
	page_tell_dirty(d);
	if (d->free >= d->target)
		d->kick_at = d->target;
	/* Whoever counts himself a waiter looks at `frees` under this lock afterwards: no lost wakeup. */
	ev->wake |= atomic_load_relaxed(&vm_waiters) != 0;
	ev->freed |= atomic_load_relaxed(&page_freed_wanted) != 0;
}

void
page_unlock(struct page_domain *d, const struct page_events *ev)
{
	int domain = (int)(d - page_domains);
	void (*freed)(int) = page_freed_hook;

	mtx_unlock(&d->lock);
	if (unlikely(ev->kick))
		(void)page_daemon_kick(domain);
	if (unlikely(ev->wake))
		page_wake(domain);
	if (unlikely(ev->freed) && freed != NULL)
		freed(domain);
}

void
page_refuse(struct page_domain *d)
{
	struct page_events ev = { 0 };

	d->fails++;
	/* Memory may rest in caches: a pass is due, but fruitless ones ever more seldom. */
	if (d->fail_left == 0) {
		d->fail_left = d->fail_skip;
		ev.kick = true;
	} else {
		d->fail_left--;
	}
	page_unlock(d, &ev);
}

/* ---- single pages ------------------------------------------------------------------------------- */

/* One page; d is locked and has it. */
static uint32_t
take_page(struct page_domain *d, int flags)
{
	uint32_t pn = PAGE_NIL;
	uint8_t pgflags;

	if ((flags & M_NEVERFREED) != 0) {
		struct page_window any = page_window_any(1);

		pn = nofree_alloc(d, &any, &pgflags);
		pgflags |= PG_NOFREE;
	} else {
		pn = buddy_alloc(d, 0, &pgflags);
		if (pn == PAGE_NIL && nofree_dissolve(d))
			pn = buddy_alloc(d, 0, &pgflags);
	}
	MUST(pn != PAGE_NIL, "page domain %d: %u pages free, none to be found",
	    (int)(d - page_domains), d->free);
	page_wire(d, pn, pgflags);
	return (pn);
}

struct vm_page *
vm_page_alloc_class(int domain, enum page_class pclass, int flags)
{
	struct page_domain *d = page_domain_of(domain, "vm_page_alloc");
	struct page_events ev = { 0 };
	uint32_t pn;

	if (!page_flags_ok(flags, "vm_page_alloc"))
		return (NULL);
	mtx_lock(&d->lock);
	if (!page_admit(d, pclass, 1)) {
		page_refuse(d);
		return (NULL);
	}
	pn = take_page(d, flags);
	page_count_out(d, 1, &ev);
	page_unlock(d, &ev);
	return (&page_array[pn]);
}

struct vm_page *
vm_page_alloc(int domain, int flags)
{
	return (vm_page_alloc_class(domain, page_class_of(flags), flags));
}

unsigned
vm_page_alloc_bulk(int domain, int flags, unsigned n, vm_paddr_t *pa)
{
	struct page_domain *d = page_domain_of(domain, __func__);
	enum page_class pclass = page_class_of(flags);
	struct page_events ev = { 0 };
	unsigned got = 0;

	if (n == 0 || !page_flags_ok(flags, __func__))
		return (0);
	mtx_lock(&d->lock);
	while (got < n && page_admit(d, pclass, 1)) {
		pa[got++] = page_paddr(&page_array[take_page(d, flags)]);
		page_count_out(d, 1, &ev);
	}
	if (got == 0)
		page_refuse(d);
	else
		page_unlock(d, &ev);
	return (got);
}

/* ---- free --------------------------------------------------------------------------------------- */

/*
 * Before a free, with no lock: will the pages keep their contents? Under a ceiling none do: how much
 * of a mixed block has contents is not known exactly, and a ceiling is. Else they go back: PG_ZERO.
 */
static bool
may_keep(unsigned long n)
{
	return (!PAGE_HAS_CACHE ||
		(atomic_load_relaxed(&page_cache_most) == ~0ul && page_cache_charge(ptoa(n))));
}

static uint8_t
keep_contents(uint32_t pn, uint32_t n)
{
	if (may_keep(n))
		return (0);
	return (machine_discard(page_paddr(&page_array[pn]), n) ? PG_ZERO : 0);
}

/* Take [pn, pn + n) of one owner back; d is locked and each page is its. */
static void
give_pages(struct page_domain *d, uint32_t pn, uint32_t n, uint8_t zero, const char *func)
{
	uint8_t kind = page_array[pn].flags & PG_NOFREE;

	for (uint32_t i = pn; i < pn + n; i++) {
		struct vm_page *m = &page_array[i];

		MUST((m->flags & (PG_WIRED | PG_NOFREE)) == (PG_WIRED | kind) &&
			 m->domain == (uint8_t)(d - page_domains),
		    "%s: page 0x%llx is not allocated (flags 0x%x, domain %u)", func,
		    (unsigned long long)page_paddr(m), m->flags, m->domain);
		m->flags = 0;
		m->owner = 0;
	}
	if (kind != 0)
		nofree_free(d, pn, n);
	else
		buddy_free_range(d, pn, pn + n, zero);
	if (PAGE_HAS_CACHE && zero == 0)
		d->dirty_told += n; /* keep_contents() has */
}

static void
free_run(struct vm_page *m, unsigned long n, const char *func)
{
	struct page_domain *d = page_domain_of(m->domain, func);
	struct page_events ev = { 0 };
	uint32_t pn = page_number(m);
	uint8_t zero;

	MUST(n > 0 && pn < page_count && n <= page_count - pn, "%s: %lu pages at page number %u",
	    func, n, pn);
	zero = keep_contents(pn, (uint32_t)n);
	mtx_lock(&d->lock);
	give_pages(d, pn, (uint32_t)n, zero, func);
	page_count_in(d, (uint32_t)n, &ev);
	page_unlock(d, &ev);
}

void
vm_page_free(struct vm_page *m)
{
	free_run(m, 1, __func__);
}

void
vm_page_free_contig(struct vm_page *m, unsigned long n)
{
	free_run(m, n, __func__);
}

/* All that follow of the same domain go in one trip. */
static void
free_bulk(const vm_paddr_t *pa, unsigned n, uint8_t zero)
{
	for (unsigned i = 0; i < n;) {
		struct vm_page *m = page_of_paddr(pa[i]);
		struct page_events ev = { 0 };
		struct page_domain *d;
		unsigned first = i;

		MUST(m != NULL, "vm_page_free_bulk: no page at 0x%llx", (unsigned long long)pa[i]);
		d = page_domain_of(m->domain, "vm_page_free_bulk");
		mtx_lock(&d->lock);
		do {
			give_pages(d, page_number(m), 1, zero, "vm_page_free_bulk");
			if (++i == n)
				break;
			m = page_of_paddr(pa[i]);
		} while (m != NULL && &page_domains[m->domain] == d);
		page_count_in(d, i - first, &ev);
		page_unlock(d, &ev);
	}
}

void
vm_page_free_bulk(const vm_paddr_t *pa, unsigned n)
{
	unsigned first = 0, run;

	/* With no room in the caches: run by run, and back at once. */
	if (may_keep(n)) {
		free_bulk(pa, n, 0);
		return;
	}
	for (; first < n; first += run) {
		struct vm_page *m = page_of_paddr(pa[first]);

		for (run = 1; first + run < n && pa[first + run] == pa[first] + ptoa(run); run++)
			;
		MUST(m != NULL, "%s: no page at 0x%llx", __func__, (unsigned long long)pa[first]);
		free_bulk(pa + first, run, keep_contents(page_number(m), run));
	}
}

void
vm_page_free_unmapped(const vm_paddr_t *pa, unsigned n)
{
	free_bulk(pa, n, PAGE_FRESH_FLAGS);
}
