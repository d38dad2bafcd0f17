/*
 * amd64: page tables of four levels, descriptors, the place where other CPUs begin.
 *
 * The tables of the top, arch_top, and of the image, arch_low_table, are filled by start.S; those of the
 * window and the direct map are made here, in boot memory. What stays true after arch_map_low():
 * nothing is in the lower half but, while other CPUs start, the image's tables once more.
 */
#include "machine_arch.h"
#include "io.h"
#include "x86.h"

#define SLOT(va, level)   ((unsigned)((uint64_t)(va) >> (12 + 9 * (level)) & 511))
#define TABLE             (PTE_VALID | PTE_WRITE)
#define LARGE_SHIFT       21
#define DESCRIPTOR_CODE   0x00af9a000000ffffu
#define DESCRIPTOR_DATA   0x00cf92000000ffffu
#define DESCRIPTOR_TASK   0x0000890000000000u
#define MSR_GS_BASE       0xc0000101u
#define DOUBLE_FAULT_WORD 9 /* of a task segment, in 32-bit words: the first interrupt stack */

pte_t arch_top[512] ALIGNED(4096);
pte_t arch_image_upper[512] ALIGNED(4096);
pte_t arch_image_directory[512] ALIGNED(4096);
pte_t arch_low_table[X86_LOW_PAGES] ALIGNED(4096);
uintptr_t arch_stacks[X86_MAXCPU];
uint32_t arch_arrived;
uint32_t arch_ticket, arch_wanted; /* start.S: who comes first is CPU 1 */

static char double_fault_stack[X86_MAXCPU][4096] ALIGNED(16);

/* ---- tables ----------------------------------------------------------------------------------------- */

void
arch_map_low(vm_paddr_t end)
{
	for (unsigned i = 0; i < X86_LOW_PAGES - X86_DEVICES; i++)
		arch_low_table[i] = i < end >> PAGE_SHIFT ? ptoa(i) | PTE_VALID | PTE_WRITE : 0;
	arch_top[0] = 0;
	write_cr3(read_cr3());
}

void
arch_unmap_window(void)
{
	arch_top[SLOT(ARCH_KVA, 3)] = 0;
	arch_top[SLOT(ARCH_DIRECT, 3)] = 0;
}

/* Tables of `level` for [va, va + size) in one piece; linked into those one level up, `above`. */
static pte_t *
make_level(vm_offset_t va, vm_size_t size, unsigned level, pte_t *above)
{
	vm_size_t ntables = howmany(size, PAGE_SIZE << 9 * level);
	pte_t *table = machine_boot_alloc(ntables * PAGE_SIZE, PAGE_SIZE);

	if (table == NULL)
		return (NULL);
	for (vm_size_t i = 0; i < ntables; i++)
		above[SLOT(va, level) + i] = ARCH_PHYS(table + 512 * i) | TABLE;
	return (table);
}

/* The window is aligned to what a top table's word covers, so each level's words start at slot 0. */
volatile pte_t *
arch_map_window(vm_offset_t va, vm_size_t size)
{
	pte_t *table = arch_top;

	for (unsigned level = 3; level > 0 && table != NULL; level--)
		table = make_level(va, size, level, table);
	return (table);
}

bool
arch_map_direct(vm_paddr_t end)
{
	vm_size_t size = round_up((vm_size_t)end, (vm_size_t)1 << LARGE_SHIFT);
	pte_t *table = make_level(ARCH_DIRECT, size, 3, arch_top);

	if (table != NULL)
		table = make_level(ARCH_DIRECT, size, 2, table);
	if (table == NULL)
		return (false);
	for (vm_size_t i = 0; i < size >> LARGE_SHIFT; i++)
		table[i] = i << LARGE_SHIFT | TABLE | PTE_LARGE | PTE_NOEXEC;
	return (true);
}

/* ---- descriptors -------------------------------------------------------------------------------------- */

static void
task_segment(struct cpu *cpu)
{
	uint64_t base = (uintptr_t)cpu->tss;
	uint64_t stack = (uintptr_t)(&double_fault_stack[cpu->index] + 1);

	memcpy(&cpu->tss[DOUBLE_FAULT_WORD], &stack, sizeof(stack));
	cpu->gdt[4] = DESCRIPTOR_TASK | (sizeof(cpu->tss) - 1) | (base & 0xffffff) << 16 |
		      (base >> 24 & 0xff) << 56;
	cpu->gdt[5] = base >> 32;
	__asm__ volatile("ltr %w0" : : "r"(0x20));
}

void
arch_cpu_load(struct cpu *cpu)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) gdtr = { sizeof(cpu->gdt) - 1, (uintptr_t)cpu->gdt };

	cpu->gdt[1] = DESCRIPTOR_CODE;
	cpu->gdt[2] = DESCRIPTOR_DATA;
	__asm__ volatile("lgdt %0\n\t"
			 "pushq $0x08\n\t"
			 "pushq $1f\n\t"
			 "lretq\n"
			 "1:\tmov %w1, %%ds\n\t"
			 "mov %w1, %%es\n\t"
			 "mov %w1, %%ss\n\t"
			 "mov %w2, %%fs\n\t"
			 "mov %w2, %%gs"
			 :
			 : "m"(gdtr), "r"(0x10), "r"(0)
			 : "memory");
	wrmsr(MSR_GS_BASE, (uintptr_t)cpu);
	task_segment(cpu);
}

void
arch_print_registers(const struct trap_frame *f)
{
	x86_printf("rip %016lx  rflags %016lx  error %lx  cr2 %016lx\n", f->pc, f->flags, f->error,
	    read_cr2());
	x86_printf(
	    "rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx\n", f->rax, f->rbx, f->rcx, f->rdx);
	x86_printf(
	    "rsi %016lx  rdi %016lx  rbp %016lx  rsp %016lx\n", f->rsi, f->rdi, f->rbp, f->rsp);
	x86_printf(
	    "r8  %016lx  r9  %016lx  r10 %016lx  r11 %016lx\n", f->r8, f->r9, f->r10, f->r11);
	x86_printf(
	    "r12 %016lx  r13 %016lx  r14 %016lx  r15 %016lx\n", f->r12, f->r13, f->r14, f->r15);
}

/* ---- other CPUs ------------------------------------------------------------------------------------------ */

extern char arch_trampoline_start[], arch_trampoline_end[];

void
arch_trampoline_place(unsigned ncpus)
{
	arch_wanted = ncpus;
	arch_top[0] = ARCH_PHYS(arch_image_upper) | TABLE;
	write_cr3(read_cr3());
	memcpy((void *)(ARCH_BASE + ARCH_TRAMPOLINE), arch_trampoline_start,
	    (size_t)(arch_trampoline_end - arch_trampoline_start));
}

void
arch_trampoline_remove(void)
{
	arch_top[0] = 0;
	x86_flush(ARCH_TRAMPOLINE, 1);
}
