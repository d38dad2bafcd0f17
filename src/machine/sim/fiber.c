/*
 * Stacks, the switch between them, and call paths.
 *
 * A fiber that does not run has its callee-saved registers on top of its stack, the frame pointer and
 * the return address in known places; so its call path can be read, also after the run. Stacks lie
 * side by side in the run's memory, each above a guard page, and are used again by the next run.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "sim_int.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STACK_SIZE ((vm_size_t)512 << 10)
#else
#define STACK_SIZE ((vm_size_t)256 << 10)
#endif
#define GUARD ((vm_size_t)64 << 10) /* at least a page of each host */

static vm_offset_t stacks; /* the first one's guard */
static void *driver_sp;
#ifdef __SANITIZE_ADDRESS__
static void *driver_fake;
static const void *driver_stack;
static size_t driver_size;
#endif

/* ---- the switch ----------------------------------------------------------------------------------- */

/*
 * sim_switch(save, sp): push the callee-saved registers, store the stack pointer in *save, go on with
 * the registers and the return address at sp. FRAME and PC say where in them they are, WORDS how many.
 */
void sim_switch(void **save, void *sp);

#if defined(__x86_64__)
#define WORDS 6
#define FRAME 5
#define PC    6
__asm__(".text\n"
	".globl sim_switch\n"
	".hidden sim_switch\n"
	".type sim_switch, @function\n"
	"sim_switch:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size sim_switch, . - sim_switch\n");
#elif defined(__i386__)
#define WORDS 4
#define FRAME 3
#define PC    4
__asm__(".text\n"
	".globl sim_switch\n"
	".hidden sim_switch\n"
	".type sim_switch, @function\n"
	"sim_switch:\n"
	"	movl 4(%esp), %eax\n"
	"	movl 8(%esp), %edx\n"
	"	pushl %ebp\n"
	"	pushl %ebx\n"
	"	pushl %esi\n"
	"	pushl %edi\n"
	"	movl %esp, (%eax)\n"
	"	movl %edx, %esp\n"
	"	popl %edi\n"
	"	popl %esi\n"
	"	popl %ebx\n"
	"	popl %ebp\n"
	"	ret\n"
	".size sim_switch, . - sim_switch\n");
#elif defined(__aarch64__)
#define WORDS 20
#define FRAME 10
#define PC    11
__asm__(".text\n"
	".globl sim_switch\n"
	".hidden sim_switch\n"
	".type sim_switch, %function\n"
	"sim_switch:\n"
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp, #0]\n"
	"	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n"
	"	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	ldp x19, x20, [sp, #0]\n"
	"	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n"
	"	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	ret\n"
	".size sim_switch, . - sim_switch\n");
#else
#error "the sim machine knows no switch for this processor"
#endif

/* ---- stacks --------------------------------------------------------------------------------------- */

static vm_offset_t
stack_bottom(unsigned fiber)
{
	return (stacks + fiber * (GUARD + STACK_SIZE) + GUARD);
}

bool
stacks_reserve(vm_offset_t base)
{
	stacks = base;
	for (unsigned i = 0; i < SIM_FIBERS; i++)
		if (mprotect((void *)stack_bottom(i), STACK_SIZE, PROT_READ | PROT_WRITE) != 0)
			return (false);
	return (true);
}

unsigned
stack_of(vm_offset_t va)
{
	vm_size_t offset = va - stacks;

	return (offset < SIM_FIBERS * (GUARD + STACK_SIZE)
		    ? (unsigned)(offset / (GUARD + STACK_SIZE))
		    : NOBODY);
}

/* The first switch returns into fiber_main(), with the alignment that a call would give it. */
void
stack_prepare(unsigned fiber)
{
	uintptr_t *top = (uintptr_t *)(stack_bottom(fiber) + STACK_SIZE) - WORDS - 2;

#ifdef __SANITIZE_ADDRESS__
	ASAN_UNPOISON_MEMORY_REGION((void *)stack_bottom(fiber), STACK_SIZE);
#endif
	memset(top, 0, (WORDS + 2) * sizeof(*top));
	top[PC] = (uintptr_t)fiber_main;
	sim.fiber[fiber].sp = top;
}

/* ---- switching, with what the address sanitizer must be told -------------------------------------- */

static inline void
leaving(void **fake, const void *bottom, size_t size)
{
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_start_switch_fiber(fake, bottom, size);
#else
	(void)fake;
	(void)bottom;
	(void)size;
#endif
}

static inline void
arrived(void *fake, const void **bottom, size_t *size)
{
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_finish_switch_fiber(fake, bottom, size);
#else
	(void)fake;
	(void)bottom;
	(void)size;
#endif
}

static inline vm_offset_t
bottom_of(const struct fiber *f)
{
	return (stack_bottom((unsigned)(f - sim.fiber)));
}

void
switch_fiber(struct fiber *from, struct fiber *to)
{
	leaving(
	    from->state == SIM_ENDED ? NULL : &from->fake, (const void *)bottom_of(to), STACK_SIZE);
	sim_switch(&from->sp, to->sp);
	arrived(from->fake, NULL, NULL);
}

/* The first thing that a fiber does. */
void
stack_entered(void)
{
#ifdef __SANITIZE_ADDRESS__
	const void *bottom;
	size_t size;

	arrived(NULL, &bottom, &size);
	if (driver_stack == NULL) { /* fiber 0's first: it came from the driver */
		driver_stack = bottom;
		driver_size = size;
	}
#endif
}

void
switch_in(void)
{
#ifdef __SANITIZE_ADDRESS__
	driver_stack = NULL;
	leaving(&driver_fake, (const void *)stack_bottom(0), STACK_SIZE);
#endif
	sim_switch(&driver_sp, sim.fiber[0].sp);
#ifdef __SANITIZE_ADDRESS__
	arrived(driver_fake, NULL, NULL);
#endif
}

void
switch_out(void)
{
#ifdef __SANITIZE_ADDRESS__
	leaving(NULL, driver_stack, driver_size);
#endif
	sim_switch(&self()->sp, driver_sp);
	__builtin_unreachable();
}

/* ---- call paths ----------------------------------------------------------------------------------- */

/* A frame is the caller's frame pointer and the return address, on each processor that we know. */
__attribute__((no_sanitize_address)) unsigned
sim_stack(unsigned fiber, uintptr_t *pc, unsigned max)
{
	const struct fiber *f = &sim.fiber[fiber];
	const uintptr_t *fp = f->sp;
	vm_offset_t bottom = stack_bottom(fiber);
	unsigned n = 0;

	if (max == 0 || fiber >= sim.nfibers)
		return (0);
	if (f->trap_pc != 0) {
		pc[n++] = f->trap_pc;
		fp = (const uintptr_t *)f->trap_fp;
	} else if (sim.running && fiber == sim.self)
		fp = __builtin_frame_address(0);
	else {
		pc[n++] = fp[PC];
		fp = (const uintptr_t *)fp[FRAME];
	}
	while (n < max && (vm_offset_t)fp - bottom < STACK_SIZE - 2 * sizeof(*fp) && fp[1] != 0) {
		pc[n++] = fp[1];
		if ((const uintptr_t *)fp[0] <= fp)
			break;
		fp = (const uintptr_t *)fp[0];
	}
	return (n);
}
