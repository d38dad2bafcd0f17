/*
 * Pressure as Linux tells it: this process's cgroup (v2) and PSI.
 *
 * FOLDER/memory.events, .current, .high, .max and .pressure; FOLDER is the cgroup's, or what the option
 * pressure=FOLDER says: a test's or a supervisor's own files. Without a cgroup that has them, the
 * system's /proc/pressure/memory. Files are opened for each look and closed again: a descriptor that
 * stays would be one that the program does not know of. Only cooper_pressure_fd() keeps some, for
 * who asks for it. A FIFO in memory.pressure's place tells by being written to.
 *
 * What it means:   low        current at 95 % of the nearer of high and max; PSI some avg10 >= 10
 *                  medium     memory.high was met (events: high), or is passed; PSI full avg10 >= 5
 *                  critical   memory.max was met (events: max, oom); PSI full avg10 >= 25
 * and what is wanted is what brings `current` to 7/8 of the nearer one.
 *
 * The caller lets one thread at a time in (page/pressure.c). errno is left as it was.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "posix.h"

#define PATH 512

static char folder[PATH]; /* "": none */
static bool found, any;   /* has been looked for; there is something to read */
static uint64_t met_high, met_max;
static bool met_known;
static int events_fd = -1, psi_fd = -1, poll_fd = -1;
static bool psi_is_fifo, psi_is_trigger;

/* What cooper_pressure_fd() tells of: so many us of stalls within as many. */
#define STALL  200000
#define WINDOW 2000000 /* whole two seconds are what anybody may ask for */

static struct stalls {
	uint64_t when, total; /* ns; us */
} seen[2];                    /* at two earlier looks, a window apart or more */

static bool
read_file(const char *name, char *buf, size_t size)
{
	char path[PATH + 32];

	buf[0] = '\0';
	if (folder[0] == '\0')
		return (false);
	core_snprintf(path, sizeof(path), "%s/%s", folder, name);
	return (posix_read_file(path, buf, size));
}

/* The number after `key` in text; `none` if there is none ("max"). */
static uint64_t
number_after(const char *text, const char *key, uint64_t none)
{
	const char *at = text;

	while (*key != '\0' && (at = strstr(at, key)) != NULL && at != text && at[-1] != '\n' &&
	       at[-1] != ' ')
		at++;
	if (at == NULL)
		return (none);
	at += strlen(key);
	return (*at >= '0' && *at <= '9' ? posix_number_at(at) : none);
}

/* ---- where ------------------------------------------------------------------------------------------ */

static void
find_own_cgroup(void)
{
	char text[2048], probe[64], *rest = text, *controllers, *path;

	(void)posix_read_file("/proc/self/cgroup", text, sizeof(text));
	do
		path = posix_cgroup_next(&rest, &controllers);
	while (path != NULL && *controllers != '\0');
	if (path == NULL)
		return;
	core_snprintf(folder, sizeof(folder), "/sys/fs/cgroup%s", path[1] == '\0' ? "" : path);
	if (!read_file("memory.events", probe, sizeof(probe)))
		folder[0] = '\0';
}

static void
find(void)
{
	const struct machine_options *o = &posix_options;
	char probe[128];

	found = true;
	if ((o->given & OPTION_PRESSURE) && strcmp(o->pressure, "0") == 0)
		return;
	if ((o->given & OPTION_PRESSURE) && strcmp(o->pressure, "auto") != 0)
		core_snprintf(folder, sizeof(folder), "%s", o->pressure);
	else
		find_own_cgroup();
	any = folder[0] != '\0' || posix_read_file("/proc/pressure/memory", probe, sizeof(probe));
}

/* ---- what is told ------------------------------------------------------------------------------------- */

static void
rise(struct machine_pressure *p, unsigned level)
{
	p->level = MAX(p->level, level);
}

static void
look_at_events(struct machine_pressure *p)
{
	char text[512];
	uint64_t high, max;

	if (!read_file("memory.events", text, sizeof(text)))
		return;
	high = number_after(text, "high ", 0);
	max = number_after(text, "max ", 0) + number_after(text, "oom ", 0);
	if (met_known && high > met_high) {
		rise(p, 2);
		p->event = true;
	}
	if (met_known && max > met_max) {
		rise(p, 3);
		p->event = true;
	}
	met_known = true;
	met_high = high;
	met_max = max;
}

static void
look_at_use(struct machine_pressure *p)
{
	char text[64];
	uint64_t high, max, now, most;

	if (!read_file("memory.current", text, sizeof(text)))
		return;
	now = number_after(text, "", 0);
	high = read_file("memory.high", text, sizeof(text)) ? number_after(text, "", UINT64_MAX)
							    : UINT64_MAX;
	max = read_file("memory.max", text, sizeof(text)) ? number_after(text, "", UINT64_MAX)
							  : UINT64_MAX;
	most = MIN(high, max);
	if (most == UINT64_MAX)
		return;
	if (now >= most - most / 20)
		rise(p, 1);
	if (now >= high)
		rise(p, 2);
	if (now > most - most / 8)
		p->wanted = now - (most - most / 8);
}

/*
 * Whether the kernel's trigger has told of stalls. It tells once, and by the time we are asked the program's
 * own poll(2) has taken that. So it is reckoned anew from the sum that the kernel keeps, over one or two windows,
 * and half of it is enough: rather once too often than not at all.
 */
static bool
has_stalled(uint64_t total)
{
	struct stalls now = { machine_now(), total };
	bool news = total - seen[0].total >= STALL / 2;

	if (news) {
		seen[0] = seen[1] = now;
	} else if (now.when - seen[1].when >= WINDOW * 1000ull) {
		seen[0] = seen[1];
		seen[1] = now;
	}
	return (news);
}

static void
look_at_stalls(struct machine_pressure *p)
{
	char text[256];
	const char *full;

	if (psi_is_fifo)
		return;
	if (folder[0] != '\0' ? !read_file("memory.pressure", text, sizeof(text))
			      : !posix_read_file("/proc/pressure/memory", text, sizeof(text)))
		return;
	full = strstr(text, "full ");
	if (number_after(text, "some avg10=", 0) >= 10)
		rise(p, 1);
	if (full != NULL && number_after(full, "full avg10=", 0) >= 5)
		rise(p, number_after(full, "full avg10=", 0) >= 25 ? 3 : 2);
	if (psi_is_trigger && has_stalled(number_after(text, "total=", 0))) {
		rise(p, 2);
		p->event = true;
	}
}

/* What the descriptors of cooper_pressure_fd() have to say; reading makes them silent again. */
static void
look_at_descriptors(struct machine_pressure *p)
{
	struct epoll_event e[2];
	char text[512];
	int n = poll_fd < 0 ? 0 : epoll_wait(poll_fd, e, 2, 0);

	for (int i = 0; i < n; i++) {
		if (e[i].data.fd == events_fd && pread(events_fd, text, sizeof(text), 0) < 0)
			continue;
		if (e[i].data.fd != psi_fd || !psi_is_fifo)
			continue; /* what has happened, look_at_events() and has_stalled() find */
		if (read(psi_fd, text, sizeof(text)) <= 0)
			continue;
		rise(p, 2);
		p->event = true;
	}
}

bool
machine_pressure_wanted(void)
{
	return (
	    !(posix_options.given & OPTION_PRESSURE) || strcmp(posix_options.pressure, "0") != 0);
}

bool
machine_pressure_read(struct machine_pressure *p)
{
	int saved = errno;

	*p = (struct machine_pressure){ 0 };
	if (!found)
		find();
	if (any) {
		look_at_descriptors(p);
		look_at_events(p);
		look_at_use(p);
		look_at_stalls(p);
	}
	errno = saved;
	return (any);
}

/* ---- for a program's event loop ------------------------------------------------------------------------- */

static void
watch(int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data = { .fd = fd } };

	if (fd >= 0)
		(void)epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e);
}

static void
open_psi(void)
{
	char path[PATH + 32], trigger[64], text[256];
	struct stat st;

	core_snprintf(path, sizeof(path),
	    folder[0] != '\0' ? "%s/memory.pressure" : "/proc/pressure/memory", folder);
	psi_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (psi_fd < 0 || fstat(psi_fd, &st) != 0)
		return;
	psi_is_fifo = S_ISFIFO(st.st_mode);
	if (!psi_is_fifo && (S_ISREG(st.st_mode) && folder[0] != '\0' && st.st_size > 0))
		return; /* somebody's plain file: it is read, not written */
	core_snprintf(trigger, sizeof(trigger), "some %u %u", STALL, WINDOW);
	if (!psi_is_fifo && write(psi_fd, trigger, strlen(trigger) + 1) < 0) {
		close(psi_fd);
		psi_fd = -1;
		return;
	}
	psi_is_trigger = !psi_is_fifo && posix_read_file(path, text, sizeof(text));
	if (psi_is_trigger)
		seen[0] = seen[1] =
		    (struct stalls){ machine_now(), number_after(text, "total=", 0) };
	watch(psi_fd, psi_is_fifo ? EPOLLIN : EPOLLPRI);
}

int
machine_pressure_fd(void)
{
	char path[PATH + 32], text[512];
	int saved = errno;

	if (!found)
		find();
	if (poll_fd >= 0 || !any)
		return (poll_fd);
	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (poll_fd >= 0) {
		core_snprintf(path, sizeof(path), "%s/memory.events", folder);
		events_fd = folder[0] == '\0' ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (events_fd >= 0) /* one that was never read is news */
			(void)!pread(events_fd, text, sizeof(text), 0);
		watch(events_fd, EPOLLPRI);
		open_psi();
	}
	errno = saved;
	return (poll_fd);
}
