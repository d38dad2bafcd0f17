/*
 * Where an arena takes boundary tags. An ordinary arena uses the zone of tags through the default
 * source; kernel arenas, from which that zone's own slabs come, use kmem/tags.c's, which may draw on
 * the reserve. vmem knows neither.
 *
 * alloc is called with the arena locked when M_NOVM is set (then it must not leave what is cached
 * or in slabs), and unlocked otherwise. free and event are called with no lock held.
 *
 * A request with M_USE_RESERVE that fails gives every tag that it took back through free before it
 * returns: its arena is left with the spare tags that it had, so that ordinary callers of the arena
 * find nothing of the reserve there.
 *
 * WAITING. A request takes up to BT_MAXALLOC tags for each arena on its way. Were it to keep those that
 * it has while it waits for the rest, requests that have a part each could wait for each other for
 * ever. So it undoes everything before it waits, and waits for its turn: of those who wait for
 * tags of a source, one at a time has the turn, and only that one may hold tags while it waits for more
 * (alloc with M_WAITOK). The others sleep, or look whether their arenas have got tags meanwhile.
 */
#ifndef VMEM_TAG_SOURCE_H
#define VMEM_TAG_SOURCE_H

#include "base/base.h"

struct vmem_btag;

/* Who waits: the source's own. */
struct tag_waiter {
	uint64_t own[3];
};

struct tag_source {
	struct vmem_btag *(*alloc)(struct tag_source *ts, int flags); /* NULL: none now */
	void (*free)(struct tag_source *ts, struct vmem_btag *bt);
	/*
	 * Space or tags came back to an arena of this source (a free, an add): who waits for tags may
	 * find them there. NULL: nobody waits. Called after each such change, so it must be cheap.
	 */
	void (*event)(struct tag_source *ts);
	/*
	 * Is tag a, free, a better home for what tag b holds? Asked with the arena locked; NULL: tags
	 * stay where they are.
	 */
	bool (*prefer)(const struct vmem_btag *a, const struct vmem_btag *b);
	/*
	 * An attempt that fails for want of tags is begun again after wait(), which returns when it is this
	 * thread's turn (state->tags_turn) or anything came back since wait_begin() or the last wait(). With
	 * no lock held and no tag in hand. NULL: there are no turns, and all may alloc(M_WAITOK).
	 */
	void (*wait_begin)(struct tag_source *ts, struct tag_waiter *w);
	void (*wait)(struct tag_source *ts, struct tag_waiter *w);
	void (*wait_end)(
	    struct tag_source *ts, struct tag_waiter *w); /* the turn is the next one's */
	bool reserve; /* M_USE_RESERVE is passed down (kernel arenas only) */
};

/*
 * Tags refer to one another in 32 bits. All tags of one arena lie within BT_REACH / 2 of the first that
 * it got (16 GiB on 64-bit machines; on 32-bit ones that is everything): a source that has memory
 * further apart than that gives tags of one neighbourhood.
 */
#define BT_REACH ((uintptr_t)-1 >> (sizeof(uintptr_t) == 8 ? 29 : 0))

/* Memory for tags that lies within so many bytes serves any arena. */
#define BT_APART (sizeof(uintptr_t) == 8 ? BT_REACH / 2 + 1 : BT_REACH)

/* The worst case of one xalloc on one arena: an import's two tags (span, free) and two clips. */
#define BT_IMPORT   2
#define BT_CLIP     2
#define BT_MAXALLOC (BT_IMPORT + BT_CLIP)

extern const size_t vmem_btag_size, vmem_btag_align;

/*
 * Where arenas take chunks of their tables of busy segments: called with no lock of vmem held, never
 * sleeps, NULL when there is none now (the table then stays as it is). Until there is one, and for arenas
 * with the caller's tags, tables do not grow. One for all arenas.
 */
struct table_memory {
	void *(*alloc)(size_t bytes);
	void (*free)(void *memory, size_t bytes);
};
void vmem_set_table_memory(const struct table_memory *memory);

/* Start-up: after uma_startup1. The default source serves arenas created from then on. */
void vmem_startup(void);
void vmem_fork_child(void); /* after sync_fork_child() */
void vmem_set_default_tags(struct tag_source *ts);
struct vmem;
/* An arena in boot memory, where it stays; NULL: there is none. Empty, like vmem_create() of size 0. */
struct vmem *vmem_boot(const char *name, vmem_size_t quantum, vmem_size_t qcache_max);
void vmem_set_tags(struct vmem *vm, struct tag_source *ts); /* before the first add or import */

/*
 * For reclaim; no lock is held. vmem_trim: give the spare tags of all arenas back to their sources,
 * and the room in their tables that they do without.
 * vmem_compact: move live tags of arenas with few of them into tags that their sources prefer, as
 * far as those have such cached or in slabs.
 */
#define VMEM_COMPACT_MAX 256 /* tags */
void vmem_trim(void);
void vmem_compact(void);

#endif
