/*
 * amd64: entries of all vectors, and the switch between threads.
 */
#include "vectors.h"

	.text

/* Vectors with an error code push the vector alone; the others a zero first. */
	.set vector, 0
	.rept X86_VECTORS
	.align 16
1:
	.if !((vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21))
	push $0
	.endif
	push $vector
	jmp trap
	.if vector == 0
	.set first, 1b
	.endif
	.set vector, vector + 1
	.endr

	.globl x86_vector_entry
	.set x86_vector_entry, first

trap:
	push %rax
	push %rbx
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %rbp
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	cld
	mov %rsp, %rdi
	call x86_trap
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rbp
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rbx
	pop %rax
	add $16, %rsp
	iretq

/* x86_switch(from, to): six registers, and where to go on, stay on the stack. */
	.globl x86_switch
x86_switch:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, (%rdi)
	mov %rsi, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret

	.globl x86_thread_entry
x86_thread_entry:
	xor %ebp, %ebp
	and $-16, %rsp
	call x86_thread_main
	ud2

	.globl x86_begin_on
x86_begin_on:
	mov %rdi, %rsp
	xor %ebp, %ebp
	call *%rsi
	ud2

	.section .note.GNU-stack, "", @progbits
