/*
 * run_measured RESULT COMMAND...: run a command under the allocator that $BENCH_PRELOAD names and
 * write to the file RESULT "WALL CPU PEAK": seconds, seconds of processor time, KiB of the peak
 * resident memory of the largest process. Counts the command and all its descendants that were waited
 * for. Exits as the command did.
 *
 * It is a small program because a process begins with its parent's peak: the command must not inherit
 * a large one.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double
wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((double)t.tv_sec + (double)t.tv_nsec / 1e9);
}

static double
seconds(struct timeval t)
{
	return ((double)t.tv_sec + (double)t.tv_usec / 1e6);
}

int
main(int argc, char **argv)
{
	const char *preload = getenv("BENCH_PRELOAD");
	struct rusage usage;
	double start = wall();
	int status;
	pid_t pid;
	FILE *out;

	if (argc < 3) {
		fprintf(stderr, "usage: run_measured RESULT COMMAND...\n");
		return (2);
	}
	if ((pid = fork()) == 0) {
		if (preload != NULL && *preload != '\0')
			setenv("LD_PRELOAD", preload, 1);
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid) {
		perror("run_measured");
		return (1);
	}
	start = wall() - start;
	if ((out = fopen(argv[1], "w")) == NULL ||
	    fprintf(out, "%.6f %.6f %ld\n", start,
		seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss) < 0 ||
	    fclose(out) != 0) {
		perror(argv[1]);
		return (1);
	}
	return (WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}
