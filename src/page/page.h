/*
 * Physical pages: the page array, buddy free lists per memory domain, watermarks, the page daemon.
 *
 * A struct vm_page describes a page for ever; the array is indexed by page number from the lowest
 * segment and is not touched before its page is first used, so that start-up costs nothing for
 * memory nobody asks for.
 *
 * Locks: one mtx a domain (rank PAGE) guards its free lists, its counts and the pages on them. An
 * allocated page belongs to its owner, who may read and write its fields without a lock.
 */
#ifndef PAGE_PAGE_H
#define PAGE_PAGE_H

#include <cooper/domainset.h>
#include "sync/sync.h"

struct slab;

struct vm_page {
	union {
		struct slab *slab;  /* owner's: the slab (VTOSLAB), or a tagged size, see below */
		uintptr_t owner;    /* the same word as a number */
	};
	uint32_t next, prev;        /* free: page numbers of the neighbours on the list */
	uint8_t order;              /* free: the block's order at its first page */
	uint8_t flags;              /* PG_* */
	uint8_t domain;
	uint8_t source;             /* owner's: enum page_source, which arena its address came from */
	uint32_t spare;
};

#define PG_FREE   0x01 /* first page of a free block */
#define PG_ZERO   0x02 /* contents are known to be zero through the direct map */
#define PG_NOFREE 0x04 /* from the packed NOFREE runs; never comes back */
#define PG_FRESH  0x08 /* never handed out since start */

/* Cookies in the low bits of vm_page.owner, read by malloc and kmem: what lives at this page. */
#define PAGE_OWNER_SLAB   0u /* struct slab * */
#define PAGE_OWNER_LARGE  1u /* a large allocation: bytes << 2 */
#define PAGE_OWNER_CONTIG 2u /* a contiguous allocation: bytes << 2 */
#define PAGE_OWNER_MASK   3u

/* Which classes of memory a request may use: the deeper, the closer to the last page. */
enum page_class { PAGE_NORMAL, PAGE_SYSTEM, PAGE_INTERRUPT };
/* M_USE_RESERVE -> INTERRUPT, else SYSTEM (kernel memory). USE_RESERVE needs NOWAIT (R29). */
enum page_class page_class_of(int flags);

/* ---- start ---------------------------------------------------------------------------------------- */
int page_start(const char **why); /* reads machine_segments() */

/* ---- addresses -------------------------------------------------------------------------------------- */
struct vm_page *page_of_paddr(vm_paddr_t pa); /* NULL if no segment has it */
vm_paddr_t page_paddr(const struct vm_page *m);
struct vm_page *page_of_va(vm_offset_t va);   /* by machine_extract(); NULL if none */

/* ---- allocation --------------------------------------------------------------------------------------
 * All return wired, unmapped pages with owner 0. They never sleep by themselves: M_WAITOK only
 * means that the caller will call vm_wait_domain() and try again. M_NEVERFREED: packed with its like.
 * Failures are injected here.
 */
struct vm_page *vm_page_alloc(int domain, int flags);
/* Up to n single pages (any), returns how many; one lock trip. */
unsigned vm_page_alloc_bulk(int domain, int flags, unsigned n, vm_paddr_t *pa);
/* n physically contiguous pages within [low, high), aligned, not crossing boundary (0 = none). */
struct vm_page *vm_page_alloc_contig(int domain, int flags, unsigned long n, vm_paddr_t low,
    vm_paddr_t high, vm_size_t align, vm_paddr_t boundary);
void vm_page_free(struct vm_page *m);
void vm_page_free_contig(struct vm_page *m, unsigned long n);
void vm_page_free_bulk(const vm_paddr_t *pa, unsigned n);
/* Does any segment of the domain intersect [low, high) at all? (R28) */
bool vm_page_domain_can(int domain, vm_paddr_t low, vm_paddr_t high, unsigned long n);

/*
 * A policy's domains for one call, in order of preference, each once (R9: the iterator is the
 * call's own, a shared cursor only says where to start). domain_iter_remove() takes a domain out
 * for good, for requests that it can never meet (R28).
 */
struct domain_iter {
	uint32_t left;   /* domains still to be tried */
	uint32_t usable; /* domains not removed */
	int domain;      /* the current one; -1 when all have been tried */
	int start;
};
void domain_iter_start(struct domain_iter *it, const struct domainset *ds); /* NULL: first touch */
bool domain_iter_next(struct domain_iter *it);    /* false: each has been tried */
void domain_iter_remove(struct domain_iter *it);  /* the current one; then call next */
bool domain_iter_restart(struct domain_iter *it); /* false: none is usable any more */

/* ---- shortage ----------------------------------------------------------------------------------------
 * Free pages of a domain against its watermarks: target > min > severe > interrupt reserve.
 */
bool vm_page_count_low(int domain);    /* below target: the daemon has work */
bool vm_page_count_min(int domain);    /* below min: NORMAL requests wait */
bool vm_page_count_severe(int domain); /* SYSTEM requests wait soon */

/*
 * Wait until the domain (-1: any) may have a page to give. Channel "vmwait". Runs a daemon pass in
 * this thread first if the shape has no daemon thread and no pass is running. Holds no lock.
 * Returns false if nothing can be expected: the pass freed nothing and no other thread could.
 */
bool vm_wait_domain(int domain);

/* How hard memory is wanted; the argument of lowmem handlers. */
enum page_pressure { PRESSURE_NONE, PRESSURE_LOW, PRESSURE_MIN, PRESSURE_SEVERE };

/* A handler frees what it can without sleeping for memory. At most one pass runs at a time. */
struct lowmem_handler {
	struct list link;
	void (*fn)(enum page_pressure level, int domain, void *arg);
	void *arg;
};
void lowmem_register(struct lowmem_handler *h);
void lowmem_unregister(struct lowmem_handler *h);

/* Run one page-daemon pass now unless one runs (then wait for that one's end). Pages gained. */
unsigned long page_daemon_pass(int domain, enum page_pressure level);
void page_daemon_start(void); /* after everything is up; a thread if the shape wants one */

/* The reclaim that ends each pass: UMA's trim or drain, filled in from above. */
extern void (*page_reclaim_hook)(enum page_pressure level, int domain);

/* Give pages that are free but not zero back to the machine (machine_discard); pages given. */
unsigned long page_discard_free(unsigned long max);

/* ---- statistics ---------------------------------------------------------------------------------------- */
struct page_domain_stat {
	unsigned long total, free, fresh, nofree, largest_order; /* pages; largest free order */
	unsigned long target, min, severe, interrupt;
	uint64_t allocs, frees, fails, contig_allocs, contig_fails, waits, passes;
};
void page_stat(unsigned domain, struct page_domain_stat *out);

#endif
