/*
 * Pressure as a kernel tells it: this process is in a cgroup v2 of its own (tests/guest/amd64), whose files it
 * writes, and a neighbour in the group takes memory. What test_pressure.c does with files of its own.
 *
 * Every case is a child's: where the files are is looked up once, and what happened before the first look
 * is past.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cooper/uma.h>
#include "group.h"
#include "harness.h"
#include "page/page.h"
#include "posix.h"

#define MIB (UINT64_C(1) << 20)

static struct machine_pressure
look(void)
{
	struct machine_pressure p;

	TEST_MUST(machine_pressure_read(&p));
	return (p);
}

static void
no_limits(void)
{
	group_write("memory.high", UINT64_MAX);
	group_write("memory.max", UINT64_MAX);
}

/*
 * A process in the group that writes so many bytes, is the first to be killed, and stays until it is. It begins when it
 * can read a byte from `told`, at once if that is -1. What we had when it began is its, too: giving that back
 * helps nobody.
 */
static pid_t
neighbour(uint64_t bytes, int told)
{
	pid_t pid = fork();
	char word;
	int file;

	TEST_MUST(pid >= 0);
	if (pid != 0)
		return (pid);
	if (told >= 0 && read(told, &word, 1) != 1)
		_exit(1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	file = open("/proc/self/oom_score_adj", O_WRONLY);
	if (file < 0 || write(file, "1000", 4) != 4)
		_exit(1);
	(void)group_grow(bytes);
	for (;;)
		pause();
}

static void
send_home(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	TEST_MUST(waitpid(pid, &status, 0) == pid);
}

/* ---- files ------------------------------------------------------------------------------------------- */

static void
levels(void *arg)
{
	struct machine_pressure p;
	uint64_t use, high;

	(void)arg;
	no_limits();
	TEST_MUST(look().level == 0);
	use = group_use();
	group_write("memory.high", use * 2);
	TEST_MUST(look().level == 0);
	high = use / 97 * 100;
	group_write("memory.high", high);
	p = look();
	TEST_MUST(p.level == 1 && !p.event);
	/* down to 7/8 of it; the group's use moves a little, and its limit has whole pages */
	TEST_MUST(p.wanted > use - high / 8 * 7 - MIB && p.wanted < use - high / 8 * 7 + MIB);
	group_write("memory.high", UINT64_MAX);
	group_write("memory.max", high);
	TEST_MUST(look().level == 1);
	no_limits();
	TEST_MUST(look().level == 0);
}

static void
files_become_levels(void **state)
{
	void *room;

	(void)state;
	room = group_grow(32 * MIB); /* so that a percent of it is more than a few pages */
	in_child(levels, NULL);
	munmap(room, 32 * MIB);
}

/* ---- memory.high --------------------------------------------------------------------------------------- */

static void
until_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	TEST_MUST(poll(&p, 1, -1) == 1 && (p.revents & POLLIN) != 0);
}

static bool
readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return (poll(&p, 1, 0) == 1);
}

static void
high(void *arg)
{
	struct machine_pressure p;
	int fd = cooper_pressure_fd();
	pid_t pid;

	(void)arg;
	no_limits();
	TEST_MUST(fd >= 0);
	TEST_MUST(!readable(fd)); /* nothing has happened yet */
	TEST_MUST(look().level == 0);
	group_write("memory.high", group_use() + 4 * MIB);
	pid = neighbour(6 * MIB, -1);
	until_readable(fd);
	p = look();
	TEST_MUST(p.level == 2 && p.event && p.wanted > 0);
	send_home(pid);
	no_limits();
	while (readable(fd)) /* what is still to be told is told once */
		(void)look();
	while (look().level !=
	       0) /* stalls are an average of ten seconds; the child's alarm ends this */
		usleep(100000);
}

static void
high_is_told(void **state)
{
	(void)state;
	in_child(high, NULL);
}

/* ---- memory.max ----------------------------------------------------------------------------------------- */

static void
max(void *arg)
{
	struct machine_pressure p;
	int fd = cooper_pressure_fd(), status;
	uint64_t kills = group_event("\noom_kill ");
	pid_t pid;

	(void)arg;
	no_limits();
	(void)look();
	group_write("memory.max", group_use() + 4 * MIB);
	pid = neighbour(16 * MIB, -1);
	until_readable(fd);
	TEST_MUST(waitpid(pid, &status, 0) == pid);
	TEST_MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	TEST_MUST(group_event("\noom_kill ") == kills + 1);
	p = look();
	TEST_MUST(p.level == 3 && p.event);
	no_limits();
	while (readable(fd))
		(void)look();
}

static void
max_is_told(void **state)
{
	(void)state;
	in_child(max, NULL);
}

/* ---- PSI -------------------------------------------------------------------------------------------------- */

/* A folder in which only the stalls are the group's. */
static void
only_stalls(void)
{
	static char folder[] = "/tmp/stalls.XXXXXX";
	char path[64];

	TEST_MUST(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/memory.pressure", folder);
	TEST_MUST(symlink(group_path("memory.pressure"), path) == 0);
	posix_options.given |= OPTION_PRESSURE;
	core_snprintf(posix_options.pressure, sizeof(posix_options.pressure), "%s", folder);
}

/* The kernel makes those wait that take memory above memory.high: that is a stall. */
static void
stalls(void *arg)
{
	struct machine_pressure p;
	uint64_t stalled = group_read("memory.pressure", "total=");
	pid_t pid;
	int fd;

	(void)arg;
	no_limits();
	only_stalls();
	fd = cooper_pressure_fd();
	TEST_MUST(fd >= 0 && !readable(fd));
	TEST_MUST(!look().event);
	group_write("memory.high", group_use() + 4 * MIB);
	pid = neighbour(64 * MIB, -1);
	until_readable(fd);
	TEST_MUST(group_read("memory.pressure", "total=") > stalled);
	p = look();
	TEST_MUST(p.level >= 2 && p.event);
	send_home(pid);
	no_limits();
}

static void
stalls_are_told(void **state)
{
	(void)state;
	in_child(stalls, NULL);
}

/* ---- what it is for ------------------------------------------------------------------------------------------ */

#define OBJECTS 24000 /* of 2 KiB; 70 % of them are in caches */

static uma_zone_t zone;
static volatile unsigned passes; /* the daemon may make them */
static uint64_t size_then;

static void
on_pressure(const struct cooper_pressure *p, void *arg)
{
	(void)arg;
	if (p->level >= COOPER_PRESSURE_MEDIUM)
		passes++;
}

static void
fill(void)
{
	static void *item[OBJECTS];

	for (unsigned i = 0; i < OBJECTS; i++)
		memset(item[i] = uma_zalloc(zone, M_WAITOK), 1, 2048);
	for (unsigned i = OBJECTS * 3 / 10; i < OBJECTS; i++)
		uma_zfree(zone, item[i]);
	size_then = uma_size();
}

/* Until there has been a pass: the group's events go on until the neighbour has all, and would make another. */
static void
work(void)
{
	static void *item[1000]; /* more than CPUs' caches have: some requests are slow, and look */
	unsigned n = 0;

	while (n < nitems(item) && passes == 0)
		item[n++] = uma_zalloc(zone, M_WAITOK);
	while (n > 0)
		uma_zfree(zone, item[--n]);
}

/* memory.high is met by what a neighbour takes; the caches go, and there is room for all of it. */
static void
under(void *arg)
{
	struct cooper_lowmem_handler handler = { .fn = on_pressure };
	uint64_t events = group_event("\nhigh "), max_events = group_event("\nmax "),
		 kills = group_event("\noom_kill "), limit;
	int tell[2];
	pid_t pid;

	(void)arg;
	no_limits();
	TEST_MUST(pipe(tell) == 0);
	pid = neighbour(24 * MIB, tell[0]);
	page_pressure_on = true;    /* as programs have it; the harness turns it off */
	(void)cooper_set_decay(-1); /* what is free stays until somebody asks for it */
	zone = uma_zcreate("cached", 2048, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	fill();
	cooper_lowmem_register(&handler);
	(void)cooper_pressure_poll();
	limit = group_use() + 2 * MIB;
	group_write("memory.high", limit);
	group_write("memory.max", limit + 48 * MIB);
	TEST_MUST(write(tell[1], "", 1) == 1);
	while (group_event("\nhigh ") == events)
		sched_yield(); /* our caches are all that there is to give, and nobody else's turn is it */
	while (passes == 0)
		work();
	TEST_MUST(passes == 1 || cooper_shape()->daemon);
	/* The daemon's pass may not be at its end yet. */
	for (unsigned ms = 0; ms < 10000 && (group_use() >= limit || uma_size() >= size_then / 2);
	     ms++)
		usleep(1000);
	TEST_MUST(uma_size() < size_then / 2);
	TEST_MUST(group_use() < limit);
	send_home(pid);
	TEST_MUST(group_event("\nmax ") == max_events && group_event("\noom_kill ") == kills);
	cooper_lowmem_unregister(&handler);
	no_limits();
}

static void
one_event_brings_it_under(void **state)
{
	(void)state;
	in_child(under, NULL);
}

TEST_MAIN(cmocka_unit_test(files_become_levels), cmocka_unit_test(high_is_told),
    cmocka_unit_test(stalls_are_told), cmocka_unit_test(one_event_brings_it_under),
    cmocka_unit_test(max_is_told))
