/*
 * Locks and parking on futexes, by direct system call: nothing here may call into libc's own locks,
 * which may allocate.
 *
 * A lock's word is 0 free, 1 held, 2 held and somebody may be asleep. Whoever takes it after having
 * slept leaves a 2, since it cannot know whether it was the only one; so an unlock that finds a 2
 * wakes one sleeper, and no sleeper is forgotten.
 *
 * A thread's park word is 0 nothing, 1 a permit, 2 asleep. Only the thread itself moves it from 2 to
 * 0; others only ever store 1.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "posix.h"

#define SPINS 100 /* looks at a held lock before sleeping: about as long as a system call */

/* What SYS_futex takes: the kernel's long, whatever libc's time_t is. */
struct futex_time {
	long sec, nsec;
};

static inline void
spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

void
posix_futex_wait(uint32_t *word, uint32_t value, uint64_t deadline)
{
	struct futex_time at = { (long)(deadline / 1000000000), (long)(deadline % 1000000000) };
	int saved = errno;

	/* WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, as machine_now() is. */
	syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value,
	    deadline == FUTEX_FOREVER ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
	errno = saved;
}

void
posix_futex_wake(uint32_t *word, unsigned n)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, n, NULL, NULL, 0);
	errno = saved;
}

NOINLINE void
posix_lock_slow(struct machine_lock *l)
{
	for (unsigned i = 0; i < SPINS; i++) {
		if (atomic_load_relaxed(&l->word) == 0 && machine_trylock(l))
			return;
		spin_pause();
	}
	while (atomic_exchange(&l->word, 2) != 0)
		posix_futex_wait(&l->word, 2, FUTEX_FOREVER);
}

NOINLINE void
posix_unlock_slow(struct machine_lock *l)
{
	posix_futex_wake(&l->word, 1);
}

void
machine_park(uint64_t deadline)
{
	uint32_t *word = &machine_thread_state()->park_word;
	uint32_t expected = 0;

	if (atomic_cas(word, &expected, 2))
		posix_futex_wait(word, 2, deadline);
	atomic_exchange(word, 0);
}

void
machine_unpark(struct thread_state *ts)
{
	if (atomic_exchange(&ts->park_word, 1) == 2)
		posix_futex_wake(&ts->park_word, 1);
}
