/* From a Multiboot loader (32 bit, no paging) to kernel_main(); the clock's interrupt; traps, which end it. */
	.section .multiboot, "a"
	.long 0x1badb002, 0x2, -(0x1badb002 + 0x2) /* with a memory map, please */
	.text
	.globl _start, clock_entry, trap_entry
_start:	cli; cld
	mov $stack_end, %esp
	lgdt gdtr
	ljmp $0x08, $1f
1:	push %ebx /* the loader's information; its data segments are flat, and stay loaded */
	call kernel_main
clock_entry:
	pusha
	call clock_tick
	popa
	iret
trap_entry:
	mov %cr2, %eax
	push %eax
	push $trapped
	call core_panic
	.section .rodata
trapped: .asciz "a trap; the last page fault was at %p"
	.align 8
gdt:	.quad 0, 0x00cf9a000000ffff
gdtr:	.word . - gdt - 1
	.long gdt
	.bss
	.skip 16384
stack_end:
	.section .note.GNU-stack, "", @progbits
