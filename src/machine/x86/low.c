/*
 * Single pages at the top of the image's table: a device's registers, pages that are mapped for a moment, and
 * guard pages, which are taken out. Entries change while one CPU runs, or are that CPU's alone.
 */
#include "io.h"
#include "machine_arch.h"
#include "x86.h"

#define TEMPORARY (X86_LOW_PAGES - X86_DEVICES - X86_TEMPORARY)

extern pte_t arch_low_table[];
static unsigned ndevices;

volatile void *
x86_map_device(vm_paddr_t pa)
{
	unsigned slot = X86_LOW_PAGES - ++ndevices;
	vm_offset_t va = ARCH_BASE + ptoa(slot);

	MUST(ndevices <= X86_DEVICES, "x86_map_device: no more than %d", X86_DEVICES);
	arch_low_table[slot] = (pte_t)pa | PTE_VALID | PTE_WRITE | PTE_NOCACHE | ARCH_NOEXEC;
	invlpg(va);
	return ((volatile void *)va);
}

void *
x86_map_temporary(unsigned slot, vm_paddr_t pa)
{
	arch_low_table[TEMPORARY + slot] = (pte_t)pa | PTE_VALID | PTE_WRITE;
	return ((void *)(ARCH_BASE + ptoa(TEMPORARY + slot)));
}

void
x86_forget_temporary(void)
{
	for (unsigned i = 0; i < X86_TEMPORARY; i++)
		arch_low_table[TEMPORARY + i] = 0;
	write_cr3(read_cr3());
}

void
arch_unmap_low(vm_offset_t va)
{
	arch_low_table[atop(va - ARCH_BASE)] = 0;
	invlpg(va);
}
