/*
 * The fast paths of uma_zalloc() and uma_zfree(), inline: a program that defines COOPER_INLINE before
 * it includes <cooper/uma.h> has them in its own code, about 13 instructions each, and calls the
 * library only when a CPU's cache has run dry or full. Without, or where there are none (other
 * machines, ThreadSanitizer, a C library without <sys/rseq.h>), the two are calls, and mean the same.
 *
 * The price: such a program is bound to the library of its own version, since it knows how the
 * beginning of a zone and of a CPU's part look; and a shared object with this in it must not be unloaded
 * (link it with -z nodelete), since the kernel may still look at its descriptors.
 *
 * A debugger that steps through a sequence makes the kernel start it again, for ever. Where calls have
 * COOPER_OPTIONS=rseq=0 for that, such a program needs GLIBC_TUNABLES=glibc.pthread.rseq=0.
 *
 * A restartable sequence is a few instructions that the kernel starts again if the thread loses its
 * CPU, gets a signal, or is told to (membarrier) before the last of them, the only store that counts.
 *
 *	0: descriptor -> area.rseq_cs      say that we are about to be in 1..2
 *	1: part = parts + area.cpu_id      this CPU's stack of free items
 *	   read the stack's word; leave if there is nothing to do
 *	   read or write a slot            harmless if abandoned
 *	   store the word                  the one commit
 *	2:
 *	4: abandoned by the kernel: again from 0
 *
 * The area is the C library's. A thread that the kernel does not know has the CPU -1 or -2: before the
 * parts there are two stacks, a stride apart as the parts are, that are closed for ever. So is that of each
 * CPU that the kernel could have and the zone has no items for. Nothing in a sequence may call, push or
 * make a system call.
 *
 * The part is found by adding, not by loading: what is loaded on the way to a stack's word has to wait
 * for the last stores in flight, those of the operation before, which cost more than all the rest.
 *
 * A stack: word = (pops << 16) | count at 0, slots at 8, room for pushes at 16; see src/machine/percpu.h.
 * This file uses no other and is the one place where the sequences are written.
 */
#ifndef COOPER_INLINE_H
#define COOPER_INLINE_H

#include <stddef.h>
#include <cooper/types.h>

#if defined(__SANITIZE_THREAD__)
#define COOPER_RSEQ_UNSEEN 1 /* the sanitizer cannot see what sequences do */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COOPER_RSEQ_UNSEEN 1
#endif
#endif

#if !defined(COOPER_RSEQ_UNSEEN) && defined(__linux__) && defined(__LP64__) && \
    (defined(__clang__) ? __clang_major__ >= 11 : __GNUC__ >= 11)

/* Assembler is laid out by hand. */
/* clang-format off */

/* The four bytes before 4 are the signature that glibc registers on this machine. */
#define COOPER_RSEQ_OPEN_WITH(signature, jump)                                                     \
	".pushsection __rseq_cs, \"aw\", %%progbits\n"                                             \
	".balign 32\n"                                                                             \
	"3:	.long 0, 0\n"                                                                      \
	"	.quad 1f, 2f - 1f, 4f\n"                                                           \
	".popsection\n"                                                                            \
	".pushsection __rseq_failure, \"ax\", %%progbits\n"                                        \
	signature                                                                                  \
	"4:	" jump " 0f\n"                                                                     \
	".popsection\n"

#if defined(__x86_64__)

#define COOPER_RSEQ 1

/* With the three bytes before it the signature decodes as one trapping ud1. */
#define COOPER_RSEQ_OPEN                                                                           \
	COOPER_RSEQ_OPEN_WITH("	.byte 0x0f, 0xb9, 0x3d\n	.long 0x53053053\n", "jmp")        \
	"0:	leaq 3b(%%rip), %[stack]\n"                                                        \
	"	movq %[stack], %%fs:8(%[area])\n"                                                  \
	"1:\n"

/* How far this CPU's part is from CPU 0's. */
#define COOPER_RSEQ_FIND                                                                           \
	"	movslq %%fs:4(%[area]), %[stack]\n"                                                \
	"	shlq $7, %[stack]\n"

/* A field of this CPU's stack; `at`, text, is where the parts begin, from %[parts] on. */
#define COOPER_RSEQ_FIELD(at, field) at "+" field "(%[parts], %[stack])"

/*
 * The commit. Where the sequence is in a loop of the caller's, a load and a store, which the processor
 * forwards to the next one's at no cost; where it is called, an addition to memory, which is shorter.
 * Somebody may have closed the stack in between; he sees what became of it (src/machine/posix/percpu.c).
 */
#define COOPER_RSEQ_STORE(at, n)                                                                   \
	"	addq " n ", %[word]\n"                                                             \
	"	movq %[word], " COOPER_RSEQ_FIELD(at, "0") "\n"
#define COOPER_RSEQ_ADD(at, n) "	addq " n ", " COOPER_RSEQ_FIELD(at, "0") "\n"

#define COOPER_RSEQ_POP(at, commit)                                                                \
	"	movq " COOPER_RSEQ_FIELD(at, "0") ", %[word]\n"                                    \
	"	movswl %w[word], %k[index]\n"                                                      \
	"	subl $1, %k[index]\n" /* empty and closed stacks are below zero */                 \
	"	js %l[leave]\n"                                                                    \
	"	movq " COOPER_RSEQ_FIELD(at, "8") ", %[item]\n"                                    \
	"	movq (%[item], %[index], 8), %[item]\n"                                            \
	commit(at, "$0xffff") /* one pop more, one item less */                                    \
	"2:\n"

#define COOPER_RSEQ_PUSH(at, commit)                                                               \
	"	movq " COOPER_RSEQ_FIELD(at, "0") ", %[word]\n"                                    \
	"	movzwl %w[word], %k[index]\n"                                                      \
	"	cmpl " COOPER_RSEQ_FIELD(at, "16") ", %k[index]\n" /* above any room: closed */    \
	"	jae %l[leave]\n"                                                                   \
	"	movq " COOPER_RSEQ_FIELD(at, "8") ", %[slots]\n"                                   \
	"	movq %[item], (%[slots], %[index], 8)\n"                                           \
	commit(at, "$1")                                                                           \
	"2:\n"

/* The area, as the sequences want it, of an offset from the thread pointer. */
#define COOPER_RSEQ_AREA(offset) (offset)

#elif defined(__aarch64__) && !defined(__AARCH64EB__)

#define COOPER_RSEQ 1

#define COOPER_RSEQ_OPEN                                                                           \
	COOPER_RSEQ_OPEN_WITH("	.inst 0xd428bc00\n", "b")                                          \
	"0:	adrp %[stack], 3b\n"                                                               \
	"	add %[stack], %[stack], :lo12:3b\n"                                                \
	"	str %[stack], [%[area], #8]\n"                                                     \
	"1:\n"

#define COOPER_RSEQ_FIND                                                                           \
	"	ldrsw %[stack], [%[area], #4]\n"                                                   \
	"	lsl %[stack], %[stack], #7\n"

/*
 * The word is read with acquire: another CPU may just have opened the part, and its slots and room,
 * and the items' memory, must be seen as they were before that.
 */
#define COOPER_RSEQ_LOAD(at)                                                                       \
	"	add %[stack], %[stack], %[parts]\n"                                                \
	"	add %[stack], %[stack], #" at "\n"                                                 \
	"	ldar %[word], [%[stack]]\n"

#define COOPER_RSEQ_STORE(at, n) /* there is no addition to memory */
#define COOPER_RSEQ_ADD(at, n)

#define COOPER_RSEQ_POP(at, commit)                                                                \
	COOPER_RSEQ_LOAD(at)                                                                       \
	"	sxth %w[index], %w[word]\n"                                                        \
	"	subs %w[index], %w[index], #1\n"                                                   \
	"	b.mi %l[leave]\n"                                                                  \
	"	ldr %[item], [%[stack], #8]\n"                                                     \
	"	ldr %[item], [%[item], %[index], lsl #3]\n"                                        \
	"	add %[word], %[word], #0xf, lsl #12\n" /* + 0xffff */                              \
	"	add %[word], %[word], #0xfff\n"                                                    \
	"	str %[word], [%[stack]]\n"                                                         \
	"2:\n"

#define COOPER_RSEQ_PUSH(at, commit)                                                               \
	COOPER_RSEQ_LOAD(at)                                                                       \
	"	and %[index], %[word], #0xffff\n"                                                  \
	"	ldr %w[slots], [%[stack], #16]\n"                                                  \
	"	cmp %w[index], %w[slots]\n"                                                        \
	"	b.hs %l[leave]\n"                                                                  \
	"	ldr %[slots], [%[stack], #8]\n"                                                    \
	"	str %[item], [%[slots], %[index], lsl #3]\n"                                       \
	"	add %[word], %[word], #1\n"                                                        \
	"	str %[word], [%[stack]]\n"                                                         \
	"2:\n"

#define COOPER_RSEQ_AREA(offset) ((ptrdiff_t)(char *)__builtin_thread_pointer() + (offset))

#endif

#ifdef COOPER_RSEQ

/*
 * Where a jump out of an asm goto lands. gcc 12 loses a constant that is to be set on the way there if
 * nothing else is (its PR 113921 and kin): the caller would see the register's old contents.
 */
#define COOPER_RSEQ_LEFT __asm__ volatile("")

/*
 * By `find`, which leaves in %[stack] how far this CPU's part is from CPU 0's; `also`: operands of its own.
 *
 * NAME_pop(parts, area): an item off this CPU's stack; NULL if that is empty or closed.
 * NAME_push(parts, area, item): an item on it; 0 if that is full or closed.
 * CPU 0's stack is `at` bytes, given as text, behind `parts`; `commit` is COOPER_RSEQ_STORE or _ADD.
 */
#define COOPER_RSEQ_DEFINE_BY(find, also, name, at, commit)                                        \
	static inline __attribute__((__always_inline__)) void *name##_pop(                         \
	    void *parts, ptrdiff_t area)                                                           \
	{                                                                                          \
		unsigned long word, index;                                                         \
		void *item, *stack;                                                                \
                                                                                                   \
		__asm__ volatile goto(COOPER_RSEQ_OPEN find COOPER_RSEQ_POP(at, commit)            \
		    : [stack] "=&r"(stack), [word] "=&r"(word), [index] "=&r"(index),              \
		    [item] "=&r"(item)                                                             \
		    : [area] "r"(area), [parts] "r"(parts) also                                    \
		    : "memory", "cc"                                                               \
		    : leave);                                                                      \
		if (item == NULL)                                                                  \
			__builtin_unreachable(); /* callers need not look again */                 \
		return (item);                                                                     \
	leave:                                                                                     \
		COOPER_RSEQ_LEFT;                                                                  \
		return (NULL);                                                                     \
	}                                                                                          \
	static inline __attribute__((__always_inline__)) int name##_push(                          \
	    void *parts, ptrdiff_t area, void *item)                                               \
	{                                                                                          \
		unsigned long word, index;                                                         \
		void *slots, *stack;                                                               \
                                                                                                   \
		__asm__ volatile goto(COOPER_RSEQ_OPEN find COOPER_RSEQ_PUSH(at, commit)           \
		    : [stack] "=&r"(stack), [word] "=&r"(word), [index] "=&r"(index),              \
		    [slots] "=&r"(slots)                                                           \
		    : [area] "r"(area), [parts] "r"(parts), [item] "r"(item) also                  \
		    : "memory", "cc"                                                               \
		    : leave);                                                                      \
		return (1);                                                                        \
	leave:                                                                                     \
		COOPER_RSEQ_LEFT;                                                                  \
		return (0);                                                                        \
	}

#define COOPER_RSEQ_DEFINE(name, at, commit)                                                       \
	COOPER_RSEQ_DEFINE_BY(COOPER_RSEQ_FIND, , name, at, commit)

#endif

/* clang-format on */

#endif

/* Where in a zone its parts begin; their first stacks are closed if the fast path is not for it. */
#define COOPER_ZONE_PARTS 512

/*
 * The library hears, before main(), that sequences will come to it from outside: its zones then have a
 * part for each CPU that there is, also where it does not use them (COOPER_OPTIONS=rseq=0), and it stops
 * with one line if it is of another version.
 */
COOPER_BEGIN_DECLS
void cooper_inline_begin(int zone_parts);
COOPER_END_DECLS

/* ---- a program's own use ---------------------------------------------------------------------------- */
#ifdef COOPER_INLINE

#if defined(COOPER_RSEQ) && defined(__has_include)
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#define COOPER_INLINE_RSEQ 1
#endif
#endif

#ifdef COOPER_INLINE_RSEQ
COOPER_RSEQ_DEFINE(cooper_inline, "512", COOPER_RSEQ_STORE)

static __attribute__((__constructor__, __used__)) void
cooper_inline_constructor(void)
{
	cooper_inline_begin(COOPER_ZONE_PARTS);
}
#endif

/* An item, or NULL: ask uma_zalloc_arg(). */
static inline __attribute__((__always_inline__)) void *
cooper_inline_zalloc(void *zone)
{
#ifdef COOPER_INLINE_RSEQ
	return (cooper_inline_pop(zone, COOPER_RSEQ_AREA(__rseq_offset)));
#else
	(void)zone;
	return (NULL);
#endif
}

/* 1, or 0: the item is still to be freed. */
static inline __attribute__((__always_inline__)) int
cooper_inline_zfree(void *zone, void *item)
{
#ifdef COOPER_INLINE_RSEQ
	return (cooper_inline_push(zone, COOPER_RSEQ_AREA(__rseq_offset), item));
#else
	(void)zone, (void)item;
	return (0);
#endif
}

#endif

#endif
