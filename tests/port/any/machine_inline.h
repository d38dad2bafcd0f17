/*
 * The inline half of the machine table. Includes what it needs in the source tree; in the one file
 * that stands there already.
 */
#ifndef MACHINE_INLINE_H
#define MACHINE_INLINE_H

#ifndef COOPER_ONE_FILE_H
#include "base/atomic.h"
#include "base/base.h"
#include "machine/machine.h" /* which ends with this file */
#endif

struct thread_state *machine_any_thread(void);
vm_paddr_t machine_any_extract(vm_offset_t va);
void machine_any_wait(struct machine_lock *l);

static inline struct thread_state *
machine_thread_state(void)
{
	return (machine_any_thread());
}

static inline bool
machine_trylock(struct machine_lock *l)
{
	uint32_t expected = 0;

	return (atomic_cas(&l->word, &expected, 1));
}

static inline void
machine_lock(struct machine_lock *l)
{
	while (!machine_trylock(l))
		machine_any_wait(l);
}

static inline void
machine_unlock(struct machine_lock *l)
{
	atomic_store_release(&l->word, 0);
}

static inline vm_paddr_t
machine_extract(vm_offset_t va)
{
	return (machine_any_extract(va));
}

#endif
