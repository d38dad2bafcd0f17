/*
 * A cgroup v2 that this process is in, and a neighbour in it: for programs that run in the
 * guest (scripts/guest.sh), as its root: bench/driver_cgroup.c, tests/guest/test_cgroup.c.
 */
#ifndef BENCH_GROUP_H
#define BENCH_GROUP_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Stop with what is wrong. */
static inline void
group_fail(const char *what)
{
	perror(what);
	exit(1);
}

/* The path of one of the group's files. */
static inline const char *
group_path(const char *name)
{
	static char path[512], own[256];
	static bool known;
	char text[256];

	if (!known) {
		int file = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
		ssize_t n = file < 0 ? -1 : read(file, text, sizeof(text) - 1);

		if (n <= 0)
			group_fail("/proc/self/cgroup");
		close(file);
		text[n] = '\0';
		if (sscanf(text, "0::%255s", own) != 1 || strcmp(own, "/") == 0) {
			fprintf(stderr, "this process is in no cgroup v2 of its own\n");
			exit(1);
		}
		known = true;
	}
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/%s", own, name);
	return (path);
}

/* The number in the file, or the one after `key`. "max" is UINT64_MAX. */
static inline uint64_t
group_read(const char *name, const char *key)
{
	const char *path = group_path(name), *at;
	char text[1024] = "\n";
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = file < 0 ? -1 : read(file, text + 1, sizeof(text) - 2);

	if (n <= 0)
		group_fail(path);
	close(file);
	text[n + 1] = '\0';
	if ((at = strstr(text, key)) == NULL)
		group_fail(key);
	at += strlen(key);
	return (*at >= '0' && *at <= '9' ? strtoull(at, NULL, 10) : UINT64_MAX);
}

static inline uint64_t
group_event(const char *key) /* "\nhigh ": memory.events */
{
	return (group_read("memory.events", key));
}

static inline uint64_t
group_use(void)
{
	return (group_read("memory.current", "\n"));
}

static inline void
group_write(const char *name, uint64_t value)
{
	const char *path = group_path(name);
	char text[32];
	int file = open(path, O_WRONLY | O_CLOEXEC);
	int len = value == UINT64_MAX
		      ? snprintf(text, sizeof(text), "max")
		      : snprintf(text, sizeof(text), "%llu", (unsigned long long)value);

	if (file < 0 || write(file, text, (size_t)len) != len)
		group_fail(path);
	close(file);
}

/* What a neighbour does: `bytes` of memory that nobody else has a say in, written page by page. */
static inline void *
group_grow(uint64_t bytes)
{
	char *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		group_fail("mmap");
	(void)madvise(mem, bytes, MADV_NOHUGEPAGE);
	for (uint64_t i = 0; i < bytes; i += 4096)
		*(volatile char *)(mem + i) = 1;
	return (mem);
}

#endif
