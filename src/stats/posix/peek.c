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
