/*
 * How many instructions one pair of driver_count takes, restartable sequences and all: the program is
 * stepped, an instruction at a time, between the two stops that it makes around its pairs, for a few
 * pairs and for more, and the difference is divided.
 *
 * A stop inside a restartable sequence would make the kernel abort it, for ever. The kernel looks at the
 * thread's rseq_cs when the thread goes on; so, after each step that has left one there, it is cleared.
 * Nothing else runs between two steps that the sequence could have to be protected from.
 *
 * usage: count_steps PREFIX COMMAND KIND...     prints "KIND_PREFIX VALUE instructions" for each kind
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define FEW  20
#define MANY 120

/* Offset of rseq_cs in struct rseq, of the kernel's interface. */
#define RSEQ_CS 8

/* include/uapi/linux/ptrace.h; glibc's header may lack it */
#define GET_RSEQ_CONFIGURATION 0x420f
struct rseq_configuration {
	uint64_t pointer;
	uint32_t size, signature, flags, pad;
};

static void
die(const char *what)
{
	fprintf(stderr, "count_steps: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int
wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return (status);
}

static pid_t
start(const char *command, const char *kind, const char *pairs)
{
	const char *preload = getenv("BENCH_PRELOAD");
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return (pid);
	if (preload != NULL && *preload != '\0')
		setenv("LD_PRELOAD", preload, 1);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		die("ptrace");
	execl(command, command, kind, pairs, "stop", (char *)NULL);
	die(command);
	return (0);
}

/* Runs on until the program stops itself; false if it ended. */
static int
run_to_stop(pid_t pid)
{
	int status = 0, signal = 0;

	do {
		if (ptrace(PTRACE_CONT, pid, NULL, (void *)(intptr_t)signal) != 0)
			die("ptrace");
		status = wait_for(pid);
		if (!WIFSTOPPED(status))
			return (0);
		signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
	} while (signal != SIGSTOP);
	return (1);
}

/* Steps to the program's next stop. */
static unsigned long
steps_to_stop(pid_t pid)
{
	struct rseq_configuration rseq = { 0 };
	unsigned long steps = 0;
	int status;

	/* Without one nothing has to be cleared. */
	if (ptrace(GET_RSEQ_CONFIGURATION, pid, sizeof(rseq), &rseq) < 0)
		rseq.pointer = 0;
	for (;; steps++) {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0)
			die("ptrace");
		status = wait_for(pid);
		if (!WIFSTOPPED(status) || WSTOPSIG(status) == SIGSTOP)
			break;
		if (rseq.pointer != 0 &&
		    ptrace(PTRACE_POKEDATA, pid, (void *)(uintptr_t)(rseq.pointer + RSEQ_CS),
			NULL) != 0)
			die("ptrace");
	}
	if (!WIFSTOPPED(status)) {
		fprintf(stderr, "count_steps: the program ended while it was stepped\n");
		exit(1);
	}
	return (steps);
}

static unsigned long
steps(const char *command, const char *kind, unsigned pairs)
{
	unsigned long taken;
	char number[16];
	pid_t pid;

	snprintf(number, sizeof(number), "%u", pairs);
	pid = start(command, kind, number);
	if (!WIFSTOPPED(wait_for(pid)) || !run_to_stop(pid)) {
		fprintf(stderr, "count_steps: %s %s did not start\n", command, kind);
		exit(1);
	}
	taken = steps_to_stop(pid);
	kill(pid, SIGKILL);
	wait_for(pid);
	return (taken);
}

int
main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: count_steps PREFIX COMMAND KIND...\n");
		return (2);
	}
	for (int i = 3; i < argc; i++) {
		unsigned long few = steps(argv[2], argv[i], FEW);

		printf("%s_%s %.2f instructions\n", argv[i], argv[1],
		    (double)(steps(argv[2], argv[i], MANY) - few) / (MANY - FEW));
	}
	return (0);
}
