/*
 * Restartable sequences for x86-64. See machine_percpu.h for what each one means.
 *
 *	0: descriptor -> area.rseq_cs      say that we are about to be in 1..2
 *	1: cpu = area.cpu_id; leave if not below ncpus
 *	   read the stack's word; leave if there is nothing to do
 *	   read or write a slot            harmless if abandoned
 *	   store the word                  the one commit
 *	2:
 *	4: abandoned by the kernel, after preemption, migration, a signal or a barrier: again from 0
 *
 * Nothing in here may call, push or make a system call. The four bytes before 4 are the signature
 * that glibc registered; together with the three before them they decode as one trapping ud1.
 */
#ifndef RSEQ_X86_64_H
#define RSEQ_X86_64_H

#include "machine/percpu.h" /* which includes this file on its machine */

#if defined(POSIX_RSEQ) && defined(__x86_64__)

/* Assembler is laid out by hand. */
/* clang-format off */
#define RSEQ_OPEN                                                                                  \
	".pushsection __rseq_cs, \"aw\", @progbits\n"                                              \
	".balign 32\n"                                                                             \
	"3:	.long 0, 0\n"                                                                      \
	"	.quad 1f, 2f - 1f, 4f\n"                                                           \
	".popsection\n"                                                                            \
	".pushsection __rseq_failure, \"ax\", @progbits\n"                                         \
	"	.byte 0x0f, 0xb9, 0x3d\n"                                                          \
	"	.long 0x53053053\n"                                                                \
	"4:	jmp 0f\n"                                                                          \
	".popsection\n"                                                                            \
	"0:	leaq 3b(%%rip), %[stack]\n"                                                        \
	"	movq %[stack], %%fs:8(%[area])\n"                                                  \
	"1:	movl %%fs:4(%[area]), %k[stack]\n"

/* ... and find this CPU's stack, given CPU 0's. */
#define RSEQ_OPEN_STACK                                                                            \
	RSEQ_OPEN                                                                                  \
	"	cmpl %[ncpus], %k[stack]\n"                                                        \
	"	jae %l[leave]\n"                                                                   \
	"	shlq $7, %[stack]\n"                                                               \
	"	addq %[first], %[stack]\n"

static ALWAYS_INLINE void *
rseq_pop(struct percpu_stack *first)
{
	void *item;
	uint64_t word, index;
	struct percpu_stack *stack;

	/* index = count - 1 is above 0xfffd for an empty stack and for a closed one. */
	__asm__ volatile goto(RSEQ_OPEN_STACK
	    "	movq (%[stack]), %[word]\n"
	    "	movzwl %w[word], %k[index]\n"
	    "	decl %k[index]\n"
	    "	cmpl $0xfffe, %k[index]\n"
	    "	jae %l[leave]\n"
	    "	movq 8(%[stack]), %[item]\n"
	    "	movq (%[item], %[index], 8), %[item]\n"
	    "	addq $0xffff, %[word]\n" /* one pop more, one item less */
	    "	movq %[word], (%[stack])\n"
	    "2:\n"
	    : [stack] "=&r"(stack), [word] "=&r"(word), [index] "=&r"(index), [item] "=&r"(item)
	    : [area] "r"(posix_rseq.area), [ncpus] "r"(posix_rseq.ncpus), [first] "r"(first)
	    : "memory", "cc"
	    : leave);
	if (item == NULL)
		__builtin_unreachable(); /* callers need not look again */
	return (item);
leave:
	return (NULL);
}

static ALWAYS_INLINE bool
rseq_push(struct percpu_stack *first, void *item)
{
	uint64_t word, index;
	struct percpu_stack *stack;

	/* A closed stack's count is above any max. */
	__asm__ volatile goto(RSEQ_OPEN_STACK
	    "	movq (%[stack]), %[word]\n"
	    "	movzwl %w[word], %k[index]\n"
	    "	cmpl 16(%[stack]), %k[index]\n"
	    "	jae %l[leave]\n"
	    "	shlq $3, %[index]\n"
	    "	addq 8(%[stack]), %[index]\n"
	    "	movq %[item], (%[index])\n"
	    "	incq %[word]\n"
	    "	movq %[word], (%[stack])\n"
	    "2:\n"
	    : [stack] "=&r"(stack), [word] "=&r"(word), [index] "=&r"(index)
	    : [area] "r"(posix_rseq.area), [ncpus] "r"(posix_rseq.ncpus), [first] "r"(first),
	    [item] "r"(item)
	    : "memory", "cc"
	    : leave);
	return (true);
leave:
	return (false);
}

static inline bool
rseq_close(uint64_t *word, unsigned cpu, uint64_t closed, uint64_t *old)
{
	uint64_t was, stack;

	__asm__ volatile goto(RSEQ_OPEN
	    "	cmpl %[cpu], %k[stack]\n"
	    "	jne %l[leave]\n"
	    "	movq (%[word]), %[was]\n"
	    "	movq %[closed], (%[word])\n"
	    "2:\n"
	    : [stack] "=&r"(stack), [was] "=&r"(was)
	    : [area] "r"(posix_rseq.area), [cpu] "r"(cpu), [word] "r"(word), [closed] "r"(closed)
	    : "memory", "cc"
	    : leave);
	*old = was;
	return (true);
leave:
	return (false);
}

static inline uint32_t
rseq_cpu(void)
{
	uint32_t cpu;

	__asm__ volatile("movl %%fs:4(%[area]), %[cpu]"
	    : [cpu] "=r"(cpu) : [area] "r"(posix_rseq.area));
	return (cpu);
}

/* clang-format on */

#undef RSEQ_OPEN
#undef RSEQ_OPEN_STACK

#endif

#endif
