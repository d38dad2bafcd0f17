/*
 * The posix machine's fast path of the per-CPU caches: restartable sequences (rseq). What they are, and
 * the sequences, are in <cooper/inline.h>, which programs may use as well.
 *
 * glibc registers each thread's area (>= 2.35); we adopt it and never make a second one. Of the area
 * we read cpu_id and write rseq_cs, nothing else. A CPU's stack is found in one of two ways:
 *
 *  - in a framed cache, which has closed stacks for the CPUs -1 and -2 that threads have that are not
 *    registered, and a part for each CPU number that there can be: percpu_framed_*(). No compare.
 *  - in any cache, after one unsigned compare that covers the same.
 *
 * In lock mode (see percpu.c) framed caches are not used, the compare always fails, so every
 * operation leaves at once and takes the slow path; and our own area is a scratch word of the thread's,
 * behind one that reads as CPU 0.
 *
 * The descriptors are in a section of their own, __rseq_cs, where tools look for them. A library
 * with this inlined must not be unloaded: rseq_cs may still point at one (link with -z nodelete).
 */
#ifndef MACHINE_PERCPU_INLINE_H
#define MACHINE_PERCPU_INLINE_H

#include <cooper/inline.h>

/* What percpu.h need not supply: the lock's operations, and those on framed caches. */
#define PERCPU_LOCKED 1
#ifdef COOPER_RSEQ
#define POSIX_RSEQ    1
#define PERCPU_FRAMED 1
COOPER_RSEQ_DEFINE(cooper_rseq, "0", COOPER_RSEQ_ADD)
#endif

#include "machine/machine.h"
#include "machine/percpu.h" /* which takes this file in before it supplies the rest */

#ifdef POSIX_RSEQ

/* Constant after machine_start(). */
struct posix_rseq {
	ptrdiff_t area; /* of the thread's struct rseq, from the thread pointer */
	uint32_t limit; /* bytes of a cache's parts, one a CPU; 0 in lock mode */
};
extern POSIX_HIDDEN struct posix_rseq posix_rseq;
#define POSIX_AREA COOPER_RSEQ_AREA(posix_rseq.area)

_Static_assert(PERCPU_STRIDE == 1 << 7 && PERCPU_CLOSED == 0xfffe, "the sequences know these");
_Static_assert(offsetof(struct percpu_stack, word) == 0 &&
		   offsetof(struct percpu_stack, items) == 8 &&
		   offsetof(struct percpu_stack, max) == 16,
    "the sequences know these");

#ifdef __x86_64__
#include "rseq_x86_64.h"
#else
#include "rseq_aarch64.h"
#endif

/* Assembler is laid out by hand. */
/* clang-format off */

/* rseq_pop(), rseq_push(): on this CPU's stack of those whose first, CPU 0's, is given. */
COOPER_RSEQ_DEFINE_BY(RSEQ_INDEX, RSEQ_LIMIT, rseq, "0", COOPER_RSEQ_ADD)

/* NAME(place, cpu, value, &was): `what`, if this thread is on that CPU; else false. */
#define RSEQ_DEFINE_ON(name, what)                                                                 \
	static inline bool name(void *place, unsigned cpu, uint64_t value, uint64_t *was)          \
	{                                                                                          \
		uint64_t stack, old;                                                               \
                                                                                                   \
		__asm__ volatile goto(COOPER_RSEQ_OPEN RSEQ_ON_CPU what "2:\n"                     \
		    : [stack] "=&r"(stack), [was] "=&r"(old)                                       \
		    : [area] "r"(POSIX_AREA), [cpu] "r"(cpu),                                        \
		    [place] "r"(place), [value] "r"(value)                                         \
		    : "memory", "cc"                                                               \
		    : leave);                                                                      \
		*was = old;                                                                        \
		return (true);                                                                     \
	leave:                                                                                     \
		COOPER_RSEQ_LEFT;                                                                  \
		return (false);                                                                    \
	}

/* clang-format on */

/* Exchange the word at place for value. */
RSEQ_DEFINE_ON(rseq_close, RSEQ_EXCHANGE)
/* If the word at place is 0, make its first half value; else false. */
RSEQ_DEFINE_ON(rseq_take, RSEQ_CLAIM)

/* The CPU that the kernel says; above all there are if it does not. */
static inline uint32_t
rseq_cpu(void)
{
	uint32_t cpu;

	__asm__ volatile(RSEQ_CPU : [cpu] "=r"(cpu) : [area] "r"(POSIX_AREA));
	return (cpu);
}

static ALWAYS_INLINE void *
percpu_framed_pop(struct percpu *parts)
{
	return (cooper_rseq_pop(parts, POSIX_AREA));
}

static ALWAYS_INLINE bool
percpu_framed_push(struct percpu *parts, void *item)
{
	return (cooper_rseq_push(parts, POSIX_AREA, item) != 0);
}

#else /* without: everything takes the slow path */

#define POSIX_AREA 0

static inline void *
rseq_pop(void *first, ptrdiff_t area)
{
	(void)first;
	(void)area;
	return (NULL);
}

static inline int
rseq_push(void *first, ptrdiff_t area, void *item)
{
	(void)first;
	(void)area;
	(void)item;
	return (0);
}

#endif

static ALWAYS_INLINE void *
percpu_pop(struct percpu *zone_cache)
{
	return (rseq_pop(&zone_cache->alloc, POSIX_AREA));
}

static ALWAYS_INLINE bool
percpu_push(struct percpu *zone_cache, void *item)
{
	return (rseq_push(&zone_cache->alloc, POSIX_AREA, item) != 0);
}

static ALWAYS_INLINE bool
percpu_push_free(struct percpu *zone_cache, void *item)
{
	return (rseq_push(&zone_cache->free, POSIX_AREA, item) != 0);
}

/* Lock mode's; constant after machine_start(). */
extern POSIX_HIDDEN bool posix_lock_mode;
void *posix_lock_pop(struct percpu *zone_cache);
bool posix_lock_push(struct percpu *zone_cache, void *item);

static inline void *
percpu_lock_pop(struct percpu *zone_cache)
{
	return (posix_lock_mode ? posix_lock_pop(zone_cache) : NULL);
}

static inline bool
percpu_lock_push(struct percpu *zone_cache, void *item)
{
	return (posix_lock_mode && posix_lock_push(zone_cache, item));
}

#endif
