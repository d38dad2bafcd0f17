/*
 * The sim machine's inline half of machine.h: who runs, and calls of what is a scheduling point.
 */
#ifndef MACHINE_INLINE_H
#define MACHINE_INLINE_H

#include "base/atomic.h"
#include "base/base.h"
#include "machine/machine.h" /* which ends with this file */

extern struct thread_state *sim_thread; /* of the fiber that runs; outside of runs, of nobody */

static inline struct thread_state *
machine_thread_state(void)
{
	return (sim_thread);
}

void sim_lock(struct machine_lock *l);
bool sim_trylock(struct machine_lock *l);
void sim_unlock(struct machine_lock *l);

static inline bool
machine_trylock(struct machine_lock *l)
{
	return (sim_trylock(l));
}

static inline void
machine_lock(struct machine_lock *l)
{
	sim_lock(l);
}

static inline void
machine_unlock(struct machine_lock *l)
{
	sim_unlock(l);
}

vm_paddr_t sim_extract(vm_offset_t va);

static inline vm_paddr_t
machine_extract(vm_offset_t va)
{
	return (sim_extract(va));
}

#endif
