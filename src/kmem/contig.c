/*
 * Memory with demands on its physical addresses: one run (kmem_alloc_contig), or single pages of a
 * window (kmem_alloc_attr). Both are mapped like any other and go back through kmem_free().
 *
 * Such a request may be impossible however long one waits, so tries are bounded: M_WAITOK makes four
 * in each domain, with a reclaim pass between two, and M_NOWAIT one, since a pass may have to wait
 * for another's end; M_NORECLAIM is one try too. A domain whose segments could not meet the demand if all of it were free is taken out of the iteration, so that
 * nobody waits for it (R28). NULL is therefore an answer to M_WAITOK too.
 */
#include "kmem/kmem_int.h"

#define TRIES_WAITOK 4
#define BATCH        64 /* pages mapped at a time */

struct demand {
	const char *func;
	vm_paddr_t low, high;
	vm_size_t align;
	vm_paddr_t boundary;
	bool contiguous;
};

static bool
demand_ok(const struct demand *dm, vm_size_t size, int flags, int memattr)
{
	bool waits_once = ((flags & M_NOWAIT) != 0) != ((flags & M_WAITOK) != 0);
	bool ok = size != 0 && round_page(size) >= size && dm->low < dm->high &&
		  (dm->align & (dm->align - 1)) == 0 && (dm->boundary & (dm->boundary - 1)) == 0;

	CHECK(
	    waits_once, "%s: flags 0x%x: one of M_NOWAIT and M_WAITOK", dm->func, (unsigned)flags);
	CHECK(ok, "%s: size %zu, [0x%llx, 0x%llx), align %zu, boundary 0x%llx", dm->func, size,
	    (unsigned long long)dm->low, (unsigned long long)dm->high, dm->align,
	    (unsigned long long)dm->boundary);
	CHECK(memattr == VM_MEMATTR_DEFAULT, "%s: memory attribute %d", dm->func, memattr);
	if (dm->boundary != 0 && dm->contiguous && dm->boundary < size)
		return (false);
	return (ok && waits_once && memattr == VM_MEMATTR_DEFAULT);
}

/* n contiguous pages from m on at va, the start of an allocation of `run` pages or (0) inside one. */
static void
enter_run(vm_offset_t va, const struct vm_page *m, unsigned long n, bool exec, unsigned source,
    unsigned long run)
{
	vm_paddr_t pa[BATCH], next = page_paddr(m);

	while (n > 0) {
		unsigned batch = (unsigned)MIN(n, BATCH);

		for (unsigned i = 0; i < batch; i++, next += PAGE_SIZE)
			pa[i] = next;
		kmem_enter(va, pa, batch, exec, source, run);
		va += ptoa(batch);
		n -= batch;
		run = 0;
	}
}

/* The window's pages of one domain under va: one run, or page by page. All or nothing. */
static bool
fill_demand(const struct demand *dm, int domain, vm_offset_t va, unsigned long n, int flags,
    unsigned source)
{
	unsigned long step = dm->contiguous ? n : 1, done;

	flags = (flags & ~M_WAITOK) | M_NOWAIT;
	for (done = 0; done < n; done += step) {
		struct vm_page *m = vm_page_alloc_contig(domain, flags, step, dm->low, dm->high,
		    MAX(dm->align, PAGE_SIZE), dm->boundary);

		if (m == NULL) {
			if (!FAULT(range_goes_before_its_pages))
				kmem_drain(va, done);
			return (false);
		}
		enter_run(
		    va + ptoa(done), m, step, (flags & M_EXEC) != 0, source, done == 0 ? n : 0);
	}
	if ((flags & M_ZERO) != 0 && !MACHINE_MAP_ZEROES)
		memset((void *)va, 0, ptoa(n));
	return (true);
}

/* Fill va from whichever domain can. */
static bool
try_domains(const struct demand *dm, struct domain_iter *it, vm_offset_t va, unsigned long n,
    int flags, unsigned source, int tries)
{
	for (;;) {
		while (domain_iter_next(it)) {
			if (fill_demand(dm, it->domain, va, n, flags, source))
				return (true);
		}
		if (--tries == 0 || !domain_iter_restart(it))
			return (false);
		(void)page_daemon_pass(-1, PRESSURE_SEVERE);
	}
}

/* Is there a domain that could meet the demand if all of it were free? Those that could not go. */
static bool
possible(const struct demand *dm, struct domain_iter *it, unsigned long n)
{
	while (domain_iter_next(it))
		if (!vm_page_domain_can(it->domain, dm->low, dm->high, dm->contiguous ? n : 1))
			domain_iter_remove(it);
	return (domain_iter_restart(it));
}

static void *
alloc_demand(const struct demand *dm, struct domainset *ds, vm_size_t size, int flags, int memattr)
{
	int tries = (flags & (M_WAITOK | M_NORECLAIM)) == M_WAITOK ? TRIES_WAITOK : 1;
	struct kmem_arena *first, *from;
	struct kmem_waiter w;
	struct domain_iter it;
	vm_offset_t va;

	if (!demand_ok(dm, size, flags, memattr))
		return (NULL);
	size = round_page(size);
	domain_iter_start(&it, ds);
	if (!domain_iter_next(&it))
		return (NULL);
	first = kmem_arena_of(
	    (flags & M_EXEC) != 0 ? SOURCE_EXEC : SOURCE_DOMAIN + (unsigned)it.domain);
	(void)domain_iter_restart(&it);
	if (!possible(dm, &it, atop(size)))
		return (NULL); /* before anybody waits for addresses */
	va = kmem_kva(first, size, 0, &from);
	if (va == 0 && (flags & M_WAITOK) != 0 && size <= cooper_shape()->kva_size) {
		kmem_wait_begin(&w, KMEM_WAIT_KVA);
		while (kmem_wait_look(&w),
		    (va = kmem_kva(first, size, 0, &from)) == 0 && !vm_wait_seen_elsewhere())
			kmem_wait(&w, size);
		kmem_wait_end(&w);
	}
	if (va == 0)
		return (NULL);
	if (try_domains(dm, &it, va, atop(size), flags, from->source, tries))
		return ((void *)va);
	kmem_kva_free(from, va, size);
	return (NULL);
}

void *
kmem_alloc_contig_domainset(struct domainset *ds, vm_size_t size, int flags, vm_paddr_t low,
    vm_paddr_t high, vm_size_t align, vm_paddr_t boundary, int memattr)
{
	struct demand dm = { "kmem_alloc_contig", low, high, align, boundary, true };

	return (alloc_demand(&dm, ds, size, flags, memattr));
}

void *
kmem_alloc_contig(vm_size_t size, int flags, vm_paddr_t low, vm_paddr_t high, vm_size_t align,
    vm_paddr_t boundary, int memattr)
{
	return (
	    kmem_alloc_contig_domainset(NULL, size, flags, low, high, align, boundary, memattr));
}

void *
kmem_alloc_attr_domainset(
    struct domainset *ds, vm_size_t size, int flags, vm_paddr_t low, vm_paddr_t high, int memattr)
{
	struct demand dm = { "kmem_alloc_attr", low, high, 0, 0, false };

	return (alloc_demand(&dm, ds, size, flags, memattr));
}

void *
kmem_alloc_attr(vm_size_t size, int flags, vm_paddr_t low, vm_paddr_t high, int memattr)
{
	return (kmem_alloc_attr_domainset(NULL, size, flags, low, high, memattr));
}
