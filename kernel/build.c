/*
 * The kernel-build trace on bare metal: as many workers as `make -j` would have, on all CPUs, with
 * the page daemon and little memory. What was recorded in a real build is asked of a real kernel's
 * address space; with fault=drain_ignores_reserve this is how PR 248008 came about.
 *
 *	rounds=N    how often the trace is played (1)
 *	jobs=N      how many of its jobs, compilers one after the other (all)
 *	workers=N   threads (twice the CPUs)
 *	tags=N      drivers hold address ranges, as many as leave N tags in their slabs
 *	pageout=N   programs have all other memory, of which a pass of the daemon gets N pages
 */
#include "x86.h"
#include <string.h>
#include "kmem/kmem_int.h"
#include "page/page_int.h"
#include "uma/uma_int.h"
#include "workloads/build.h"
#include "kernel.h"

static uint32_t ended, working; /* workers */

static void
broken(const char *what, const char *object)
{
	core_panic("kernel build: %s: %s", object, what);
}

static void
work(void *arg)
{
	build_worker(arg);
	__atomic_add_fetch(&ended, 1, __ATOMIC_ACQ_REL);
}

/* ---- memory is short --------------------------------------------------------------------------------- */

/*
 * The programs' own memory, which is not in the trace. They have whatever is free, and get it back
 * whenever the page daemon has taken some: so the kernel grows by what a pass brings, and between
 * two passes its zones are never far from where they were. `programs_lock` guards the list, whose
 * links are the pages' owner words.
 */
static struct machine_lock programs_lock;
static struct vm_page *resident;
static unsigned pageout_pages;

static void
programs(void *arg)
{
	struct vm_page *m;

	(void)arg;
	while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) < working) {
		machine_lock(&programs_lock);
		while ((m = vm_page_alloc_class(0, PAGE_NORMAL, M_NOWAIT)) != NULL) {
			m->owner = (uintptr_t)resident;
			resident = m;
		}
		machine_unlock(&programs_lock);
		x86_sleep(1000);
	}
	__atomic_add_fetch(&ended, 1, __ATOMIC_ACQ_REL);
}

static void
page_out(unsigned n)
{
	struct vm_page *m;

	machine_lock(&programs_lock);
	for (; n > 0 && (m = resident) != NULL; n--) {
		resident = (struct vm_page *)m->owner;
		vm_page_free(m);
	}
	machine_unlock(&programs_lock);
}

static void
low_memory(enum page_pressure level, int domain, void *arg)
{
	(void)domain;
	build_reclaim(arg, level == PRESSURE_SEVERE ? 0 : level == PRESSURE_MIN ? 1 : 2);
	if (page_pressure_of(-1) >= PRESSURE_MIN)
		page_out(pageout_pages);
}

/* What a machine holds for good, as far as the build is concerned: ranges of a page, and their tags. */
static void
drivers(void)
{
	uint64_t left = x86_option_size("tags", UINT64_MAX);

	while (tag_zone->keg->domain[0].free_items > left)
		MUST(kva_alloc(PAGE_SIZE) != 0, "no address space for drivers");
}

/* ---- the build --------------------------------------------------------------------------------------- */

/* Events are progress; the counts are read without a lock. */
static void
wait_for(struct build *b, unsigned threads)
{
	struct build_counts c;
	uint32_t events = 0;

	while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) < threads) {
		build_counts(b, &c);
		if (c.events != events)
			watchdog_advance();
		events = c.events;
		x86_sleep(10000);
	}
}

static struct build *
new_build(void)
{
	struct build_config config = build_config_default;
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
	config.jobs = (uint32_t)x86_option_size("jobs", 0);
	b = build_create(&build_trace, &config, &why);
	MUST(b != NULL, "kernel build: %s", why);
	return (b);
}

static unsigned
play(void)
{
	struct lowmem_handler handler = { .fn = low_memory };
	struct build_counts c;
	struct build *b;
	unsigned threads;

	drivers();
	b = new_build();

	working = (uint32_t)x86_option_size("workers", 2 * cooper_shape()->ncpus);
	pageout_pages = (unsigned)x86_option_size("pageout", 0);
	threads = working + (pageout_pages > 0);
	handler.arg = b;
	lowmem_register(&handler);
	if (pageout_pages > 0)
		MUST(x86_thread_start("programs", -1, programs, NULL) != NULL, "no thread");
	for (unsigned i = 0; i < working; i++)
		MUST(x86_thread_start("make", -1, work, b) != NULL, "no thread");
	wait_for(b, threads);
	lowmem_unregister(&handler);
	page_out((unsigned)-1);
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
