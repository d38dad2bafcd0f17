/*
 * Inside an arena.
 *
 * Segments and their boundary tags. Each segment of an arena, free or busy, has one tag, and each
 * span has one that closes it, at the address one past its end:
 *
 *	| busy | free | busy |#        | free  | busy |#
 *	                      span end                 span end
 *
 * All tags are on one list in the order of addresses. Segments fill a span without gaps, so a
 * segment ends where the next tag starts: a tag has no size. Two free neighbours never stand side
 * by side in a span; span ends are the barrier between spans.
 *
 *  - a BUSY tag is also in the table, by its start (hash.c);
 *  - a FREE tag is also on the bin of its size (bins.c);
 *  - a span end, and where one searches by address some busy tags, is also in the index (index.c).
 *
 * Tags refer to each other by 32-bit offsets from the arena's base, in units of a tag's alignment: 32
 * bytes a tag on 64-bit machines, everything included, two to a cache line.
 *
 * The arena's lock guards all of it. Who waits, waits on the arena's queue under vmem_wait_lock.
 */
#ifndef VMEM_VMEM_INT_H
#define VMEM_VMEM_INT_H

#include <cooper/uma.h>
#include <cooper/vmem.h>
#include "base/atomic.h"
#include "sync/sync.h"
#include "vmem/tag_source.h"

#define VMEM_NAME_MAX   24 /* with the NUL */
#define VMEM_QCACHE_MAX 16 /* quantum caches; sizes 1..16 quanta */
#define BT_MAXFREE      32 /* spare tags that an arena keeps, and one for each 64 segments */

/* ---- tags ------------------------------------------------------------------------------------------ */

typedef uint32_t btref; /* a tag of this arena; 0: none */

enum bt_type { BT_SPAN, BT_SPAN_STATIC, BT_FREE, BT_BUSY };

#if UINTPTR_MAX > UINT32_MAX
#define BT_SHIFT 5
#else
#define BT_SHIFT 2
#endif

struct vmem_btag {
	_Alignas(
	    1 << BT_SHIFT) vmem_addr_t start; /* of the segment; of a span end: one past the span */
	btref next, prev;                     /* neighbours by address */
	union {
		uint32_t word;
		struct {
			uint32_t type : 2;   /* enum bt_type */
			uint32_t cached : 1; /* BUSY: belongs to a quantum cache */
			uint32_t idle : 1;   /* BUSY: lies in one now; debug shape */
			/* In the index: what there is in the subtree at most, coded; see index.c. */
			uint32_t max : 12; /* the largest free size */
			uint32_t fit : 10; /* the largest size that fits in vm->shape */
			uint32_t own : 6;  /* the largest free size in the run that it leads */
		};
	};
	union {
		btref bin_next;   /* FREE */
		btref hash_next;  /* BUSY */
		btref spare_next; /* spare */
	};
	union {
		btref bin_prev; /* FREE */
		btref left;     /* in the index; of a BUSY tag that is not, INDEX_OUTSIDE */
	};
	btref right; /* in the index */
};
_Static_assert(sizeof(void *) == 4 || sizeof(struct vmem_btag) == 32, "two to a cache line");

/* ---- bins: two levels, 16 lists to a power of two; sizes below 32 quanta have a list each ------------- */

#define BIN_BITS 4
#define BIN_SUBS (1u << BIN_BITS)
#define BIN_TOPS (8 * sizeof(vmem_size_t) - BIN_BITS + 1)

struct bins {
	uint64_t tops;           /* bit t: subs[t] != 0 */
	uint16_t subs[BIN_TOPS]; /* bit s: head[t][s] != 0 */
	btref head[BIN_TOPS][BIN_SUBS];
};

/* ---- the table of busy segments ------------------------------------------------------------------------ */

#define TABLE_FIRST      64u /* slots inside the arena */
#define TABLE_PAGE_SHIFT 10
#define TABLE_PAGE       (1u << TABLE_PAGE_SHIFT) /* slots in each of the first chunks */
#define TABLE_CHUNKS     (4 * 20)

struct table {
	uint32_t slots; /* in use, >= TABLE_FIRST; a linear hash: grows and shrinks by one */
	uint32_t half;  /* the largest power of two at or below slots */
	uint32_t room;  /* that the chunks have */
	uint32_t idle;  /* with no more slots than that the last chunk is idle */
	uint16_t chunks;
	bool busy; /* somebody is fetching or returning a chunk */
	btref *chunk[TABLE_CHUNKS];
	btref first[TABLE_FIRST];
};

/* ---- the arena -------------------------------------------------------------------------------------------- */

struct quantum_cache {
	uma_zone_t zone; /* also in vm->cached */
	vmem_t *vm;
	vmem_size_t size;
	char name[VMEM_NAME_MAX + 16];
};

struct vmem_counts {
	uint64_t allocs, frees, fails; /* xalloc and xfree; what quantum caches serve is theirs */
	uint64_t imports, futile, releases, reclaims;
	uint64_t sleeps;
	uint64_t shapes; /* changes of shape */
	uint64_t looks;  /* tags and bins looked at in searches: the cost, in steps */
	uint64_t built;  /* and those of building the index, which earlier frees have paid for */
};

/* What a request asks besides its size and window; align 0: nothing. */
struct shape {
	vmem_size_t align, phase, nocross;
};

/* What there is somewhere at most, and what a search wants at least; sizes, coded. See index.c. */
struct prune {
	uint32_t max, fit; /* plain, and in the arena's shape */
	uint32_t own;      /* max, coarse: in one run */
};

/* Tags of one request while the arena is unlocked, and those to go back to the source. */
struct purse {
	btref tags;
	uint32_t n;
	uint32_t fresh; /* taken from the source by this request */
};

struct vmem {
	struct mtx lock;
	vmem_size_t quantum_mask;
	uint8_t quantum_shift;
	uint8_t nqcache;
	bool allocated;     /* by vmem_create() */
	bool own_tags;      /* only vmem_add_tags()'s; tags is NULL */
	uintptr_t base;     /* of btref; 0 until the first tag comes */
	btref first, last;  /* tags in the order of addresses */
	btref root;         /* index */
	bool indexed;       /* the index is kept up; see index.c */
	struct prune front; /* what it knows of the segments before its first */
	uint32_t quiet;     /* segments that grew since it was last searched */
	btref spare;        /* tags not in use */
	uint32_t nspare;
	uint32_t nbusy, nfree, nspan;
	vmem_size_t size, inuse;
	vmem_addr_t cursor; /* M_NEXTFIT goes on here */
	btref near;         /* a tag in use, at or near the last segment of that policy; or 0 */
	uint32_t in_flight; /* imports and releases under way, with the lock dropped */
	uint32_t landings;  /* how often that came to be none; read without the lock, too */
	struct shape shape; /* the one that the index knows the answers for */
	uint64_t strange;   /* looks in searches for other shapes, since it was chosen */
	vmem_size_t qcache_max;

	struct tag_source *tags;
	vmem_import_t *import;
	vmem_release_t *release;
	void *import_arg;
	vmem_size_t import_quantum;
	vmem_size_t limit; /* 0: none */
	vmem_reclaim_t *reclaim;

	/*
	 * What vmem_alloc() and vmem_free() of a cached size read, and nobody writes (qcache.c). Nor is what
	 * stands a line's length before and behind it written, but as arenas come and go.
	 */
	vmem_size_t qcache_fast;            /* qcache_max, or 0 in the debug shape */
	uint8_t qcache_shift;               /* quantum_shift */
	uma_zone_t cached[VMEM_QCACHE_MAX]; /* by size in quanta, less one */
	struct quantum_cache qcache[VMEM_QCACHE_MAX];
	char name[VMEM_NAME_MAX];
	struct list link; /* vmem_arenas */

	struct vmem_counts counts;
	struct waitq wait;    /* vmem_wait_lock */
	struct list sleepers; /* on the list of arenas that are slept on; vmem_wait_lock */
	struct table table;
	struct bins bins;
};
_Static_assert(sizeof(struct vmem) <= VMEM_STORAGE, "VMEM_STORAGE holds an arena");

extern struct list vmem_arenas; /* struct vmem; vmem_arenas_lock */
extern struct mtx vmem_arenas_lock;

/* ---- references ------------------------------------------------------------------------------------------- */

static inline struct vmem_btag *
bt_at(const vmem_t *vm, btref r) /* r != 0 */
{
	return ((struct vmem_btag *)(vm->base + ((uintptr_t)r << BT_SHIFT)));
}

static inline btref
bt_ref(const vmem_t *vm, const struct vmem_btag *bt)
{
	return ((btref)(((uintptr_t)bt - vm->base) >> BT_SHIFT));
}

static inline struct vmem_btag *
bt_get(const vmem_t *vm, btref r) /* NULL for 0 */
{
	return (r == 0 ? NULL : bt_at(vm, r));
}

static inline bool
bt_is_span(const struct vmem_btag *bt)
{
	return (bt->type <= BT_SPAN_STATIC);
}

static inline vmem_size_t
bt_size(const vmem_t *vm, const struct vmem_btag *bt) /* FREE or BUSY */
{
	return (bt_at(vm, bt->next)->start - bt->start);
}

static inline struct vmem_btag *
bt_of_type(const vmem_t *vm, btref r, enum bt_type type) /* NULL: none there, or another type */
{
	struct vmem_btag *bt = bt_at(vm, r);

	return (likely(r != 0) && bt->type == type ? bt : NULL);
}

/* ---- bins.c, hash.c, index.c ---------------------------------------------------------------------------------- */

/*
 * A free segment for a request without constraints, the tightest of the first `looks` in the first
 * bin that has one; NULL and *sure: there is none; not sure: there may be one that was not looked at.
 */
struct vmem_btag *bins_plain(vmem_t *vm, vmem_size_t size, unsigned looks, bool *sure);
/* The largest free size, if that is known after a few looks; *sure says so. */
vmem_size_t bins_largest(vmem_t *vm, bool *sure);
/* A segment of at least `size` off the tightest bin of which all are so large; NULL: none. */
struct vmem_btag *bins_fit(vmem_t *vm, vmem_size_t size);
/* Heads of the non-empty bins from the one of `size` upwards: the first, and the one after *bin. */
struct vmem_btag *bins_from(vmem_t *vm, vmem_size_t size, unsigned *bin);
struct vmem_btag *bins_after(vmem_t *vm, unsigned *bin);

void hash_init(vmem_t *vm);
/* Is a chunk wanted, or one idle? Asked under the lock; hash_adjust() acts on it with no lock. */
bool hash_wants(const vmem_t *vm);
bool hash_idle(const vmem_t *vm);
void hash_adjust(vmem_t *vm);
void *hash_from_storage(vmem_t *vm, void *storage, size_t *bytes);
btref *hash_reclaim(vmem_t *vm, size_t *bytes);
void hash_give_back(btref *memory, size_t bytes);
void hash_destroy(vmem_t *vm);

/* What bt->left says of a busy segment that is not in the index. */
#define INDEX_OUTSIDE (~(btref)0)

static inline bool
index_inside(const struct vmem_btag *bt)
{
	return (bt->type == BT_BUSY ? bt->left != INDEX_OUTSIDE : bt->type != BT_FREE);
}

void index_enter(
    vmem_t *vm, struct vmem_btag *bt); /* a span end, or a busy one that may be a head */
void index_leave(vmem_t *vm, struct vmem_btag *bt); /* who is inside */
void index_grown(vmem_t *vm, struct vmem_btag *bt); /* it became free, or larger; `indexed` only */
struct prune index_prune(const vmem_t *vm, vmem_size_t size, bool shaped);
struct prune index_knows(const vmem_t *vm, const struct vmem_btag *bt); /* of one free segment */
vmem_size_t index_largest(vmem_t *vm);
/* Know the answers for another shape from now on; as many steps as there are segments. */
void index_reshape(vmem_t *vm, struct shape shape);

/* The last head with start <= addr; NULL: none, and what starts there is in the front run. */
struct vmem_btag *index_floor(vmem_t *vm, vmem_addr_t addr);
/* The same among what happens to be inside: at least each span end. */
struct vmem_btag *index_span_floor(vmem_t *vm, vmem_addr_t addr);

/*
 * Show look() the free segments between two addresses (and some that lie a little outside), lowest first
 * or with `down` highest first, but for those that `prune` lets it skip, until look() says true; so does
 * index_walk() then. look() may raise `prune`.
 */
struct index_walk {
	vmem_addr_t from, to;
	bool down;
	struct prune prune;
	bool (*look)(struct index_walk *w, struct vmem_btag *bt);
	vmem_t *vm;                /* index_walk()'s own: */
	struct vmem_btag *lo, *hi; /* the runs at the ends */
};
bool index_walk(vmem_t *vm, struct index_walk *w);

/* ---- segment.c: the algebra of tags ------------------------------------------------------------------------------ */

/* Make [start, start + size) of the free segment bt busy; at most BT_CLIP spare tags are used. */
struct vmem_btag *segment_take(
    vmem_t *vm, struct vmem_btag *bt, vmem_addr_t start, vmem_size_t size);
/* Any free segment that holds `size`, close in size to it, made busy; NULL: none, or not so easily. */
struct vmem_btag *segment_take_plain(vmem_t *vm, vmem_size_t size, unsigned looks);
/* Free a busy segment that has left the table; returns the free segment that it is part of now. */
struct vmem_btag *segment_free(vmem_t *vm, struct vmem_btag *bt);
/*
 * Add a span; at most BT_IMPORT spare tags. Returns the free segment that it is or is part of now; NULL:
 * it overlaps, or its addresses wrap.
 */
struct vmem_btag *span_add(vmem_t *vm, vmem_addr_t addr, vmem_size_t size, enum bt_type type);
/* The imported span that bt, free, is all of; NULL if it is not, or need not go back. */
struct vmem_btag *span_of_free(vmem_t *vm, struct vmem_btag *bt);
/* Take the span off that the free segment bt is all of. */
void span_remove(vmem_t *vm, struct vmem_btag *bt, struct vmem_btag *end);

/* ---- fit.c: a request and where it fits ---------------------------------------------------------------------------- */

struct request {
	vmem_size_t size;   /* rounded */
	struct shape shape; /* align >= quantum */
	vmem_addr_t min, max;
	vmem_size_t
	    enough;      /* any segment of this size can hold it, if the window does not cut it */
	unsigned policy; /* one of M_VMEM_POLICY */
	struct prune prune; /* set as each search begins */
	bool plain;         /* no shape to speak of */
	bool cached;        /* of a size that belongs to a quantum cache */
	bool refill;        /* for the cache itself, which does not drain itself to fill itself */
	bool futile;        /* the last attempt made an import that did not help */
	bool grew;          /* the last attempt made one that stays in the arena */
	bool landed;        /* the last attempt's was the last in flight */
	bool blind; /* what it needs may be in flight: it must look again after `landings` */
	uint32_t landings;
	vmem_addr_t unused;      /* a span that was imported and is to go back: it is not needed */
	vmem_size_t unused_size; /* 0: none */
};

#define FIT_FIRST_LOOKS  4  /* first fit looks at so many segments of close sizes */
#define FIT_BEST_LOOKS   16 /* and best fit compares so many, */
#define FIT_WINDOW_LOOKS 4  /* in a window so many from the first that fits on */

/* Fill in what is derived. */
void request_prepare(const vmem_t *vm, struct request *rq);
/* The largest size that fits in [lo, hi) in this shape. */
vmem_size_t shape_capacity(const struct shape *shape, vmem_addr_t lo, vmem_addr_t hi);
/* Where in [lo, hi) (and the window) it fits: lowest or highest place. */
bool request_fits(const struct request *rq, vmem_addr_t lo, vmem_addr_t hi, vmem_addr_t *startp);
/* The segment for it, by its policy; NULL: none fits, which is exact. */
struct vmem_btag *fit_find(vmem_t *vm, struct request *rq, vmem_addr_t *startp);

/* ---- spare.c: spare tags ------------------------------------------------------------------------------------------------ */

/* Space or tags came back: who waits for tags of this source may find them here. With no lock held. */
static inline void
spare_tell(vmem_t *vm)
{
	if (vm->tags != NULL && vm->tags->event != NULL)
		vm->tags->event(vm->tags);
}

/*
 * Attempts that may wait until one does not fail for want of tags (machine_thread_state()->lacks_tags names
 * the source that had none then):
 *
 *	w = spare_wait_none();
 *	do
 *		error = attempt();
 *	while (spare_again(&w, error));
 *
 * The second begins when this thread is on its source's list, and each further one after a wait there.
 * Who is importing does not wait: his child does. Nothing is held.
 */
struct spare_wait {
	struct tag_source *source; /* NULL: not waiting yet */
	struct tag_waiter waiter;
};
struct spare_wait spare_wait_none(void);
bool spare_again(struct spare_wait *w, int error);
extern uint32_t
    spare_waiters; /* requests that do; whoever leaves tags in an arena looks, under its lock */

static inline struct vmem_btag *
spare_take(vmem_t *vm)
{
	struct vmem_btag *bt = bt_get(vm, vm->spare);

	MUST(bt != NULL, "spare_take: arena \"%s\" has no tag for a request that had seen to %u",
	    vm->name, BT_MAXALLOC);
	vm->spare = bt->spare_next;
	vm->nspare--;
	return (bt);
}

static inline void
spare_put(vmem_t *vm, struct vmem_btag *bt)
{
	bt->spare_next = vm->spare;
	vm->spare = bt_ref(vm, bt);
	vm->nspare++;
}

static inline uint32_t
spare_most(const vmem_t *vm)
{
	return (BT_MAXFREE + vm->nbusy / 64);
}

void spare_adopt(vmem_t *vm, struct vmem_btag *bt); /* from outside */
/*
 * See that the arena has BT_MAXALLOC (or `need`) spare tags; may drop the lock. 0 or ENOMEM, and then
 * lacks_tags is set if the request may wait.
 */
int spare_fill(vmem_t *vm, struct purse *purse, unsigned need, int flags);
/* Hide this request's tags while the lock is dropped (H11), and show them again. */
void spare_hide(vmem_t *vm, struct purse *purse);
void spare_show(vmem_t *vm, struct purse *purse);
/* Take off what is to go back: after a request that failed or may use the reserve; over the bound. */
void spare_unfill(vmem_t *vm, struct purse *purse);
void spare_trim(vmem_t *vm, struct purse *purse);
/* Give what was taken off back to the source; no lock held. */
void spare_return(vmem_t *vm, struct purse *purse);
/* The same for a request that failed: its tags are as they were, which is no news of space. */
void spare_put_back(vmem_t *vm, struct purse *purse);

/* ---- import.c, wait.c, qcache.c -------------------------------------------------------------------------------------------- */

/* Give back the span that the free segment bt is all of; drops the lock meanwhile. */
void import_release(vmem_t *vm, struct purse *purse, struct vmem_btag *bt, struct vmem_btag *end);
enum import_result { IMPORT_NO, IMPORT_YES, IMPORT_FUTILE };
/* With the lock, which it drops; IMPORT_YES: *bt and *start are the fit. */
enum import_result import_span(vmem_t *vm, struct request *rq, int flags, struct purse *purse,
    struct vmem_btag **bt, vmem_addr_t *start);
/*
 * A span is on its way from now on, and now it is not: it is here, or in the parent. True: none is any
 * more, and once the lock is dropped arena_wait_landed() is to be told.
 */
void import_takes_off(vmem_t *vm);
bool import_lands(vmem_t *vm);
/* Would the request fit if everything between the first and the last address were free? */
bool import_could_wait(vmem_t *vm, const struct request *rq);

void arena_wait_start(void);
void arena_wait_init(vmem_t *vm);
void arena_wait_destroy(vmem_t *vm);
struct arena_news {        /* how often something that sleepers should know of has happened */
	uint64_t events;   /* space or tags came back */
	uint64_t putbacks; /* a futile import was undone */
};
struct arena_news arena_wait_begin(void); /* before an attempt: what has happened so far */
/* Sleep until more has happened than *seen, which is then brought up to date. No lock held. */
void arena_wait_sleep(vmem_t *vm, struct arena_news *seen, const struct request *rq);
/* No span of this arena is in flight any more; no lock held. */
void arena_wait_landed(vmem_t *vm);
void arena_wait_end(void);
void arena_wait_tell(vmem_t *vm);
extern uint32_t arena_sleepers; /* requests that wait, on whatever arena */
/* Space or tags came back; no lock held. */
static inline void
arena_wait_event(vmem_t *vm)
{
	if (unlikely(atomic_load_relaxed(&arena_sleepers) != 0))
		arena_wait_tell(vm);
}

int vmem_take(vmem_t *vm, struct request *rq, int flags, vmem_addr_t *addrp);
void vmem_give(vmem_t *vm, vmem_addr_t addr, vmem_size_t size, bool cached);

/* verify.c: is everything true that must be inside this arena? *why says what is not. */
bool vmem_verify(vmem_t *vm, const char **why);

void qcache_create(vmem_t *vm, vmem_size_t qcache_max);
void qcache_destroy(vmem_t *vm);
void qcache_drain(vmem_t *vm, bool all_cpus);
/* What a user got without its help is its own all the same: he will free it into the cache. */
void qcache_adopt(vmem_t *vm, vmem_size_t size);
/* From one to the other no quantum cache of any arena holds anything. */
void qcache_wait_begin(void);
void qcache_wait_end(void);
void qcache_fork_child(void);

#endif
