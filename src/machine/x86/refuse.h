/*
 * For start.S: a loader that is none of ours. In 32-bit code, without paging and without a stack: the line
 * goes to the serial port byte by byte, and the machine stops as x86_exit(1) does.
 */
	.macro refuse_loader
	mov $9f, %esi
1:	lodsb
	test %al, %al
	jz 3f
	mov %al, %ah
	mov $0x3fd, %dx
2:	in %dx, %al
	test $0x20, %al /* room for a byte */
	jz 2b
	mov %ah, %al
	mov $0x3f8, %dx
	out %al, %dx
	jmp 1b
3:	mov $0x11, %al
	mov $0xf4, %dx
	out %al, %dx
4:	hlt
	jmp 4b
9:	.asciz "kernel: cannot start: the loader does not speak Multiboot 1\r\n"
	.endm
