/*
 * What the slow side needs of restartable sequences on aarch64, and to pop and push by the array of a
 * cache's parts: text for machine_percpu.h. The sequences themselves, and what each step means: <cooper/inline.h>.
 */
#ifndef RSEQ_AARCH64_H
#define RSEQ_AARCH64_H

/* Assembler is laid out by hand. */
/* clang-format off */

/* As COOPER_RSEQ_FIND; unregistered threads and CPUs without a part leave. */
#define RSEQ_INDEX                                                                                 \
	"	ldr %w[stack], [%[area], #4]\n"                                                    \
	"	cmp %w[stack], %w[limit], lsr #7\n"                                                \
	"	b.hs %l[leave]\n"                                                                  \
	"	lsl %[stack], %[stack], #7\n"

#define RSEQ_LIMIT , [limit] "r"(posix_rseq.limit)

/* For who is to be on a CPU of his choice; he leaves if he is not. */
#define RSEQ_ON_CPU                                                                                \
	"	ldr %w[stack], [%[area], #4]\n"                                                    \
	"	cmp %w[stack], %w[cpu]\n"                                                          \
	"	b.ne %l[leave]\n"

/* What machine_percpu.h makes rseq_close() and rseq_take() of. The last store is the commit. */
#define RSEQ_EXCHANGE                                                                              \
	"	ldar %[was], [%[place]]\n"                                                         \
	"	str %[value], [%[place]]\n"
#define RSEQ_CLAIM                                                                                 \
	"	ldar %[was], [%[place]]\n"                                                         \
	"	cbnz %[was], %l[leave]\n"                                                          \
	"	str %w[value], [%[place]]\n"

#define RSEQ_CPU "ldr %w[cpu], [%[area], #4]\n"

/* clang-format on */

#endif
