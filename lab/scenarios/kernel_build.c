/*
 * The kernel build: a recorded parallel build, played by several workers at once (make -jN) in a
 * machine that is too small for its caches, while a page daemon takes from vnodes, buffers and zones.
 *
 * What one job (a compiler driver, its compiler, its assembler) holds at a time is about 130 KiB; the
 * machine has room for each worker's, and little more: so that passes go on all the time, and each
 * worker can always go on once the caches have given way.
 */
#include "lab/lab.h"
#include "workloads/build.h"

#define WORKERS 3
#define EVENTS  60 /* of a job: its exec, its libraries, its first files */

LAB_STATE static struct build *build;
LAB_STATE static unsigned working;

static void
broken(const char *what, const char *object)
{
	lab_must(false, "%s: %s", object, what);
}

static void
worker(void *arg)
{
	(void)arg;
	build_worker(build);
	working--;
}

/* What a kernel's page daemon does each time that it is woken. */
static void
page_daemon(void *arg)
{
	(void)arg;
	while (working > 0) {
		build_reclaim(build, lab_random(2));
		lab_reclaim();
		lab_sleep(1000 * (1 + lab_random(100)));
	}
}

static void
setup(void)
{
	struct build_config config = build_config_default;
	const char *why;

	config.first = 1 + lab_random(8);
	config.jobs = lab_scale(WORKERS, 2 * WORKERS);
	config.events = lab_scale(10, EVENTS);
	config.vnodes = 40;
	config.buffers = 16;
	config.execs = WORKERS;
	config.pipes = 4 * WORKERS;
	config.exec_bytes = 16 << 10;
	config.buffer_bytes = 24 * (16 << 10);
	config.fail = broken;
	build = build_create(&build_trace, &config, &why);
	lab_must(build != NULL, "build_create: %s", build == NULL ? why : "");
	working = WORKERS;
	for (unsigned i = 0; i < WORKERS; i++)
		lab_thread("worker", -1, worker, NULL);
	lab_thread("pagedaemon", -1, page_daemon, NULL);
}

static void
finish(void)
{
	build_destroy(build);
}

LAB_SCENARIO(kernel_build, .name = "kernel-build",
    .about = "a recorded parallel build, replayed as a kernel's allocations in little memory",
    .shape = { .physmem = 1536 << 10, .kva_size = 6 << 20 }, .direct_map_too = true,
    .max_steps = 2000000, .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "drain_ignores_reserve", NULL });
