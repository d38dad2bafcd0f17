/*
 * The kernel-build trace on bare metal: as many workers as `make -j` would have, on all CPUs, at full speed, with
 * the page daemon and little memory. What was recorded in a real build is asked of a real kernel's
 * address space; with fault=drain_ignores_reserve this is how PR 248008 came about.
 *
 *	rounds=N   how often the trace is played (1)
 *	workers=N  threads (twice the CPUs)
 */
#include "x86.h"
#include <string.h>
#include "page/page_int.h"
#include "workloads/build.h"
#include "kernel.h"

static uint32_t ended;

static void
broken(const char *what, const char *object)
{
	core_panic("kernel build: %s: %s", object, what);
}

static void
low_memory(enum page_pressure level, int domain, void *arg)
{
	(void)domain;
	build_reclaim(arg, level == PRESSURE_SEVERE ? 0 : level == PRESSURE_MIN ? 1 : 2);
}

static void
work(void *arg)
{
	build_worker(arg);
	__atomic_add_fetch(&ended, 1, __ATOMIC_ACQ_REL);
}

/* Events are progress; the counts are read without a lock. */
static void
wait_for(struct build *b, unsigned workers)
{
	struct build_counts c;
	uint32_t events = 0;

	while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) < workers) {
		build_counts(b, &c);
		if (c.events != events)
			watchdog_advance();
		events = c.events;
		x86_sleep(10000);
	}
}

static unsigned
play(void)
{
	unsigned workers = (unsigned)x86_option_size("workers", 2 * cooper_shape()->ncpus);
	struct build_config config = build_config_default;
	struct lowmem_handler handler = { .fn = low_memory };
	struct build_counts c;
	struct build *b;
	const char *why;

	config.fail = broken;
	config.pause = x86_yield;
	config.exec_bytes = 64 << 10;
	config.execs = 8;
	config.pipes = 32;
	config.buffers = 64;
	config.vnodes = 200;
	config.rounds = (uint32_t)x86_option_size("rounds", 1);
	b = build_create(&build_trace, &config, &why);
	MUST(b != NULL, "kernel build: %s", why);
	handler.arg = b;
	lowmem_register(&handler);
	for (unsigned i = 0; i < workers; i++)
		MUST(x86_thread_start("make", -1, work, b) != NULL, "no thread");
	wait_for(b, workers);
	lowmem_unregister(&handler);
	build_counts(b, &c);
	build_destroy(b);
	x86_printf(
	    "build: %u events, %u processes, %u programs, %u maps, %u passes of the daemon\n",
	    c.events, c.processes, c.execs, c.maps, (unsigned)page_daemon_passes());
	return (c.events);
}

int
kernel_build(void)
{
	int error = cooper_start(NULL);

	if (error != 0) {
		x86_printf("kernel: cannot start: %s\n", cooper_start_error());
		return (error);
	}
	x86_printf("%u CPUs, %u KiB of memory, %u KiB of address space\n", cooper_shape()->ncpus,
	    (unsigned)(cooper_shape()->physmem >> 10), (unsigned)(cooper_shape()->kva_size >> 10));
	return (play() > 0 ? 0 : 1);
}
