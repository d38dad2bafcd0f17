/*
 * What the kernel says about this process's share of the host: CPUs, memory, limits.
 *
 * Plain open and read into the stack: this runs inside the first malloc of a process, and in each of
 * thousands of short-lived ones, so it is a few system calls and no more.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "posix.h"

#define CGROUP_PATH 512
#define MAX_CPUS    8192 /* most that a Linux kernel is built for */

bool
posix_read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (fd >= 0)
		close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return (n > 0);
}

uint64_t
posix_number_at(const char *s)
{
	uint64_t v = 0;

	if (*s < '0' || *s > '9')
		return (UINT64_MAX);
	for (; *s >= '0' && *s <= '9'; s++) {
		if (v > UINT64_MAX / 16)
			return (UINT64_MAX);
		v = v * 10 + (uint64_t)(*s - '0');
	}
	return (v);
}

POSIX_HIDDEN bool posix_limit_later;

/* ---- memory --------------------------------------------------------------------------------------- */

static uint64_t
lower(uint64_t a, uint64_t b)
{
	return (a < b ? a : b);
}

/*
 * The smallest limit among a cgroup and its ancestors. In a container the path may name a folder
 * that its mount does not show; the mount's root, which is then our own cgroup, ends the walk.
 */
static uint64_t
cgroup_limit(const char *mount, const char *cgroup, size_t len, const char *file)
{
	char path[CGROUP_PATH], text[32];
	uint64_t limit = UINT64_MAX;

	for (;;) {
		if (len == 1)
			len = 0; /* "/" */
		if ((size_t)core_snprintf(path, sizeof(path), "%s%.*s/%s", mount, (int)len, cgroup,
			file) < sizeof(path) &&
		    posix_read_file(path, text, sizeof(text)))
			limit = lower(limit, posix_number_at(text));
		if (len == 0)
			return (limit);
		while (len > 0 && cgroup[--len] != '/')
			;
	}
}

char *
posix_cgroup_next(char **rest, char **controllers)
{
	char *line, *end, *path;

	while ((line = *rest) != NULL && *line != '\0') {
		end = strchr(line, '\n');
		if (end != NULL)
			*end++ = '\0';
		*rest = end;
		*controllers = strchr(line, ':');
		path = *controllers != NULL ? strchr(*controllers + 1, ':') : NULL;
		if (path == NULL)
			continue;
		*path++ = '\0';
		++*controllers;
		return (path);
	}
	return (NULL);
}

uint64_t
posix_memory_limit(void)
{
	char text[2048], *rest = text, *controllers, *path;
	uint64_t limit = UINT64_MAX;

	(void)posix_read_file("/proc/self/cgroup", text, sizeof(text));
	while ((path = posix_cgroup_next(&rest, &controllers)) != NULL)
		if (*controllers == '\0')
			limit = lower(limit,
			    cgroup_limit("/sys/fs/cgroup", path, strlen(path), "memory.max"));
		else if (strcmp(controllers, "memory") == 0)
			limit = lower(limit, cgroup_limit("/sys/fs/cgroup/memory", path,
						 strlen(path), "memory.limit_in_bytes"));
	return (limit);
}

static uint64_t
rlimit(int which)
{
	struct rlimit rl;

	if (getrlimit(which, &rl) != 0 || rl.rlim_cur == RLIM_INFINITY)
		return (UINT64_MAX);
	return (rl.rlim_cur);
}

/* ---- CPUs ----------------------------------------------------------------------------------------- */

static unsigned
    said; /* by the kernel, asked for it: one more than the highest CPU number there can be */

/* "0-3" or "0,2-5": the last number is the highest. 0 if the kernel does not say. */
static unsigned
ask_possible_cpus(void)
{
	char text[64];
	const char *last = text;
	uint64_t cpu;

	if (!posix_read_file("/sys/devices/system/cpu/possible", text, sizeof(text)))
		return (0);
	for (const char *p = text; *p != '\0'; p++)
		if (*p == '-' || *p == ',')
			last = p + 1;
	cpu = posix_number_at(last);
	return (cpu < MAX_CPUS ? (unsigned)cpu + 1 : 0);
}

/* The CPUs in the affinity mask, the highest of them, and what no number reaches. */
static unsigned
allowed_cpus(unsigned *highest, unsigned *bound)
{
	unsigned long mask[MAX_CPUS / (8 * sizeof(long))];
	long bytes = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
	unsigned n = 0;

	*highest = 0;
	*bound = bytes > 0 ? (unsigned)bytes * 8 : MAX_CPUS;
	for (size_t i = 0; bytes > 0 && i < (size_t)bytes / sizeof(mask[0]); i++)
		if (mask[i] != 0) {
			n += (unsigned)__builtin_popcountl(mask[i]);
			*highest = (unsigned)(i * 8 * sizeof(mask[0])) + fls_size(mask[i]) - 1;
		}
	return (MAX(n, 1u));
}

unsigned
posix_allowed_cpus(void)
{
	return (allowed_cpus(&(unsigned){ 0 }, &(unsigned){ 0 }));
}

unsigned
posix_possible_cpus(void)
{
	static unsigned possible;
	unsigned highest, bound;

	if (possible == 0) {
		allowed_cpus(&highest, &bound);
		said = ask_possible_cpus();
		possible = MAX(highest + 1, said);
	}
	return (possible);
}

/* What the kernel has said already, or how long its masks are. */
unsigned
posix_cpu_bound(void)
{
	unsigned highest, bound;

	if (said != 0)
		return (said);
	allowed_cpus(&highest, &bound);
	return (bound);
}

uint64_t
posix_host_memory(void)
{
	uint64_t memory = (uint64_t)256 << 20; /* if the kernel does not say */
	struct sysinfo info;

	if (sysinfo(&info) == 0)
		memory = (uint64_t)info.totalram * info.mem_unit;
	return (posix_limit_later ? memory : lower(memory, posix_memory_limit()));
}

uint64_t
posix_address_limit(void)
{
	return (lower(rlimit(RLIMIT_AS), rlimit(RLIMIT_DATA)));
}

/* ---- the environment -------------------------------------------------------------------------------- */

/*
 * A program's first malloc may come before libc has its environment (.preinit_array). The kernel's
 * copy is then read byte by byte: `at` characters of the name have matched, or we are past it.
 */
static const char *
options_from_kernel(char *buf, size_t size)
{
	static const char name[] = "COOPER_OPTIONS=";
	const size_t named = sizeof(name) - 1, other = SIZE_MAX;
	int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	size_t at = 0, len = 0;
	char chunk[512];
	ssize_t n;

	while (fd >= 0 && (n = read(fd, chunk, sizeof(chunk))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			char c = chunk[i];

			if (at == named && len + 1 < size)
				buf[len++] = c;
			if (at == named && c == '\0')
				goto out;
			if (c == '\0')
				at = 0;
			else if (at < named)
				at = c == name[at] ? at + 1 : other;
		}
out:
	if (fd >= 0)
		close(fd);
	buf[len] = '\0';
	return (len > 0 ? buf : NULL);
}

/* getenv(), but for a page of libc and a search of it that every process which allocates would pay for. */
static const char *
options_from_libc(void)
{
	static const char name[] = "COOPER_OPTIONS=";
	const size_t named = sizeof(name) - 1;
	size_t at;

	for (char **e = environ; *e != NULL; e++) {
		for (at = 0; at < named && (*e)[at] == name[at]; at++)
			;
		if (at == named)
			return (*e + named);
	}
	return (NULL);
}

const char *
posix_options_text(char *buf, size_t size)
{
	const char *text = environ != NULL ? options_from_libc() : options_from_kernel(buf, size);

	return (text == NULL || getauxval(AT_SECURE) != 0 ? NULL : text);
}
