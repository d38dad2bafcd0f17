/*
 * What the core asks of the world. These functions and objects, the inline ones of the machine's
 * own machine_inline.h and machine_percpu.h, and memcpy, memmove, memset and memcmp (which a
 * freestanding compiler may call by itself) are the only symbols that the core leaves undefined: a
 * test reads its objects.
 *
 * One folder a machine: posix (threads of a process), sim (fibers under a seeded scheduler), i386
 * and amd64 (bare metal). A port implements this header and no other. machine_param.h gives
 * PAGE_SHIFT, CACHE_LINE, MACHINE_MAP_ZEROES and MACHINE_POINT(word).
 *
 * Unless a function says otherwise it may be called with any core lock held, does not sleep, does
 * not allocate from the core and cannot fail.
 *
 * None of it is for signal handlers but machine_thread_state(), machine_now(), machine_unpark() and
 * machine_print(): a handler may find any lock held by the very thread that it interrupted.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <cooper/cooper.h>
#include "machine_param.h"

#define PAGE_SIZE     ((vm_size_t)1 << PAGE_SHIFT)
#define PAGE_MASK     (PAGE_SIZE - 1)
#define atop(n)       ((n) >> PAGE_SHIFT)
#define ptoa(n)       ((vm_size_t)(n) << PAGE_SHIFT)
#define round_page(n) (((n) + PAGE_MASK) & ~PAGE_MASK)
#define trunc_page(n) ((n) & ~PAGE_MASK)

/* ---- start ------------------------------------------------------------------------------------ */

/* Physical memory: ascending, page aligned, disjoint segments. Address 0 is never in one. */
struct machine_segment {
	vm_paddr_t start, end;
	unsigned domain;
};

/*
 * Fill *shape with what this machine has by itself, and the user's options (see cooper_start).
 * Returns 0, or an errno and *why = one line.
 */
int machine_default_shape(struct machine_shape *shape, const char **why);

/*
 * Take the shape: core_set_shape(), reserve the address space, prepare CPUs. Returns 0, or an errno
 * and *why = one line. Called once, first.
 */
int machine_start(const struct machine_shape *shape, const char **why);

/*
 * How memory is given back unless the program says otherwise: what the machine has by itself, and the
 * user's options. Where nothing but the core wants the pages, free ones stay.
 */
struct machine_giveback {
	int decay_ms;          /* 0 at once, -1 never */
	unsigned long ceiling; /* of all caches, bytes; ~0 none */
	uint64_t limit;        /* of all memory in use, bytes; 0 none */
};

/*
 * What the machine's sources say of memory outside of the core, now: a level (0 none .. 3 critical),
 * the bytes wanted (0: unknown), whether something has happened since the last look. False: there is no
 * source. Looks at files: some microseconds. One thread at a time.
 */
struct machine_pressure {
	unsigned level;
	uint64_t wanted;
	bool event;
};

#ifdef MACHINE_HOST
void machine_default_giveback(struct machine_giveback *g);
bool machine_pressure_read(struct machine_pressure *p);
int machine_pressure_fd(void);      /* readable when it may pay to look; -1: there is none */
bool machine_pressure_wanted(void); /* do the options leave the sources on? */
bool machine_warnings_wanted(void); /* ... and the zones' warnings? */
#else
/* Nobody but the core wants the pages: the watermarks see to those who do. */
static inline void
machine_default_giveback(struct machine_giveback *g)
{
	*g = (struct machine_giveback){ .decay_ms = -1, .ceiling = ~0ul };
}
static inline bool
machine_pressure_read(struct machine_pressure *p)
{
	*p = (struct machine_pressure){ 0 };
	return (false);
}
static inline int
machine_pressure_fd(void)
{
	return (-1);
}
static inline bool
machine_pressure_wanted(void)
{
	return (false);
}
static inline bool
machine_warnings_wanted(void)
{
	return (true);
}
#endif

/* Memory segments; returns how many (at most max). */
unsigned machine_segments(struct machine_segment *seg, unsigned max);

/* The window that the root kernel arena hands out. */
void machine_kva(vm_offset_t *base, vm_size_t *size);

/*
 * Zeroed memory for the core's own tables before there are pages (page array, first zones): never
 * given back; on posix costs nothing until touched. NULL when the machine is out of it. It is not
 * part of the segments (or has been cut from them).
 */
void *machine_boot_alloc(vm_size_t bytes, vm_size_t align);

/*
 * Where the core's memory is: views of pages, and tables. Fixed in place, may grow; size 0: unused. For
 * who asks the host what of it is resident.
 */
#define MACHINE_REGIONS 32
struct machine_region {
	vm_offset_t base;
	vm_size_t size; /* atomic */
	bool pages;     /* of the page array's pages; else tables and boot memory */
};
#ifdef MACHINE_HOST
extern struct machine_region machine_regions[MACHINE_REGIONS];
#else
#define machine_regions NULL /* nobody to be asked */
#endif

/* ---- pages and mappings ------------------------------------------------------------------------
 * A page's memory is reached through the direct map, if the shape has one and the page is not
 * mapped in the kernel window, or through the one window address it is mapped at; never through
 * both at once (posix gives each view its own memory).
 */

/*
 * Map n pages, pa[i] at va + i pages, readable and writable (exec: also executable). The range was
 * unmapped. Page-table pages for the whole window exist from the start, so this cannot fail.
 * If MACHINE_MAP_ZEROES, the memory reads as zero afterwards.
 */
void machine_map(vm_offset_t va, const vm_paddr_t *pa, unsigned n, bool exec);

/* Unmap n pages; returns when no CPU can reach them. Contents are lost. */
void machine_unmap(vm_offset_t va, unsigned n);

/* The page mapped at va in the window, or the direct map's page; MACHINE_NOPAGE if none. */
#define MACHINE_NOPAGE ((vm_paddr_t)~0ull)
static inline vm_paddr_t machine_extract(vm_offset_t va);

/*
 * Address of a page in the direct map; NULL in a shape that has none. To be asked for each page (or
 * run of n pages) that the core is going to touch: the host learns here which are in use.
 */
void *machine_direct_run(vm_paddr_t pa, unsigned long n);
static inline void *
machine_direct(vm_paddr_t pa)
{
	return (machine_direct_run(pa, 1));
}

/*
 * The core needs the contents of these n physical pages no more: they may go back to the host.
 * Returns true if they read as zero through the direct map from now on.
 */
bool machine_discard(vm_paddr_t pa, unsigned long n);

/* ---- CPUs and threads ---------------------------------------------------------------------------- */

unsigned machine_cpu(void);                /* the CPU we are on; may be stale at once */
unsigned machine_cpu_domain(unsigned cpu); /* its memory domain */
void machine_bind(int cpu);                /* stay on cpu; -1 = anywhere (shape.pin, DRAIN_CPU) */
uint64_t machine_thread_id(void);          /* for people; the kernel's tid on posix */
bool machine_alone(void);                  /* no other thread was ever started */

/*
 * Around a fork: hold the machine's own locks (each CPU's and its internal ones), release them, or
 * make them new in the child. Called by sync_fork_*() with all core locks held.
 */
void machine_fork_prepare(void);
void machine_fork_parent(void);
void machine_fork_child(void);

/* What the core keeps for each thread; zero when the thread is first seen. */
#define THREAD_RANKS    16 /* at least sync.h's RANK_COUNT */
#define THREAD_SMR_NEST 4 /* most read sections, each of another smr, that a thread may have open */
struct mtx;
struct smr;
struct tag_source;

struct thread_state {
	uint32_t park_word;          /* the machine's */
	uint32_t entered_cpu;        /* the machine's: CPU + 1 while entered, 0 otherwise */
	uint16_t held[THREAD_RANKS]; /* sync: locks held of each rank; debug shape only */
	const struct mtx *last[THREAD_RANKS]; /* sync: the latest of them */
	int32_t bound_cpu;                    /* machine_bind(): CPU + 1, 0 = unbound */
	struct {                              /* smr: the read sections open, in order of entry */
		struct smr *smr;
		uint32_t *count; /* where it was counted in, and will be counted out */
	} smr[THREAD_SMR_NEST];
	uint32_t smr_nest;  /* smr: how many */
	uint32_t watched;   /* page: vm_wait_watch(); 0 = nothing */
	uint32_t importing; /* vmem: import functions that this thread is inside of */
	bool putting_back;  /* vmem: this thread undoes what did not help */
	bool tags_turn;     /* the source of tags: it may hold some while it waits for more */
	bool in_reclaim;    /* this thread is running a reclaim or page-daemon pass */
	struct tag_source *lacks_tags; /* vmem: which had none for its request that may wait */
	uint64_t machine[4];           /* the machine's own */
};
static inline struct thread_state *machine_thread_state(void);

/* Run fn(arg) on a thread of its own, for ever. False: this machine or shape has none. */
bool machine_thread_start(const char *name, void (*fn)(void *), void *arg);

/* ---- time ------------------------------------------------------------------------------------------- */

uint64_t machine_now(void); /* monotonic nanoseconds; cheap, may be a few ms coarse */
/* The same clock, some ms behind: for who looks at it often. A few ns. */
#ifdef MACHINE_HOST
uint64_t machine_now_coarse(void);
#else
static inline uint64_t
machine_now_coarse(void)
{
	return (machine_now());
}
#endif

/* ---- locks and parking: src/sync builds everything else on these ------------------------------------ */

/* Zero is unlocked. Not recursive. The holder may be preempted, never sleeps on another queue. */
struct machine_lock {
	uint32_t word;
};
static inline void machine_lock(struct machine_lock *l);
static inline bool machine_trylock(struct machine_lock *l);
static inline void machine_unlock(struct machine_lock *l);

/*
 * One permit a thread. park() returns when the permit is there (and takes it), at `deadline`
 * (machine_now() time; 0 = none), or spuriously. unpark() gives it.
 */
void machine_park(uint64_t deadline);
void machine_unpark(struct thread_state *ts);

/* ---- the console and the end ---------------------------------------------------------------------- */

void machine_print(const char *text, size_t len);               /* best effort, never allocates */
__attribute__((noreturn)) void machine_panic(const char *line); /* print it and stop */

#include "machine_inline.h"

#endif
