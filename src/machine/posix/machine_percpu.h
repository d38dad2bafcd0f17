/*
 * The posix machine's fast path of the per-CPU caches: restartable sequences (rseq).
 *
 * A sequence is a few instructions that the kernel restarts if the thread loses its CPU, gets a
 * signal or is told to (membarrier) before the last of them, which is the only store that counts.
 * So it may work on its CPU's part of a cache without atomic instructions and locks.
 *
 * glibc registers each thread's area (>= 2.35); we adopt it and never make a second one. Of the area
 * we read cpu_id and write rseq_cs, nothing else. One unsigned compare of cpu_id against the number
 * of CPUs covers threads that are not registered (-1, -2) and CPUs that the shape does not have. In
 * lock mode (see percpu.c) that number is 0, so every operation leaves at once and takes the slow
 * path, and the area is a scratch word of the thread's.
 *
 * The descriptors are in a section of their own, __rseq_cs, where tools look for them. A library
 * with this inlined must not be unloaded: rseq_cs may still point at one (link with -z nodelete).
 */
#ifndef MACHINE_PERCPU_INLINE_H
#define MACHINE_PERCPU_INLINE_H

#include "machine/machine.h"
#include "machine/percpu.h" /* which ends with this file */

#if defined(__SANITIZE_THREAD__)
#define RSEQ_UNSEEN 1 /* the sanitizer cannot see what sequences do */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RSEQ_UNSEEN 1
#endif
#endif

#if !defined(RSEQ_UNSEEN) && defined(__linux__) && defined(__LP64__) && \
    (defined(__x86_64__) || (defined(__aarch64__) && !defined(__AARCH64EB__)))
#define POSIX_RSEQ 1
#endif

#ifdef POSIX_RSEQ

/* Constant after machine_start(). */
struct posix_rseq {
	ptrdiff_t area; /* of the thread's struct rseq, from the thread pointer */
	uint32_t ncpus; /* CPUs that have parts; 0 in lock mode */
};
extern POSIX_HIDDEN struct posix_rseq posix_rseq;

_Static_assert(PERCPU_STRIDE == 1 << 7 && PERCPU_CLOSED == 0xffff, "the sequences know these");
_Static_assert(offsetof(struct percpu_stack, word) == 0 &&
		   offsetof(struct percpu_stack, items) == 8 &&
		   offsetof(struct percpu_stack, max) == 16,
    "the sequences know these");

/* Pop, push on this CPU's stack of those whose first, CPU 0's, is given. */
static ALWAYS_INLINE void *rseq_pop(struct percpu_stack *first);
static ALWAYS_INLINE bool rseq_push(struct percpu_stack *first, void *item);

/* Exchange *word, of `cpu`, for `closed`; false if this thread is not on that CPU. */
static inline bool rseq_close(uint64_t *word, unsigned cpu, uint64_t closed, uint64_t *old);

/* The CPU that the kernel says; above all there are if it does not. */
static inline uint32_t rseq_cpu(void);

#ifdef __x86_64__
#include "rseq_x86_64.h"
#else
#include "rseq_aarch64.h"
#endif

#else /* without: everything takes the slow path */

static inline void *
rseq_pop(struct percpu_stack *first)
{
	(void)first;
	return (NULL);
}

static inline bool
rseq_push(struct percpu_stack *first, void *item)
{
	(void)first;
	(void)item;
	return (false);
}

#endif

static ALWAYS_INLINE void *
percpu_pop(struct percpu *zone_cache)
{
	return (rseq_pop(&zone_cache->alloc));
}

static ALWAYS_INLINE bool
percpu_push(struct percpu *zone_cache, void *item)
{
	return (rseq_push(&zone_cache->alloc, item));
}

static ALWAYS_INLINE bool
percpu_push_free(struct percpu *zone_cache, void *item)
{
	return (rseq_push(&zone_cache->free, item));
}

#endif
