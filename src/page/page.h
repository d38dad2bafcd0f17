/*
 * Physical pages: the page array, buddy free lists per memory domain, watermarks, the page daemon.
 *
 * A struct vm_page describes a page for ever; the array is indexed by page number from the lowest
 * segment and is not touched before its page is first used, so that start-up costs nothing for
 * memory nobody asks for.
 *
 * Locks: one mtx a domain (rank PAGE) guards its free lists, its counts and the pages on them. An
 * allocated page belongs to its owner, who may read and write its fields without a lock.
 *
 * Nothing here sleeps but vm_wait_domain(), vm_wait_free(), page_daemon_pass() and
 * lowmem_unregister(), which may be called with no lock held. Semantics: FreeBSD's vm_page_alloc(9),
 * vm_page_alloc_contig(9), vm_wait(9); where they differ the function says so.
 */
#ifndef PAGE_PAGE_H
#define PAGE_PAGE_H

#include <cooper/domainset.h>
#include "base/list.h"
#include "machine/machine.h"

struct slab;

struct vm_page {
	union {
		struct slab *slab; /* owner's: the slab (VTOSLAB), or a tagged size, see below */
		uintptr_t owner;   /* the same word as a number; 0 while the page is free */
	};
	uint32_t next, prev; /* free: page numbers of the neighbours on the list; else owner's */
	uint32_t
	    run; /* free, at the first page: NOFREE run: its pages; block: those with contents */
	uint8_t order; /* free: the block's order, at its first page */
	uint8_t flags; /* PG_*: the page room's */
	uint8_t domain;
	uint8_t source; /* owner's: enum page_source, which arena its address came from */
};

#define PG_FREE   0x01 /* first page of a free block or of a free NOFREE run */
#define PG_ZERO   0x02 /* reads as zero through the direct map; true only until first written */
#define PG_NOFREE 0x04 /* in a NOFREE run */
#define PG_WIRED  0x08 /* handed out: somebody owns it */

/* Cookies in the low bits of vm_page.owner, read by malloc and kmem: what lives at this page. */
#define PAGE_OWNER_SLAB   0u /* struct slab * */
#define PAGE_OWNER_LARGE  1u /* malloc: a large block: pages << 2 */
#define PAGE_OWNER_CONTIG 2u /* malloc: a contiguous block: pages << 2 */
#define PAGE_OWNER_MASK   3u

/*
 * Which classes of memory a request may use: the deeper, the closer to the last page. A request
 * for n pages is granted if the domain keeps at least: NORMAL `min`, SYSTEM `interrupt`, INTERRUPT
 * nothing.
 */
enum page_class { PAGE_NORMAL, PAGE_SYSTEM, PAGE_INTERRUPT };
#define PAGE_CLASSES 3
/* M_USE_RESERVE -> INTERRUPT, else SYSTEM (kernel memory). */
enum page_class page_class_of(int flags);

/* ---- start ---------------------------------------------------------------------------------------- */

/*
 * Read machine_segments() and set the domains up; touches no page and only the first words of the
 * page array. Returns 0, or COOPER_EINVAL/COOPER_ENOMEM and *why = one line. Called once.
 */
int page_start(const char **why);

/* Domains 0 .. page_ndomains() - 1; some may have no memory. */
unsigned page_ndomains(void);

/* ---- addresses -------------------------------------------------------------------------------------- */
struct vm_page *page_of_paddr(vm_paddr_t pa); /* NULL if no segment has it */
vm_paddr_t page_paddr(const struct vm_page *m);
struct vm_page *page_of_va(vm_offset_t va); /* by machine_extract(); NULL if none */

/* ---- allocation --------------------------------------------------------------------------------------
 * All return wired, unmapped pages with owner 0. They never sleep by themselves: M_WAITOK only
 * means that the caller will wait (see vm_wait_domain) and try again. M_ZERO changes nothing here:
 * the caller zeroes through its mapping unless PG_ZERO says that it need not. M_NEVERFREED: packed
 * with its like in runs apart, so that pages which never come back pin few superpages (R27); to
 * free one all the same (unwinding) is allowed. M_USE_RESERVE without M_NOWAIT is an error (R29):
 * the debug shape stops, the release shape returns NULL or 0. Failures are injected here.
 */
struct vm_page *vm_page_alloc(int domain, int flags);
/* The same for a class of the caller's choice: memory that is not the kernel's own is NORMAL. */
struct vm_page *vm_page_alloc_class(int domain, enum page_class pclass, int flags);
/* Up to n single pages (any), returns how many; one lock trip. */
unsigned vm_page_alloc_bulk(int domain, int flags, unsigned n, vm_paddr_t *pa);
/*
 * n physically contiguous pages within [low, high), the first aligned to `align` bytes, the run not
 * crossing a multiple of `boundary` bytes (both powers of two; 0: no such demand). M_NORECLAIM:
 * unused NOFREE runs are not broken up to meet it. Returns the first page; NULL if there is no such
 * run, or if the bounded search did not meet it.
 */
struct vm_page *vm_page_alloc_contig(int domain, int flags, unsigned long n, vm_paddr_t low,
    vm_paddr_t high, vm_size_t align, vm_paddr_t boundary);
/* Free what the functions above gave, whole or page by page. Owner words need not be cleared. */
/* Would n pages, anywhere, be had now? A look that takes nothing. */
bool vm_page_contig_available(int domain, unsigned long n);
void vm_page_free(struct vm_page *m);
void vm_page_free_contig(struct vm_page *m, unsigned long n);
void vm_page_free_bulk(const vm_paddr_t *pa, unsigned n);
/* The same for pages whose contents have gone with their mapping (MACHINE_MAP_ZEROES). */
void vm_page_free_unmapped(const vm_paddr_t *pa, unsigned n);
/* Could n contiguous pages of the domain lie within [low, high) if all were free? (R28) */
bool vm_page_domain_can(int domain, vm_paddr_t low, vm_paddr_t high, unsigned long n);

/*
 * A policy's domains for one call, in order of preference, each once (R9: the iterator is the
 * call's own, a shared cursor only says where to start). Domains without memory are left out; a
 * preferred one without memory means the next that has some (R11), a FIXED one means none.
 *
 *	domain_iter_start(&it, ds);
 *	while (domain_iter_next(&it))
 *		try it.domain
 *
 * domain_iter_remove() takes a domain out for good, for requests that it can never meet (R28).
 */
struct domain_iter {
	uint32_t left;   /* domains still to be tried */
	uint32_t usable; /* domains not removed */
	int domain;      /* the current one; -1 before the first and after the last */
	int start;
};
void domain_iter_start(struct domain_iter *it, struct domainset *ds); /* NULL: first touch */
bool domain_iter_next(struct domain_iter *it);    /* false: each has been tried */
void domain_iter_remove(struct domain_iter *it);  /* the current one; then call next */
bool domain_iter_restart(struct domain_iter *it); /* false: none is usable any more */

/* ---- shortage ----------------------------------------------------------------------------------------
 * Free pages of a domain against its watermarks: target > min > severe > interrupt reserve.
 * Domain -1: all that have memory are below it. A hint: no lock is taken.
 */
bool vm_page_count_low(int domain);    /* below target: the daemon has work */
bool vm_page_count_min(int domain);    /* below min: NORMAL requests wait */
bool vm_page_count_severe(int domain); /* SYSTEM requests wait soon */

/*
 * Waiting for pages, all on channel "vmwait". Whoever must have pages does
 *
 *	for (;;) {
 *		seen = vm_page_frees(domain);
 *		if ((m = vm_page_alloc(domain, flags)) != NULL)
 *			break;
 *		if (!vm_wait_domain(domain))
 *			vm_wait_free(domain, class, seen);
 *	}
 *
 * vm_wait_domain: make the domain (-1: any) have a page for a SYSTEM request if that can be had:
 * true at once if there is one, else after one pass of the page daemon, by its thread or by this
 * one. False: the pass did not help.
 *
 * vm_wait_free: sleep until pages have come back to the domain since `seen` was read, and it has
 * one for the class. Woken by that event. As memory may also come to rest in caches, where no event
 * tells, passes are repeated meanwhile, at intervals that double while they gain nothing (H7).
 *
 * Within a pass (thread_state.in_reclaim) neither sleeps: vm_wait_domain returns false, and
 * vm_wait_free is an error.
 */
bool vm_wait_domain(int domain);
void vm_wait_free(int domain, enum page_class pclass, uint64_t seen);

/*
 * What a waiter wants may come back elsewhere, as an item of a zone's slabs. He calls vm_wait_watch()
 * before he looks there for the last time, and vm_wait_unwatch() when he has what he wants or gives
 * up; in between, each vm_wait_elsewhere(), by whoever puts something there, ends his vm_wait_free(),
 * the running one or the next.
 */
void vm_wait_watch(void);
void vm_wait_unwatch(void);
void vm_wait_elsewhere(void);
bool vm_wait_seen_elsewhere(void);  /* has there been one since this thread began to watch? */
uint64_t vm_page_frees(int domain); /* pages that have come back since start; -1: all domains */

/* How hard memory is wanted; the argument of lowmem handlers. */
enum page_pressure { PRESSURE_NONE, PRESSURE_LOW, PRESSURE_MIN, PRESSURE_SEVERE };

/*
 * A handler frees what it can without sleeping for memory, and without waiting for a lock that
 * somebody may hold while he waits for memory. At most one pass runs at a time. Domain -1: all.
 */
struct lowmem_handler {
	struct list link;
	void (*fn)(enum page_pressure level, int domain, void *arg);
	void *arg;
};
void lowmem_register(struct lowmem_handler *h);
void lowmem_unregister(struct lowmem_handler *h); /* waits for a running pass; not from a handler */

/*
 * Run one page-daemon pass now unless one runs (then wait for that one's end). Returns the pages
 * gained. 0 at once when called from within a pass.
 */
unsigned long page_daemon_pass(int domain, enum page_pressure level);
void page_daemon_start(void); /* after everything is up; a thread if the shape wants one */
void page_fork_child(void);   /* after sync_fork_child(): no pass runs here; a new daemon thread */

/* The reclaim that ends each pass: UMA's trim or drain, filled in from above; the handlers' rules. */
extern void (*page_reclaim_hook)(enum page_pressure level, int domain);

/* Called every PAGE_TIMER_NS by the daemon's thread if there is one: UMA's working-set update. */
extern void (*page_timer_hook)(void);
#define PAGE_TIMER_NS 20000000000ull

/*
 * Called when pages have come back, and (domain -1) for each vm_wait_elsewhere(), while anybody wants
 * it: "try again" for those who wait on a channel of their own. They count themselves in
 * page_freed_wanted before they look at a domain under its lock. The caller of vm_page_free*() may
 * hold any lock below rank WAIT: the hook may take one of rank WAIT, no other.
 */
extern uint32_t page_freed_wanted; /* atomic */
extern void (*page_freed_hook)(int domain);

/* ---- what lies in caches, and its way back ----------------------------------------------------------
 * The page room keeps the one sum of all caches, in bytes: what the zones put down here for their
 * buckets and free slabs, and its own free pages that still have contents. With a ceiling in force
 * page_cache_charge() refuses what would exceed it, and its caller gives the memory back instead; free
 * pages then keep no contents at all.
 */
#define PAGE_DECAY_NEVER (-1)

extern int32_t page_decay_ms;         /* cooper_set_decay(): 0 at once, -1 never; atomic */
extern unsigned long page_cached;     /* bytes; atomic */
extern unsigned long page_cache_most; /* cooper_set_ceiling(); ~0: none; atomic */

bool page_cache_charge(unsigned long bytes);
void page_cache_force(unsigned long bytes); /* what has nowhere else to go: a reserve */
void page_cache_drop(unsigned long bytes);

/* Give pages that are free but not zero back to the machine (machine_discard); pages given. */
unsigned long page_discard_free(unsigned long max);

/*
 * Memory that turns out not to be ours: have no more than `keep` pages in all. What is in use or has
 * ever been stays, so that more may be left; each domain gives its share. Returns the pages forgone.
 */
unsigned long page_forgo(unsigned long keep);

/* A decay period ends: what had contents and was not wanted in it is due. */
void page_discard_period(void);
/* Give up to about `max` pages of what is due back; false: nothing is due any more. */
bool page_discard_due(unsigned long max);

/* The decay, filled in from above: by the daemon's thread, if there is one, each period. */
extern void (*page_decay_hook)(void);
/* The decay time has changed: the daemon's thread looks at it. */
void page_daemon_look(void);

/* ---- pressure.c: what is short outside of the core --------------------------------------------------- */

extern bool page_pressure_on;   /* is there a source? atomic */
extern bool page_pressure_owed; /* handlers wait for a pass in a request that may sleep; atomic */
/* A pass for who may not sleep: UMA's zones without callbacks, filled in from above. */
extern void (*page_plain_hook)(enum page_pressure level);
void page_pressure_start(bool files, uint64_t limit);
/* From slow requests, with no lock held; now: machine_now_coarse(). */
void page_pressure_tend(uint64_t now, bool sleep);
void page_pressure_fork_child(void);
/* What level is `used` of the limit `most`, where it was `now`? */
enum page_pressure page_pressure_of_limit(uint64_t used, uint64_t most, enum page_pressure now);
/* A pass for p; what the running one was asked for. */
unsigned long page_daemon_pass_for(const struct cooper_pressure *p);
struct cooper_pressure page_daemon_asked(enum page_pressure level, int domain);

/* ---- statistics ---------------------------------------------------------------------------------------- */
struct page_domain_stat {
	/* Pages. */
	unsigned long total;
	unsigned long free;        /* with the fresh and the idle NOFREE ones */
	unsigned long fresh;       /* never carved from the segments: nothing of them was touched */
	unsigned long nofree;      /* handed out of NOFREE runs */
	unsigned long nofree_idle; /* free in NOFREE runs */
	unsigned long dirty;       /* free with contents, at most: the page cache */
	unsigned long target, min, severe, interrupt;
	unsigned long largest_order; /* log2 of the largest block that is free as a whole */
	/* Since start. */
	uint64_t allocs, frees; /* pages */
	uint64_t fails;         /* requests refused, contiguous ones included */
	uint64_t contig_allocs; /* requests */
	uint64_t contig_fails;
	uint64_t waits;  /* sleeps on "vmwait" for this domain; on domain 0 also for any */
	uint64_t passes; /* daemon passes for this domain or for all */
};
void page_stat(unsigned domain, struct page_domain_stat *out);

#endif
