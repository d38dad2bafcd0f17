/*
 * The per-CPU cache primitive: the one thing UMA asks of a machine on its fast path.
 *
 * A `struct percpu` is one CPU's part of one zone's cache: two stacks of item pointers that live in
 * buckets. An array of them, one a CPU, is a zone's cache. Each stack is open or closed. Open: it
 * belongs to whoever runs on that CPU, and pop/push work on it with no atomic instruction and no
 * lock (restartable sequence, critical section or scheduling point, as the machine has it). Closed:
 * pop and push fail and the caller takes the slow path.
 *
 *	struct percpu     CPU 0           CPU 1           ...
 *	               +---------------+---------------+
 *	alloc stack    | word items max| word items max|   word = (pops << 16) | count
 *	free stack     | word items max| word items max|   count PERCPU_CLOSED = closed
 *	               +---------------+---------------+
 *
 * Slow path: percpu_enter() closes this CPU's part and gives it to the caller (percpu_enter_cpu():
 * any CPU's part, from anywhere, without stopping threads); while entered, the caller reads and
 * replaces stacks through the shadow fields, sees items, and must not sleep, allocate or take
 * another lock. percpu_exit() opens it again (stacks whose `open` is false stay closed).
 *
 * What stays true:
 *  - while entered, nobody else reads or writes this CPU's part of *any* zone's slow state: there is
 *    one lock a CPU (rank CPU, a leaf).
 *  - a fast push or pop that had begun before the closing either committed before percpu_enter*()
 *    returned or never will.
 *  - `pops` counts successful pops since the stack was opened; with the counts at both ends it gives
 *    exact allocation and free counts with no counter on the fast path.
 *  - zeroed memory is a cache without room: pop and push fail until a part was entered and filled.
 *  - max is below PERCPU_CLOSED; while a stack is open its shadow count is the one it opened with.
 *
 * Signals: a handler may pop, push, and do all that the zones above do, if what it interrupts is no
 * slow operation: a fast one starts again behind it. One that interrupts the holder of a part or of any
 * lock might wait for its own thread. Who comes to enter a part with one entered is stopped with a line
 * instead. Nothing here is for the child of a vfork, which shares its parent's memory but is not known
 * to the kernel's bookkeeping of CPUs.
 *
 * Machines: machine_percpu.h gives the inline percpu_pop/percpu_push; the rest is declared here.
 * Where fast operations are not possible (no rseq, debug shape, 32-bit posix) stacks simply stay
 * closed for ever and all work is done under the CPU's lock: no test of the mode is on the fast path.
 */
#ifndef MACHINE_PERCPU_H
#define MACHINE_PERCPU_H

#include "base/base.h"

/*
 * A count that fails both pop and push, and does so still when one of them that was half-way has been
 * added to the word.
 */
#define PERCPU_CLOSED 0xfffeu
#define PERCPU_STRIDE 128 /* sizeof(struct percpu); a power of two so that indexing is a shift */

struct percpu_stack {
	uint64_t word;  /* hot: (pops << 16) | count, or closed */
	void **items;   /* hot: the bucket's slots; slot [count - 1] is the top */
	uint32_t max;   /* hot: push fails at count >= max; 0: pops only */
	uint16_t count; /* shadow: true count while entered */
	bool open;      /* shadow: open to the fast path on exit? */
	uint8_t spare;
};

struct percpu {
	struct percpu_stack alloc; /* popped by allocations, pushed by frees: LIFO */
	struct percpu_stack free;  /* pushed by SMR frees; swapped with alloc when one runs dry */
	struct percpu_stack cross; /* items of other domains; never open */
	uint64_t pops;             /* allocations served, folded in when the part is closed */
	uint64_t pushes;           /* frees taken, likewise */
	char pad[PERCPU_STRIDE - 3 * sizeof(struct percpu_stack) - 2 * sizeof(uint64_t)];
};
_Static_assert(sizeof(struct percpu) == PERCPU_STRIDE, "parts are a stride apart");

/*
 * What of a part is used. A cache begins on a PERCPU_STRIDE boundary, or one stack behind one: then it
 * shares its lines with a row of stacks before, which somebody may want closed.
 */
#define PERCPU_USED (3 * sizeof(struct percpu_stack) + 2 * sizeof(uint64_t))
_Static_assert(PERCPU_USED + sizeof(struct percpu_stack) <= PERCPU_STRIDE, "room for such a row");

/* Pop an item off this CPU's alloc stack, NULL if it is empty or closed. */
static inline void *percpu_pop(struct percpu *zone_cache);
/* Push an item on this CPU's alloc stack; false if it is full or closed. */
static inline bool percpu_push(struct percpu *zone_cache, void *item);
/* Push on the free stack: for SMR zones, whose frees must not be reused before a grace period. */
static inline bool percpu_push_free(struct percpu *zone_cache, void *item);

/* Close and own this CPU's part; *cpu says which it is. No sleeping until percpu_exit(). */
struct percpu *percpu_enter(struct percpu *zone_cache, unsigned *cpu);
/* The same for a CPU of the caller's choice: remote drain and statistics. */
struct percpu *percpu_enter_cpu(struct percpu *zone_cache, unsigned cpu);
void percpu_exit(struct percpu *zone_cache, unsigned cpu);

/* True while this thread is between enter and exit: for assertions. */
bool percpu_entered(void);

#include "machine_percpu.h"

/* ---- what a machine may have besides ---------------------------------------------------------------- */

/*
 * The same as pop and push under the CPU's lock, where a machine or mode keeps stacks closed for want of
 * sequences (PERCPU_LOCKED is defined): such a stack is then open to these two if its `open` is set.
 * Elsewhere they fail.
 */
#ifndef PERCPU_LOCKED
static inline void *
percpu_lock_pop(struct percpu *zone_cache)
{
	(void)zone_cache;
	return (NULL);
}
static inline bool
percpu_lock_push(struct percpu *zone_cache, void *item)
{
	(void)zone_cache;
	(void)item;
	return (false);
}
#endif

/*
 * Framed caches: quicker to find a part in, where the machine has them (PERCPU_FRAMED is defined). A
 * framed cache is `parts` in
 *
 *	struct percpu_stack  none    stacks that are zero for ever, at parts - 2 strides and parts - 1,
 *	struct percpu_stack  none    for threads that have no CPU
 *	struct percpu        parts[ncpus or percpu_parts()]
 *
 * percpu_parts(): if it is more than the shape's CPUs, threads may be on CPUs of higher numbers, whose
 * parts remain zero. Without percpu_frames_open() no stack is ever open to percpu_framed_pop() and
 * percpu_framed_push(): they may be tried on parts that remain zero, and on no others.
 */
#ifdef PERCPU_FRAMED
unsigned percpu_parts(void);
bool percpu_frames_open(void);
#else /* any cache will do, where the fast path is for it */
static inline void *
percpu_framed_pop(struct percpu *parts)
{
	return (percpu_pop(parts));
}
static inline bool
percpu_framed_push(struct percpu *parts, void *item)
{
	return (percpu_push(parts, item));
}
static inline unsigned
percpu_parts(void)
{
	return (0);
}
static inline bool
percpu_frames_open(void)
{
	return (false);
}
#endif

#endif
