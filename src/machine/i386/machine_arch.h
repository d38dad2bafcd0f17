/*
 * What i386 has of its own: where things are in address space, tables of two levels, descriptors.
 *
 *	c0000000  physical 0 .. 64 MiB as far as image and boot memory reach (start.S maps all of it, arch_map_low()
 *	          takes the rest away); its last page is the APIC
 *	d0000000  the kernel window; its tables are in boot memory
 *
 * There is no direct map: a page of the segments is reached through the window alone.
 */
#ifndef MACHINE_ARCH_H
#define MACHINE_ARCH_H

#include "machine/machine.h"
#include "vectors.h"

#define ARCH_BASE       0xc0000000u
#define ARCH_LOW_SIZE   (64u << 20)
#define ARCH_KVA        0xd0000000u
#define ARCH_KVA_MAX    0x20000000u
#define ARCH_DIRECT     0
#define ARCH_PHYS_END   0xfffff000u
#define ARCH_PHYS(va)   ((vm_paddr_t)((uintptr_t)(va)-ARCH_BASE))
#define ARCH_NOEXEC     0
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
bool arch_map_direct(vm_paddr_t end);
void arch_cpu_load(struct cpu *cpu);

/* Other CPUs on their way: stacks by index, how many to take, how many came. */
extern uintptr_t arch_stacks[];
extern uint32_t arch_arrived;
void arch_trampoline_place(unsigned ncpus);
void arch_trampoline_remove(void);

/* What trap.S leaves on the stack. */
struct trap_frame {
	uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
	uint32_t vector, error;
	uint32_t pc, cs, flags;
};
/* What pusha saved is the stack pointer after five words of this frame were pushed. */
#define ARCH_PUSHED (5 * sizeof(uint32_t))
static inline uintptr_t
arch_stack_pointer(const struct trap_frame *f)
{
	return (f->esp + ARCH_PUSHED);
}

void arch_print_registers(const struct trap_frame *f);

struct arch_gate {
	uint64_t word;
};

/* A double fault is a task of its own, with a stack of its own (arch.c): it may be about the stack. */
#define ARCH_DOUBLE_FAULT      8
#define ARCH_DOUBLE_FAULT_TASK 0x28u
static inline void
arch_gate_set(struct arch_gate *gate, uintptr_t entry, unsigned vector)
{
	if (vector == ARCH_DOUBLE_FAULT)
		gate->word = 0x0000850000000000ull | ARCH_DOUBLE_FAULT_TASK << 16;
	else
		gate->word =
		    (uint64_t)(entry >> 16) << 48 | 0x00008e0000080000ull | (entry & 0xffff);
}

#endif
