/*
 * Typed general-purpose memory: malloc(9) with types and statistics.
 *
 * Semantics: FreeBSD's malloc(9) and contigmalloc(9) manuals. Differences: mallocarray() answers an
 * overflow with NULL instead of a panic; alignments may exceed a page; memory of every kind, from
 * contigmalloc() too, may be given to realloc() and is freed by the one free().
 *
 * Functions carry the prefix cooper_ because a hosted program has a malloc of its own; code that is
 * ported from a kernel defines COOPER_MALLOC9_NAMES before including this header and keeps its
 * names.
 *
 * Common to all that allocate:
 *  - sizes and alignments are bytes; a size of 0 gets the smallest block, a pointer of its own;
 *  - blocks are aligned to 16 bytes; a request whose size class is a multiple of a power of two (up
 *    to a page) is aligned to that; requests above MALLOC_SMALL_MAX are whole pages, page aligned;
 *  - exactly one of M_WAITOK (may sleep, never NULL but for the errors named below) and M_NOWAIT
 *    (never sleeps, NULL when memory is short) must be given. M_ZERO, M_NODUMP, M_USE_RESERVE and
 *    M_NORECLAIM are accepted with it. Other combinations stop the debug shape; otherwise NULL;
 *  - may be called with the caller's own locks held only with M_NOWAIT; never from within a
 *    per-CPU section.
 * Freeing never sleeps.
 */
#ifndef COOPER_MALLOC_H
#define COOPER_MALLOC_H

#include <cooper/domainset.h>

COOPER_BEGIN_DECLS

/* The largest request that is served from a size class; larger ones are whole pages. */
#define MALLOC_SMALL_MAX ((size_t)65536)

struct malloc_type_stats;

/*
 * A type of use, for statistics: who holds how much. Types are static objects of the program; all
 * fields are malloc's own.
 */
struct malloc_type {
	const char *ks_shortdesc;           /* kept by reference */
	struct malloc_type_stats *ks_stats; /* one record a CPU; made at first use */
	struct malloc_type *ks_next;        /* on the list of all types */
	unsigned ks_flags;
};
#define MALLOC_DEFINE(type, shortdesc, longdesc) \
	struct malloc_type type[1] = { { (shortdesc), NULL, NULL, 0 } }
#define MALLOC_DECLARE(type) extern struct malloc_type type[1]

/*
 * Put a type in the statistics / take it out. Optional: a type's first allocation does the former.
 * malloc_init may sleep. malloc_uninit warns on the console when memory of the type is still in
 * use; nobody may be using the type.
 */
void malloc_init(struct malloc_type *type);
void malloc_uninit(struct malloc_type *type);

/*
 * Create every size class now. Otherwise a class comes into being at its first request that may
 * sleep; a M_NOWAIT request before that is served from the next larger class there is. May sleep.
 */
void cooper_malloc_prepare(void);

/* `size` bytes. NULL: M_NOWAIT and no memory; a size that no machine could have. */
void *cooper_malloc(size_t size, struct malloc_type *type, int flags);

/* n * size bytes. NULL also when the product overflows, with M_WAITOK too; counted as a failure. */
void *cooper_mallocarray(size_t n, size_t size, struct malloc_type *type, int flags);

/* As malloc, from the domains of `ds` in its order; NULL `ds`: the CPU's domain first. */
void *cooper_malloc_domainset(
    size_t size, struct malloc_type *type, struct domainset *ds, int flags);

/* As malloc, aligned to `align`, a power of two (else stops the debug shape, NULL otherwise). */
void *cooper_malloc_aligned(size_t size, size_t align, struct malloc_type *type, int flags);

/* As malloc; the memory is executable, always whole pages. */
void *cooper_malloc_exec(size_t size, struct malloc_type *type, int flags);

/*
 * Change a block's size, moving it if need be; contents stay up to the smaller size. NULL `p` is a
 * plain malloc. On failure NULL and the old block is as it was. M_ZERO applies to a moved or new
 * block only. A block stays in place while it is large enough and would be more than half used.
 */
void *cooper_realloc(void *p, size_t size, struct malloc_type *type, int flags);

/* As realloc, but on failure the old block is freed. */
void *cooper_reallocf(void *p, size_t size, struct malloc_type *type, int flags);

/*
 * Free any block of this file; NULL is ignored. An address that no block can be at, or that is inside
 * a block of whole pages, stops the machine with one line, in every shape, as it does realloc() and
 * malloc_usable_size(). An address inside a smaller block, or one that is free already, stops the
 * debug shape; the release shape finds it when it reaches its slab. zfree zeroes the block first.
 */
void cooper_free(void *p, struct malloc_type *type);
void cooper_zfree(void *p, struct malloc_type *type);

/* Bytes that may be used at p: at least what was asked for. 0 for NULL. */
size_t cooper_malloc_usable_size(const void *p);

/* Bytes that a request of this size takes. 0 for a size that no machine could have. */
size_t cooper_malloc_size(size_t size);

/*
 * Physically contiguous memory within [low, high), its physical address aligned to `align` (0: a
 * page) and not crossing a multiple of `boundary` (0: none); both powers of two. Whole pages. NULL:
 * no such run, for M_WAITOK too when no domain can ever have one.
 */
void *cooper_contigmalloc(size_t size, struct malloc_type *type, int flags, vm_paddr_t low,
    vm_paddr_t high, size_t align, vm_paddr_t boundary);

/*
 * mallocarray, malloc_aligned, malloc_exec and contigmalloc, as malloc_domainset is to malloc: errors,
 * sizes, alignment and blocking are theirs; the memory is of the domains of `ds` in its order, NULL
 * `ds`: the CPU's domain first. With DOMAINSET_FIXED no other domain is asked: without memory there
 * M_NOWAIT fails, and M_WAITOK waits for that domain's, if the function without a set would wait.
 */
void *cooper_mallocarray_domainset(
    size_t n, size_t size, struct malloc_type *type, struct domainset *ds, int flags);
void *cooper_malloc_domainset_aligned(
    size_t size, size_t align, struct malloc_type *type, struct domainset *ds, int flags);
void *cooper_malloc_domainset_exec(
    size_t size, struct malloc_type *type, struct domainset *ds, int flags);
void *cooper_contigmalloc_domainset(size_t size, struct malloc_type *type, struct domainset *ds,
    int flags, vm_paddr_t low, vm_paddr_t high, size_t align, vm_paddr_t boundary);

COOPER_END_DECLS

#ifdef COOPER_MALLOC9_NAMES
#define malloc(size, type, flags)             cooper_malloc(size, type, flags)
#define mallocarray(n, size, type, flags)     cooper_mallocarray(n, size, type, flags)
#define malloc_domainset(size, type, ds, f)   cooper_malloc_domainset(size, type, ds, f)
#define malloc_aligned(size, al, type, flags) cooper_malloc_aligned(size, al, type, flags)
#define malloc_exec(size, type, flags)        cooper_malloc_exec(size, type, flags)
#define mallocarray_domainset(n, size, type, ds, flags) \
	cooper_mallocarray_domainset(n, size, type, ds, flags)
#define malloc_domainset_aligned(size, al, type, ds, flags) \
	cooper_malloc_domainset_aligned(size, al, type, ds, flags)
#define malloc_domainset_exec(size, type, ds, flags) \
	cooper_malloc_domainset_exec(size, type, ds, flags)
#define realloc(p, size, type, flags)         cooper_realloc(p, size, type, flags)
#define reallocf(p, size, type, flags)        cooper_reallocf(p, size, type, flags)
#define free(p, type)                         cooper_free(p, type)
#define zfree(p, type)                        cooper_zfree(p, type)
#define malloc_usable_size(p)                 cooper_malloc_usable_size(p)
#define malloc_size(size)                     cooper_malloc_size(size)
#define contigmalloc(s, t, f, lo, hi, al, bo) cooper_contigmalloc(s, t, f, lo, hi, al, bo)
#define contigmalloc_domainset(s, t, ds, f, lo, hi, al, bo) \
	cooper_contigmalloc_domainset(s, t, ds, f, lo, hi, al, bo)
#define contigfree(p, size, type) cooper_free(p, type)
#endif

#endif
