/*
 * The zone layer's whole data model. Who owns what, from the user down:
 *
 *	uma_zone --- cache[cpu] ------- buckets in use by one CPU       (CPU lock; percpu.h)
 *	    |   \--- domain[d] -------- full buckets: the depot         (zone domain lock)
 *	    v
 *	uma_keg ---- domain[d] -------- slabs: partly used, free, full  (keg domain lock)
 *	                 |
 *	              struct slab ----- items; a bit set = in the slab
 *
 * An item is in exactly one place: a slab (its bit is set), a bucket, or its user's hands.
 *
 * What stays true:
 *  - keg: domain[d].free_items = sum of nfree over its slabs; free_slabs = length of the free list.
 *  - depot: nitems = sum of count over its buckets.
 *  - limit: `items` counts what has been imported and not released, cached items included, plus
 *    charges of requests on their way; items <= max_items unless max_items was lowered.
 *  - used = allocs - frees: what users hold. allocs and frees are kept by the per-CPU parts (pops,
 *    pushes) for what went through caches and in the zone for what did not.
 *  - nobody calls ctor, dtor, init, fini, import, release or a back end with a lock of this room.
 *
 * Locks, in the order taken (sync.h): uma_zones_lock (ZONES) guards the list of zones, their refs
 * and dying; zone->cross_lock (CROSS); zone domain lock (ZDOMAIN), where domain 0's also guards the
 * limit; keg domain lock (KEG), where domain 0's also guards the hash and the reserved addresses.
 */
#ifndef UMA_UMA_INT_H
#define UMA_UMA_INT_H

#include <cooper/smr.h>
#include <cooper/uma.h>
#include "base/atomic.h"
#include "machine/percpu.h"
#include "page/page.h"
#include "sync/sync.h"
#include "uma/backend.h"
#include "uma/waiting.h"

#define UMA_ANYDOMAIN       (-1)
#define UMA_SMALLEST_UNIT   ((vm_size_t)8)                  /* items are at least this large */
#define SLAB_MAX_SETSIZE    (PAGE_SIZE / UMA_SMALLEST_UNIT) /* most items of a slab */
#define UMA_MIN_EFFICIENCY  90                              /* per cent of a slab that are items */
#define UMA_CACHESPREAD_MAX ((vm_size_t)128 * 1024)         /* largest slab of a CACHESPREAD keg */
#define UMA_TIMEOUT         (20ull * 1000 * 1000 * 1000)    /* ns between working-set updates */
#define UMA_IDLE_TICKS      45                              /* of those without a miss: idle */
#define UMA_WARN_INTERVAL   (300ull * 1000 * 1000 * 1000)   /* ns between a zone's warnings */
#define UMA_HASH_MIN        32 /* slots of a NOTPAGE keg's first table */

/* The public flags of zones, and those beyond them. */
#define UMA_ZONE_PUBLIC                                                                           \
	((uint32_t)(UMA_ZONE_UNMANAGED | UMA_ZONE_ZINIT | UMA_ZONE_CONTIG | UMA_ZONE_NOTOUCH |    \
		    UMA_ZONE_MALLOC | UMA_ZONE_NOFREE | UMA_ZONE_MTXCLASS | UMA_ZONE_VM |         \
		    UMA_ZONE_NOTPAGE | UMA_ZONE_SECONDARY | UMA_ZONE_NOBUCKET |                   \
		    UMA_ZONE_MAXBUCKET | UMA_ZONE_CACHESPREAD | UMA_ZONE_NODUMP | UMA_ZONE_PCPU | \
		    UMA_ZONE_FIRSTTOUCH | UMA_ZONE_ROUNDROBIN | UMA_ZONE_SMR | UMA_ZONE_NOKASAN | \
		    UMA_ZONE_NOTRIM))
#define ZF_OFFPAGE  0x00200000u /* slab headers live elsewhere */
#define ZF_HASH     0x00400000u /* slabs are found through the keg's hash */
#define ZF_VTOSLAB  0x00800000u /* slabs are found through struct vm_page */
#define ZF_CTORDTOR 0x01000000u /* an alloc or free has more to do than to move the item */
#define ZF_LIMIT    0x02000000u /* uma_zone_set_max() */
#define ZF_CACHE    0x04000000u /* uma_zcache_create(): no keg */
#define ZF_BUCKET   0x08000000u /* a zone of buckets */
#define ZF_INTERNAL 0x10000000u /* the room's own, no caches: its recursion ends here */
#define ZF_TRASH    0x20000000u /* debug: free items hold the pattern */
#define ZF_RESKVA   0x40000000u /* keg on reserved addresses: uma_zone_reserve_kva() */
#define ZF_OWNALLOC 0x80000000u /* keg's slabs come from uma_zone_set_allocf()'s */

/* What a zone takes over from its keg. */
#define ZF_INHERIT                                                                               \
	(UMA_ZONE_NOTOUCH | UMA_ZONE_MALLOC | UMA_ZONE_NOFREE | UMA_ZONE_VM | UMA_ZONE_NOTPAGE | \
	    UMA_ZONE_PCPU | UMA_ZONE_FIRSTTOUCH | UMA_ZONE_ROUNDROBIN | UMA_ZONE_NOKASAN |       \
	    ZF_OFFPAGE | ZF_HASH | ZF_VTOSLAB | ZF_INTERNAL)

/* ---- buckets ------------------------------------------------------------------------------------- */

struct uma_bucket {
	struct uma_bucket *next; /* in a depot: the next one */
	uint16_t count;          /* items, while in no CPU's hands */
	uint8_t max;             /* slots to use */
	uint8_t rung;            /* which bucket zone it is from */
	smr_seq_t seq;           /* SMR: items are safe once this is reached; 0 = they are */
	void *slot[];            /* [0, count) are items */
};
#define BUCKET_FIRST 16 /* slots of a malloc zone's first bucket */
#define BUCKET_MAX \
	((unsigned)((2048 / 8 * sizeof(void *) - sizeof(struct uma_bucket)) / sizeof(void *)))

/* The stacks of struct percpu, in their order: each lies in a bucket, or in none. */
enum { SLOT_ALLOC, SLOT_FREE, SLOT_CROSS };

/* ---- slabs ----------------------------------------------------------------------------------------- */

struct slab {
	struct list link;       /* on its domain's part, free or full list */
	struct uma_zone *zone;  /* the keg's first zone; page -> slab -> zone for free(9) */
	char *data;             /* item 0 */
	struct slab *hash_next; /* HASH: next of the slot; BOOT: next of uma_boot_slabs */
	uint16_t nfree;         /* bits set in free[] */
	uint8_t flags;          /* UMA_SLAB_*, from the back end */
	uint8_t domain;         /* whose lists it is on */
	size_t free[]; /* bit i set: item i is here; debug: then as many for "user has it" */
};

/* ---- kegs ------------------------------------------------------------------------------------------- */

struct uma_kdomain {
	struct mtx lock;
	struct list part;         /* some items out */
	struct list free;         /* no item out */
	struct list full;         /* all items out */
	unsigned long pages;      /* of all its slabs */
	unsigned long free_items; /* in all its slabs */
	unsigned long free_slabs; /* on `free` */
	unsigned long low;        /* least of free_slabs in this decay period */
	unsigned long due;        /* slabs that the decay is giving back */
};

struct uma_keg {
	uint32_t flags;   /* UMA_ZONE_* and ZF_* */
	uint32_t size;    /* bytes of an item as asked */
	uint32_t rsize;   /* bytes from one item to the next */
	uint32_t ipers;   /* items per slab */
	uint32_t ppera;   /* pages per slab */
	uint32_t pgoff;   /* inline header: its offset in the slab */
	uint32_t align;   /* alignment mask */
	uint32_t reserve; /* free items per domain that only M_USE_RESERVE may take */
	uma_init init;    /* an item's memory enters the keg */
	uma_fini fini;    /* and leaves it */
	uma_alloc allocf; /* slabs come from here */
	uma_free freef;   /* and go there */
	const char *name; /* the first zone's */
	struct uma_zone *primary;
	uint32_t nzones;     /* zones on this keg; uma_zones_lock */
	uint32_t waiting;    /* requests that wait for memory for a slab: atomic */
	uint32_t cursor;     /* ROUNDROBIN: where the next fill starts */
	bool used;           /* a slab has been made: init, fini and back end are settled */
	uint32_t boot_pages; /* pages of start-up memory, never given back */
	uint32_t hash_size;  /* slots, a power of two; domain 0's lock for the next three */
	uint32_t hash_slabs;
	struct slab **hash;
	uint8_t hash_sflag; /* of the table's pages */
	vm_offset_t kva;    /* RESKVA: the range */
	uint32_t kva_slabs; /* RESKVA: slabs it has room for */
	size_t *kva_map;    /* RESKVA: bit set = slab in use; domain 0's lock */
	vm_size_t kva_map_bytes;
	uint8_t kva_map_sflag;
	struct uma_kdomain domain[];
};

/* ---- zones --------------------------------------------------------------------------------------------- */

/* The depot of one domain: full buckets, and how much of it was really wanted lately. */
struct uma_zdomain {
	struct mtx lock;
	struct uma_bucket *first; /* taken from here */
	struct uma_bucket *last;  /* SMR appends here: oldest sequence first */
	struct uma_bucket *cross; /* items of this domain sorted out of cross frees; cross_lock */
	long nitems;              /* items in the buckets */
	long imax, imin;          /* extremes of nitems in this period */
	long bimin;               /* least nitems since the current batch of allocations began */
	long wss;                 /* working set estimate, items */
	long limin;               /* long-time average of what was never wanted */
	long low;                 /* least of nitems in this decay period */
	long due;                 /* items that the decay is giving back */
	uint32_t timin;           /* periods without a miss */
	smr_seq_t seq;            /* first->seq, readable without the lock */
};

/*
 * The parts are at the end of the zone, a framed cache (percpu.h). `cache` is part[], if the fast path is
 * for this zone; else it is one stack behind, so that what the fast path looks at remains closed.
 */
struct uma_zone {
	/* Read by each allocation and free that is not just moved; written while nobody can. */
	struct percpu *cache; /* per-CPU parts; uma_nocache if the zone has none */
	uint32_t flags;       /* UMA_ZONE_* and ZF_* */
	uint32_t size;        /* bytes of an item */
	uma_ctor ctor;
	uma_dtor dtor;
	struct smr *smr;      /* SMR zones */
	struct uma_keg *keg;  /* NULL: a cache zone */
	uint32_t sleepers;    /* who waits for items: all goes past the caches; see waiting.h */
	uint16_t bucket_size; /* slots wanted of a new bucket; hints, written racily */
	uint16_t bucket_size_min;
	uint16_t bucket_size_max;
	bool used;  /* an item has been imported: callbacks are settled */
	bool dying; /* being destroyed; uma_zones_lock */

	/* Refill. */
	uma_import import;
	uma_release release;
	void *arg;
	uma_init zinit;           /* an item comes from import (secondary and cache zones) */
	uma_fini zfini;           /* and goes to release */
	unsigned long bucket_max; /* most items of one depot */

	/* Limit: domain[0].lock. */
	uint64_t items;           /* imported, or about to be */
	uint64_t max_items;       /* 0 = none */
	struct waitq limit_queue; /* "zonelimit": woken with the charge for one item already made */

	/* Seldom. */
	atomic_u64 allocs, frees;  /* past the caches: atomic */
	atomic_u64 fails;          /* requests that failed: atomic */
	atomic_u64 sleeps;         /* waits for the limit: atomic */
	atomic_u64 xdomain;        /* frees of another domain's items: atomic */
	const char *name;          /* by reference */
	const char *warning;       /* printed when the limit is hit */
	uma_maxaction_t maxaction; /* called when the limit is hit */

	struct percpu_stack no_cpu_2 ALIGNED(PERCPU_STRIDE); /* the frame of part[] */

	atomic_u64 warned, acted; /* machine_now() of the last time; 0 = never */
	struct list link;         /* uma_zones; uma_zones_lock */
	uint32_t refs;            /* walkers standing on this zone; uma_zones_lock */
	bool owns_smr;            /* smr was made with the zone */
	struct mtx cross_lock;    /* domain[].cross */

	struct percpu_stack no_cpu_1 ALIGNED(PERCPU_STRIDE);

	uint32_t cpus[COOPER_MAXCPU / 32]; /* CPUs whose parts have been touched: atomic */
	struct uma_zdomain *domain;        /* behind the parts */

	struct percpu part[] ALIGNED(PERCPU_STRIDE);
};
#ifdef PERCPU_FRAMED
_Static_assert(offsetof(struct uma_zone, part) == COOPER_ZONE_PARTS &&
		   offsetof(struct uma_zone, no_cpu_1) == COOPER_ZONE_PARTS - PERCPU_STRIDE &&
		   offsetof(struct uma_zone, no_cpu_2) == COOPER_ZONE_PARTS - 2 * PERCPU_STRIDE,
    "sequences know where a zone's parts are, and so does <cooper/inline.h>");
#endif

/* ---- the room's state -------------------------------------------------------------------------------------- */

extern struct list uma_zones; /* struct uma_zone.link, complete zones only */
extern struct mtx uma_zones_lock;
extern struct percpu *uma_nocache;     /* parts of zones without caches: for ever empty and full */
extern struct slab *uma_boot_slabs;    /* VTOSLAB slabs on memory that has no struct vm_page */
extern struct uma_backend uma_backend; /* in force; start-up's own until uma_startup2() */
extern unsigned uma_ncpus, uma_ndomains;
extern bool uma_buckets_on;     /* from uma_startup2(), and unless pages are short */
extern unsigned long uma_total; /* bytes in slabs and tables: atomic */
enum uma_stage { UMA_COLD, UMA_BOOT, UMA_KVA, UMA_RUNNING, UMA_SHUTDOWN };
extern enum uma_stage uma_stage;
extern struct uma_zone *uma_slab_zones[2]; /* off-page headers: small, large */

/* ---- layout.c ---- */
struct keg_layout {
	uint32_t rsize, ipers, ppera;
	uint32_t pgoff; /* inline header's offset; 0 if ZF_OFFPAGE */
	uint32_t flags; /* ZF_OFFPAGE, ZF_VTOSLAB, ZF_HASH as they follow from it */
};
struct keg_question {
	vm_size_t size;
	uint32_t align; /* mask */
	uint32_t flags; /* UMA_ZONE_*, ZF_INTERNAL */
	unsigned ncpus;
	bool debug; /* headers carry the second bitset */
};
bool keg_layout(const struct keg_question *q, struct keg_layout *out);
vm_size_t slab_header_size(unsigned ipers, bool debug);
vm_size_t slab_zone_size(unsigned which, bool debug);

/* ---- keg.c, slab.c ---- */
void keg_init(struct uma_keg *keg, const char *name, size_t size, uma_init init, uma_fini fini,
    uint32_t align, uint32_t flags);
void keg_fini(struct uma_keg *keg);
int keg_import(struct uma_zone *zone, void **store, int max, int domain, bool strict, int flags);
void keg_release(struct uma_zone *zone, void **store, int n);
bool keg_add_slab(struct uma_keg *keg, int domain, int flags, bool *hopeless);
void keg_drain(struct uma_keg *keg, int domain, bool end);
void keg_decay_period(struct uma_keg *keg);
unsigned long keg_decay(struct uma_keg *keg, unsigned long max);
void keg_switch_backend(struct uma_keg *keg, const struct uma_backend *from);
unsigned long keg_pages(const struct uma_keg *keg);
struct slab *keg_slab_of(struct uma_keg *keg, const void *item);
void *uma_pages_alloc(vm_size_t bytes, int flags, uint8_t *sflag);
void uma_pages_free(void *mem, vm_size_t bytes, uint8_t sflag);
struct slab *slab_make(struct uma_keg *keg, int domain, int flags, bool *hopeless);
void slab_destroy(struct uma_keg *keg, struct slab *slab);
void keg_hash_insert(struct uma_keg *keg, struct slab *slab);
void keg_hash_remove(struct uma_keg *keg, struct slab *slab);
struct slab *keg_hash_find(struct uma_keg *keg, const void *item);
void keg_hash_grow(struct uma_keg *keg);

/* ---- item.c: items between zones and users ---- */
enum { SKIP_NONE = 0, SKIP_DTOR = 1, SKIP_COUNT = 2 };
int zone_import(struct uma_zone *zone, void **store, int max, int domain, int flags);
void zone_release(struct uma_zone *zone, void **store, int n);
void *zone_alloc_item(struct uma_zone *zone, void *udata, int domain, bool strict, int flags);
void zone_free_item(struct uma_zone *zone, void *item, void *udata, int skip);
void *item_ctor(struct uma_zone *zone, void *item, void *udata, int flags, int skip);
void item_dtor(struct uma_zone *zone, void *item, void *udata);
int item_domain(struct uma_zone *zone, const void *item);

/* ---- bucket.c ---- */
void bucket_startup(void);
struct uma_bucket *bucket_alloc(struct uma_zone *zone, void *udata, int flags);
void bucket_free(struct uma_zone *zone, struct uma_bucket *bucket, void *udata);
void bucket_drain(struct uma_zone *zone, struct uma_bucket *bucket);
unsigned bucket_size_for(size_t item_size);
void bucket_zones_each(void (*fn)(struct uma_zone *, void *), void *arg);
void bucket_enable(void);

/* ---- cache.c ---- */
void *uma_zalloc_slow(struct uma_zone *zone, void *udata, int flags);
void uma_zfree_slow(struct uma_zone *zone, void *item, void *udata);
/*
 * For who has tried the fast path on a zone that is neither dying nor misused: bucket exchange, all that most
 * slow requests need. NULL and false: it takes more, or the item goes home. They touch no errno.
 */
void *uma_zalloc_reload(struct uma_zone *zone, void *udata);
bool uma_zfree_reload(struct uma_zone *zone, void *item, void *udata);
void cache_drain_cpus(struct uma_zone *zone, int domain);
void cache_totals(struct uma_zone *zone, uint64_t *pops, uint64_t *pushes, uint64_t *cached);
void zone_put_full(
    struct uma_zone *zone, struct uma_bucket *bucket, int slot, int domain, void *udata);

/* ---- depot.c ---- */
struct uma_bucket *zone_fetch_bucket(struct uma_zone *zone, int domain, bool reclaim);
void zone_put_bucket(struct uma_zone *zone, int domain, struct uma_bucket *bucket, bool ws);
struct uma_bucket *zone_fill_bucket(struct uma_zone *zone, void *udata, int domain, int flags);
void zdomain_update_wss(struct uma_zdomain *zdom);
void zone_shrink_buckets(struct uma_zone *zone);
void depot_reclaim(struct uma_zone *zone, int domain, bool drain);
void depot_idle_trim(struct uma_zone *zone);
void depot_decay_period(struct uma_zone *zone);
unsigned long depot_decay(struct uma_zone *zone, unsigned long max);

/* ---- cross.c ---- */
void cross_sort(struct uma_zone *zone, struct uma_bucket *bucket, void *udata);
void cross_drain(struct uma_zone *zone, int domain);

/* ---- limit.c ---- */
int limit_charge(struct uma_zone *zone, int count, int flags);
int limit_try_charge(struct uma_zone *zone, int count);
void limit_release(struct uma_zone *zone, int count);
void limit_grant(struct uma_zone *zone);

/* ---- smrzone.c ---- */
void smr_bucket_ready(struct uma_zone *zone, struct uma_bucket *bucket);

/* ---- zone.c ---- */
void uma_zones_start(void);
void uma_each_zone(void (*fn)(struct uma_zone *, void *), void *arg);
void zone_hold(struct uma_zone *zone);
void zone_drop(struct uma_zone *zone);
struct uma_zone *zone_create_internal(
    const char *name, size_t size, uint32_t align, uint32_t flags);
vm_size_t zone_struct_size(void);
vm_size_t keg_struct_size(void);
void zone_set_cache(struct uma_zone *zone);
void zone_boot(
    struct uma_zone *zone, struct uma_keg *keg, const char *name, size_t size, uint32_t align);
extern struct uma_zone *uma_zone_of_zones, *uma_zone_of_kegs;

/* ---- decay.c ---- */
extern struct list *decay_cursor; /* uma_zones_lock: the zone that the round looks at next */
void decay_tend(struct uma_zone *zone, int flags);
void decay_round(void);
void decay_fork_child(void);
/* May memory of this zone go from any context: does nobody's callback run, and no lock matter? */
bool zone_calls_nobody(const struct uma_zone *zone);

/* ---- reclaim.c ---- */
void uma_reclaim_plain(int req);
void uma_pressure_plain(enum page_pressure level);
void uma_tend(int flags);
void uma_pressure(enum page_pressure level, int domain);

/* ---- check.c: misuse ---- */
bool check_alloc(struct uma_zone *zone, const char *func, int flags);
bool check_free(struct uma_zone *zone, const char *func, void *item);
bool check_setter(struct uma_zone *zone, const char *func, bool used);
void check_mark(struct uma_zone *zone, void *item, bool user);
void trash_fill(void *item, size_t size);
void trash_check(const char *what, const char *zone, const void *item, size_t size);

/*
 * Counts and pointers that are written under their lock and glanced at without: neither side may be
 * torn. The caller holds the lock.
 */
#define count_add(p, n) atomic_store_relaxed((p), *(p) + (n))

/* A bit of struct uma_zone.cpus. */
static inline bool
zone_cpu_used(const struct uma_zone *zone, unsigned cpu)
{
	return ((atomic_load_relaxed(&zone->cpus[cpu / 32]) >> (cpu % 32)) & 1);
}

/* Does its memory come from somebody's own functions? malloc's are the core's. */
static inline bool
keg_is_foreign(const struct uma_keg *keg)
{
	return ((keg->flags & ZF_OWNALLOC) != 0 && (keg->flags & UMA_ZONE_MALLOC) == 0);
}

/*
 * Are its free slabs caches, in the sense of the ceiling? Not those of what the core itself is made
 * of, nor what is never given back.
 */
static inline bool
keg_is_counted(const struct uma_keg *keg)
{
	return ((keg->flags & (UMA_ZONE_VM | UMA_ZONE_NOFREE | ZF_BUCKET | ZF_INTERNAL)) == 0);
}

static inline bool
zone_is_cached(const struct uma_zone *zone)
{
	return (zone->cache != uma_nocache);
}

/* Is allocating or freeing an item no more than moving it? */
static inline bool
zone_is_plain(const struct uma_zone *zone)
{
	return ((zone->flags & (ZF_CTORDTOR | UMA_ZONE_SMR)) == 0);
}

/* Must frees look at the item's domain? */
static inline bool
zone_is_first_touch(const struct uma_zone *zone)
{
	return ((zone->flags & UMA_ZONE_FIRSTTOUCH) != 0 && uma_ndomains > 1);
}

#endif
