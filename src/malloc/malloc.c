/*
 * malloc(9): requests checked, sized, counted; the memory is the zones' (zones.c) or kmem's
 * (large.c). A block's type is not recorded with it: freeing under another type shows in the
 * statistics, as in the field.
 */
#include "malloc/malloc_int.h"
#include "uma/uma_int.h"

#define MALLOC_FLAGS (M_NOWAIT | M_WAITOK | M_ZERO | M_NODUMP | M_USE_RESERVE | M_NORECLAIM)

/* Is this a request that malloc(9) accepts? Makes the type's counters. */
static bool
request_ok(const char *func, struct malloc_type *type, int flags)
{
	int wait = flags & (M_NOWAIT | M_WAITOK);
	bool ok = (wait == M_NOWAIT || wait == M_WAITOK) && (flags & ~MALLOC_FLAGS) == 0 &&
		  (wait == M_NOWAIT || (flags & M_USE_RESERVE) == 0);

	if (MISUSE(!ok,
		"%s: type %s: flags 0x%x: one of M_NOWAIT and M_WAITOK, none of M_EXEC, M_NOVM and "
		"M_NEVERFREED, M_USE_RESERVE only with M_NOWAIT",
		func, type->ks_shortdesc, (unsigned)flags))
		return (false);
	return (malloc_type_ready(type, flags));
}

/*
 * From the domains of ds, each in turn. Then M_WAITOK waits for pages: of any domain if the set has
 * all of them, else of the one tried last.
 */
static void *
zone_alloc_domains(uma_zone_t zone, struct domainset *ds, int flags)
{
	bool all = ds->mask == 0 && ds->policy != DOMAINSET_FIXED;
	struct domain_iter it;
	uint64_t seen;
	int wait;
	void *p;

	for (;;) {
		wait = all ? -1 : MAX(ds->prefer, 0);
		seen = vm_page_frees(wait);
		domain_iter_start(&it, ds);
		if (it.usable == 0)
			return (NULL);
		while (domain_iter_next(&it)) {
			p = uma_zalloc_domain(
			    zone, NULL, it.domain, (flags & ~M_WAITOK) | M_NOWAIT);
			if (p != NULL)
				return (p);
			wait = all ? -1 : it.domain;
		}
		if ((flags & M_WAITOK) == 0)
			return (NULL);
		if (!vm_wait_domain(wait))
			vm_wait_free(wait, PAGE_SYSTEM, seen);
	}
}

/* A block of the class, or a larger one where M_NOWAIT meets a class that has no zone yet. */
static void *
class_alloc(unsigned class, struct domainset *ds, int flags)
{
	uma_zone_t zone = atomic_load_acquire(&malloc_zones[class]);

	if (unlikely(zone == NULL)) {
		zone = flags & M_WAITOK ? malloc_zone_make(class) : malloc_zone_near(class);
		if (zone == NULL)
			return (malloc_large_alloc(malloc_class_size(class), 0, ds, flags));
	}
	if (ds != NULL && page_ndomains() > 1)
		return (zone_alloc_domains(zone, ds, flags));
	return (uma_zalloc(zone, flags));
}

/* Count a request's outcome under its type, by the block that it really got. */
static void *
counted(void *p, struct malloc_type *type)
{
	unsigned code;

	if (p == NULL) {
		malloc_count_failure(type, false);
		return (NULL);
	}
	code = malloc_code(p);
	if (malloc_code_is_class(code))
		malloc_count_alloc(type, malloc_class_size(code - MALLOC_CODE_CLASS), false);
	else
		malloc_count_alloc(type, malloc_large_size(p), true);
	return (p);
}

static void *
alloc(size_t size, size_t align, struct domainset *ds, struct malloc_type *type, int flags)
{
	unsigned class;

	if (align <= 16)
		class =
		    size <= MALLOC_SMALL_MAX ? malloc_class(MAX(size, (size_t)1)) : MALLOC_CLASSES;
	else
		class = malloc_class_aligned(size, align);
	return (counted(class < MALLOC_CLASSES ? class_alloc(class, ds, flags)
					       : malloc_large_alloc(size, align, ds, flags),
	    type));
}

void *
cooper_malloc(size_t size, struct malloc_type *type, int flags)
{
	if (!request_ok("malloc", type, flags))
		return (NULL);
	return (alloc(size, 0, NULL, type, flags));
}

void *
cooper_malloc_domainset(size_t size, struct malloc_type *type, struct domainset *ds, int flags)
{
	if (!request_ok("malloc_domainset", type, flags))
		return (NULL);
	return (alloc(size, 0, ds, type, flags));
}

/* ---- the kinds, each with a domain set and without; `func` is the one that was called ------------- */

static void *
alloc_array(const char *func, size_t n, size_t size, struct domainset *ds, struct malloc_type *type,
    int flags)
{
	size_t bytes;

	if (!request_ok(func, type, flags))
		return (NULL);
	if (__builtin_mul_overflow(n, size, &bytes)) {
		malloc_count_failure(type, true);
		return (NULL);
	}
	return (alloc(bytes, 0, ds, type, flags));
}

void *
cooper_mallocarray(size_t n, size_t size, struct malloc_type *type, int flags)
{
	return (alloc_array("mallocarray", n, size, NULL, type, flags));
}

void *
cooper_mallocarray_domainset(
    size_t n, size_t size, struct malloc_type *type, struct domainset *ds, int flags)
{
	return (alloc_array("mallocarray_domainset", n, size, ds, type, flags));
}

static void *
alloc_aligned(const char *func, size_t size, size_t align, struct domainset *ds,
    struct malloc_type *type, int flags)
{
	if (MISUSE(!is_pow2(align), "%s: type %s: alignment %zu is not a power of two", func,
		type->ks_shortdesc, align) ||
	    !request_ok(func, type, flags))
		return (NULL);
	return (alloc(size, align, ds, type, flags));
}

void *
cooper_malloc_aligned(size_t size, size_t align, struct malloc_type *type, int flags)
{
	return (alloc_aligned("malloc_aligned", size, align, NULL, type, flags));
}

void *
cooper_malloc_domainset_aligned(
    size_t size, size_t align, struct malloc_type *type, struct domainset *ds, int flags)
{
	return (alloc_aligned("malloc_domainset_aligned", size, align, ds, type, flags));
}

static void *
alloc_exec(const char *func, size_t size, struct domainset *ds, struct malloc_type *type, int flags)
{
	if (!request_ok(func, type, flags))
		return (NULL);
	return (counted(malloc_large_alloc(size, 0, ds, flags | M_EXEC), type));
}

void *
cooper_malloc_exec(size_t size, struct malloc_type *type, int flags)
{
	return (alloc_exec("malloc_exec", size, NULL, type, flags));
}

void *
cooper_malloc_domainset_exec(size_t size, struct malloc_type *type, struct domainset *ds, int flags)
{
	return (alloc_exec("malloc_domainset_exec", size, ds, type, flags));
}

static void *
alloc_contig(const char *func, size_t size, struct domainset *ds, struct malloc_type *type,
    int flags, const struct malloc_demand *dm)
{
	bool ok = (dm->align == 0 || is_pow2(dm->align)) &&
		  (dm->boundary == 0 || is_pow2(dm->boundary)) && dm->low < dm->high;

	if (MISUSE(!ok, "%s: type %s: align %zu, boundary 0x%llx or window 0x%llx..0x%llx", func,
		type->ks_shortdesc, dm->align, (unsigned long long)dm->boundary,
		(unsigned long long)dm->low, (unsigned long long)dm->high) ||
	    !request_ok(func, type, flags))
		return (NULL);
	return (counted(malloc_large_contig(size, ds, flags, dm), type));
}

void *
cooper_contigmalloc(size_t size, struct malloc_type *type, int flags, vm_paddr_t low,
    vm_paddr_t high, size_t align, vm_paddr_t boundary)
{
	struct malloc_demand dm = { low, high, align, boundary };

	return (alloc_contig("contigmalloc", size, NULL, type, flags, &dm));
}

void *
cooper_contigmalloc_domainset(size_t size, struct malloc_type *type, struct domainset *ds,
    int flags, vm_paddr_t low, vm_paddr_t high, size_t align, vm_paddr_t boundary)
{
	struct malloc_demand dm = { low, high, align, boundary };

	return (alloc_contig("contigmalloc_domainset", size, ds, type, flags, &dm));
}

/* ---- free and what else takes a block ------------------------------------------------------------ */

size_t
malloc_block_size(const char *func, const void *p, unsigned code)
{
	MUST(code != MALLOC_CODE_NONE &&
		 (malloc_code_is_class(code) || ((vm_offset_t)p & PAGE_MASK) == 0),
	    "%s: address %p is not an allocated block", func, p);
	if (unlikely(core_debug) && malloc_code_is_class(code))
		(void)check_free(malloc_zones[code - MALLOC_CODE_CLASS], func, (void *)p);
	return (malloc_code_is_class(code) ? malloc_class_size(code - MALLOC_CODE_CLASS)
					   : malloc_large_size(p));
}

static void
block_free(void *p, unsigned code)
{
	if (likely(malloc_code_is_class(code)))
		uma_zfree(malloc_zones[code - MALLOC_CODE_CLASS], p);
	else
		malloc_large_free(p, code);
}

void
cooper_free(void *p, struct malloc_type *type)
{
	unsigned code = malloc_code(p);

	if (p == NULL)
		return;
	malloc_count_free(type, malloc_block_size("free", p, code));
	block_free(p, code);
}

void
cooper_zfree(void *p, struct malloc_type *type)
{
	unsigned code = malloc_code(p);
	size_t size;

	if (p == NULL)
		return;
	size = malloc_block_size("zfree", p, code);
	memset(p, 0, size);
	__asm__ volatile("" : : "r"(p) : "memory"); /* the zeroes are meant, nobody reads them */
	malloc_count_free(type, size);
	block_free(p, code);
}

size_t
cooper_malloc_usable_size(const void *p)
{
	return (p == NULL ? 0 : malloc_block_size("malloc_usable_size", p, malloc_code(p)));
}

size_t
cooper_malloc_size(size_t size)
{
	if (size <= MALLOC_SMALL_MAX)
		return (malloc_class_size(malloc_class(MAX(size, (size_t)1))));
	return (size <= cooper_shape()->kva_size ? round_page(size) : 0);
}

void *
cooper_realloc(void *p, size_t size, struct malloc_type *type, int flags)
{
	size_t old;
	void *q;

	if (!request_ok("realloc", type, flags))
		return (NULL);
	if (p == NULL)
		return (alloc(size, 0, NULL, type, flags));
	old = malloc_block_size("realloc", p, malloc_code(p));
	if (size <= old && (size > old / 2 || old == malloc_class_size(0)))
		return (p);
	q = alloc(size, 0, NULL, type, flags);
	if (q != NULL) {
		memcpy(q, p, MIN(old, size));
		cooper_free(p, type);
	}
	return (q);
}

void *
cooper_reallocf(void *p, size_t size, struct malloc_type *type, int flags)
{
	void *q = cooper_realloc(p, size, type, flags);

	if (q == NULL)
		cooper_free(p, type);
	return (q);
}
