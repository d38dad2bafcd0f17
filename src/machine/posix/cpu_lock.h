/*
 * A CPU's lock: whose holder owns the slow state of that CPU's part of every cache (percpu.c). In fast mode
 * who is on that CPU takes and leaves it without an atomic instruction; the price is paid by who
 * comes from elsewhere. See cpu_lock.c.
 */
#ifndef POSIX_CPU_LOCK_H
#define POSIX_CPU_LOCK_H

#include "posix.h"

struct cpu_lock {
	uint32_t held ALIGNED(8); /* by a thread that was on this CPU when it took it */
	uint32_t gate;            /* shut: a thread from elsewhere has it or waits for it */
	struct machine_lock far;  /* among those; without fast mode the whole lock */
	bool by_far;              /* the holder's: how it took it */
} ALIGNED(CACHE_LINE);

extern POSIX_HIDDEN struct cpu_lock posix_cpu_lock[COOPER_MAXCPU];

bool posix_barrier_register(void); /* false: there is none, and no fast mode */
/* Every sequence that runs on cpu has committed or starts again; our stores are seen there. Changes errno. */
void posix_barrier_on(unsigned cpu);

void posix_cpu_lock_far(struct cpu_lock *l, unsigned cpu);
void posix_cpu_unlock_far(struct cpu_lock *l);
void posix_cpu_lock_wake(struct cpu_lock *l);

#ifdef POSIX_RSEQ

/* Fast mode: only from that CPU; false: somebody has it, or wants it. */
static ALWAYS_INLINE bool
cpu_trylock_near(unsigned cpu)
{
	uint64_t was;

	return (rseq_take(&posix_cpu_lock[cpu].held, cpu, 1, &was));
}

/* Fast mode. */
static ALWAYS_INLINE void
cpu_unlock(unsigned cpu)
{
	struct cpu_lock *l = &posix_cpu_lock[cpu];

	if (unlikely(l->by_far)) {
		posix_cpu_unlock_far(l);
		return;
	}
	atomic_store_release(&l->held, 0u);
	/* Not before the store where anybody could see it: who waits has made sure of that. */
	__asm__ volatile("" ::: "memory");
	if (unlikely(atomic_load_relaxed(&l->gate) != 0))
		posix_cpu_lock_wake(l);
}

#endif

#endif
