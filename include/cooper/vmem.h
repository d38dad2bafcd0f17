/*
 * Arenas: ranges of any resource (addresses, ids, ports, blocks), with import from other arenas.
 * Semantics: FreeBSD's vmem(9) manual; Bonwick & Adams 2001. Where Cooper differs the text says so.
 *
 * An arena hands out ranges in multiples of its quantum, from the spans that were added to it or that
 * it imported. Units are the resource's own; the highest address of all, VMEM_ADDR_MAX, cannot be part
 * of a span. Every function may be called from any thread. Those that take M_WAITOK may sleep and want
 * no core lock held; all others never sleep. No arena's lock is held while a callback runs.
 *
 * Cost: allocation without a window is O(1), with one O(log n) of the free segments, and so is
 * "no". Freeing is O(1). Both with a small constant number of boundary tags.
 */
#ifndef COOPER_VMEM_H
#define COOPER_VMEM_H

#include <cooper/types.h>

COOPER_BEGIN_DECLS

typedef struct vmem vmem_t;

#define VMEM_ADDR_MIN        ((vmem_addr_t)0)
#define VMEM_ADDR_QCACHE_MIN ((vmem_addr_t)1)
#define VMEM_ADDR_MAX        (~(vmem_addr_t)0)

/*
 * Bring a span of `size`, a multiple of the import quantum: 0 and *addrp, a multiple of the arena's
 * quantum, or an errno value. flags are the request's. For a request with M_WAITOK they say M_NOWAIT
 * as long as the arena has busy segments, since a free there may serve it first; the import is tried
 * again after a free or an add in any arena.
 */
typedef int vmem_import_t(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp);
/* Take back what import gave, the same range. Does not fail. */
typedef void vmem_release_t(void *arg, vmem_addr_t addr, vmem_size_t size);
/* Free what can be freed of this arena; flags are the request's. */
typedef void vmem_reclaim_t(vmem_t *vm, int flags);

/* vmem_size() masks */
#define VMEM_ALLOC   0x01
#define VMEM_FREE    0x02
#define VMEM_MAXFREE 0x10

/* ---- create and destroy ------------------------------------------------------------------------ */

/*
 * A new arena. name is copied (23 characters count). quantum: a power of two. size 0: no span yet;
 * otherwise as vmem_add(vm, base, size, flags). qcache_max: sizes up to it, at most 16 quanta, get
 * per-CPU caches, zones named "<arena>-<bytes>". flags: M_WAITOK or M_NOWAIT, for the arena, its
 * tags and its span; making its caches, and the first arena of all, may sleep with either.
 * NULL: no memory (M_NOWAIT only), or a bad argument.
 */
vmem_t *vmem_create(const char *name, vmem_addr_t base, vmem_size_t size, vmem_size_t quantum,
    vmem_size_t qcache_max, int flags);

/*
 * The same on the caller's storage, VMEM_STORAGE bytes aligned to VMEM_STORAGE_ALIGN. NULL: the
 * first span could not be added; the storage is untouched by anybody then, and stays the caller's.
 */
#define VMEM_STORAGE       8192
#define VMEM_STORAGE_ALIGN 128
vmem_t *vmem_init(vmem_t *vm, const char *name, vmem_addr_t base, vmem_size_t size,
    vmem_size_t quantum, vmem_size_t qcache_max, int flags);

/*
 * The end of an arena that nobody uses. Imported spans that are free as a whole go back through
 * release (FreeBSD drops them); segments still allocated are reported in one line, and spans that
 * hold them stay with whoever holds them.
 */
void vmem_destroy(vmem_t *vm);

/*
 * One more span, there until the end; wakes who waits. addr and size: multiples of the quantum.
 * Spans that touch become one if the arena does not release. 0; COOPER_ENOMEM: no tags;
 * COOPER_EINVAL: it overlaps another, wraps around, or is no multiple (the debug shape stops).
 */
int vmem_add(vmem_t *vm, vmem_addr_t addr, vmem_size_t size, int flags);

/*
 * Boundary tags on the caller's storage, for use without zones: give a block of memory before the
 * first span; the arena then never asks for tags elsewhere and M_WAITOK waits for one to come back. A
 * segment takes 32 bytes (28 on 32-bit machines), and part of the block becomes the table of busy segments.
 * More blocks may follow at any time, within 16 GiB of the first. COOPER_EINVAL: too small, too
 * far away, or the arena has taken tags elsewhere.
 */
int vmem_add_tags(vmem_t *vm, void *storage, size_t bytes);

/* ---- imports, limit, reclaim --------------------------------------------------------------------- */

/*
 * Import spans, in multiples of import_quantum, when there is no room. While the arena has no size yet.
 * release NULL: spans are never given back, and those that touch become one. Otherwise a span goes
 * back as soon as all of it is free. A request makes at most one import; if that does not serve it (a
 * window cannot be asked for) it ends in COOPER_ENOMEM, or sleeps if a free could serve it.
 */
void vmem_set_import(vmem_t *vm, vmem_import_t *import, vmem_release_t *release, void *arg,
    vmem_size_t import_quantum);

/* Import no more than this in all, in the resource's unit; 0: no limit. Raising it wakes who waits. */
void vmem_set_limit(vmem_t *vm, vmem_size_t max);

/*
 * Called when neither search nor import has served a request, after the quantum caches have been
 * emptied; then both are tried once more, for M_NOWAIT too.
 */
void vmem_set_reclaim(vmem_t *vm, vmem_reclaim_t *reclaim);

/* ---- allocate and free ------------------------------------------------------------------------------ */

/*
 * A range of `size`, rounded up to the quantum. flags: exactly one of M_FIRSTFIT (any that fits, fast),
 * M_BESTFIT (the tightest; among large sizes nearly), M_NEXTFIT (the next address past the last
 * M_NEXTFIT one), M_TOPDOWN (the highest address); and M_WAITOK or M_NOWAIT.
 * 0 and *addrp; COOPER_ENOMEM: there is no place (M_NOWAIT), *addrp is 0; COOPER_EINVAL: bad
 * flags or size 0 (the debug shape stops). Who waits sleeps on the channel named after the arena.
 */
int vmem_alloc(vmem_t *vm, vmem_size_t size, int flags, vmem_addr_t *addrp);

/* Free what vmem_alloc() gave: the same size. Anything else stops the program. Never sleeps. */
void vmem_free(vmem_t *vm, vmem_addr_t addr, vmem_size_t size);

/*
 * The same with constraints, past the quantum caches. The range starts at `phase` modulo align, crosses
 * no multiple of nocross, and lies within min and max, both included. align and nocross: 0 or powers
 * of two, multiples of the quantum; phase below align, a multiple of the quantum; nocross at
 * least the size. M_NEXTFIT allows no window. With a window M_FIRSTFIT gives the lowest address.
 * COOPER_EINVAL: constraints that contradict these rules (the debug shape stops). COOPER_ENOMEM also
 * with M_WAITOK: an import did not help, and nothing that this arena has could ever be freed to help. It
 * is not said while another thread brings or returns a span of this arena: the request waits for that.
 */
int vmem_xalloc(vmem_t *vm, vmem_size_t size, vmem_size_t align, vmem_size_t phase,
    vmem_size_t nocross, vmem_addr_t min, vmem_addr_t max, int flags, vmem_addr_t *addrp);

/* Free what vmem_xalloc() gave. The debug shape stops at what belongs to a quantum cache. */
void vmem_xfree(vmem_t *vm, vmem_addr_t addr, vmem_size_t size);

/* ---- looking at it ------------------------------------------------------------------------------------ */

/* VMEM_ALLOC: in use; VMEM_FREE: not; both: all; VMEM_MAXFREE: the largest free segment, exactly. */
vmem_size_t vmem_size(vmem_t *vm, int mask);

/* size as vmem_alloc() would round it. */
vmem_size_t vmem_roundup_size(vmem_t *vm, vmem_size_t size);

/*
 * Walk all segments in the order of addresses, each span before its own; fn returns false to stop. The
 * arena is locked meanwhile: fn must not call it.
 */
enum vmem_segment_type { VMEM_SEG_SPAN, VMEM_SEG_SPAN_STATIC, VMEM_SEG_FREE, VMEM_SEG_BUSY };
void vmem_walk(vmem_t *vm,
    bool (*fn)(enum vmem_segment_type type, vmem_addr_t addr, vmem_size_t size, void *arg),
    void *arg);

/* The segment that holds addr: true and its type, start and size; false: it is in no span. */
bool vmem_whatis(vmem_t *vm, vmem_addr_t addr, enum vmem_segment_type *type, vmem_addr_t *start,
    vmem_size_t *size);

/* A table for people, line by line without newlines; of one arena or, while none can be made, of all. */
void vmem_print(vmem_t *vm, void (*print)(const char *line, void *arg), void *arg);
void vmem_printall(void (*print)(const char *line, void *arg), void *arg);

COOPER_END_DECLS

#endif
