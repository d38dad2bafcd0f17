/*
 * A cgroup's memory.high is met while most of the group's memory lies in caches: a program fills a zone and
 * frees 70 % of it, a limit a fiftieth above what the group uses is set, with memory.max another half above
 * that, and while the program works on, a neighbour in the group takes so much that the limit would be
 * passed by a fifth. The kernel makes whoever takes more than memory.high wait; when the caches are given back
 * there is room for everybody.
 *
 * Runs in a cgroup v2 of its own, as root: in the guest (scripts/guest.sh). Compiled once more with
 * -DCGROUP_MALLOC, the same with malloc and free.
 *
 * usage: driver_cgroup [MIB]      prints "NAME VALUE UNIT" a line
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#ifdef CGROUP_MALLOC
#include <stddef.h>
#else
#include <cooper/cooper.h>
#include <cooper/uma.h>
#endif

#include "clock.h"
#include "group.h"

#define ITEM     256
#define AFTER_NS 200000000.0   /* from the first event to the look at what is resident */
#define MOST_NS  10000000000.0 /* for the neighbour */

#ifdef CGROUP_MALLOC

static void *
take_filled(void)
{
	void *p = malloc(ITEM);

	if (p == NULL)
		abort();
	return (p);
}

#define give_filled free
#define take_worked take_filled
#define give_worked free

#else

static uma_zone_t filled, worked;
static unsigned passes;

#define take_filled()  uma_zalloc(filled, M_WAITOK)
#define give_filled(p) uma_zfree(filled, p)
#define take_worked()  uma_zalloc(worked, M_WAITOK)
#define give_worked(p) uma_zfree(worked, p)

static void
on_pressure(const struct cooper_pressure *p, void *arg)
{
	(void)arg;
	passes += p->level > COOPER_PRESSURE_NONE;
}

static void
start(void)
{
	static struct cooper_lowmem_handler handler = { .fn = on_pressure };

	if (cooper_start(NULL) != 0) {
		fprintf(stderr, "driver_cgroup: %s\n", cooper_start_error());
		exit(1);
	}
	(void)cooper_set_decay(-1); /* what is free stays until it is asked for */
	cooper_lowmem_register(&handler);
	filled = uma_zcreate("filled", ITEM, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	worked = uma_zcreate("worked", ITEM, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
}

#endif

#include "pieces.h"

/* ---- the neighbour ------------------------------------------------------------------------------------- */

/* A process that was there before: nothing of ours is its, too. Told how many bytes, it takes them, and says so. */
static pid_t
neighbour(int to[2], int from[2])
{
	uint64_t bytes;
	pid_t pid = -1;

	if (pipe(to) != 0 || pipe(from) != 0 || (pid = fork()) < 0)
		group_fail("neighbour");
	if (pid != 0)
		return (pid);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(to[0], &bytes, sizeof(bytes)) != sizeof(bytes))
		_exit(1);
	(void)group_grow(bytes);
	if (write(from[1], "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* ---- the measurement ------------------------------------------------------------------------------------- */

struct seen {
	double first, back, had, longest, lowest; /* ns since the neighbour was told; rate */
	uint64_t later, most; /* bytes in use: AFTER_NS behind the first event, at most */
};

static void
look(struct seen *s, double now, uint64_t events, uint64_t limit)
{
	uint64_t use = group_use();

	s->most = use > s->most ? use : s->most;
	if (s->first < 0) {
		if (group_event("\nhigh ") == events)
			return;
		s->first = now;
	}
	if (s->back < 0 && use < limit)
		s->back = now;
	if (s->later == 0 && now - s->first >= AFTER_NS)
		s->later = use;
}

/* Until the neighbour has what it wants and a while longer, or has waited too long. */
static struct seen
watch(int from, uint64_t events, uint64_t limit)
{
	struct seen s = { .first = -1, .back = -1, .had = -1, .lowest = 1e9 };
	struct pollfd fd = { .fd = from, .events = POLLIN };
	double begin = now_ns(), now = 0, rate;

	for (unsigned more = SLICES; more > 0 && now < MOST_NS;) {
		rate = slice(&s.longest);
		s.lowest = rate < s.lowest ? rate : s.lowest;
		now = now_ns() - begin;
		look(&s, now, events, limit);
		if (s.had < 0 && poll(&fd, 1, 0) == 1)
			s.had = now;
		more -= s.had >= 0 && (s.first < 0 || s.later != 0);
	}
	return (s);
}

static int
run(size_t mib)
{
	uint64_t use, limit, events, bad;
	double before;
	int to[2], from[2];
	pid_t pid = neighbour(to, from);
	struct seen s;

#ifndef CGROUP_MALLOC
	start();
#endif
	fill(mib);
	before = usual();
	use = group_use();
	if (use < (uint64_t)mib << 20) {
		fprintf(stderr, "driver_cgroup: the caches are not there\n");
		return (1);
	}
	limit = use / 50 * 51;
	group_write("memory.max", limit / 2 * 3);
	group_write("memory.high", limit);
	events = group_event("\nhigh ");
	bad = group_event("\nmax ") + group_event("\noom ") + group_event("\noom_kill ");
	use = limit / 10 * 12 - use;
	if (write(to[1], &use, sizeof(use)) != sizeof(use))
		group_fail("neighbour");
	s = watch(from[0], events, limit);
	printf("cgroup_resident %.1f %%\n",
	    100.0 * (double)(s.later != 0 ? s.later : group_use()) / (double)limit);
	printf("cgroup_most %.1f %%\n", 100.0 * (double)s.most / (double)limit);
	printf("cgroup_back %.1f ms\n", (s.back < 0 ? MOST_NS : s.back) / 1e6);
	printf("cgroup_neighbour %.1f ms\n", (s.had < 0 ? MOST_NS : s.had) / 1e6);
	printf("cgroup_stall %.2f ms\ncgroup_dip %.1f %%\n", s.longest / 1e6,
	    100 * (1 - s.lowest / before));
	printf(
	    "cgroup_events %llu events\n", (unsigned long long)(group_event("\nhigh ") - events));
	printf("cgroup_kills %llu events\n",
	    (unsigned long long)(group_event("\nmax ") + group_event("\noom ") +
				 group_event("\noom_kill ") - bad));
#ifndef CGROUP_MALLOC
	printf("cgroup_passes %u passes\n", passes);
#endif
	kill(pid, SIGKILL);
	return (0);
}

int
main(int argc, char **argv)
{
	size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 128;

	if (argc > 2 || mib == 0 || mib > 256) {
		fprintf(stderr, "usage: driver_cgroup [MIB], at most 256\n");
		return (2);
	}
	return (run(mib));
}
