/*
 * The per-CPU parts' slow side: entering and leaving, each CPU's lock.
 *
 * Without restartable sequences each stack stays closed for ever: every operation enters, under the
 * lock of the thread's CPU, and works on the shadow fields.
 */
#include "posix.h"

/* One a CPU, a line each: while it is held, the holder owns that CPU's part of every cache. */
static struct {
	struct machine_lock lock;
} ALIGNED(CACHE_LINE) cpu_lock[COOPER_MAXCPU];

static unsigned ncpus;

bool
posix_percpu_fast(void)
{
	return (false);
}

void
posix_percpu_start(const struct machine_shape *shape)
{
	ncpus = shape->ncpus;
}

struct percpu *
percpu_enter_cpu(struct percpu *zone_cache, unsigned cpu)
{
	struct thread_state *ts = machine_thread_state();

	MUST(cpu < ncpus, "percpu_enter_cpu: CPU %u of %u", cpu, ncpus);
	CHECK(ts->entered_cpu == 0, "percpu_enter: CPU %u is entered already", ts->entered_cpu - 1);
	machine_lock(&cpu_lock[cpu].lock);
	ts->entered_cpu = cpu + 1;
	return (&zone_cache[cpu]);
}

struct percpu *
percpu_enter(struct percpu *zone_cache, unsigned *cpu)
{
	*cpu = posix_virtual_cpu();
	return (percpu_enter_cpu(zone_cache, *cpu));
}

void
percpu_exit(struct percpu *zone_cache, unsigned cpu)
{
	struct thread_state *ts = machine_thread_state();

	(void)zone_cache;
	CHECK(ts->entered_cpu == cpu + 1, "percpu_exit: CPU %u was not entered", cpu);
	ts->entered_cpu = 0;
	machine_unlock(&cpu_lock[cpu].lock);
}

bool
percpu_entered(void)
{
	return (machine_thread_state()->entered_cpu != 0);
}

void
posix_percpu_fork(enum posix_fork when)
{
	for (unsigned cpu = 0; cpu < ncpus; cpu++) {
		struct machine_lock *lock = &cpu_lock[cpu].lock;

		if (when == FORK_PREPARE)
			machine_lock(lock);
		else if (when == FORK_PARENT)
			machine_unlock(lock);
		else
			*lock = (struct machine_lock){0};
	}
}
