/*
 * The start: a process that has not allocated has not started the core; one that has pays little for
 * it; and forks before, at and after the start are sound. Run without COOPER_OPTIONS, which start it
 * at load.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/wait.h>

#include "check.h"

/*
 * KiB of address space and resident, without a library function that could allocate. Pages of files are
 * left out: how many of a library's the kernel maps around one that is touched is its affair.
 */
static void
sizes(long *space, long *resident)
{
	char text[128] = "", *end;
	int fd = open("/proc/self/statm", O_RDONLY);

	check(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	*space = strtol(text, &end, 10) * 4;
	*resident = strtol(end, &end, 10) * 4;
	*resident -= strtol(end, &end, 10) * 4;
}

static long space[3], resident[3]; /* before, after one block, after one of each class */
static int forked_before;          /* exit status of a child from before the start */
static unsigned prepared, in_child;

/*
 * What the C library keeps where the thread pointer shows, on x86-64. An allocator that does not know yet
 * where a thread's restartable sequences are told must not write there.
 */
#ifdef __x86_64__
#define TCB 6 /* words */
#else
#define TCB 0
#endif
static uintptr_t tcb[2][TCB + 1];

static void
on_prepare(void)
{
	prepared++;
	free(malloc(40)); /* allowed: the front's own handlers run later */
}

static void
on_child(void)
{
	in_child++;
	free(malloc(50));
}

/* In main, before stdio: the program's own first allocation. */
static void
look(void)
{
	pid_t pid;

	memcpy(tcb[0], __builtin_thread_pointer(), TCB * sizeof(tcb[0][0]));
	sizes(&space[0], &resident[0]);
	check(malloc_trim(0) == 0 && mallinfo2().arena == 0 && malloc_usable_size(NULL) == 0);
	free(NULL);
	pid = fork();
	if (pid == 0) {
		sizes(&space[1], &resident[1]);
		if (space[1] > space[0] + (1 << 20))
			_exit(1); /* something started it */
		free(malloc(100));
		sizes(&space[1], &resident[1]);
		_exit(space[1] > space[0] + (64 << 10) ? 3 : 2);
	}
	check(waitpid(pid, &forked_before, 0) == pid);
	check(pthread_atfork(on_prepare, NULL, on_child) == 0);
	free(malloc(100));
	memcpy(tcb[1], __builtin_thread_pointer(), TCB * sizeof(tcb[0][0]));
	sizes(&space[1], &resident[1]);
	for (size_t size = 16; size <= 1024; size += 16)
		free(malloc(size));
	sizes(&space[2], &resident[2]);
}

static void
nothing_runs_before_the_first_block(void)
{
	check(space[1] > space[0] + (64 << 10)); /* physical memory and the window: a lot of it */
}

static void
the_thread_is_left_alone(void)
{
	check(memcmp(tcb[0], tcb[1], sizeof(tcb[0])) == 0);
}

static void
the_start_is_small(void)
{
	printf("# resident KiB: %ld, one block %ld, 32 classes %ld\n", resident[0], resident[1],
	    resident[2]);
	check(resident[1] - resident[0] <= 200);
	check(resident[2] - resident[1] <= 1024);
}

static void
a_child_starts_its_own(void)
{
	check(WIFEXITED(forked_before) && WEXITSTATUS(forked_before) == 3);
}

static void *
hold(void *arg)
{
	while (!__atomic_load_n((int *)arg, __ATOMIC_RELAXED))
		free(malloc(3000));
	return (NULL);
}

/* The program's handlers allocate, before ours have locked and after they have unlocked. */
static void
handlers_may_allocate(void)
{
	pthread_t t;
	int stop = 0, status;

	check(pthread_create(&t, NULL, hold, &stop) == 0);
	for (unsigned i = 0; i < 50; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			alarm(60);
			_exit(in_child == 1 ? 0 : 1);
		}
		check(waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
		      WEXITSTATUS(status) == 0);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	check(prepared == 50);
}

int
main(int argc, char **argv)
{
	static const struct check_case cases[] = { CASE(nothing_runs_before_the_first_block),
		CASE(the_thread_is_left_alone), CASE(the_start_is_small),
		CASE(a_child_starts_its_own), CASE(handlers_may_allocate) };

	look();
	return (check_run(cases, sizeof(cases) / sizeof(cases[0]), argc > 1 ? argv[1] : NULL));
}
