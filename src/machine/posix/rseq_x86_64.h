/*
 * What the slow side needs of restartable sequences on x86-64, and pop and push by the array of a
 * cache's parts. The sequences themselves, and what each step means: <cooper/inline.h>.
 */
#ifndef RSEQ_X86_64_H
#define RSEQ_X86_64_H

#include "machine/percpu.h" /* which includes this file on its machine */

#if defined(POSIX_RSEQ) && defined(__x86_64__)

/* Assembler is laid out by hand. */
/* clang-format off */

/* As COOPER_RSEQ_FIND; unregistered threads and CPUs without a part leave. */
#define RSEQ_INDEX                                                                                 \
	"	imull $128, %%fs:4(%[area]), %k[stack]\n"                                          \
	"	cmpl %[limit], %k[stack]\n"                                                        \
	"	jae %l[leave]\n"

static ALWAYS_INLINE void *
rseq_pop(struct percpu_stack *first)
{
	uint64_t word, index;
	void *item, *stack;

	__asm__ volatile goto(COOPER_RSEQ_OPEN RSEQ_INDEX COOPER_RSEQ_POP("0", COOPER_RSEQ_ADD)
	    : [stack] "=&r"(stack), [word] "=&r"(word), [index] "=&r"(index), [item] "=&r"(item)
	    : [area] "r"(posix_rseq.area), [limit] "m"(posix_rseq.limit), [parts] "r"(first)
	    : "memory", "cc"
	    : leave);
	if (item == NULL)
		__builtin_unreachable(); /* callers need not look again */
	return (item);
leave:
	COOPER_RSEQ_LEFT;
	return (NULL);
}

static ALWAYS_INLINE bool
rseq_push(struct percpu_stack *first, void *item)
{
	uint64_t word, index;
	void *slots, *stack;

	__asm__ volatile goto(COOPER_RSEQ_OPEN RSEQ_INDEX COOPER_RSEQ_PUSH("0", COOPER_RSEQ_ADD)
	    : [stack] "=&r"(stack), [word] "=&r"(word), [index] "=&r"(index), [slots] "=&r"(slots)
	    : [area] "r"(posix_rseq.area), [limit] "m"(posix_rseq.limit), [parts] "r"(first),
	    [item] "r"(item)
	    : "memory", "cc"
	    : leave);
	return (true);
leave:
	COOPER_RSEQ_LEFT;
	return (false);
}

static inline bool
rseq_close(uint64_t *word, unsigned cpu, uint64_t closed, uint64_t *old)
{
	uint64_t was, stack;

	__asm__ volatile goto(COOPER_RSEQ_OPEN
	    "	cmpl %[cpu], %%fs:4(%[area])\n"
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
	COOPER_RSEQ_LEFT;
	return (false);
}

static inline bool
rseq_take(uint32_t *pair, unsigned cpu)
{
	uint64_t stack;

	__asm__ volatile goto(COOPER_RSEQ_OPEN
	    "	cmpl %[cpu], %%fs:4(%[area])\n"
	    "	jne %l[leave]\n"
	    "	cmpq $0, (%[pair])\n"
	    "	jne %l[leave]\n"
	    "	movl $1, (%[pair])\n"
	    "2:\n"
	    : [stack] "=&r"(stack)
	    : [area] "r"(posix_rseq.area), [cpu] "r"(cpu), [pair] "r"(pair)
	    : "memory", "cc"
	    : leave);
	return (true);
leave:
	COOPER_RSEQ_LEFT;
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

#undef RSEQ_INDEX

#endif

#endif
