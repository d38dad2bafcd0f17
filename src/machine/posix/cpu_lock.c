/*
 * A CPU's lock in fast mode. Two sorts of threads want it:
 *
 *	near   on that CPU: one restartable sequence makes `held` 1 if it and `gate` are 0, and a plain store
 *	       leaves it. What is restartable is alone on its CPU, so two of them never both find 0.
 *	far    from elsewhere, or when it is not free: takes `far`, shuts `gate`, and waits until
 *	       nobody near has it.
 *
 * What stays true: at most one thread owns a CPU, which is, who has `held`, or who has `far` with the gate
 * shut and has seen `held` 0 after the barrier below.
 *
 * There are two races, and a barrier for each, on the side that can afford it:
 *
 *  - A sequence has read the gate open and not yet stored. After the gate is shut membarrier(2) makes each
 *    sequence on that CPU commit, and then we see `held`, or start again, and then it sees the gate.
 *  - Who leaves stores `held` and then looks at the gate, with no fence between them: the look could be
 *    first. Before who waits sleeps on `held`, membarrier makes each thread of the process pass a fence:
 *    either that store was before it, and is seen here, or the look is after it, and sees the gate shut.
 *
 * lab/models/cpu_lock.pml is this file for Spin; it finds what goes wrong without either.
 *
 * A program may have forbidden itself membarrier since the start. Then we go to that CPU, which does to its
 * sequences what the barrier does, and look at `held` again every millisecond.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpu_lock.h"

#define LOOK_AGAIN 1000000 /* ns */

POSIX_HIDDEN struct cpu_lock posix_cpu_lock[COOPER_MAXCPU];

/* ---- barriers ------------------------------------------------------------------------------------------- */

/* A forked child may have to register anew. */
static bool
barrier(int command, int flags, unsigned cpu, int registration)
{
	for (unsigned tries = 0; tries < 2; tries++) {
		if (syscall(SYS_membarrier, command, flags, cpu) == 0)
			return (true);
		if (errno != EPERM || syscall(SYS_membarrier, registration, 0, 0) != 0)
			return (false);
	}
	return (false);
}

bool
posix_barrier_register(void)
{
	return (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0);
}

/* Each thread of the process passes a fence. */
static bool
barrier_on_all(void)
{
	return (barrier(
	    MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
}

/* Whoever was in a sequence there is in none now: we were where he was. */
static void
visit(unsigned cpu)
{
	cpu_set_t home, there;
	bool been;

	CPU_ZERO(&there);
	CPU_SET(cpu, &there);
	been = sched_getaffinity(0, sizeof(home), &home) == 0 &&
	       sched_setaffinity(0, sizeof(there), &there) == 0;
	MUST(been,
	    "percpu: no way to reach the caches of CPU %u: membarrier and sched_setaffinity are "
	    "refused",
	    cpu);
	sched_setaffinity(0, sizeof(home), &home);
}

void
posix_barrier_on(unsigned cpu)
{
	if (unlikely(!barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, cpu,
		MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ)))
		visit(cpu);
}

/* ---- from elsewhere -------------------------------------------------------------------------------------- */

static NOINLINE void
wait_for_near(struct cpu_lock *l)
{
	uint64_t again = barrier_on_all() ? 0 : LOOK_AGAIN;

	while (atomic_load_acquire(&l->held) != 0)
		posix_futex_wait(&l->held, 1, again == 0 ? FUTEX_FOREVER : machine_now() + again);
}

void
posix_cpu_lock_far(struct cpu_lock *l, unsigned cpu)
{
	int saved = errno;

	machine_lock(&l->far);
	atomic_store_seq(&l->gate, 1u);
	posix_barrier_on(cpu);
	if (atomic_load_acquire(&l->held) != 0)
		wait_for_near(l);
	l->by_far = true;
	errno = saved;
}

void
posix_cpu_unlock_far(struct cpu_lock *l)
{
	l->by_far = false;
	atomic_store_release(&l->gate, 0u);
	machine_unlock(&l->far);
}

void
posix_cpu_lock_wake(struct cpu_lock *l)
{
	posix_futex_wake(&l->held, 1);
}
