/*
 * Zones: caches of typed objects with per-CPU buckets, limits, reserves and reclaim.
 *
 * Semantics: FreeBSD's zone(9) manual (2026). Names, flags and values are the same; where Cooper
 * differs the function says so. Sizes are bytes, counts are items, domains count from 0.
 *
 * Sleeping. Functions that take M_WAITOK may sleep with it, and create, destroy, prealloc and
 * reclaim always may: call them with no core lock held, outside read sections of smr(9). All others
 * never sleep. Callbacks and back ends are called with no lock of the zone layer held; those of a
 * request with M_NOWAIT must not sleep.
 *
 * Signal handlers may allocate (M_NOWAIT) and free if what they interrupt is outside the core or a fast
 * operation: one that a CPU's cache serves by a restartable sequence. Interrupted elsewhere (a cache run
 * dry or full, a process without sequences, other calls) the thread may hold what the handler would wait
 * for: block the signal around those.
 *
 * Misuse (a double free, the wrong zone, flags that contradict each other, a setter that comes too
 * late) stops the debug shape with one line. The release shape warns with the same line and refuses
 * what it notices: pointer functions return NULL, int functions 0, the others do nothing; a free by the
 * wrong one of the functions below is warned of and done. It looks at flags off the fast path only,
 * and at a freed pointer when its item reaches its slab: then an item that is there already, or a
 * pointer to none, is warned of and dropped.
 */
#ifndef COOPER_UMA_H
#define COOPER_UMA_H

#include <cooper/types.h>

COOPER_BEGIN_DECLS

typedef struct uma_zone *uma_zone_t;
struct smr;

/* ---- callbacks ------------------------------------------------------------------------------- */
typedef int (*uma_ctor)(
    void *mem, int size, void *arg, int flags);           /* each allocation; 0 or errno */
typedef void (*uma_dtor)(void *mem, int size, void *arg); /* each free */
typedef int (*uma_init)(void *mem, int size, int flags);  /* an item enters the zone */
typedef void (*uma_fini)(void *mem, int size);            /* an item leaves it */
/*
 * Fill store[] with up to count items, none of them NULL, of `domain` if it is not -1; returns how
 * many. release takes back what import gave, in any order and grouping.
 */
typedef int (*uma_import)(void *arg, void **store, int count, int domain, int flags);
typedef void (*uma_release)(void *arg, void **store, int count);
/* A back end: see src/uma/backend.h. *sflag (UMA_SLAB_*) comes back in free. */
typedef void *(*uma_alloc)(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait);
typedef void (*uma_free)(void *mem, vm_size_t bytes, uint8_t sflag);
typedef void (*uma_maxaction_t)(uma_zone_t zone, int unused);

/* ---- alignment masks ---------------------------------------------------------------------------- */
#define UMA_ALIGN_PTR   ((int)sizeof(void *) - 1)
#define UMA_ALIGN_LONG  ((int)sizeof(long) - 1)
#define UMA_ALIGN_INT   ((int)sizeof(int) - 1)
#define UMA_ALIGN_SHORT ((int)sizeof(short) - 1)
#define UMA_ALIGN_CHAR  0
#define UMA_ALIGN_CACHE (0 - 1) /* the machine's cache line */

/* ---- zone flags ---------------------------------------------------------------------------------- */
#define UMA_ZONE_UNMANAGED   0x0001 /* never reclaimed by a pass over all zones */
#define UMA_ZONE_ZINIT       0x0002 /* items are zeroed when they enter the zone, not at each alloc */
#define UMA_ZONE_CONTIG      0x0004 /* slabs are physically contiguous */
#define UMA_ZONE_NOTOUCH     0x0008 /* no header or pattern in the items' memory */
#define UMA_ZONE_MALLOC      0x0010 /* for malloc(9) */
#define UMA_ZONE_NOFREE      0x0020 /* slabs never go back */
#define UMA_ZONE_MTXCLASS    0x0040 /* accepted; no effect */
#define UMA_ZONE_VM          0x0080 /* below kmem: buckets only from cache, headers never off-page */
#define UMA_ZONE_NOTPAGE     0x0100   /* memory has no page structure: slabs are found by hash */
#define UMA_ZONE_SECONDARY   0x0200   /* shares a keg */
#define UMA_ZONE_NOBUCKET    0x0400   /* no per-CPU caches */
#define UMA_ZONE_MAXBUCKET   0x0800   /* the largest buckets at once */
#define UMA_ZONE_CACHESPREAD 0x2000   /* items start on every cache line in turn */
#define UMA_ZONE_NODUMP      0x4000   /* pages stay out of dumps */
#define UMA_ZONE_PCPU        0x8000   /* one copy of the item for each CPU */
#define UMA_ZONE_FIRSTTOUCH  0x10000  /* items of the CPU's domain; frees go home */
#define UMA_ZONE_ROUNDROBIN  0x20000  /* items of all domains in turn */
#define UMA_ZONE_SMR         0x40000  /* frees wait for readers: smr(9) */
#define UMA_ZONE_NOKASAN     0x80000  /* accepted; no effect */
#define UMA_ZONE_NOTRIM      0x100000 /* skipped by TRIM passes over all zones */

/* slab flags handed from a back end's alloc to its free */
#define UMA_SLAB_BOOT   0x01 /* start-up memory; never given back */
#define UMA_SLAB_KERNEL 0x04 /* kmem: address space and pages */
#define UMA_SLAB_PRIV   0x08 /* the back end's own */

/* ---- create and destroy --------------------------------------------------------------------------- */

/*
 * A zone of items of `size` bytes, aligned to the mask `align` + 1. name is kept by reference.
 * ctor runs at each allocation and dtor at each free; init when an item's memory enters the zone and
 * fini when it leaves: an item keeps what init made between a free and the next allocation. Any may
 * be NULL. Without FIRSTTOUCH or ROUNDROBIN in flags the zone is first-touch. Sleeps if it must.
 * NULL only for what cannot be: no name, a size of 0, a mask that is none or over a page, unknown
 * flags, a PCPU item over a page.
 */
uma_zone_t uma_zcreate(const char *name, size_t size, uma_ctor ctor, uma_dtor dtor, uma_init init,
    uma_fini fini, int align, uint32_t flags);

/*
 * A second zone on the primary's slabs, with caches, limit and callbacks of its own; zinit and zfini
 * run when an item passes between the slabs and this zone. To be destroyed before the primary.
 */
uma_zone_t uma_zsecond_create(const char *name, uma_ctor ctor, uma_dtor dtor, uma_init zinit,
    uma_fini zfini, uma_zone_t primary);

/*
 * A zone without slabs: it caches what import gives, of whatever nature. size only bounds the caches
 * and is what M_ZERO clears. M_WAITOK does not promise an item: import decides. NULL: no name,
 * import or release, a negative size, unknown flags.
 */
uma_zone_t uma_zcache_create(const char *name, int size, uma_ctor ctor, uma_dtor dtor,
    uma_init zinit, uma_fini zfini, uma_import import, uma_release release, void *arg, int flags);

/*
 * All buckets and slabs go back. What users still hold is lost and told in one warning; a late free
 * of it is then named. Waits on "zonedrain" for reclaim passes that look at this zone, no others.
 */
void uma_zdestroy(uma_zone_t zone);

/* ---- allocate and free ------------------------------------------------------------------------------ */

/*
 * An item, or NULL: for M_NOWAIT if memory or the limit does not allow one, for M_WAITOK only if ctor
 * or init failed or the machine could never hold one of the zone's slabs. arg goes to ctor. Flags: exactly one of M_WAITOK and M_NOWAIT; M_ZERO, done after
 * ctor; with M_NOWAIT, M_NOVM (only what caches and slabs hold) and M_USE_RESERVE (also the reserve).
 */
void *uma_zalloc_arg(uma_zone_t zone, void *arg, int flags);

/* An item of that domain's memory or none; M_WAITOK waits for that domain. First-touch zones. */
void *uma_zalloc_domain(uma_zone_t zone, void *arg, int domain, int flags);

/* PCPU zones: the address of CPU 0's copy, see uma_pcpu_item(). M_ZERO clears each copy. */
void *uma_zalloc_pcpu_arg(uma_zone_t zone, void *arg, int flags);

/* SMR zones. Items come as their last user left them, unless there is a ctor. */
void *uma_zalloc_smr(uma_zone_t zone, int flags);

/* A NULL item is ignored. arg goes to dtor. Never sleeps. */
void uma_zfree_arg(uma_zone_t zone, void *item, void *arg);
void uma_zfree_pcpu_arg(uma_zone_t zone, void *item, void *arg);

/*
 * SMR zones: the item is not reused before all readers of now have left. dtor runs then, with arg
 * NULL. Waits for them, on "smr", only when it finds no bucket to keep the item in or when threads
 * wait at the zone's limit.
 */
void uma_zfree_smr(uma_zone_t zone, void *item);

/*
 * Up to count items at once into items[0], items[1], ...; returns how many. Each is as
 * uma_zalloc(zone, flags) would give it. M_NOWAIT: as many as memory and the limit allow, maybe 0.
 * M_WAITOK: at least one, but for the cases in which uma_zalloc_arg() returns NULL. It sleeps for the first
 * only, so that of two requests that are each short of what the other holds neither waits: call again for
 * the rest. A ctor's error ends it: the item goes back, those behind it too, and those before it are
 * yours. What is behind the number returned is undefined. Not for SMR zones.
 */
int uma_zalloc_bulk(uma_zone_t zone, void **items, int count, int flags);

/*
 * Free count items; NULLs among them are ignored. The array is the function's scratch: its contents
 * are undefined afterwards. dtor gets NULL for arg. Never sleeps.
 */
void uma_zfree_bulk(uma_zone_t zone, void **items, int count);

/* Sleep until an item can be had. */
void uma_zwait(uma_zone_t zone);

/* Programs that define COOPER_INLINE have the fast path of these two in their own code: see there. */
#ifdef COOPER_INLINE
COOPER_END_DECLS
#include <cooper/inline.h>
COOPER_BEGIN_DECLS
#endif

static inline void *
uma_zalloc(uma_zone_t zone, int flags)
{
#ifdef COOPER_INLINE
	void *item = (flags & M_ZERO) == 0 ? cooper_inline_zalloc(zone) : NULL;

	if (__builtin_expect(item != NULL, 1))
		return (item);
#endif
	return (uma_zalloc_arg(zone, NULL, flags));
}
static inline void *
uma_zalloc_pcpu(uma_zone_t zone, int flags)
{
	return (uma_zalloc_pcpu_arg(zone, NULL, flags));
}
static inline void
uma_zfree(uma_zone_t zone, void *item)
{
#ifdef COOPER_INLINE
	if (__builtin_expect(item == NULL || cooper_inline_zfree(zone, item), 1))
		return;
#endif
	uma_zfree_arg(zone, item, NULL);
}
static inline void
uma_zfree_pcpu(uma_zone_t zone, void *item)
{
	uma_zfree_pcpu_arg(zone, item, NULL);
}
/* A CPU's copy of a PCPU item. */
void *uma_pcpu_item(void *base, unsigned cpu);

/* ---- limits, reserves, back ends ----------------------------------------------------------------------- */

/*
 * A limit on items, cached ones included. At it M_NOWAIT fails and M_WAITOK sleeps on "zonelimit",
 * first come first served; newcomers do not pass those who wait. Also bounds the caches. Before the
 * first allocation; later calls may change it. Returns the limit in force. Unlike zone(9): before a
 * thread sleeps the zone's caches are emptied on all CPUs, so nobody waits for a cached item; and a
 * raised limit wakes as many as may go on.
 */
int uma_zone_set_max(uma_zone_t zone, int nitems);
void uma_zone_set_maxcache(uma_zone_t zone, int nitems); /* about so many cached items; 0: none */
int uma_zone_get_max(uma_zone_t zone);                   /* 0: no limit */
int uma_zone_get_cur(uma_zone_t zone);                   /* items in users' hands */
int uma_zone_exhausted(uma_zone_t zone);                 /* does anybody wait at the limit? */
size_t uma_zone_memory(uma_zone_t zone); /* bytes of slabs; a cache zone: of its items */

/* When the limit is met: a line on the console; a call. Each at most once in 300 s. */
void uma_zone_set_warning(uma_zone_t zone, const char *warning);
void uma_zone_set_maxaction(uma_zone_t zone, uma_maxaction_t action); /* must not sleep */

/*
 * Are the lines of uma_zone_set_warning() printed, for all zones? Counterpart of FreeBSD's sysctl
 * vm.zone_warnings; on unless the program's options say warnings=0. While off a limit that is met uses
 * up nothing of a zone's 300 s, and actions are called as ever. Returns what was in force before. Never
 * sleeps, cannot fail, needs no lock.
 */
bool uma_set_warnings(bool on);

/* Before the first allocation. init, fini, allocf and freef are the slabs', for all their zones. */
void uma_zone_set_init(uma_zone_t zone, uma_init init);
void uma_zone_set_fini(uma_zone_t zone, uma_fini fini);
void uma_zone_set_zinit(uma_zone_t zone, uma_init zinit);
void uma_zone_set_zfini(uma_zone_t zone, uma_fini zfini);
void uma_zone_set_allocf(uma_zone_t zone, uma_alloc allocf);
void uma_zone_set_freef(uma_zone_t zone, uma_free freef);
void uma_zone_set_smr(uma_zone_t zone, struct smr *smr); /* share one, not lazy; of no SMR zone */
struct smr *uma_zone_get_smr(uma_zone_t zone);

/*
 * Make slabs for so many items now, spread over the domains; no more than reserved addresses hold.
 * Sleeps if it must.
 */
void uma_prealloc(uma_zone_t zone, int nitems);

/*
 * Keep so many free items of each domain for M_USE_RESERVE, against ordinary requests, fills of
 * buckets and reclaim. Items in caches are not part of it. Before the first allocation; makes no
 * slabs itself.
 */
void uma_zone_reserve(uma_zone_t zone, int nitems);

/*
 * Reserve address space for so many items, rounded up to slabs, and make that the limit. Slabs then
 * stay until the zone ends. Before the first allocation, once. Returns 1, or 0 without address space.
 */
int uma_zone_reserve_kva(uma_zone_t zone, int nitems);

/* ---- reclaim ---------------------------------------------------------------------------------------------- */
#define UMA_RECLAIM_DRAIN     1 /* empty the bucket caches and give back free slabs */
#define UMA_RECLAIM_DRAIN_CPU 2 /* also the per-CPU caches */
#define UMA_RECLAIM_TRIM      3 /* down to the working set */

/*
 * Give memory back: of all zones (but UNMANAGED ones, and NOTRIM ones for TRIM) or one; of all domains
 * or one. A round-robin zone's caches hold any domain's items, so all of them go. Threads may go on
 * allocating and freeing; passes may run side by side.
 */
void uma_reclaim(int req);
void uma_reclaim_domain(int req, int domain);
void uma_zone_reclaim(uma_zone_t zone, int req);
void uma_zone_reclaim_domain(uma_zone_t zone, int req, int domain);

/* Soft limit over all zones' pages, bytes; crossing it starts a reclaim pass. 0 = none. */
void uma_set_limit(unsigned long bytes);
unsigned long uma_limit(void);
unsigned long uma_size(void); /* bytes that zones take now */
long uma_avail(void);         /* bytes left; negative beyond the limit, LONG_MAX without one */

/* The mask that UMA_ALIGN_CACHE stands for; set before the zones that use it. */
void uma_set_cache_align_mask(unsigned mask);
unsigned uma_get_cache_align_mask(void);

/* ---- statistics ---------------------------------------------------------------------------------------------- */

/* The columns of vmstat -z, and what lies behind them. Counts of items unless said otherwise. */
struct uma_zone_stat {
	const char *name;
	uint32_t size;        /* bytes of an item */
	uint32_t flags;       /* UMA_ZONE_* and, above, the zone layer's own */
	uint64_t limit;       /* uma_zone_set_max(); 0 = none */
	uint64_t used;        /* in users' hands */
	uint64_t free;        /* cached, and in slabs (of a secondary zone: cached) */
	uint64_t req;         /* allocations made since the start */
	uint64_t fail;        /* allocations that failed */
	uint64_t sleep;       /* waits for the limit */
	uint64_t xdomain;     /* frees from another domain's CPU */
	uint64_t limit_items; /* counted against the limit: used, cached, and on their way */
	uint64_t cached_cpu, cached_depot;
	uint32_t sleepers;    /* threads at the limit now */
	uint32_t bucket_size; /* slots of the next bucket */
	/* the keg's; 0 for a cache zone */
	uint32_t rsize;        /* bytes from item to item */
	uint32_t ipers, ppera; /* items and pages per slab */
	uint32_t keg_reserve;  /* free items per domain kept for M_USE_RESERVE */
	unsigned long keg_pages, keg_free_items, keg_free_slabs;
};
void uma_zone_get_stat(uma_zone_t zone, struct uma_zone_stat *out);
void uma_each_zone_stat(void (*fn)(const struct uma_zone_stat *, void *), void *arg);

/* The program is about to end: uma_zdestroy() need not give memory back any more. */
void uma_shutdown(void);

COOPER_END_DECLS

#endif
