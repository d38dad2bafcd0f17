/*
 * The watchdog: a machine on which nothing was finished for so long says who waits for what, and stops.
 *
 * It looks from CPU 0's timer interrupt, where it can be sure to run, whatever threads do. `advanced`
 * counts what was finished; the rest is that interrupt's alone.
 *
 * Threads that wait for memory try again now and then, so the moment at which patience ends may be one at
 * which they are on their way. The table of waits is read when all of them sleep, if such a moment comes
 * within SETTLE; a machine that spins is looked at as it is.
 */
#include "x86.h"
#include "kernel.h"

#define SETTLE X86_HZ /* ticks */

static uint32_t advanced, seen;
static unsigned patience, idle; /* ticks */

static void
look_for_awake(const struct thread *t, void *arg)
{
	if (t->status != THREAD_PARKED)
		*(bool *)arg = true;
}

static bool
anybody_awake(void)
{
	bool awake = false;

	x86_each_thread(look_for_awake, &awake);
	return (awake);
}

static void
look(void)
{
	uint32_t now = __atomic_load_n(&advanced, __ATOMIC_RELAXED);

	idle = now == seen ? idle + 1 : 0;
	seen = now;
	if (idle < patience || (idle < patience + SETTLE && anybody_awake()))
		return;
	x86_watchdog = NULL;
	x86_stop_others();
	x86_printf("watchdog: nothing was finished for %u s\n", patience / X86_HZ);
	chain_print();
	kernel_print_tables();
	x86_printf("kernel: hang\n");
	x86_exit(1);
}

void
watchdog_start(unsigned seconds)
{
	patience = seconds * X86_HZ;
	x86_watchdog = look;
}

void
watchdog_advance(void)
{
	__atomic_fetch_add(&advanced, 1, __ATOMIC_RELAXED);
}
