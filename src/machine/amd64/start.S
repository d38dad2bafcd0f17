/*
 * amd64: from the loader (Multiboot 1: 32 bit, no paging) to x86_start() at its linked address,
 * and from real mode to x86_cpu_secondary() for the other CPUs.
 */
#include "refuse.inc"

#define BASE      0xffffffff80000000
#define LOW_PAGES 16384
#define MAGIC     0x1badb002
#define FLAGS     0x3 /* modules aligned, memory map wanted */
#define MSR_EFER  0xc0000080
#define EFER      0x900 /* long mode, no-execute pages */
#define CR4       0x20  /* addresses of more than 32 bits */

	.section .multiboot, "a"
	.align 4
	.long MAGIC, FLAGS, -(MAGIC + FLAGS)

/* ---- the first CPU: code linked where it is loaded -------------------------------------------------- */

	.section .boot, "ax"
	.code32
	.globl _start
_start:
	cli
	cld
	mov %ebx, %esi
	cmp $0x2badb002, %eax
	jne dead

	/* the low 64 MiB, page by page; upper halves of the words are 0 already */
	mov $(arch_low_table - BASE), %edi
	mov $0x003, %eax
	mov $LOW_PAGES, %ecx
1:	mov %eax, (%edi)
	add $4096, %eax
	add $8, %edi
	loop 1b

	mov $(arch_image_directory - BASE), %edi
	mov $(arch_low_table - BASE + 0x003), %eax
	mov $(LOW_PAGES / 512), %ecx
2:	mov %eax, (%edi)
	add $4096, %eax
	add $8, %edi
	loop 2b

	/* at 0, where this code runs, and at BASE */
	mov $(arch_image_directory - BASE + 0x003), %eax
	mov %eax, arch_image_upper - BASE
	mov %eax, arch_image_upper - BASE + 510 * 8
	mov $(arch_image_upper - BASE + 0x003), %eax
	mov %eax, arch_top - BASE
	mov %eax, arch_top - BASE + 511 * 8

	mov $CR4, %eax
	mov %eax, %cr4
	mov $(arch_top - BASE), %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER, %eax
	wrmsr
	mov %cr0, %eax
	or $0x80010000, %eax /* paging, and read-only pages are so for us too */
	mov %eax, %cr0
	lgdt boot_gdtr
	ljmp $0x08, $long_mode
dead:	refuse_loader

	.code64
long_mode:
	mov $high, %rax
	jmp *%rax
	.align 8
boot_gdt:
	.quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
boot_gdtr:
	.word boot_gdtr - boot_gdt - 1
	.long boot_gdt

	.text
high:
	mov $0x10, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $boot_stack_end, %rsp
	xor %ebp, %ebp
	mov %esi, %edi
	add $BASE, %rdi
	call x86_start
3:	hlt
	jmp 3b

	.bss
	.align 4096
	.skip 4096 /* unmapped once the machine is started */
	.globl x86_boot_stack
x86_boot_stack:
	.skip 16384
boot_stack_end:

/* ---- other CPUs: copied to TRAMPOLINE, begun there in real mode ---------------------------------------- */

#define TRAMPOLINE 0x8000
#define AT(label)  (TRAMPOLINE + label - arch_trampoline_start)

	.section .rodata
	.globl arch_trampoline_start, arch_trampoline_end
arch_trampoline_start:
	.code16
	cli
	cld
	xor %ax, %ax
	mov %ax, %ds
	lgdtl AT(gdtr)
	mov %cr0, %eax
	or $1, %eax
	mov %eax, %cr0
	ljmpl $0x18, $AT(protected)
	.code32
protected:
	mov $0x10, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $CR4, %eax
	mov %eax, %cr4
	mov $(arch_top - BASE), %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER, %eax
	wrmsr
	mov %cr0, %eax
	or $0x80010000, %eax
	and $0x9fffffff, %eax /* caches on */
	mov %eax, %cr0
	ljmp $0x08, $AT(wide)
	.code64
wide:	mov $secondary, %rax
	jmp *%rax
	.align 8
gdt:	.quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff, 0x00cf9a000000ffff
gdtr:	.word gdtr - gdt - 1
	.long AT(gdt)
arch_trampoline_end:

	.text
secondary:
	mov $1, %eax
	lock xadd %eax, arch_ticket
	inc %eax /* this CPU's index */
	cmp arch_wanted, %eax
	jae 4f
	mov %eax, %edi
	mov arch_stacks(,%rax,8), %rsp
	xor %ebp, %ebp
	call x86_cpu_secondary
4:	cli
	hlt
	jmp 4b

	.section .note.GNU-stack, "", @progbits
