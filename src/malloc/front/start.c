/*
 * The start of the core in a process's first malloc, fork, and the statistics at the end.
 *
 * A process that never allocates never starts it: what it pays for is the library's loading. Until
 * then the fast paths' tables are empty, so nothing on them asks whether we run.
 *
 * start_lock guards the start; it is never taken again once `started` is set. Whatever the start
 * itself allocates, through a library function on the way, is served from boot memory: `starter`
 * tells that it is the same thread.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "front.h"
#include "machine/posix/posix.h"
#include "start/start.h"
#include "stats/posix/save.h"

/* Every process looks at these: in a page that the loader has written anyway. */
#define LOADED __attribute__((section(".data")))
LOADED static struct machine_lock start_lock;
LOADED static uint64_t starter; /* thread that holds start_lock and starts; 0 = none */
LOADED static bool started;
LOADED static uint32_t registered;

static struct malloc_type_stats front_stats[COOPER_MAXCPU];
struct malloc_type front_type[1] = { { "libc", NULL, NULL, MALLOC_TYPE_FRONT } };

/* ---- fork -------------------------------------------------------------------------------------------
 * Our handlers are registered in the first malloc, or before that when others register theirs: that
 * comes here first. So ours is the last to prepare and the first in parent and child, the others may
 * allocate, and `started` is the same at all three. A process that has not started has no second
 * thread: making one allocates. A thread that is alone forks without taking a lock.
 */
static void
fork_prepare(void)
{
	if (started)
		sync_fork_prepare();
}

static void
fork_parent(void)
{
	if (started)
		sync_fork_parent();
}

static void
fork_child(void)
{
	if (!started)
		return;
	core_fork_child();
	if (machine_options()->stats[0] != '\0')
		stats_run_fork_child();
}

#ifdef __GLIBC__

/*
 * glibc's pthread_atfork() is a piece of code in each library that uses it, which tells this function
 * of libc which library that is; we are never unloaded.
 */
typedef int register_fn(void (*)(void), void (*)(void), void (*)(void), void *library);
FRONT_EXPORT register_fn __register_atfork;

static register_fn *
libc_register(void)
{
	return ((register_fn *)dlsym(RTLD_NEXT, "__register_atfork"));
}

#define FORK_REGISTER(...) libc_register()(__VA_ARGS__, NULL)
#else
#define FORK_REGISTER(...) pthread_atfork(__VA_ARGS__)
#endif

/* Twice would be once too often: the second prepare would wait for the first one's locks. */
static void
fork_register(void)
{
	if (atomic_exchange(&registered, 1) == 0)
		(void)FORK_REGISTER(fork_prepare, fork_parent, fork_child);
}

#ifdef __GLIBC__
int
__register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library)
{
	fork_register();
	return (libc_register()(prepare, parent, child, library));
}
#endif

/* ---- start ------------------------------------------------------------------------------------------- */

static void
start_core(void)
{
	char line[256];
	int n;

	posix_limit_later = true;
	if (cooper_start(NULL) != 0) {
		n = core_snprintf(
		    line, sizeof(line), "libcooper-malloc: %s\n", cooper_start_error());
		machine_print(line, (size_t)MIN(n, (int)sizeof(line) - 1));
		_exit(2);
	}
	malloc_type_adopt(front_type, front_stats);
	front_large_start();
	front_fast_start();
	if (machine_options()->stats[0] != '\0')
		stats_run_start(machine_options()->stats);
}

NOINLINE bool
front_start(void)
{
	uint64_t self;
	bool first = false;

	if (likely(atomic_load_acquire(&started)))
		return (true);
	self = machine_thread_id();
	if (atomic_load_relaxed(&starter) == self)
		return (false);
	machine_lock(&start_lock);
	if (!started) {
		atomic_store_relaxed(&starter, self);
		start_core();
		atomic_store_relaxed(&starter, 0);
		atomic_store_release(&started, true);
		first = true;
	}
	machine_unlock(&start_lock);
	if (first)
		fork_register();
	return (true);
}

bool
front_started(void)
{
	return (atomic_load_acquire(&started));
}

/*
 * Is COOPER_OPTIONS set? Asked in each process, so without a call, and its name is in the code: what
 * a process has looked at, a page at a time, is part of it.
 */
static bool
options_given(void)
{
	for (char **e = environ; e != NULL && *e != NULL; e++) {
		const char *s = *e;

		if (s[0] == 'C' && s[1] == 'O' && s[2] == 'O' && s[3] == 'P' && s[4] == 'E' &&
		    s[5] == 'R' && s[6] == '_' && s[7] == 'O' && s[8] == 'P' && s[9] == 'T' &&
		    s[10] == 'I' && s[11] == 'O' && s[12] == 'N' && s[13] == 'S' && s[14] == '=')
			return (true);
	}
	return (false);
}

/* A bad COOPER_OPTIONS ends the process before main, even one that never allocates. */
__attribute__((constructor(101))) static void
start_at_load(void)
{
	if (options_given())
		(void)front_start();
#ifndef __GLIBC__
	else
		fork_register();
#endif
}

/* ---- the end -------------------------------------------------------------------------------------------- */

void
front_save_stats(bool exec)
{
	int saved = errno;
	const char *path;

	if (!front_started())
		return;
	path = machine_options()->stats;
	if (path[0] != '\0' && exec)
		stats_save_exec(path);
	else if (path[0] != '\0')
		stats_save(path);
	errno = saved;
}

__attribute__((destructor(101))) static void
save_at_exit(void)
{
	front_save_stats(false);
}
