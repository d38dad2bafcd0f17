/*
 * The posix machine's inline half of machine.h: thread state, locks, and the soft page table's read.
 */
#ifndef MACHINE_INLINE_H
#define MACHINE_INLINE_H

#include "base/atomic.h"
#include "base/base.h"
#include "machine/machine.h" /* which ends with this file */

#define POSIX_HIDDEN __attribute__((visibility("hidden")))
/* Found without a call, which could allocate: the libraries are never loaded late. */
#define POSIX_TLS __thread __attribute__((tls_model("initial-exec")))

/* ---- threads ------------------------------------------------------------------------------------- */

extern POSIX_HIDDEN POSIX_TLS struct thread_state posix_thread;

static inline struct thread_state *
machine_thread_state(void)
{
	return (&posix_thread);
}

/* ---- locks: a futex word: 0 free, 1 held, 2 held and somebody may sleep --------------------------- */

POSIX_HIDDEN void posix_lock_slow(struct machine_lock *l);
POSIX_HIDDEN void posix_unlock_slow(struct machine_lock *l);

static inline bool
machine_trylock(struct machine_lock *l)
{
	uint32_t expected = 0;

	return (atomic_cas(&l->word, &expected, 1));
}

static inline void
machine_lock(struct machine_lock *l)
{
	if (unlikely(!machine_trylock(l)))
		posix_lock_slow(l);
}

static inline void
machine_unlock(struct machine_lock *l)
{
	if (unlikely(atomic_exchange(&l->word, 0) == 2))
		posix_unlock_slow(l);
}

/* ---- memory ------------------------------------------------------------------------------------------
 * One reserved range of addresses: [direct map | kernel window]. The soft page table has a word a
 * window page: the frame's number plus one, 0 if nothing is mapped there.
 */
struct posix_memory {
	vm_paddr_t phys_base;  /* where physical memory starts */
	vm_offset_t direct;    /* the direct map; 0 in a shape that has none */
	vm_size_t direct_size; /* = physmem, or 0 */
	vm_offset_t kva;       /* the window */
	vm_size_t kva_size;
	uint32_t *table; /* kva_size / PAGE_SIZE words, touched as they are used */
};
extern POSIX_HIDDEN struct posix_memory posix_memory; /* constant after machine_start() */

#define POSIX_FRAME 0x7fffffffu /* of a table word: frame + 1 */
#define POSIX_EXEC  0x80000000u /* ... and: mapped executable */

static inline vm_paddr_t
machine_extract(vm_offset_t va)
{
	const struct posix_memory *mem = &posix_memory;
	uint32_t entry;

	if (va - mem->kva < mem->kva_size) {
		entry =
		    atomic_load_relaxed(&mem->table[(va - mem->kva) >> PAGE_SHIFT]) & POSIX_FRAME;
		if (entry == 0)
			return (MACHINE_NOPAGE);
		return (
		    mem->phys_base + ((vm_paddr_t)(entry - 1) << PAGE_SHIFT) + (va & PAGE_MASK));
	}
	if (va - mem->direct < mem->direct_size)
		return (mem->phys_base + (va - mem->direct));
	return (MACHINE_NOPAGE);
}

#endif
