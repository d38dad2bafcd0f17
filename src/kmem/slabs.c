/*
 * Where zones get their slabs: uma/backend.h filled in. One page comes from the direct map if the
 * shape has one (the field's uma_small_alloc); everything else is address space with pages.
 *
 * UMA names a domain (or -1) and walks the domains itself. M_WAITOK: a back end that cannot serve
 * waits for what it lacks and returns NULL, and the keg looks at its slabs again: what it waits for
 * may come back as an item there as well.
 */
#include "kmem/kmem_int.h"
#include "page/page_int.h"
#include "uma/backend.h"

static void
domain_set(struct domainset *ds, int domain)
{
	*ds = (struct domainset){
		.policy = domain < 0 ? DOMAINSET_FIRSTTOUCH : DOMAINSET_FIXED,
		.prefer = domain,
	};
}

/* ---- one page of the direct map -------------------------------------------------------------------- */

static struct vm_page *
one_page(int domain, int flags)
{
	struct domainset ds;
	struct domain_iter it;
	struct vm_page *m;

	flags = (flags & ~M_WAITOK) | M_NOWAIT;
	domain_set(&ds, domain);
	domain_iter_start(&it, &ds);
	while (domain_iter_next(&it))
		if ((m = vm_page_alloc(it.domain, flags)) != NULL)
			return (m);
	return (NULL);
}

static void *
small_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait)
{
	uint64_t frees = vm_page_frees(domain);
	struct vm_page *m;
	void *mem;

	(void)zone;
	(void)bytes;
	if ((m = one_page(domain, wait)) == NULL) {
		if ((wait & M_WAITOK) != 0 && !vm_wait_domain(domain))
			vm_wait_free(domain, PAGE_SYSTEM, frees);
		return (NULL);
	}
	mem = machine_direct(page_paddr(m));
	if ((wait & M_ZERO) != 0 && (m->flags & PG_ZERO) == 0)
		memset(mem, 0, PAGE_SIZE);
	*sflag = UMA_SLAB_PRIV;
	return (mem);
}

static void
small_free(void *mem, vm_size_t bytes, uint8_t sflag)
{
	(void)bytes;
	(void)sflag;
	vm_page_free(page_of_va((vm_offset_t)mem));
}

/* ---- whole pages, mapped ------------------------------------------------------------------------------ */

static void *
page_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait)
{
	struct domainset ds;

	(void)zone;
	domain_set(&ds, domain);
	*sflag = UMA_SLAB_KERNEL;
	return (kmem_malloc_rounds(&ds, bytes, wait, KMEM_ROUNDS));
}

static void
page_free(void *mem, vm_size_t bytes, uint8_t sflag)
{
	if (sflag & UMA_SLAB_PRIV)
		small_free(mem, bytes, sflag);
	else
		kmem_free(mem, bytes);
}

static void *
small_or_page_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait)
{
	if (cooper_shape()->direct_map)
		return (small_alloc(zone, bytes, domain, sflag, wait));
	return (page_alloc(zone, bytes, domain, sflag, wait));
}

/* ---- waiting for a slab that takes more than pages ----------------------------------------------------- */

/* Some rounds of it: a slab's keg looks again for an item, and then comes back. */
static vm_offset_t
slab_wait(vm_offset_t (*attempt)(int domain, vm_size_t bytes, int flags), int domain,
    vm_size_t bytes, int flags)
{
	struct kmem_waiter w;
	vm_offset_t va = 0;

	kmem_wait_begin(&w, KMEM_WAIT_KVA);
	for (unsigned round = 0; round < KMEM_ROUNDS && va == 0 && !vm_wait_seen_elsewhere();
	     round++) {
		kmem_wait(&w, bytes);
		kmem_wait_look(&w);
		(void)vm_page_frees(domain); /* its locks: what is freed later is an event */
		mtx_lock(&kmem_gather_lock);
		va = attempt(domain, bytes, flags);
		mtx_unlock(&kmem_gather_lock);
	}
	kmem_wait_end(&w);
	return (va);
}

/* ---- physically contiguous ------------------------------------------------------------------------------ */

static vm_offset_t
contig_attempt(int domain, vm_size_t bytes, int flags)
{
	struct domainset ds;

	domain_set(&ds, domain);
	return ((vm_offset_t)kmem_alloc_contig_domainset(&ds, bytes, (flags & ~M_WAITOK) | M_NOWAIT,
	    0, ~(vm_paddr_t)0, 0, 0, VM_MEMATTR_DEFAULT));
}

/* What must fail fails before it holds anything: what it gives back would keep its like awake. */
static vm_offset_t
contig_attempt_again(int domain, vm_size_t bytes, int flags)
{
	struct domainset ds;
	struct domain_iter it;

	domain_set(&ds, domain);
	domain_iter_start(&it, &ds);
	while (domain_iter_next(&it))
		if (vm_page_contig_available(it.domain, atop(bytes)) &&
		    kmem_kva_available(kmem_domain_arena(it.domain), bytes))
			return (contig_attempt(domain, bytes, flags));
	return (0);
}

/* Pages enough and no run among them is a lack like any other: it is waited for. */
static void *
contig_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait)
{
	vm_offset_t va = contig_attempt(domain, bytes, wait);

	(void)zone;
	*sflag = UMA_SLAB_KERNEL;
	if (va == 0 && (wait & M_WAITOK) != 0)
		va = slab_wait(contig_attempt_again, domain, bytes, wait);
	return ((void *)va);
}

/* ---- one run for each CPU, of its domain if that has pages ---------------------------------------------- */

static bool
pcpu_fill(vm_offset_t va, unsigned long n, int flags, unsigned source)
{
	unsigned ncpus = cooper_shape()->ncpus;
	unsigned long each = n / ncpus, done;

	MUST(each * ncpus == n, "pcpu_alloc: %lu pages for %u CPUs", n, ncpus);
	for (done = 0; done < n; done += each) {
		struct domainset home = { .policy = DOMAINSET_PREFER };
		struct domain_iter it;

		home.prefer = (int)machine_cpu_domain((unsigned)(done / each));
		domain_iter_start(&it, &home);
		if (kmem_fill(va + ptoa(done), each, &it, home.prefer, flags, source) != 0) {
			kmem_drain(va, done);
			return (false);
		}
		page_of_va(va + ptoa(done))->run = done == 0 ? (uint32_t)n : 0;
	}
	return (true);
}

static vm_offset_t
pcpu_attempt(int domain, vm_size_t bytes, int flags)
{
	struct kmem_arena *from;
	struct domain_iter it;
	vm_offset_t va;
	int first;

	(void)domain;
	domain_iter_start(&it, NULL);
	if (!kmem_pages_available(atop(bytes), &it, flags, &first) ||
	    (va = kmem_kva(kmem_domain_arena(first), bytes, 0, &from)) == 0)
		return (0);
	if (pcpu_fill(va, atop(bytes), flags, from->source))
		return (va);
	kmem_kva_free(from, va, bytes);
	return (0);
}

static void *
pcpu_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait)
{
	vm_offset_t va = pcpu_attempt(-1, bytes, wait);

	(void)zone;
	(void)domain;
	*sflag = UMA_SLAB_KERNEL;
	if (va == 0 && (wait & M_WAITOK) != 0)
		va = slab_wait(pcpu_attempt, -1, bytes, wait);
	return ((void *)va);
}

static bool
slab_possible(int domain, vm_size_t bytes)
{
	struct domainset ds;
	struct domain_iter it;

	domain_set(&ds, domain);
	domain_iter_start(&it, &ds);
	return (kmem_possible(bytes, &it));
}

/* Pages under a zone's reserved addresses; domain -1: any. */
static int
slab_back(vm_offset_t va, vm_size_t bytes, int domain, int flags)
{
	return (
	    domain < 0 ? kmem_back(va, bytes, flags) : kmem_back_domain(domain, va, bytes, flags));
}

/* ---- tables of arenas ------------------------------------------------------------------------------------- */

/*
 * A kernel arena's table may come from that very arena. The cut: vmem asks after a request, with no
 * lock and a flag that keeps it from asking again, and never in a refill of tags; without the
 * memory the table has longer chains, and nothing else.
 */
static void *
table_alloc(size_t bytes)
{
	uint8_t sflag;

	return (bytes == PAGE_SIZE ? small_or_page_alloc(NULL, bytes, -1, &sflag, M_NOWAIT)
				   : kmem_malloc(bytes, M_NOWAIT));
}

static void
table_free(void *memory, size_t bytes)
{
	page_free(memory, bytes,
	    bytes == PAGE_SIZE && cooper_shape()->direct_map ? UMA_SLAB_PRIV : UMA_SLAB_KERNEL);
}

const struct table_memory kmem_table_memory = { table_alloc, table_free };

const struct uma_backend kmem_backend = {
	.small = { small_or_page_alloc, page_free },
	.page = { page_alloc, page_free },
	.contig = { contig_alloc, page_free },
	.pcpu = { pcpu_alloc, page_free },
	.kva = kva_alloc,
	.kva_free = kva_free,
	.back = slab_back,
	.unback = kmem_unback,
	.possible = slab_possible,
};
