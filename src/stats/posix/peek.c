/*
 * Reading a process's memory without stopping it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>
#include "stats/posix/save.h"

bool
stats_peek_pid(void *arg, uintptr_t addr, void *buf, size_t len)
{
	struct iovec local = { buf, len };
	struct iovec remote = { (void *)addr, len };
	int saved = errno;
	bool ok;

	ok = process_vm_readv(*(const pid_t *)arg, &local, 1, &remote, 1, 0) == (ssize_t)len;
	errno = saved;
	return (ok);
}

/* Pages of the process that the kernel says are there, by /proc/PID/pagemap. */
bool
stats_resident_pid(void *arg, uintptr_t base, uint64_t bytes, uint64_t *out)
{
	static const uint64_t present = (uint64_t)3 << 62; /* in memory, or swapped */
	uint64_t entry[512], left = bytes >> PAGE_SHIFT, at = base >> PAGE_SHIFT;
	char name[48];
	int saved = errno, fd;

	core_snprintf(name, sizeof(name), "/proc/%d/pagemap", (int)*(const pid_t *)arg);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	for (*out = 0; fd >= 0 && left > 0;) {
		size_t want = (size_t)MIN(left, (uint64_t)nitems(entry));
		ssize_t n =
		    pread(fd, entry, want * sizeof(entry[0]), (off_t)(at * sizeof(entry[0])));

		if (n < (ssize_t)sizeof(entry[0]))
			break;
		n /= (ssize_t)sizeof(entry[0]);
		for (ssize_t i = 0; i < n; i++)
			*out += (entry[i] & present) != 0 ? PAGE_SIZE : 0;
		at += (uint64_t)n;
		left -= (uint64_t)n;
	}
	if (fd >= 0)
		close(fd);
	errno = saved;
	return (fd >= 0 && left == 0);
}
