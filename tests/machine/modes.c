/*
 * A program to be looked at from outside: in a debugger, under valgrind, without restartable
 * sequences. Built twice, with calls and inline. Says which mode it is in, makes pairs, forks, and the
 * child does the same; each item is checked to be nobody else's.
 *
 * usage: modes      prints "mode fast|lock" and, at the end, "done"
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cooper/cooper.h>
#include <cooper/uma.h>
#include "posix.h"

#define HELD 600

static uma_zone_t zone;

/* Where a debugger stops. */
__attribute__((noinline)) void
pair_start(void)
{
	__asm__ volatile("");
}

__attribute__((noinline)) void
pair_end(void)
{
	__asm__ volatile("");
}

static void
one_pair(void)
{
	char *p = uma_zalloc(zone, M_NOWAIT);

	if (p == NULL)
		abort();
	*p = 1;
	uma_zfree(zone, p);
}

static void
many(void)
{
	static unsigned *held[HELD];

	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < HELD; i++) {
			held[i] = uma_zalloc(zone, M_NOWAIT);
			if (held[i] == NULL)
				abort();
			*held[i] = i;
		}
		for (unsigned i = 0; i < HELD; i++) {
			if (*held[i] != i)
				abort();
			uma_zfree(zone, held[i]);
		}
		for (unsigned i = 0; i < HELD; i++)
			one_pair();
	}
}

static void
check_counts(void)
{
	struct uma_zone_stat st;

	uma_zone_get_stat(zone, &st);
	if (st.used != 0)
		abort();
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	uma_zone_get_stat(zone, &st);
	if (st.cached_cpu + st.cached_depot != 0)
		abort();
}

int
main(void)
{
	int status;
	pid_t pid;

	if (cooper_start(NULL) != 0) {
		fprintf(stderr, "modes: %s\n", cooper_start_error());
		return (1);
	}
	zone = uma_zcreate("modes", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	printf("mode %s\n", posix_real_cpus() ? "fast" : "lock");
	fflush(stdout);
	one_pair();
	one_pair();
	pair_start();
	one_pair();
	pair_end();
	many();
	pid = fork();
	if (pid == 0) {
		many();
		check_counts();
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		abort();
	many();
	check_counts();
	printf("done\n");
	return (0);
}
