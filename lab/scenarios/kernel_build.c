/*
 * The kernel build: a recorded parallel build, played by several workers at once (make -jN), each of
 * which waits for the disk now and then, while a page daemon takes memory back from all zones. In a
 * real build it is programs' own memory, which is not played here, that makes it do so.
 *
 * Programs start and end: address spaces, libraries, files. So kernel memory grows and shrinks piece
 * by piece, and slabs of boundary tags with it, under passes that follow each other. There is memory
 * enough for all workers; few of them, so that none is left to help when each wants a tag.
 */
#include "lab/lab.h"
#include "workloads/build.h"

#define WORKERS 3
#define EVENTS  300 /* of a job: the driver has started its compiler */
#define PASSES  200 /* the shortage lasts so long at most */
#define DISK_US 100 /* how long the disk takes, at most */

LAB_STATE static struct build *build;
LAB_STATE static unsigned working;

static void
broken(const char *what, const char *object)
{
	lab_must(false, "%s: %s", object, what);
}

static void
disk(void)
{
	lab_sleep(1000 * (1 + lab_random(DISK_US)));
}

static void
worker(void *arg)
{
	(void)arg;
	build_worker(build);
	working--;
}

static void
page_daemon(void *arg)
{
	(void)arg;
	for (unsigned pass = 0; pass < PASSES && working > 0; pass++) {
		lab_sleep(1000);
		lab_reclaim();
	}
}

static void
setup(void)
{
	struct build_config config = build_config_default;
	const char *why = "";

	config.first = 1 + lab_random(8);
	config.jobs = WORKERS;
	config.events = lab_scale(10, EVENTS);
	config.vnodes = 40;
	config.buffers = 16;
	config.execs = WORKERS;
	config.pipes = 4 * WORKERS;
	config.exec_bytes = 16 << 10;
	config.fail = broken;
	config.disk = disk;
	build = build_create(&build_trace, &config, &why);
	lab_must(build != NULL, "build_create: %s", why);
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
    .about = "a recorded parallel build, replayed as a kernel's allocations, under reclaim",
    .shape = { .kva_size = 6 << 20 }, .direct_map_too = true, .max_steps = 2000000, .setup = setup,
    .finish = finish, .sees = (const char *const[]){ "drain_ignores_reserve", NULL });
