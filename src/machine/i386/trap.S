/*
 * i386: entries of all vectors, and the switch between threads.
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
	pusha
	cld
	push %esp
	call x86_trap
	add $4, %esp
	popa
	add $8, %esp
	iret

/* x86_switch(from, to): edi, esi, ebx, ebp, and where to go on, stay on the stack. */
	.globl x86_switch
x86_switch:
	mov 4(%esp), %eax
	mov 8(%esp), %edx
	push %ebp
	push %ebx
	push %esi
	push %edi
	mov %esp, (%eax)
	mov %edx, %esp
	pop %edi
	pop %esi
	pop %ebx
	pop %ebp
	ret

	.globl x86_thread_entry
x86_thread_entry:
	xor %ebp, %ebp
	call x86_thread_main
	ud2

	.globl x86_begin_on
x86_begin_on:
	mov 4(%esp), %eax
	mov 8(%esp), %edx
	mov %eax, %esp
	xor %ebp, %ebp
	call *%edx
	ud2

	.section .note.GNU-stack, "", @progbits
