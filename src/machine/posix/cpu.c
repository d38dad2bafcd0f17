/*
 * CPUs: which one a thread has, which domain that belongs to, staying on one.
 *
 * In fast mode (percpu.c) a CPU is the kernel's CPU number and binding is the kernel's affinity.
 * Everywhere else CPUs are virtual: a thread is given one when it first asks, in turn, and keeps it
 * unless it binds itself to another.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>

#include "base/atomic.h"
#include "posix.h"

static unsigned ncpus, ndomains;
static uint32_t next_cpu;           /* whose turn it is */
static POSIX_TLS cpu_set_t unbound; /* the thread's CPUs before it bound itself */

void
posix_cpu_start(const struct machine_shape *shape)
{
	ncpus = shape->ncpus;
	ndomains = shape->ndomains;
}

unsigned
posix_virtual_cpu(void)
{
	struct thread_state *ts = machine_thread_state();

	if (unlikely(ts->machine[POSIX_CPU] == 0))
		ts->machine[POSIX_CPU] = atomic_fetch_add(&next_cpu, 1) % ncpus + 1;
	return ((unsigned)ts->machine[POSIX_CPU] - 1);
}

/* Domains are runs of neighbouring CPUs: with 8 CPUs and 2 domains, 0-3 and 4-7. */
unsigned
machine_cpu_domain(unsigned cpu)
{
	return (likely(ndomains == 1) ? 0 : cpu % ncpus * ndomains / ncpus);
}

/* Best effort: a CPU that this process may not use leaves the thread where it is. */
static bool
bind_real(struct thread_state *ts, int cpu)
{
	cpu_set_t one;

	if (ts->bound_cpu == 0 && (cpu < 0 || sched_getaffinity(0, sizeof(unbound), &unbound) != 0))
		return (false);
	if (cpu < 0)
		return (sched_setaffinity(0, sizeof(unbound), &unbound) == 0);
	CPU_ZERO(&one);
	CPU_SET((unsigned)cpu, &one);
	return (sched_setaffinity(0, sizeof(one), &one) == 0);
}

void
machine_bind(int cpu)
{
	struct thread_state *ts = machine_thread_state();
	int saved = errno;

	MUST(cpu >= -1 && cpu < (int)ncpus, "machine_bind: CPU %d of %u", cpu, ncpus);
	if (!posix_real_cpus()) {
		ts->bound_cpu = cpu + 1;
		if (cpu >= 0)
			ts->machine[POSIX_CPU] = (unsigned)cpu + 1;
	} else if (bind_real(ts, cpu))
		ts->bound_cpu = cpu + 1;
	errno = saved;
}
