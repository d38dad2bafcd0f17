/*
 * Address space with pages: kmem_malloc and kmem_free, and pages under a caller's own range.
 *
 * No lock lives here: a range belongs to whoever has it, its pages' records with it. A request is
 * made without waiting, whole or not at all; M_WAITOK repeats it.
 *
 *	look     are there enough pages, and, the second time, addresses?   nothing is taken
 *	address  kmem_kva()                                                  0: nothing is held
 *	pages    kmem_fill(), which unwinds itself exactly                   then addresses back
 *
 * The first step makes a request that must fail do so before it holds anything. What it takes and
 * puts back looks like an event to others who wait for the same, and two such could keep each other
 * awake for ever.
 */
#include "kmem/kmem_int.h"
#include "page/page_int.h"

#define BATCH 128 /* pages in one trip to the page layer and the machine; 1 KiB of stack */

enum lack { LACK_NOTHING, LACK_PAGES, LACK_KVA, LACK_TAGS };

/* ---- pages under a range ------------------------------------------------------------------------ */

void
kmem_enter(
    vm_offset_t va, const vm_paddr_t *pa, unsigned n, bool exec, unsigned source, unsigned long run)
{
	struct vm_page *m = NULL;

	for (unsigned i = n; i-- > 0;) {
		m = page_of_paddr(pa[i]);
		m->source = (uint8_t)source;
		m->run = 0;
	}
	m->run = (uint32_t)run;
	machine_map(va, pa, n, exec);
}

void
kmem_drain(vm_offset_t va, unsigned long n)
{
	vm_paddr_t pa[BATCH];

	while (n > 0) {
		unsigned batch = (unsigned)MIN(n, BATCH);

		for (unsigned i = 0; i < batch; i++) {
			struct vm_page *m = page_of_va(va + ptoa(i));

			MUST(m != NULL, "kmem: no page at 0x%lx", (unsigned long)(va + ptoa(i)));
			m->source = SOURCE_NONE;
			pa[i] = page_paddr(m);
		}
		machine_unmap(va, batch);
		vm_page_free_unmapped(pa, batch);
		va += ptoa(batch);
		n -= batch;
	}
}

/* As many of n pages as the domain gives, under va. Returns how many. */
static unsigned long
fill_from(
    int domain, vm_offset_t va, unsigned long n, int flags, unsigned source, unsigned long run)
{
	bool exec = (flags & M_EXEC) != 0;
	vm_paddr_t pa[BATCH];
	unsigned long done = 0;

	while (done < n) {
		unsigned want = (unsigned)MIN(n - done, BATCH);
		unsigned got = vm_page_alloc_bulk(domain, flags, want, pa);

		if (got != 0)
			kmem_enter(va + ptoa(done), pa, got, exec, source, done == 0 ? run : 0);
		done += got;
		if (got < want)
			break;
	}
	return (done);
}

/* `first` gives what it has, then the other domains of the set. */
int
kmem_fill(
    vm_offset_t va, unsigned long n, struct domain_iter *it, int first, int flags, unsigned source)
{
	unsigned long done;

	flags = (flags & ~M_WAITOK) | M_NOWAIT;
	done = fill_from(first, va, n, flags, source, n);
	(void)domain_iter_restart(it);
	while (done < n && domain_iter_next(it))
		if (it->domain != first)
			done += fill_from(it->domain, va + ptoa(done), n - done, flags, source,
			    done == 0 ? n : 0);
	if (done < n) {
		kmem_drain(va, done);
		return (COOPER_ENOMEM);
	}
	if ((flags & M_ZERO) != 0 && !MACHINE_MAP_ZEROES)
		memset((void *)va, 0, ptoa(n));
	return (0);
}

/*
 * Do the set's domains have n pages between them? *first is the first in the set's order that has
 * all of them, or else any.
 */
bool
kmem_pages_available(unsigned long n, struct domain_iter *it, int flags, int *first)
{
	enum page_class class = page_class_of(flags);
	unsigned long sum = 0;

	*first = -1;
	(void)domain_iter_restart(it);
	while (domain_iter_next(it)) {
		const struct page_domain *d = &page_domains[it->domain];
		unsigned long avail = atomic_load_relaxed(&d->free), keep = page_keep(d, class);

		if (avail <= keep)
			continue;
		if (*first < 0 || avail - keep >= n)
			*first = it->domain;
		if (avail - keep >= n)
			return (true);
		sum += avail - keep;
	}
	return (sum >= n);
}

/*
 * An attempt has failed for want of n pages: sleep until some have come back. Not if there are enough of
 * them now: they were not taken, so nobody will give them back.
 */
static void
wait_for_pages(int domain, unsigned long n, struct domain_iter *it, int flags, uint64_t frees)
{
	int first;

	if (!kmem_pages_available(n, it, flags, &first))
		vm_wait_free(domain, PAGE_SYSTEM, frees);
}

/* ---- kmem_malloc ---------------------------------------------------------------------------------- */

static vm_offset_t
attempt(struct domain_iter *it, vm_size_t size, int flags, bool again, enum lack *lack)
{
	struct kmem_arena *first, *from;
	vm_offset_t va;
	int domain;

	*lack = LACK_PAGES;
	if (!kmem_pages_available(atop(size), it, flags, &domain))
		return (0);
	first = kmem_arena_of(flags & M_EXEC         ? SOURCE_EXEC
			      : flags & M_NEVERFREED ? SOURCE_NOFREE
						     : SOURCE_DOMAIN + (unsigned)domain);
	*lack = LACK_KVA;
	if (again && !kmem_kva_available(first, size))
		return (0);
	*lack = LACK_TAGS;
	if ((va = kmem_kva(first, size, 0, &from)) == 0)
		return (0);
	*lack = LACK_PAGES;
	if (kmem_fill(va, atop(size), it, domain, flags, from->source) != 0) {
		kmem_kva_free(from, va, size);
		return (0);
	}
	return (va);
}

/*
 * Repeat an attempt until it succeeds, waiting for what it lacks; for a slab `rounds` times, and not
 * once the keg has an item again (rounds 0: for ever).
 * Its own metadata is not among that: tags.c sees to it, so a want of tags is a want of pages or of
 * address space. Where it shows as a want of tags the sleep is on "btalloc", to be told from the others.
 */
static vm_offset_t
attempt_waiting(struct domain_iter *it, vm_size_t size, int flags, unsigned rounds)
{
	int domain = is_pow2(it->usable) ? (int)ffs_size(it->usable) - 1 : -1;
	enum lack lack = LACK_NOTHING;
	struct kmem_waiter w;
	uint64_t frees = 0;
	vm_offset_t va = 0;

	kmem_wait_begin(&w, KMEM_WAIT_KVA);
	for (unsigned round = 0; va == 0 && (rounds == 0 || round < rounds); round++) {
		if (lack == LACK_PAGES)
			wait_for_pages(domain, atop(size), it, flags, frees);
		else {
			kmem_wait_lacks_tags(&w, lack == LACK_TAGS);
			kmem_wait(&w, size);
		}
		frees = vm_page_frees(domain);
		kmem_wait_look(&w);
		mtx_lock(&kmem_gather_lock);
		va = attempt(it, size, flags, true, &lack);
		mtx_unlock(&kmem_gather_lock);
		if (rounds != 0 && vm_wait_seen_elsewhere())
			break;
	}
	kmem_wait_end(&w);
	return (va);
}

/* What no request may ask for; `size` comes back in whole pages. */
static bool
request_ok(const char *func, vm_size_t *size, int flags)
{
	vm_size_t len = round_page(*size);
	bool waits_once = ((flags & M_NOWAIT) != 0) != ((flags & M_WAITOK) != 0);

	CHECK(*size != 0 && len >= *size, "%s: size %zu", func, *size);
	CHECK(waits_once, "%s: flags 0x%x: one of M_NOWAIT and M_WAITOK", func, (unsigned)flags);
	CHECK((flags & M_USE_RESERVE) == 0 || (flags & M_NOWAIT) != 0,
	    "%s: flags 0x%x: M_USE_RESERVE goes with M_NOWAIT", func, (unsigned)flags);
	if (*size == 0 || len < *size || !waits_once ||
	    (flags & (M_USE_RESERVE | M_WAITOK)) == (M_USE_RESERVE | M_WAITOK))
		return (false);
	*size = len;
	return (true);
}

bool
kmem_possible(vm_size_t size, struct domain_iter *it)
{
	uint64_t pages = 0;

	(void)domain_iter_restart(it);
	while (domain_iter_next(it))
		pages += page_domains[it->domain].total - page_domains[it->domain].interrupt;
	return (atop(size) <= pages &&
		size <= vmem_size(kmem_arena_of(SOURCE_ROOT)->vm, VMEM_ALLOC | VMEM_FREE));
}

void *
kmem_malloc_rounds(struct domainset *ds, vm_size_t size, int flags, unsigned rounds)
{
	struct domain_iter it;
	vm_offset_t va;
	enum lack lack;

	if (!request_ok("kmem_malloc", &size, flags))
		return (NULL);
	domain_iter_start(&it, ds);
	va = attempt(&it, size, flags, false, &lack);
	if (va == 0 && (flags & M_WAITOK) != 0 && kmem_possible(size, &it))
		va = attempt_waiting(&it, size, flags, rounds);
	return ((void *)va);
}

void *
kmem_malloc_domainset(struct domainset *ds, vm_size_t size, int flags)
{
	return (kmem_malloc_rounds(ds, size, flags, 0));
}

void *
kmem_malloc(vm_size_t size, int flags)
{
	return (kmem_malloc_domainset(NULL, size, flags));
}

/*
 * The arena and the length are what the first page's record says; a caller who says otherwise is
 * stopped before anything is undone.
 */
void
kmem_free(void *addr, vm_size_t size)
{
	vm_offset_t va = (vm_offset_t)addr;
	struct vm_page *m = page_of_va(va);
	struct kmem_arena *ka = m != NULL ? kmem_arena_of(m->source) : NULL;

	if (FAULT(freed_to_the_wrong_arena))
		ka = kmem_domain_arena((int)machine_cpu_domain(machine_cpu()));
	size = round_page(size);
	MUST((va & PAGE_MASK) == 0 && ka != NULL && m->run != 0,
	    "kmem_free: %p is not the start of an allocation", addr);
	MUST(m->run == atop(size), "kmem_free: %p: %zu bytes, but %zu were allocated", addr, size,
	    ptoa(m->run));
	m->run = 0;
	kmem_drain(va, atop(size));
	kmem_kva_free(ka, va, size);
}

/* ---- pages under a caller's own address space -------------------------------------------------------- */

static bool
range_ok(const char *func, vm_offset_t addr, vm_size_t size)
{
	vm_offset_t base;
	vm_size_t window;
	bool ok;

	machine_kva(&base, &window);
	ok = (addr & PAGE_MASK) == 0 && size != 0 && size <= window && addr >= base &&
	     addr - base <= window - size;
	CHECK(ok, "%s: 0x%lx, %zu bytes: not a range of kernel address space", func,
	    (unsigned long)addr, size);
	return (ok);
}

/* Mapping over a page would lose it. */
static bool
range_is_bare(const char *func, vm_offset_t addr, vm_size_t size)
{
	for (vm_offset_t va = addr; va - addr < size; va += PAGE_SIZE) {
		if (likely(page_of_va(va) == NULL))
			continue;
		CHECK(false, "%s: 0x%lx, %zu bytes: there is a page at 0x%lx already", func,
		    (unsigned long)addr, size, (unsigned long)va);
		return (false);
	}
	return (true);
}

static bool
back_attempt(vm_offset_t addr, unsigned long n, struct domain_iter *it, int flags)
{
	bool done;
	int first;

	if ((flags & M_WAITOK) != 0)
		mtx_lock(&kmem_gather_lock);
	done = kmem_pages_available(n, it, flags, &first) &&
	       kmem_fill(addr, n, it, first, flags, SOURCE_CALLER) == 0;
	if ((flags & M_WAITOK) != 0)
		mtx_unlock(&kmem_gather_lock);
	return (done);
}

static int
back(const char *func, vm_offset_t addr, vm_size_t size, struct domainset *ds, int flags)
{
	struct domain_iter it;
	bool swept = false;
	uint64_t frees;
	int domain; /* whose pages to wait for; -1: any */

	if (!request_ok(func, &size, flags) || !range_ok(func, addr, size) ||
	    !range_is_bare(func, addr, size))
		return (COOPER_EINVAL);
	domain_iter_start(&it, ds);
	domain = ds != NULL && is_pow2(it.usable) ? (int)ffs_size(it.usable) - 1 : -1;
	if ((flags & M_WAITOK) != 0 && !kmem_possible(size, &it))
		return (COOPER_ENOMEM);
	for (;;) {
		frees = vm_page_frees(domain);
		if (back_attempt(addr, atop(size), &it, flags))
			return (0);
		if ((flags & M_NOWAIT) != 0)
			return (COOPER_ENOMEM);
		if (swept)
			wait_for_pages(domain, atop(size), &it, flags, frees);
		else
			(void)page_daemon_pass(domain, PRESSURE_SEVERE);
		swept = true;
	}
}

int
kmem_back(vm_offset_t addr, vm_size_t size, int flags)
{
	return (back("kmem_back", addr, size, NULL, flags));
}

int
kmem_back_domainset(vm_offset_t addr, vm_size_t size, struct domainset *ds, int flags)
{
	return (back("kmem_back", addr, size, ds, flags));
}

int
kmem_back_domain(int domain, vm_offset_t addr, vm_size_t size, int flags)
{
	struct domainset fixed = { .policy = DOMAINSET_FIXED, .prefer = domain };
	bool ok = domain >= 0 && domain < COOPER_MAXDOMAIN;

	CHECK(ok, "kmem_back_domain: domain %d", domain);
	return (ok ? back("kmem_back_domain", addr, size, &fixed, flags) : COOPER_EINVAL);
}

void
kmem_unback(vm_offset_t addr, vm_size_t size)
{
	struct vm_page *m = page_of_va(addr);

	size = round_page(size);
	MUST(range_ok(__func__, addr, size) && m != NULL && m->source == SOURCE_CALLER,
	    "kmem_unback: 0x%lx has no page of kmem_back's", (unsigned long)addr);
	kmem_drain(addr, atop(size));
}
