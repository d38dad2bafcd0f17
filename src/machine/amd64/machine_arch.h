/*
 * What amd64 has of its own: where things are in address space, tables of four levels, descriptors.
 *
 *	ffff800000000000  the direct map, in 2 MiB pages
 *	ffffc00000000000  the kernel window; its tables are in boot memory
 *	ffffffff80000000  physical 0 .. 64 MiB as far as image and boot memory reach; its last page is
 *	                  the APIC
 */
#ifndef MACHINE_ARCH_H
#define MACHINE_ARCH_H

#include "machine/machine.h"
#include "vectors.h"

#define ARCH_BASE       0xffffffff80000000u
#define ARCH_LOW_SIZE   (64u << 20)
#define ARCH_KVA        0xffffc00000000000u
#define ARCH_KVA_MAX    ((vm_size_t)16 << 30)
#define ARCH_DIRECT     0xffff800000000000u
#define ARCH_PHYS_END   ((vm_paddr_t)64 << 30)
#define ARCH_PHYS(va)   ((vm_paddr_t)((uintptr_t)(va)-ARCH_BASE))
#define ARCH_NOEXEC     PTE_NOEXEC
#define ARCH_TRAMPOLINE 0x8000u

struct cpu;

/* The loader's structures: until arch_map_low(). */
static inline void *
arch_low(uint32_t pa)
{
	return ((void *)(ARCH_BASE + pa));
}

void arch_map_low(vm_paddr_t end);   /* [0, end) at ARCH_BASE, and nothing else below the window */
void arch_unmap_low(vm_offset_t va); /* a page of those; on this CPU */
void arch_unmap_window(void);        /* and the direct map */
volatile pte_t *arch_map_window(vm_offset_t va, vm_size_t size); /* NULL: out of boot memory */
bool arch_map_direct(vm_paddr_t end);                            /* false: likewise */
void arch_cpu_load(struct cpu *cpu);

/* Other CPUs on their way: stacks by index, how many to take, how many came. */
extern uintptr_t arch_stacks[];
extern uint32_t arch_arrived;
void arch_trampoline_place(unsigned ncpus);
void arch_trampoline_remove(void);

/* What trap.S leaves on the stack. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t pc, cs, flags, rsp, ss;
};
static inline uintptr_t
arch_stack_pointer(const struct trap_frame *f)
{
	return (f->rsp);
}

void arch_print_registers(const struct trap_frame *f);

struct arch_gate {
	uint64_t low, high;
};

/* A double fault has a stack of its own (the first of the task segment's): it may be about the stack. */
static inline void
arch_gate_set(struct arch_gate *gate, uintptr_t entry, unsigned vector)
{
	uint64_t stack = vector == 8 ? 1 : 0;

	gate->low = (uint64_t)(entry >> 16 & 0xffff) << 48 | 0x8e0000080000u | stack << 32 |
		    (entry & 0xffff);
	gate->high = entry >> 32;
}

#endif
