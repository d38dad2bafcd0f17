/*
 * Typed general-purpose memory: malloc(9) with types and statistics.
 *
 * Functions carry the prefix cooper_ because a hosted program has a malloc of its own; code that is
 * ported from a kernel defines COOPER_MALLOC9_NAMES before including this header and keeps its
 * names.
 */
#ifndef COOPER_MALLOC_H
#define COOPER_MALLOC_H

#include <cooper/domainset.h>

COOPER_BEGIN_DECLS

struct malloc_type {
	const char *ks_shortdesc; /* kept by reference */
	void *ks_stats;           /* per-CPU counters; made at first use or by malloc_init() */
	struct malloc_type *ks_next;
};
#define MALLOC_DEFINE(type, shortdesc, longdesc) struct malloc_type type[1] = { { (shortdesc), NULL, NULL } }
#define MALLOC_DECLARE(type) extern struct malloc_type type[1]

void malloc_init(struct malloc_type *type);
void malloc_uninit(struct malloc_type *type);

void *cooper_malloc(size_t size, struct malloc_type *type, int flags);
void *cooper_mallocarray(size_t n, size_t size, struct malloc_type *type, int flags);
void *cooper_malloc_domainset(size_t size, struct malloc_type *type, struct domainset *ds, int flags);
void *cooper_malloc_aligned(size_t size, size_t align, struct malloc_type *type, int flags);
void *cooper_malloc_exec(size_t size, struct malloc_type *type, int flags);
void *cooper_realloc(void *p, size_t size, struct malloc_type *type, int flags);
void *cooper_reallocf(void *p, size_t size, struct malloc_type *type, int flags);
void cooper_free(void *p, struct malloc_type *type);
void cooper_zfree(void *p, struct malloc_type *type);
size_t cooper_malloc_usable_size(const void *p);
size_t cooper_malloc_size(size_t size); /* what a request of this size would really take */
void *cooper_contigmalloc(size_t size, struct malloc_type *type, int flags, vm_paddr_t low,
    vm_paddr_t high, size_t align, vm_paddr_t boundary);

COOPER_END_DECLS

#ifdef COOPER_MALLOC9_NAMES
#define malloc(size, type, flags)             cooper_malloc(size, type, flags)
#define mallocarray(n, size, type, flags)     cooper_mallocarray(n, size, type, flags)
#define malloc_domainset(size, type, ds, f)   cooper_malloc_domainset(size, type, ds, f)
#define malloc_aligned(size, al, type, flags) cooper_malloc_aligned(size, al, type, flags)
#define malloc_exec(size, type, flags)        cooper_malloc_exec(size, type, flags)
#define realloc(p, size, type, flags)         cooper_realloc(p, size, type, flags)
#define reallocf(p, size, type, flags)        cooper_reallocf(p, size, type, flags)
#define free(p, type)                         cooper_free(p, type)
#define zfree(p, type)                        cooper_zfree(p, type)
#define malloc_usable_size(p)                 cooper_malloc_usable_size(p)
#define contigmalloc(s, t, f, lo, hi, al, bo) cooper_contigmalloc(s, t, f, lo, hi, al, bo)
#define contigfree(p, size, type)             cooper_free(p, type)
#endif

#endif
