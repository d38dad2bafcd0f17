/*
 * CPUs: which one a thread is on, which domain it belongs to, staying on one.
 *
 * Where per-CPU caches are real (rseq), a CPU is the kernel's CPU number. Everywhere else CPUs are
 * virtual: a thread is given one when it first asks, in turn, and keeps it unless it binds itself.
 */
#include "posix.h"
#include "base/atomic.h"

static unsigned ncpus, ndomains;
static uint32_t next_cpu; /* whose turn it is */

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

unsigned
machine_cpu(void)
{
	return (posix_virtual_cpu());
}

/* Domains are runs of neighbouring CPUs: with 8 CPUs and 2 domains, 0-3 and 4-7. */
unsigned
machine_cpu_domain(unsigned cpu)
{
	return (cpu % ncpus * ndomains / ncpus);
}

void
machine_bind(int cpu)
{
	struct thread_state *ts = machine_thread_state();

	MUST(cpu >= -1 && cpu < (int)ncpus, "machine_bind: CPU %d of %u", cpu, ncpus);
	ts->bound_cpu = cpu + 1;
	if (cpu >= 0)
		ts->machine[POSIX_CPU] = (unsigned)cpu + 1;
}
