/*
 * Inside the page room: the array, the domains, and what its files ask of each other.
 *
 * Pages are named by page number: the index in page_array. Number 0 is page_base, the lowest
 * segment's first page rounded down to a largest block, so that a number is aligned exactly as far
 * as its physical address is, up to a largest block.
 *
 * A free page is in one of three places, and `free` counts all three:
 *
 *	free == listed (free_list) + fresh (fresh_range) + nofree_idle (nofree_head)
 *	dirty == sum of `run` over the listed blocks >= listed pages that have contents
 *
 *	lists    buddy blocks. PG_FREE and the order are at the first page only; two free buddies of
 *	         one order are always merged. Blocks that read as zero are at the tails.
 *	fresh    ranges never carved yet: nobody has looked at these pages' records.
 *	nofree   runs set apart for pages that never come back; broken up when all else is gone.
 *
 * Locks: page_domain.lock (rank PAGE) for everything of a domain and for its free pages' records;
 * vm_lock (rank WAIT, taken after it) for the daemon's state and all queues. `free`, `frees` of a
 * domain and vm_waiters are also read without a lock, as hints.
 */
#ifndef PAGE_PAGE_INT_H
#define PAGE_PAGE_INT_H

#include "base/atomic.h"
#include "page/page.h"
#include "sync/sync.h"

#define PAGE_ORDERS    11 /* largest block: 2^10 pages, 4 MiB with 4 KiB pages */
#define PAGE_MAX_ORDER (PAGE_ORDERS - 1)
#define PAGE_NIL       UINT32_MAX
#define PAGE_MAXRANGE  32 /* segments of a machine; fresh ranges of a domain */

/* A machine whose new mappings read as zero starts with memory that does. */
#define PAGE_FRESH_FLAGS (MACHINE_MAP_ZEROES ? PG_ZERO : 0)

/* Do free pages hold memory of the host's? Not without a direct map: unmapping gives it back. */
#define PAGE_HAS_CACHE (MACHINE_MAP_ZEROES && cooper_shape()->direct_map)

struct page_range {
	uint32_t start, end; /* page numbers, end not included */
};

struct page_segment {
	struct page_range range;
	unsigned domain;
};

struct page_list {
	uint32_t head, tail;
	uint32_t count;
};

struct page_domain {
	struct mtx lock;
	uint32_t total; /* falls in page_forgo() alone */
	uint32_t free;
	uint32_t target, min, severe, interrupt; /* never change after start */
	struct page_list free_list[PAGE_ORDERS];
	struct page_range fresh_range[PAGE_MAXRANGE]; /* ascending, disjoint, none empty */
	uint32_t nfresh_ranges;
	uint32_t fresh;
	uint32_t nofree_head; /* free NOFREE runs, linked by next/prev, `run` pages each */
	uint32_t nofree_idle; /* pages in them */
	uint32_t nofree;      /* pages handed out of them */
	uint32_t dirty;       /* listed pages with contents: exact until a mixed block is split */
	uint32_t dirty_told;  /* what of it page_cached has */
	uint32_t dirty_low;   /* the least that `dirty` was in this decay period */
	uint32_t dirty_due;   /* to be given back */
	uint8_t nofree_order; /* of a new run */
	uint32_t kick_at;     /* falling below this wakes the daemon */
	uint32_t fail_skip;   /* failures to let pass before one wakes it, and how many are left */
	uint32_t fail_left;
	uint64_t allocs, frees, fails, contig_allocs, contig_fails, passes;
} ALIGNED(CACHE_LINE);

extern struct page_domain page_domains[COOPER_MAXDOMAIN];
extern struct vm_page *page_array;
extern uint32_t page_count;  /* entries of page_array */
extern uint64_t page_base;   /* physical page frame of page number 0 */
extern uint32_t page_memory; /* mask of domains that have memory */
extern struct page_segment page_segments[PAGE_MAXRANGE];
extern unsigned page_nsegments;

static inline uint32_t
page_number(const struct vm_page *m)
{
	return ((uint32_t)(m - page_array));
}

/* The domain of an argument; stops if there is no such. */
struct page_domain *page_domain_of(int domain, const char *func);

/* How many pages a request of this class must leave. */
static inline uint32_t
page_keep(const struct page_domain *d, enum page_class pclass)
{
	return (pclass == PAGE_INTERRUPT ? 0 : pclass == PAGE_SYSTEM ? d->interrupt : d->min);
}

/* May a request of this class have n pages? Exact with the domain locked, a hint without. */
static inline bool
page_grants(const struct page_domain *d, enum page_class pclass, unsigned long n)
{
	uint32_t avail = atomic_load_relaxed(&d->free), keep = page_keep(d, pclass);

	return (avail >= keep && avail - keep >= n && n > 0);
}

/* The same for a domain by number, -1 being any; one page. */
bool page_any_grants(int domain, enum page_class pclass);

/* Make a page that has just left the free memory its taker's. */
static inline void
page_wire(struct page_domain *d, uint32_t pn, uint8_t flags)
{
	struct vm_page *m = &page_array[pn];

	m->owner = 0;
	m->next = m->prev = PAGE_NIL;
	m->run = 0;
	m->order = 0;
	m->flags = PG_WIRED | flags;
	m->domain = (uint8_t)(d - page_domains);
	m->source = 0;
}

/* ---- buddy.c: lists and fresh ranges; the domain is locked, `free` is the caller's to count ------- */

/* A block of 2^order pages off the free memory; *flags = PG_ZERO or 0. PAGE_NIL: none. */
uint32_t buddy_alloc(struct page_domain *d, unsigned order, uint8_t *flags);
/* Tell page_cached how much has contents now. */
void page_tell_dirty(struct page_domain *d);
void buddy_free(struct page_domain *d, uint32_t pn, unsigned order, uint8_t flags);
void buddy_free_range(struct page_domain *d, uint32_t start, uint32_t end, uint8_t flags);
/* Take a block off its list. */
void buddy_unlink(struct page_domain *d, uint32_t pn);
/* Cut [start, end), which lies in fresh range i, out of it. */
void fresh_cut(struct page_domain *d, unsigned i, uint32_t start, uint32_t end);
unsigned page_largest_order(const struct page_domain *d);

/* ---- alloc.c ------------------------------------------------------------------------------------- */

struct page_events { /* what to do after the domain's lock is dropped */
	bool kick, wake, freed;
};
/* May this request have n pages? d locked. */
bool page_admit(struct page_domain *d, enum page_class pclass, unsigned long n);
/* Count n pages out of the free memory, or back; d locked. */
void page_count_out(struct page_domain *d, uint32_t n, struct page_events *ev);
void page_count_in(struct page_domain *d, uint32_t n, struct page_events *ev);
/* Unlock d and do what is due. */
void page_unlock(struct page_domain *d, const struct page_events *ev);
/* Count a refused request and unlock d. */
void page_refuse(struct page_domain *d);
/* CHECK a request's flags (R29); false: refuse it. */
bool page_flags_ok(int flags, const char *func);

/* ---- contig.c ------------------------------------------------------------------------------------ */

/* What a run must meet, in page frames (absolute, so that any alignment is exact). */
struct page_window {
	uint64_t low, high; /* frames [low, high) */
	uint64_t align;     /* frames; a power of two, at least 1 */
	uint64_t boundary;  /* frames; a power of two; 0 none */
	uint32_t n;
};

static inline struct page_window
page_window_any(uint32_t n)
{
	return ((struct page_window){ .high = UINT64_MAX, .align = 1, .n = n });
}

/* Lowest page number at which the run fits into free pages [start, end); PAGE_NIL: none. */
uint32_t page_window_fit(const struct page_window *w, uint32_t start, uint32_t end);

/* ---- nofree.c: runs of pages that never come back; the domain is locked ---------------------------- */

/* A run that meets w, not yet wired; *flags = PG_ZERO or 0. PAGE_NIL: no memory fits. */
uint32_t nofree_alloc(struct page_domain *d, const struct page_window *w, uint8_t *flags);
void nofree_free(struct page_domain *d, uint32_t pn, uint32_t n);
/* Give all unused runs to the buddy lists; false if there were none. */
bool nofree_dissolve(struct page_domain *d);

/* ---- wait.c: threads that wait for pages ------------------------------------------------------------ */

extern struct mtx vm_lock;
extern uint32_t vm_waiters;                 /* threads in vm_wait_*(); written under vm_lock */
extern uint64_t vm_waits[COOPER_MAXDOMAIN]; /* sleeps; under vm_lock */

void wait_start(void);
void page_wake(int domain);        /* pages came back: wake who can use one */
void page_wake_all_locked(void);   /* a pass ended; vm_lock held */
void wait_fork_child_locked(void); /* all sleepers are gone; vm_lock held */

/* ---- daemon.c: passes -------------------------------------------------------------------------------- */

void daemon_start(void);
/* Ask the daemon's thread for a pass; false if there is none. */
bool page_daemon_kick(int domain);
/*
 * Have a pass made: run it here if there is neither a daemon thread nor a running pass (true), or
 * make sure that one runs or will (false; *before = the number of passes ended so far).
 */
bool page_daemon_request(int domain, uint64_t *before);
uint64_t page_daemon_passes(void); /* ended so far */
bool page_daemon_present(void);    /* is there a daemon thread? */
enum page_pressure page_pressure_of(int domain);

/* ---- verify.c --------------------------------------------------------------------------------------- */

/* Check every invariant of a domain that the head of this file states; false and *why if broken. */
bool page_verify(unsigned domain, const char **why);

#endif
