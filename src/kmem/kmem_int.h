/*
 * What the files of kmem share: the graph of kernel arenas, who sits where in it, and waiting for
 * what a failed request lacks.
 *
 *	                 kernel arena  (the whole window; root)
 *	              /       |         |           \
 *	     domain 0 ... domain n-1   exec        nofree     each imports KVA_QUANTUM at a time
 *
 * Each page that kmem maps carries in vm_page.source the arena that its address came from and, on
 * the first page of an allocation, in vm_page.run the number of its pages: a caller of kmem_free()
 * cannot choose the wrong arena or the wrong size.
 */
#ifndef KMEM_KMEM_INT_H
#define KMEM_KMEM_INT_H

#include <cooper/kmem.h>
#include <cooper/uma.h>
#include <cooper/vmem.h>
#include "page/page.h"
#include "sync/sync.h"
#include "vmem/tag_source.h"

/* ---- the graph ----------------------------------------------------------------------------------- */

/* vm_page.source: 0 nobody's, then the arenas by number, then pages under a caller's own range. */
enum page_source {
	SOURCE_NONE,
	SOURCE_ROOT,
	SOURCE_EXEC,
	SOURCE_NOFREE,
	SOURCE_DOMAIN,                                    /* + domain */
	SOURCE_CALLER = SOURCE_DOMAIN + COOPER_MAXDOMAIN, /* kmem_back() */
	SOURCE_COUNT
};

struct kmem_arena {
	vmem_t *vm;
	struct kmem_arena *parent; /* whom it imports from; NULL: the root */
	struct tag_source tags;    /* tags.c's, so that it may draw on the reserve */
	bool feeds_tags;           /* tag slabs get their address space here */
	uint8_t source;            /* its number in vm_page.source */
	char name[24];
	struct list link; /* on kmem_arenas */
};

extern struct list kmem_arenas; /* struct kmem_arena, parents first; fixed after start-up */
extern vm_size_t kva_quantum;   /* what an arena imports at a time, bytes; a power of two */

struct kmem_arena *kmem_arena_of(unsigned source); /* NULL: no arena has that number */
struct kmem_arena *kmem_domain_arena(int domain);

/*
 * Make a kernel arena below `parent` and put it on the graph. Refused (COOPER_EINVAL, and a line in
 * cooper_start_error()) if the graph would then need a larger tag reserve than there is.
 */
int kmem_arena_create(struct kmem_arena *ka, const char *name, struct kmem_arena *parent,
    unsigned source, bool feeds_tags);
void kmem_arena_destroy(struct kmem_arena *ka); /* a leaf without allocations */

/* Create the whole graph over machine_kva(), and its reserve. Returns 0 or an errno, line set. */
int kmem_arenas_start(void);

/*
 * Take address space, page units, from `first`, else from the root itself in no more than `size`
 * (the root may be too fragmented for a whole quantum), else from what other domains' arenas have
 * left over. `flags`: M_NOWAIT is implied; only tags.c's refill gets through with M_USE_RESERVE.
 * *from is the arena that it must go back to. 0 on failure; nothing is held then.
 */
vm_offset_t kmem_kva(struct kmem_arena *first, vm_size_t size, int flags, struct kmem_arena **from);
void kmem_kva_free(struct kmem_arena *ka, vm_offset_t va, vm_size_t size);
/* The same near the window's start, for what must lie within BT_APART of it. */
vm_offset_t kmem_kva_near(
    struct kmem_arena *first, vm_size_t size, int flags, struct kmem_arena **from);
/* Would kmem_kva() find room? A hint: what it says may be stale at once. */
bool kmem_kva_available(struct kmem_arena *first, vm_size_t size);

/*
 * kva_alloc_aligned() that sleeps on "kva" until there is room; 0 only if the whole window has no such
 * place.
 */
vm_offset_t kmem_kva_wait(vm_size_t size, vm_size_t align);

/* ---- tags.c: where the circle is closed ------------------------------------------------------------- */

/* The zone of tags, and the reserve that the graph needs. Returns 0 or an errno, line set. */
int tags_start(void);
/* Give `ts` the operations of the zone of tags; reserve: for an arena of the kernel graph. */
void tags_source_init(struct tag_source *ts, bool reserve);
/* Can the reserve in force serve a graph of this depth? */
bool tags_can_serve(unsigned layers);
/* The tags that the graph needs in reserve, as it stands. */
unsigned tags_bound(void);
/* Do slabs of tags lie in the window? Its first page is then the first slab. */
bool tags_are_mapped(void);
/* From now on slabs of tags come from the graph. */
void tags_use_graph(void);
/* Stop (debug shape) unless the invariant holds. No lock of rank TAGS or above is held. */
void tags_check(const char *where);
extern uma_zone_t tag_zone;
/* What the laboratory looks at: who refills, what is kept, what this refill has taken of it. */
extern struct thread_state *tags_filler;
extern unsigned tags_reserve, tags_taken;
extern unsigned tags_peak; /* most tags that one refill has taken of the reserve since start */

/* ---- pages under address space ------------------------------------------------------------------------ */

/* Map n pages of pa[] at va and note where the address came from; `first`: of `run` pages in all. */
void kmem_enter(vm_offset_t va, const vm_paddr_t *pa, unsigned n, bool exec, unsigned source,
    unsigned long run);
/* Pages of `it`'s domains, `first` first, under n pages at va; all or none. 0 or COOPER_ENOMEM. */
int kmem_fill(
    vm_offset_t va, unsigned long n, struct domain_iter *it, int first, int flags, unsigned source);
/* kmem_back() with pages of a set's domains, in its order; NULL: kmem_back(). */
int kmem_back_domainset(vm_offset_t addr, vm_size_t size, struct domainset *ds, int flags);
/*
 * Do `it`'s domains have n pages between them? *first: the first in its order that has all, or else
 * any. A hint: no lock is taken.
 */
bool kmem_pages_available(unsigned long n, struct domain_iter *it, int flags, int *first);
/* kmem_malloc_domainset() whose M_WAITOK gives up after so many rounds of waiting; 0: never. */
void *kmem_malloc_rounds(struct domainset *ds, vm_size_t size, int flags, unsigned rounds);
#define KMEM_ROUNDS 10 /* what a slab's back end waits before its keg looks again */
/* Could `it`'s domains ever give that many bytes? If not, waiting would be for ever. */
bool kmem_possible(vm_size_t size, struct domain_iter *it);
/* Unmap and free the n pages at va. */
void kmem_drain(vm_offset_t va, unsigned long n);

/* ---- wait.c: waiting for what a failed request lacks ----------------------------------------------------
 *
 *	kmem_wait_begin(&w, channel);
 *	while (kmem_wait_look(&w), (p = attempt()) == NULL)
 *		kmem_wait(&w, need);
 *	kmem_wait_end(&w);
 */
struct kmem_waiter {
	struct waitq *channel;
	uint64_t seen;     /* events before the attempt */
	uint64_t interval; /* ns until the next reclaim pass, should no event come */
};
enum kmem_channel {
	KMEM_WAIT_TAGS,     /* one tag */
	KMEM_WAIT_KVA,      /* addresses */
	KMEM_WAIT_KVA_TAGS, /* addresses that are there, and the tags to cut them out with */
	KMEM_WAIT_TURN,     /* the turn to gather tags */
	KMEM_CHANNELS
};

void kmem_wait_start(void);
void kmem_wait_begin(struct kmem_waiter *w, enum kmem_channel channel);
void kmem_wait_look(struct kmem_waiter *w);
/* Who waits for addresses: are it the tags for them that lack? The sleep's channel says so. */
void kmem_wait_lacks_tags(struct kmem_waiter *w, bool tags);
void kmem_wait(struct kmem_waiter *w, uint64_t need);
void kmem_wait_end(struct kmem_waiter *w);
/* The turn (vmem/tag_source.h): as kmem_wait(), unless it is nobody's: then it is this thread's. */
void kmem_turn_wait(struct kmem_waiter *w, uint64_t need);
void kmem_turn_end(void);
extern struct thread_state *kmem_turn; /* whose it is; under a lock of wait.c */
/* Held by a request that waits, in an attempt that takes several pages one after the other. */
extern struct mtx kmem_gather_lock;
/* Tags, address space or pages came back. Cheap while nobody waits; takes one lock of rank WAIT. */
void kmem_event(void);
/* A failed attempt's tags are back: news for who waits for tags alone. */
void kmem_tag_event(void);

/* ---- start-up -------------------------------------------------------------------------------------------- */

struct uma_backend;
extern const struct uma_backend kmem_backend;       /* slabs.c */
extern const struct table_memory kmem_table_memory; /* slabs.c: vmem's tables of busy segments */
void kmem_fork_child(void);
int kmem_start(void); /* 0 or an errno, line set */
/* Keep one line for cooper_start_error(). Returns `error`. */
int start_refuse(int error, const char *fmt, ...) PRINTFLIKE(2, 3);

#endif
