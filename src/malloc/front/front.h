/*
 * The libc front: malloc(3) and its family, and C++'s new and delete, on the zones of malloc(9).
 * Hosted, posix only; becomes libcooper-malloc.so, to be preloaded or linked.
 *
 *	alloc.c      the allocating and freeing functions; fast paths inline from here
 *	slow.c       what the fast paths leave: first use, large, short of memory, foreign addresses
 *	start.c      starting the core in the first malloc, fork, statistics at the end
 *	new.c        operator new and delete; new_fail.cc: their failure, the only C++
 *	info.c       mallinfo and friends
 *	exec.c       the ends of a process that run no destructors
 *
 * The front has no per-thread state and no lock of its own but for the start. It asks the core with
 * M_NOWAIT only; when that fails it runs reclaim passes itself and then gives up with ENOMEM.
 *
 * It may be called before any constructor has run and from ld.so, so up to the end of the start
 * nothing here calls stdio, dlsym, or anything that allocates. errno is saved around all that is
 * not fast.
 */
#ifndef FRONT_FRONT_H
#define FRONT_FRONT_H

#include "machine/percpu.h"
#include "malloc/malloc_int.h"

#define FRONT_EXPORT __attribute__((visibility("default")))

/* ---- fast paths: NULL and false mean "take the slow path", nothing else ------------------------- */

/*
 * Before the start no class has a cache and the page map has no pages: both fail. No ctor, dtor or
 * limit is lost on the way: the zones of malloc have none.
 */
static ALWAYS_INLINE void *
front_pop_class(unsigned class)
{
	struct percpu *cache = atomic_load_relaxed(&malloc_caches[MALLOC_CODE_CLASS + class]);

	return (likely(cache != NULL) ? percpu_pop(cache) : NULL);
}

static ALWAYS_INLINE void *
front_pop(size_t size)
{
	return (likely(size - 1 < MALLOC_SMALL_MAX) ? front_pop_class(malloc_class(size)) : NULL);
}

static ALWAYS_INLINE bool
front_push(void *p)
{
	size_t page = atop((vm_offset_t)p - malloc_map[0].base);
	struct percpu *cache;

	if (unlikely(page >= malloc_map[0].pages))
		return (false);
	cache = malloc_caches[malloc_map[0].code[page]];
	return (likely(cache != NULL) && percpu_push(cache, p));
}

/* ---- slow.c ---------------------------------------------------------------------------------------- */

/* A block or NULL with errno ENOMEM. `align` 0: none wanted; `flags`: M_ZERO or 0. */
void *front_alloc(size_t size, size_t align, int flags);
void front_free(void *p);
void *front_realloc(void *p, size_t size);
size_t front_size(const char *func, const void *p); /* 0 for NULL and foreign addresses */

/* ---- start.c --------------------------------------------------------------------------------------- */

/* True: the core runs. False: this thread is just starting it; it gets start-up memory. */
bool front_start(void);
/* Write the statistics, if that was asked for, before the process ends or becomes another program. */
void front_save_stats(bool exec);

extern struct malloc_type front_type[1]; /* "libc" */

/* ---- new_fail.cc ------------------------------------------------------------------------------------ */

/* After a failed allocation: the new-handler's turns, then std::bad_alloc or NULL. */
void *front_new_failed(size_t size, size_t align);
void *front_new_failed_nothrow(size_t size, size_t align);

#endif
