/*
 * The libc front: malloc(3) and its family, and C++'s new and delete, on the zones of malloc(9).
 * Hosted, posix only; becomes libcooper-malloc.so, to be preloaded or linked.
 *
 *	alloc.c      the allocating and freeing functions; fast paths inline from here
 *	slow.c       what the fast paths leave: first use, large, short of memory, foreign addresses
 *	large.c      large blocks: what is kept of them, and how they grow
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

/* ---- slow.c ---------------------------------------------------------------------------------------- */

/* What front_direct() does not say: by the class's parts, or else front_alloc(). */
void *front_alloc_more(size_t size, int flags);
/* A block or NULL with errno ENOMEM. `align` 0: none wanted; `flags`: M_ZERO or 0. */
void *front_alloc(size_t size, size_t align, int flags);

/* ---- fast paths: NULL and false mean "take the slow path", nothing else ------------------------- */

#define FRONT_STEP   16 /* bytes; the sizes up to FRONT_DIRECT have a table entry each such step */
#define FRONT_DIRECT 1024 /* bytes */
#define FRONT_CODES  256

/*
 * All that the fast paths read, filled in by the slow ones: the parts of a class's zone, or `closed`, for
 * ever empty and full, which leads to the slow path without a test. Before the start no parts may be
 * touched, not even those: the machine does not know yet where a thread's area is. So no size is below
 * `direct` then, and the page map has no pages. No ctor, dtor or limit is lost on the way: the zones of
 * malloc have none.
 */
struct front_fast {
	/* By the page map's code, and behind those by (size + 15) / 16. */
	struct percpu *parts[FRONT_CODES + FRONT_DIRECT / FRONT_STEP + 1];
	struct malloc_map map; /* malloc_map[0] */
	size_t direct;         /* sizes below have entries: FRONT_DIRECT + 1; 0 before the start */
	struct percpu frame[2], closed[COOPER_MAXCPU]; /* a framed cache, never written */
};
extern struct front_fast front_fast;

static ALWAYS_INLINE void *
front_pop_from(struct percpu *const *entry)
{
	return (percpu_framed_pop(atomic_load_relaxed(entry)));
}

static ALWAYS_INLINE bool
front_push_to(struct percpu *const *entry, void *p)
{
	return (percpu_framed_push(atomic_load_relaxed(entry), p));
}

static ALWAYS_INLINE bool
front_direct(size_t size)
{
#ifdef __x86_64__ /* where compilers do not make an atomic load an operand of the comparison */
	__asm__ goto("cmpq %1, %0\n	jae %l[more]"
		     :
		     : "r"(size), "m"(front_fast.direct)
		     : "cc"
		     : more);
	return (true);
more:
	return (false);
#else
	return (size < atomic_load_relaxed(&front_fast.direct));
#endif
}

/* The entry of a size that is below `direct`; one addition, however it is written. */
static ALWAYS_INLINE struct percpu *const *
front_entry(size_t size)
{
	return (&front_fast.parts[(size + FRONT_CODES * FRONT_STEP + FRONT_STEP - 1) / FRONT_STEP]);
}

/* The core runs. */
static ALWAYS_INLINE void *
front_pop_class(unsigned class)
{
	return (front_pop_from(&front_fast.parts[MALLOC_CODE_CLASS + class]));
}

/* front_direct() says so. */
static ALWAYS_INLINE void *
front_pop(size_t size)
{
	return (front_pop_from(front_entry(size)));
}

static ALWAYS_INLINE bool
front_push(void *p)
{
	size_t page = atop((vm_offset_t)p - front_fast.map.base);

	return (likely(page < front_fast.map.pages) &&
		front_push_to(&front_fast.parts[front_fast.map.code[page]], p));
}

static ALWAYS_INLINE void *
front_malloc(size_t size)
{
	void *p;

	if (unlikely(!front_direct(size)))
		return (front_alloc_more(size, 0));
	p = front_pop(size);
	return (likely(p != NULL) ? p : front_alloc(size, 0, 0));
}

/* ---- slow.c again ---------------------------------------------------------------------------------- */

void front_fast_start(void); /* once the core runs */
void front_free(void *p);
void *front_realloc(void *p, size_t size);
size_t front_size(const char *func, const void *p); /* 0 for NULL and foreign addresses */

/* ---- large.c --------------------------------------------------------------------------------------- */

void front_large_start(void);
void *front_large_alloc(size_t size, size_t align, int flags);
void front_large_free(void *p, unsigned code);
/* The block p of `old` bytes, made `size` without copying; NULL: it is as it was. */
void *front_large_resize(void *p, size_t old, size_t size, unsigned code);
size_t front_large_kept(void); /* bytes that nobody has and that are not given back yet */
/* Give back all that is kept; bytes. */
size_t front_large_purge(void);

/* ---- start.c --------------------------------------------------------------------------------------- */

/* True: the core runs. False: this thread is just starting it; it gets start-up memory. */
bool front_start(void);
bool front_started(void); /* without starting it */
/* Write the statistics, if that was asked for, before the process ends or becomes another program. */
void front_save_stats(bool exec);

extern struct malloc_type front_type[1]; /* "libc" */

/* ---- new_fail.cc ------------------------------------------------------------------------------------ */

/* After a failed allocation: the new-handler's turns, then std::bad_alloc or NULL. */
void *front_new_failed(size_t size, size_t align);
void *front_new_failed_nothrow(size_t size, size_t align);

#endif
