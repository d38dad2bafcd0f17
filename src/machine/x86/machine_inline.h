/*
 * The bare x86 machines' inline half of machine.h: the running thread, locks, the page table's read.
 */
#ifndef MACHINE_INLINE_H
#define MACHINE_INLINE_H

#include "base/atomic.h"
#include "base/base.h"
#include "machine/machine.h" /* which ends with this file */

#ifdef __x86_64__
typedef uint64_t pte_t;
#define X86_PERCPU "%%gs"
#else
typedef uint32_t pte_t;
#define X86_PERCPU "%%fs"
#endif

#define PTE_VALID   0x001u
#define PTE_WRITE   0x002u
#define PTE_NOCACHE 0x010u
#define PTE_LARGE   0x080u
#define PTE_GLOBAL  0x100u
#define PTE_FRAME   (~(pte_t)0xfff & ~PTE_NOEXEC)
#define PTE_NOEXEC  (sizeof(pte_t) == 8 ? (pte_t)1 << (8 * sizeof(pte_t) - 1) : 0)

/* ---- the running thread: first word of this CPU's area ------------------------------------------- */

/*
 * One instruction, so that a thread that is moved to another CPU in the middle of it reads either
 * CPU's word, and both say "this thread".
 */
static inline struct thread_state *
machine_thread_state(void)
{
	struct thread_state *ts;

	__asm__("mov " X86_PERCPU ":0, %0" : "=r"(ts));
	return (ts);
}

/* ---- locks: 0 free, 1 held, 2 held and somebody may be asleep -------------------------------------- */

void x86_lock_slow(struct machine_lock *l);
void x86_unlock_slow(struct machine_lock *l);

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
		x86_lock_slow(l);
}

static inline void
machine_unlock(struct machine_lock *l)
{
	if (unlikely(atomic_exchange(&l->word, 0) == 2))
		x86_unlock_slow(l);
}

/* ---- memory --------------------------------------------------------------------------------------- */

/* Constant after machine_start(). */
struct x86_memory {
	vm_offset_t kva; /* the window, and its entries: one array, contiguous in address space */
	vm_size_t kva_size;
	volatile pte_t *entry;
	vm_offset_t direct; /* physical 0 in the direct map; 0 in a machine that has none */
	vm_paddr_t direct_end;
};
extern struct x86_memory x86_memory;

static inline vm_paddr_t
machine_extract(vm_offset_t va)
{
	const struct x86_memory *mem = &x86_memory;
	pte_t entry;

	if (va - mem->kva < mem->kva_size) {
		entry = mem->entry[(va - mem->kva) >> PAGE_SHIFT];
		if ((entry & PTE_VALID) == 0)
			return (MACHINE_NOPAGE);
		return ((entry & PTE_FRAME) | (va & PAGE_MASK));
	}
	if (mem->direct != 0 && va - mem->direct < mem->direct_end)
		return (va - mem->direct);
	return (MACHINE_NOPAGE);
}

#endif
