/*
 * Restartable sequences for aarch64. See machine_percpu.h for what each one means and
 * rseq_x86_64.h for the pattern; the differences:
 *
 *  - the word is read with acquire: another CPU may just have opened the part, and its items and
 *    max, and the items' memory, must be seen as they were before that.
 *  - the signature is glibc's for this machine, a brk instruction.
 */
#ifndef RSEQ_AARCH64_H
#define RSEQ_AARCH64_H

#include "machine/percpu.h" /* which includes this file on its machine */

#if defined(POSIX_RSEQ) && defined(__aarch64__)

/* Assembler is laid out by hand. */
/* clang-format off */
#define RSEQ_OPEN                                                                                  \
	".pushsection __rseq_cs, \"aw\", @progbits\n"                                              \
	".balign 32\n"                                                                             \
	"3:	.long 0, 0\n"                                                                      \
	"	.quad 1f, 2f - 1f, 4f\n"                                                           \
	".popsection\n"                                                                            \
	".pushsection __rseq_failure, \"ax\", @progbits\n"                                         \
	"	.inst 0xd428bc00\n"                                                                \
	"4:	b 0f\n"                                                                            \
	".popsection\n"                                                                            \
	"0:	adrp %[stack], 3b\n"                                                               \
	"	add %[stack], %[stack], :lo12:3b\n"                                                \
	"	str %[stack], [%[area], #8]\n"                                                     \
	"1:	ldr %w[stack], [%[area], #4]\n"

/* ... and find this CPU's stack, given CPU 0's. */
#define RSEQ_OPEN_STACK                                                                            \
	RSEQ_OPEN                                                                                  \
	"	cmp %w[stack], %w[ncpus]\n"                                                        \
	"	b.hs %l[leave]\n"                                                                  \
	"	add %[stack], %[first], %[stack], lsl #7\n"

static ALWAYS_INLINE char *
rseq_area(void)
{
	return ((char *)__builtin_thread_pointer() + posix_rseq.area);
}

static ALWAYS_INLINE void *
rseq_pop(struct percpu_stack *first)
{
	void *item;
	uint64_t word, index;
	struct percpu_stack *stack;

	/* index = count - 1 is above 0xfffd for an empty stack and for a closed one. */
	__asm__ volatile goto(RSEQ_OPEN_STACK
	    "	ldar %[word], [%[stack]]\n"
	    "	and %[index], %[word], #0xffff\n"
	    "	sub %w[index], %w[index], #1\n"
	    "	mov %w[item], #0xfffe\n"
	    "	cmp %w[index], %w[item]\n"
	    "	b.hs %l[leave]\n"
	    "	ldr %[item], [%[stack], #8]\n"
	    "	ldr %[item], [%[item], %[index], lsl #3]\n"
	    "	add %[word], %[word], #0xf, lsl #12\n" /* one pop more, one item less: + 0xffff */
	    "	add %[word], %[word], #0xfff\n"
	    "	str %[word], [%[stack]]\n"
	    "2:\n"
	    : [stack] "=&r"(stack), [word] "=&r"(word), [index] "=&r"(index), [item] "=&r"(item)
	    : [area] "r"(rseq_area()), [ncpus] "r"(posix_rseq.ncpus), [first] "r"(first)
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
	uint64_t word, index, max;
	struct percpu_stack *stack;

	/* A closed stack's count is above any max. */
	__asm__ volatile goto(RSEQ_OPEN_STACK
	    "	ldar %[word], [%[stack]]\n"
	    "	and %[index], %[word], #0xffff\n"
	    "	ldr %w[max], [%[stack], #16]\n"
	    "	cmp %w[index], %w[max]\n"
	    "	b.hs %l[leave]\n"
	    "	ldr %[max], [%[stack], #8]\n"
	    "	str %[item], [%[max], %[index], lsl #3]\n"
	    "	add %[word], %[word], #1\n"
	    "	str %[word], [%[stack]]\n"
	    "2:\n"
	    : [stack] "=&r"(stack), [word] "=&r"(word), [index] "=&r"(index), [max] "=&r"(max)
	    : [area] "r"(rseq_area()), [ncpus] "r"(posix_rseq.ncpus), [first] "r"(first),
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
	    "	cmp %w[stack], %w[cpu]\n"
	    "	b.ne %l[leave]\n"
	    "	ldar %[was], [%[word]]\n"
	    "	str %[closed], [%[word]]\n"
	    "2:\n"
	    : [stack] "=&r"(stack), [was] "=&r"(was)
	    : [area] "r"(rseq_area()), [cpu] "r"(cpu), [word] "r"(word), [closed] "r"(closed)
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
	return (*(volatile uint32_t *)(rseq_area() + 4));
}

/* clang-format on */

#undef RSEQ_OPEN
#undef RSEQ_OPEN_STACK

#endif

#endif
