/*
 * Threads, time, the console and the end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "posix.h"

POSIX_HIDDEN POSIX_TLS struct thread_state posix_thread;

uint64_t
machine_thread_id(void)
{
	struct thread_state *ts = machine_thread_state();

	if (unlikely(ts->machine[POSIX_TID] == 0))
		ts->machine[POSIX_TID] = (uint64_t)syscall(SYS_gettid);
	return (ts->machine[POSIX_TID]);
}

bool
machine_alone(void)
{
	return (__libc_single_threaded);
}

void
posix_thread_forked(void)
{
	machine_thread_state()->machine[POSIX_TID] = 0;
}

/* ---- a thread of the core's own --------------------------------------------------------------------- */

struct start {
	void (*fn)(void *);
	void *arg;
	char name[16];
};

static void *
thread_main(void *p)
{
	struct start *start = p;

	pthread_setname_np(pthread_self(), start->name);
	start->fn(start->arg);
	return (NULL);
}

/* The thread takes no signals: they are the program's. */
bool
machine_thread_start(const char *name, void (*fn)(void *), void *arg)
{
	struct start *start = machine_boot_alloc(sizeof(*start), _Alignof(struct start));
	sigset_t all, old;
	pthread_t thread;
	int error;

	if (start == NULL)
		return (false);
	start->fn = fn;
	start->arg = arg;
	core_snprintf(start->name, sizeof(start->name), "%s", name);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&thread, NULL, thread_main, start);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error == 0)
		pthread_detach(thread);
	return (error == 0);
}

/* ---- time ------------------------------------------------------------------------------------------- */

uint64_t
machine_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec);
}

uint64_t
machine_now_coarse(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ((uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec);
}

/* ---- the console and the end -------------------------------------------------------------------------- */

void
machine_print(const char *text, size_t len)
{
	int saved = errno;

	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		text += n;
		len -= (size_t)n;
	}
	errno = saved;
}

void
machine_panic(const char *line)
{
	char text[300];

	machine_print(text, (size_t)core_snprintf(text, sizeof(text), "cooper: %.280s\n", line));
	abort();
}
