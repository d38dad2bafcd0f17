/*
 * What every room may use and what has no state: attributes, arithmetic on powers of two, checks.
 * Freestanding; the only functions it calls are core_panic() and the compiler's own.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdarg.h>
#include <cooper/types.h>
#include "base/fault.h"

#define likely(x)        __builtin_expect(!!(x), 1)
#define unlikely(x)      __builtin_expect(!!(x), 0)
#define NOINLINE         __attribute__((noinline))
#define ALWAYS_INLINE    inline __attribute__((always_inline))
#define ALIGNED(n)       __attribute__((aligned(n)))
#define PRINTFLIKE(f, a) __attribute__((format(printf, f, a)))
#define NORETURN         __attribute__((noreturn))

/*
 * Every mutable global of the core carries this mark. The laboratory saves and restores the whole
 * section to start a run afresh; a machine may place it where it likes. None is initialised with an
 * address, at start instead: each process that loads the library would relocate it, used or not.
 */
#define CORE_STATE __attribute__((section("cooper_state")))

#define nitems(a)                    (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                    ((a) < (b) ? (a) : (b))
#define MAX(a, b)                    ((a) > (b) ? (a) : (b))
#define howmany(n, d)                (((n) + (d)-1) / (d))
#define is_pow2(n)                   ((n) != 0 && ((n) & ((n)-1)) == 0)
#define round_up(n, p2)              (((n) + ((p2)-1)) & ~(__typeof__(n))((p2)-1))
#define round_down(n, p2)            ((n) & ~(__typeof__(n))((p2)-1))
#define container_of(p, type, field) ((type *)((char *)(p)-offsetof(type, field)))

/* Index of the highest set bit plus one; 0 for 0: fls(9). */
static inline unsigned
fls_size(size_t v)
{
	unsigned bits = 8 * sizeof(unsigned long);

	/* An exclusive or, not a difference: compilers see the one instruction in it. */
	return (v == 0 ? 0 : ((unsigned)__builtin_clzl((unsigned long)v) ^ (bits - 1)) + 1);
}

/* Index of the lowest set bit plus one; 0 for 0: ffs(9). */
static inline unsigned
ffs_size(size_t v)
{
	return ((unsigned)__builtin_ffsl((long)v));
}

/* What a freestanding compiler may call by itself, and so may we; every machine has them. */
void *memcpy(void *__restrict to, const void *__restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* ---- checks -----------------------------------------------------------------------------------
 * MUST: an invariant whose check is free or whose breach would corrupt; in every shape.
 * CHECK: what the facts call an assertion; in the debug shape. The message names the object and
 * the value: one line, no trailing newline.
 */
struct machine_shape;
extern struct machine_shape core_shape; /* read it by cooper_shape(); here for statistics' root */
void core_set_shape(const struct machine_shape *shape); /* machine_start()'s: see cooper_shape() */
extern bool core_debug; /* the shape's debug, copied; never changes after start */

NORETURN void core_panic(const char *fmt, ...) PRINTFLIKE(1, 2);

#define MUST(cond, ...)                          \
	do {                                     \
		if (unlikely(!(cond)))           \
			core_panic(__VA_ARGS__); \
	} while (0)
#define CHECK(cond, ...)                                       \
	do {                                                   \
		if (unlikely(core_debug) && unlikely(!(cond))) \
			core_panic(__VA_ARGS__);               \
	} while (0)

/*
 * Misuse that the release shape survives: the debug shape stops, the release shape warns with the same
 * line and goes on. True if there was any: the caller then refuses.
 */
#define MISUSE(cond, ...) (unlikely(cond) && core_misuse(__VA_ARGS__))
bool core_misuse(const char *fmt, ...) PRINTFLIKE(1, 2);

/* ---- text without libc -------------------------------------------------------------------------
 * core_vsnprintf knows %d %u %x %p %s %c %%, the lengths l, ll and z, the flags '-' and '0', a width
 * and a precision for %s (each may be '*'); panics, warnings and tables are written with it.
 * Returns the length that the whole text has; at most size - 1 of it and a NUL are stored.
 */
int core_snprintf(char *buf, size_t size, const char *fmt, ...) PRINTFLIKE(3, 4);
int core_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap) PRINTFLIKE(3, 0);

/* Where both end: the machine's, see machine.h. */
void machine_print(const char *text, size_t len);
NORETURN void machine_panic(const char *line);

/* A warning: one line to the machine's console; never stops. */
void core_warn(const char *fmt, ...) PRINTFLIKE(1, 2);

/* ---- injected failures ---------------------------------------------------------------------------
 * inject_failure(): to be asked on every internal NOWAIT request that can fail (a page, a tag, a
 * bucket, a slab, a header, address space). True: behave as if it had failed.
 */
extern uint64_t core_inject_at, core_inject_seen; /* cooper_inject_failure() */
bool core_inject_hit(void);
static inline bool
inject_failure(void)
{
	return (
	    unlikely(__atomic_load_n(&core_inject_at, __ATOMIC_RELAXED) != 0) && core_inject_hit());
}

#endif
