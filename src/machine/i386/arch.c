/*
 * i386: page tables of two levels, descriptors, the place where other CPUs begin.
 *
 * arch_directory and arch_low_table are filled by start.S. What stays true after arch_map_low():
 * below the window only the image, boot memory and device pages are mapped, and nothing is below
 * ARCH_BASE but, while other CPUs start, the page that they start in.
 */
#include "machine_arch.h"
#include "io.h"
#include "x86.h"

#define DIRECTORY_SLOT(va) ((uint32_t)(va) >> 22)
#define DESCRIPTOR_CODE    0x00cf9a000000ffffull
#define DESCRIPTOR_DATA    0x00cf92000000ffffull
#define DESCRIPTOR_TASK    0x0000890000000000ull

pte_t arch_directory[1024] ALIGNED(4096);
pte_t arch_low_table[X86_LOW_PAGES] ALIGNED(4096);
uintptr_t arch_stacks[X86_MAXCPU];
uint32_t arch_arrived;
uint32_t arch_ticket, arch_wanted; /* start.S: who comes first is CPU 1 */

/* ---- tables ----------------------------------------------------------------------------------------- */

void
arch_map_low(vm_paddr_t end)
{
	for (unsigned i = 0; i < X86_LOW_PAGES - X86_DEVICES; i++)
		arch_low_table[i] = i < end >> PAGE_SHIFT ? ptoa(i) | PTE_VALID | PTE_WRITE : 0;
	for (unsigned i = 0; i < DIRECTORY_SLOT(ARCH_BASE); i++)
		arch_directory[i] = 0;
	write_cr3(read_cr3());
}

void
arch_unmap_window(void)
{
	for (unsigned i = DIRECTORY_SLOT(ARCH_KVA); i < nitems(arch_directory); i++)
		arch_directory[i] = 0;
}

volatile pte_t *
arch_map_window(vm_offset_t va, vm_size_t size)
{
	vm_size_t ntables = howmany(size, PAGE_SIZE << 10);
	pte_t *table = machine_boot_alloc(ntables * PAGE_SIZE, PAGE_SIZE);

	if (table == NULL)
		return (NULL);
	for (unsigned i = 0; i < ntables; i++)
		arch_directory[DIRECTORY_SLOT(va) + i] =
		    (pte_t)ARCH_PHYS(table + 1024 * i) | PTE_VALID | PTE_WRITE;
	return (table);
}

bool
arch_map_direct(vm_paddr_t end)
{
	(void)end;
	return (false);
}

/* ---- double faults: the processor leaves what ran in cpu->tss and goes over to this task --------------- */

/* A task segment as the processor has it; cpu->tss is one, too. */
struct task {
	uint32_t link, stacks[6], cr3;
	uint32_t eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
	uint32_t es, cs, ss, ds, fs, gs, ldt, io;
};
static struct task double_fault_task[X86_MAXCPU] ALIGNED(128); /* not across pages */
static char double_fault_stack[X86_MAXCPU][4096] ALIGNED(16);

/* What a trap would have left, of what ran; it is not gone back to. */
static void
double_fault(void)
{
	const struct task *t = (const void *)x86_this_cpu()->tss;
	struct trap_frame f = { t->edi, t->esi, t->ebp, t->esp - ARCH_PUSHED, t->ebx, t->edx,
		t->ecx, t->eax, ARCH_DOUBLE_FAULT, 0, t->eip, t->cs, t->eflags };

	x86_trap(&f);
}

static uint64_t
task_descriptor(const void *task)
{
	uint64_t base = (uintptr_t)task;

	return (DESCRIPTOR_TASK | (sizeof(struct task) - 1) | (base & 0xffffff) << 16 |
		(base >> 24) << 56);
}

static void
load_tasks(struct cpu *cpu)
{
	struct task *t = &double_fault_task[cpu->index];

	*t = (struct task){
		.cr3 = (uint32_t)ARCH_PHYS(arch_directory),
		.eip = (uint32_t)double_fault,
		.eflags = 2,
		.esp = (uint32_t)(&double_fault_stack[cpu->index] + 1),
		.cs = 0x08,
		.ss = 0x10,
		.ds = 0x10,
		.es = 0x10,
		.gs = 0x10,
		.fs = 0x18,
		.io = sizeof(*t) << 16,
	};
	((struct task *)(void *)cpu->tss)->io = sizeof(*t) << 16;
	cpu->gdt[4] = task_descriptor(cpu->tss);
	cpu->gdt[ARCH_DOUBLE_FAULT_TASK / 8] = task_descriptor(t);
	__asm__ volatile("ltr %w0" : : "r"(0x20));
}

/* ---- descriptors: code, data, and a data segment that is this CPU's area ------------------------------ */

void
arch_cpu_load(struct cpu *cpu)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) gdtr = { sizeof(cpu->gdt) - 1, (uint32_t)cpu->gdt };
	uint64_t base = (uintptr_t)cpu;

	cpu->gdt[1] = DESCRIPTOR_CODE;
	cpu->gdt[2] = DESCRIPTOR_DATA;
	cpu->gdt[3] = DESCRIPTOR_DATA | (base & 0xffffff) << 16 | (base >> 24) << 56;
	__asm__ volatile("lgdt %0\n\t"
			 "ljmp $0x08, $1f\n"
			 "1:\tmov %w1, %%ds\n\t"
			 "mov %w1, %%es\n\t"
			 "mov %w1, %%ss\n\t"
			 "mov %w1, %%gs\n\t"
			 "mov %w2, %%fs"
			 :
			 : "m"(gdtr), "r"(0x10), "r"(0x18)
			 : "memory");
	load_tasks(cpu);
}

void
arch_print_registers(const struct trap_frame *f)
{
	x86_printf("eip %08x  eflags %08x  error %x  cr2 %08lx\n", f->pc, f->flags, f->error,
	    (unsigned long)read_cr2());
	x86_printf("eax %08x  ebx %08x  ecx %08x  edx %08x\n", f->eax, f->ebx, f->ecx, f->edx);
	x86_printf("esi %08x  edi %08x  ebp %08x  esp %08lx\n", f->esi, f->edi, f->ebp,
	    (unsigned long)arch_stack_pointer(f));
}

/* ---- other CPUs ------------------------------------------------------------------------------------------ */

extern char arch_trampoline_start[], arch_trampoline_end[];

void
arch_trampoline_place(unsigned ncpus)
{
	arch_wanted = ncpus;
	arch_directory[0] = (pte_t)ARCH_PHYS(arch_low_table) | PTE_VALID | PTE_WRITE;
	write_cr3(read_cr3());
	memcpy((void *)(ARCH_BASE + ARCH_TRAMPOLINE), arch_trampoline_start,
	    (size_t)(arch_trampoline_end - arch_trampoline_start));
}

void
arch_trampoline_remove(void)
{
	arch_directory[0] = 0;
	x86_flush(ARCH_TRAMPOLINE, 1);
}
