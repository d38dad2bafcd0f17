/*
 * Each public request that may not wait, with its k-th internal request made to fail for every k until it
 * succeeds: after each failure counts, free items, tags and pages are as they were.
 */
#include <string.h>

#include <cooper/kmem.h>
#include <cooper/malloc.h>
#include <cooper/smr.h>
#include "harness.h"
#include "kmem/kmem_int.h"
#include "malloc/malloc_int.h"
#include "uma/uma_int.h"
#include "vmem/vmem_int.h"

MALLOC_DEFINE(M_FAILS, "fails", "memory of the failing requests");

/* ---- what must not change ------------------------------------------------------------------------------ */

struct snapshot {
	unsigned long pages; /* free, tag slabs counted as free: they come and go */
	unsigned long bytes; /* of all other slabs and tables */
	uint64_t used, cached, limit;
	unsigned long types;     /* bytes of M_FAILS */
	vmem_size_t size, inuse; /* of the arenas below */
	uint32_t busy, free, spans, spare;
	vmem_size_t root; /* of address space in callers' hands; without tag slabs' */
};

static vmem_t *parent, *arena;
static struct snapshot *filling;

static void
add_zone(const struct uma_zone_stat *st, void *arg)
{
	(void)arg;
	filling->limit += st->limit_items;
	if ((st->flags & (UMA_ZONE_VM | UMA_ZONE_PCPU)) == UMA_ZONE_VM)
		return;
	filling->used += st->used;
	filling->cached += st->cached_cpu + st->cached_depot;
}

static void
add_arena(const vmem_t *vm)
{
	filling->size += vm->size;
	filling->inuse += vm->inuse;
	filling->busy += vm->nbusy;
	filling->free += vm->nfree;
	filling->spans += vm->nspan;
	filling->spare += vm->nspare;
}

static void
settle(void)
{
	do {
		for (unsigned i = 0; i < 3; i++)
			uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	} while (page_daemon_pass(-1, PRESSURE_SEVERE) != 0);
}

static void
take_snapshot(void *out, void *arg)
{
	struct malloc_type_stats sum;
	struct page_domain_stat st;
	unsigned long tags = 0;

	(void)arg;
	settle();
	filling = out;
	for (unsigned d = 0; d < page_ndomains(); d++) {
		page_stat(d, &st);
		filling->pages += st.free;
		tags += tag_zone->keg->domain[d].pages;
	}
	filling->pages += tags;
	filling->bytes = uma_size() - ptoa(tags);
	uma_each_zone_stat(add_zone, NULL);
	malloc_type_sum(M_FAILS, &sum);
	filling->types = sum.memalloced - sum.memfreed;
	add_arena(parent);
	add_arena(arena);
	filling->root = vmem_size(kmem_arena_of(SOURCE_EXEC)->vm, VMEM_ALLOC);
}

/* ---- the requests ---------------------------------------------------------------------------------------- */

#define MOST 40

static uma_zone_t zone;
static void *got[MOST];
static unsigned ngot, nwant;
static vmem_addr_t at;
static vm_offset_t range;
static vmem_t *made;
static char *block;

static bool
zone_attempt(void *arg)
{
	(void)arg;
	for (ngot = 0; ngot < nwant; ngot++) {
		got[ngot] = (zone->flags & UMA_ZONE_SMR) != 0    ? uma_zalloc_smr(zone, M_NOWAIT)
			    : (zone->flags & UMA_ZONE_PCPU) != 0 ? uma_zalloc_pcpu(zone, M_NOWAIT)
								 : uma_zalloc(zone, M_NOWAIT);
		if (got[ngot] == NULL)
			break;
	}
	if (ngot == nwant)
		return (true);
	while (ngot > 0)
		if ((zone->flags & UMA_ZONE_SMR) != 0)
			uma_zfree_smr(zone, got[--ngot]);
		else
			uma_zfree(zone, got[--ngot]);
	return (false);
}

static void
zone_undo(void *arg)
{
	(void)arg;
	while (ngot > 0)
		if ((zone->flags & UMA_ZONE_SMR) != 0)
			uma_zfree_smr(zone, got[--ngot]);
		else
			uma_zfree(zone, got[--ngot]);
}

/* The others: one function each, with take = false to undo. */
static bool
keep(void *p)
{
	got[0] = p;
	return (p != NULL);
}

#define MALLOC_CASE(name, call)               \
	static bool name(bool take)           \
	{                                     \
		if (take)                     \
			return (keep(call));  \
		cooper_free(got[0], M_FAILS); \
		return (true);                \
	}
MALLOC_CASE(do_small, cooper_malloc(100, M_FAILS, M_NOWAIT | M_ZERO))
MALLOC_CASE(do_array, cooper_mallocarray(30, 100, M_FAILS, M_NOWAIT))
MALLOC_CASE(do_page, cooper_malloc(PAGE_SIZE, M_FAILS, M_NOWAIT))
MALLOC_CASE(do_class, cooper_malloc(40000, M_FAILS, M_NOWAIT))
MALLOC_CASE(do_large, cooper_malloc(300000, M_FAILS, M_NOWAIT))
MALLOC_CASE(do_exec, cooper_malloc_exec(5000, M_FAILS, M_NOWAIT))
MALLOC_CASE(do_aligned, cooper_malloc_aligned(100, 1024, M_FAILS, M_NOWAIT))
MALLOC_CASE(do_large_aligned, cooper_malloc_aligned(100000, 65536, M_FAILS, M_NOWAIT))
MALLOC_CASE(do_contig, cooper_contigmalloc(50000, M_FAILS, M_NOWAIT, 0, ~(vm_paddr_t)0, 0, 0))
MALLOC_CASE(do_domainset, cooper_malloc_domainset(3000, M_FAILS,
			      &(struct domainset){ .policy = DOMAINSET_ROUNDROBIN }, M_NOWAIT))
MALLOC_CASE(do_array_domainset, cooper_mallocarray_domainset(1000, 100, M_FAILS,
				    &(struct domainset){ .policy = DOMAINSET_PREFER }, M_NOWAIT))
MALLOC_CASE(do_aligned_domainset, cooper_malloc_domainset_aligned(100000, 65536, M_FAILS,
				      &(struct domainset){ .policy = DOMAINSET_FIXED }, M_NOWAIT))
MALLOC_CASE(do_exec_domainset, cooper_malloc_domainset_exec(5000, M_FAILS,
				   &(struct domainset){ .policy = DOMAINSET_FIXED }, M_NOWAIT))
MALLOC_CASE(do_contig_domainset,
    cooper_contigmalloc_domainset(50000, M_FAILS, &(struct domainset){ .policy = DOMAINSET_FIXED },
	M_NOWAIT, 0, ~(vm_paddr_t)0, 0, 0))

/* The old block stays as it was, contents included, unless there is a new one. */
static bool
do_realloc(bool take)
{
	char *p;

	if (!take) {
		block = cooper_realloc(block, 5000, M_FAILS, M_WAITOK);
		return (true);
	}
	p = cooper_realloc(block, 200000, M_FAILS, M_NOWAIT);
	TEST_MUST((p != NULL ? p : block)[4999] == 'e');
	if (p != NULL)
		block = p;
	return (p != NULL);
}

static bool
do_kmem(bool take)
{
	if (take)
		return (keep(kmem_malloc(300 * PAGE_SIZE, M_NOWAIT)));
	kmem_free(got[0], 300 * PAGE_SIZE);
	return (true);
}

static bool
do_kmem_exec(bool take)
{
	if (take)
		return (keep(kmem_malloc(2 * PAGE_SIZE, M_NOWAIT | M_EXEC)));
	kmem_free(got[0], 2 * PAGE_SIZE);
	return (true);
}

static bool
do_kmem_contig(bool take)
{
	if (take)
		return (keep(kmem_alloc_contig(
		    16 * PAGE_SIZE, M_NOWAIT, 0, ~(vm_paddr_t)0, 4 * PAGE_SIZE, 0, 0)));
	kmem_free(got[0], 16 * PAGE_SIZE);
	return (true);
}

static bool
do_kmem_attr(bool take)
{
	if (take)
		return (keep(kmem_alloc_attr(20 * PAGE_SIZE, M_NOWAIT, 0, ~(vm_paddr_t)0, 0)));
	kmem_free(got[0], 20 * PAGE_SIZE);
	return (true);
}

static bool
do_kva(bool take)
{
	if (take)
		return (keep((void *)kva_alloc_aligned(3 * PAGE_SIZE, 8 * PAGE_SIZE)));
	kva_free((vm_offset_t)got[0], 3 * PAGE_SIZE);
	return (true);
}

static bool
do_back(bool take)
{
	if (take)
		return (kmem_back(range, 200 * PAGE_SIZE, M_NOWAIT) == 0);
	kmem_unback(range, 200 * PAGE_SIZE);
	return (true);
}

static bool
do_back_domain(bool take)
{
	if (take)
		return (kmem_back_domain(0, range, 200 * PAGE_SIZE, M_NOWAIT) == 0);
	kmem_unback(range, 200 * PAGE_SIZE);
	return (true);
}

static bool
do_vmem(bool take)
{
	if (take)
		return (vmem_alloc(arena, 48, M_NOWAIT | M_FIRSTFIT, &at) == 0);
	vmem_free(arena, at, 48);
	return (true);
}

static bool
do_vmem_x(bool take)
{
	if (take)
		return (vmem_xalloc(arena, 48, 128, 32, 256, VMEM_ADDR_MIN, VMEM_ADDR_MAX,
			    M_NOWAIT | M_BESTFIT, &at) == 0);
	vmem_xfree(arena, at, 48);
	return (true);
}

static bool
do_vmem_create(bool take)
{
	if (!take) {
		vmem_destroy(made);
		return (true);
	}
	made = vmem_create("made", 4096, 4096, 16, 0, M_NOWAIT);
	return (made != NULL);
}

/* A span cannot be taken away again, so the arena that it is added to goes with it. */
static bool
do_vmem_add(bool take)
{
	bool done;

	if (!take)
		return (true);
	made = vmem_create("made", 0, 0, 16, 0, M_WAITOK);
	done = vmem_add(made, 4096, 4096, M_NOWAIT) == 0;
	TEST_MUST(vmem_size(made, VMEM_FREE) == (done ? 4096 : 0));
	vmem_destroy(made);
	return (done);
}

static bool
do_smr(bool take)
{
	static smr_t smr;

	if (take)
		return ((smr = smr_create("fails", 0, 0)) != NULL);
	smr_destroy(smr);
	return (true);
}

static bool
other_attempt(void *arg)
{
	return ((*(bool (**)(bool))arg)(true));
}

static void
other_undo(void *arg)
{
	(void)(*(bool (**)(bool))arg)(false);
	settle();
}

/* ---- the tests ---------------------------------------------------------------------------------------------- */

static int
import_for_arena(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	return (vmem_alloc(arg, size, (flags & (M_NOWAIT | M_WAITOK)) | M_BESTFIT, addrp));
}

static void
release_for_arena(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	vmem_free(arg, addr, size);
}

static int
make_things(void **state)
{
	(void)state;
	parent = vmem_create("parent", 4096, 1 << 20, 16, 0, M_WAITOK);
	arena = vmem_create("arena", 0, 0, 16, 0, M_WAITOK);
	vmem_set_import(arena, import_for_arena, release_for_arena, parent, 1024);
	range = kva_alloc(200 * PAGE_SIZE);
	block = cooper_malloc(5000, M_FAILS, M_WAITOK);
	memset(block, 'e', 5000);
	cooper_malloc_prepare();
	return (0);
}

/* How many injected failures the request has felt; the others it rode over. */
static unsigned
each_k(bool (*attempt)(void *), void (*undo)(void *), void *arg)
{
	struct inject_case c = { attempt, undo, take_snapshot, sizeof(struct snapshot), arg };

	if (attempt(arg)) /* what is made once and stays */
		undo(arg);
	return (inject_each(&c));
}

static int
import_from_zone(void *arg, void **store, int count, int domain, int flags)
{
	int n;

	(void)domain;
	for (n = 0; n < count; n++)
		if ((store[n] = uma_zalloc(arg, (flags & ~M_WAITOK) | M_NOWAIT)) == NULL)
			break;
	return (n);
}

static void
release_to_zone(void *arg, void **store, int count)
{
	for (int i = 0; i < count; i++)
		uma_zfree(arg, store[i]);
}

static void
each_kind_of_zone(void **state)
{
	static const struct {
		size_t size;
		uint32_t flags;
		unsigned want;
	} kinds[] = { { 64, 0, MOST }, { PAGE_SIZE, 0, 3 }, { 5 * PAGE_SIZE, 0, 3 },
		{ 96, UMA_ZONE_SMR, MOST }, { 64, UMA_ZONE_PCPU, 3 },
		{ 300, UMA_ZONE_NOTPAGE, MOST }, { 500, UMA_ZONE_NOBUCKET, 20 },
		{ 48, UMA_ZONE_NOTOUCH, 5 }, { 200, UMA_ZONE_CACHESPREAD, MOST },
		{ 3 * PAGE_SIZE, UMA_ZONE_CONTIG, 4 }, { 128, UMA_ZONE_ROUNDROBIN, MOST } };
	uma_zone_t other;

	(void)state;
	for (unsigned i = 0; i < nitems(kinds); i++) {
		zone = uma_zcreate("fails", kinds[i].size, NULL, NULL, NULL, NULL,
		    (kinds[i].flags & UMA_ZONE_CACHESPREAD) != 0 ? UMA_ALIGN_CACHE : 7,
		    kinds[i].flags);
		nwant = kinds[i].want;
		(void)each_k(zone_attempt, zone_undo, NULL);
		uma_zdestroy(zone);
	}
	nwant = MOST;
	other = uma_zcreate("primary", 100, NULL, NULL, NULL, NULL, 7, 0);
	zone = uma_zsecond_create("secondary", NULL, NULL, NULL, NULL, other);
	uma_zone_set_max(zone, 100000);
	(void)each_k(zone_attempt, zone_undo, NULL);
	uma_zdestroy(zone);
	zone = uma_zcache_create(
	    "cache", 100, NULL, NULL, NULL, NULL, import_from_zone, release_to_zone, other, 0);
	(void)each_k(zone_attempt, zone_undo, NULL);
	uma_zdestroy(zone);
	uma_zdestroy(other);
}

static void
each_other_request(void **state)
{
	/* Zones ride over one failure: a fill that fails is followed by a request for the one item. */
	static const struct {
		bool (*fn)(bool);
		const char *name;
		bool rides;
	} all[] = {
#define FELT(fn) { fn, #fn, false }
#define RIDES(fn)             \
	{                     \
		fn, #fn, true \
	}
		RIDES(do_small), RIDES(do_array), RIDES(do_page), RIDES(do_class), FELT(do_large),
		FELT(do_exec), RIDES(do_aligned), FELT(do_large_aligned), FELT(do_contig),
		RIDES(do_domainset), FELT(do_array_domainset), FELT(do_aligned_domainset),
		FELT(do_exec_domainset), FELT(do_contig_domainset), FELT(do_realloc), FELT(do_kmem),
		FELT(do_kmem_exec), FELT(do_kmem_contig), FELT(do_kmem_attr), FELT(do_kva),
		FELT(do_back), FELT(do_back_domain), FELT(do_vmem), FELT(do_vmem_x),
		RIDES(do_vmem_create), RIDES(do_vmem_add), FELT(do_smr)
	};

	(void)state;
	for (unsigned i = 0; i < nitems(all); i++) {
		bool (*fn)(bool) = all[i].fn;
		unsigned failed = each_k(other_attempt, other_undo, &fn);

		if (failed == 0 && page_ndomains() == 1 && !all[i].rides)
			fail_msg("%s: no injected failure was felt", all[i].name);
	}
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_kind_of_zone, make_things, NULL),
		cmocka_unit_test(each_other_request),
	};

	return (harness_main(argc, argv, tests, nitems(tests)));
}
