/*
 * Shared atomics, each a scheduling point of the laboratory (MACHINE_POINT(word) is empty elsewhere).
 * Orders are spelled out at the call: there is no default to guess.
 */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H

#include <stdint.h>
#include "machine_param.h"

#ifndef MACHINE_LOOK /* the point of a word that is only read */
#define MACHINE_LOOK(word) MACHINE_POINT(word)
#endif

/* 64 bits that several CPUs change: 32-bit x86 aligns fields of them to 4, across two lines at worst. */
typedef uint64_t atomic_u64 __attribute__((aligned(8)));

#define atomic_load_relaxed(p)     (MACHINE_LOOK(p), __atomic_load_n((p), __ATOMIC_RELAXED))
#define atomic_load_acquire(p)     (MACHINE_LOOK(p), __atomic_load_n((p), __ATOMIC_ACQUIRE))
#define atomic_load_seq(p)         (MACHINE_LOOK(p), __atomic_load_n((p), __ATOMIC_SEQ_CST))
#define atomic_store_relaxed(p, v) (MACHINE_POINT(p), __atomic_store_n((p), (v), __ATOMIC_RELAXED))
#define atomic_store_release(p, v) (MACHINE_POINT(p), __atomic_store_n((p), (v), __ATOMIC_RELEASE))
#define atomic_store_seq(p, v)     (MACHINE_POINT(p), __atomic_store_n((p), (v), __ATOMIC_SEQ_CST))
#define atomic_add_fetch(p, v)     (MACHINE_POINT(p), __atomic_add_fetch((p), (v), __ATOMIC_ACQ_REL))
#define atomic_fetch_add(p, v)     (MACHINE_POINT(p), __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL))
#define atomic_fetch_sub(p, v)     (MACHINE_POINT(p), __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL))
#define atomic_fetch_add_seq(p, v) \
	(MACHINE_POINT(p), __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST))
#define atomic_fetch_or_seq(p, v) (MACHINE_POINT(p), __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST))
#define atomic_fetch_or_relaxed(p, v) \
	(MACHINE_POINT(p), __atomic_fetch_or((p), (v), __ATOMIC_RELAXED))
#define atomic_fetch_and_relaxed(p, v) \
	(MACHINE_POINT(p), __atomic_fetch_and((p), (v), __ATOMIC_RELAXED))
#define atomic_add_relaxed(p, v) \
	(MACHINE_POINT(p), (void)__atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
#define atomic_or_relaxed(p, v) \
	(MACHINE_POINT(p), (void)__atomic_fetch_or((p), (v), __ATOMIC_RELAXED))
#define atomic_exchange(p, v) (MACHINE_POINT(p), __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL))
#define atomic_cas(p, expected, v)                      \
	(MACHINE_POINT(p), __atomic_compare_exchange_n( \
			       (p), (expected), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))

#ifdef __SANITIZE_THREAD__ /* which does not know fences: an exchange orders as much, and it sees it */
static uint32_t atomic_fence_word __attribute__((unused));
#define atomic_fence_seq()         \
	(MACHINE_POINT((void *)0), \
	    (void)__atomic_fetch_add(&atomic_fence_word, 0, __ATOMIC_SEQ_CST))
#define atomic_fence_acquire() ((void)__atomic_fetch_add(&atomic_fence_word, 0, __ATOMIC_SEQ_CST))
#else
#define atomic_fence_seq()     (MACHINE_POINT((void *)0), __atomic_thread_fence(__ATOMIC_SEQ_CST))
#define atomic_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#endif

#endif
