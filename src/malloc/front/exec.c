/*
 * Ends of a process that run no destructors: _exit() and the plain exec calls save the statistics
 * first if a run asked for them. Nothing else: without that they do what libc's do, by the same
 * system calls. What libc calls inside itself (posix_spawn, system, popen, the list forms of exec)
 * does not come here, and is done in children that are not us.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "front.h"

FRONT_EXPORT void
_exit(int status)
{
	front_save_stats(false);
	for (;;)
		(void)syscall(SYS_exit_group, status);
}

FRONT_EXPORT void _Exit(int status) __attribute__((alias("_exit"), noreturn));

FRONT_EXPORT int
execve(const char *path, char *const argv[], char *const envp[])
{
	front_save_stats(true);
	return ((int)syscall(SYS_execve, path, argv, envp));
}

FRONT_EXPORT int
execv(const char *path, char *const argv[])
{
	return (execve(path, argv, environ));
}

FRONT_EXPORT int
execvp(const char *file, char *const argv[])
{
	front_save_stats(true);
	return (execvpe(file, argv, environ));
}
