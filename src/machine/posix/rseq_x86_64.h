/*
 * What the slow side needs of restartable sequences on x86-64, and to pop and push by the array of a
 * cache's parts: text for machine_percpu.h. The sequences themselves, and what each step means: <cooper/inline.h>.
 */
#ifndef RSEQ_X86_64_H
#define RSEQ_X86_64_H

/* Assembler is laid out by hand. */
/* clang-format off */

/* As COOPER_RSEQ_FIND; unregistered threads and CPUs without a part leave. */
#define RSEQ_INDEX                                                                                 \
	"	imull $128, %%fs:4(%[area]), %k[stack]\n"                                          \
	"	cmpl %[limit], %k[stack]\n"                                                        \
	"	jae %l[leave]\n"

#define RSEQ_LIMIT , [limit] "m"(posix_rseq.limit)

/* For who is to be on a CPU of his choice; he leaves if he is not. */
#define RSEQ_ON_CPU                                                                                \
	"	cmpl %[cpu], %%fs:4(%[area])\n"                                                    \
	"	jne %l[leave]\n"

/* What machine_percpu.h makes rseq_close() and rseq_take() of. The last store is the commit. */
#define RSEQ_EXCHANGE                                                                              \
	"	movq (%[place]), %[was]\n"                                                         \
	"	movq %[value], (%[place])\n"
#define RSEQ_CLAIM                                                                                 \
	"	movq (%[place]), %[was]\n"                                                         \
	"	testq %[was], %[was]\n"                                                            \
	"	jne %l[leave]\n"                                                                   \
	"	movl %k[value], (%[place])\n"

#define RSEQ_CPU "movl %%fs:4(%[area]), %[cpu]\n"

/* clang-format on */

#endif
