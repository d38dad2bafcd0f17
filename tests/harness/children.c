/*
 * Children, on machines that are processes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

bool
harness_can(const struct machine_shape *shape)
{
	(void)shape;
	return (true);
}

void
harness_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
	abort();
}

/* ---- children --------------------------------------------------------------------------------------- */

struct ending {
	int status;
	char text[2048]; /* what it said on stderr */
};

static void
child_prepare(int fd)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		signal(faults[i], SIG_DFL);
	setenv("CMOCKA_TEST_ABORT", "1",
	    1); /* a failed assertion must not jump to the parent's tests */
	dup2(fd, STDERR_FILENO);
	close(fd);
}

/* Seconds that a storm takes by itself: the soak's are a minute. */
static unsigned
longer(void)
{
	const char *storm = getenv("COOPER_STORM");

	return (storm != NULL ? (unsigned)strtoul(storm, NULL, 10) : 0);
}

/* Run fn in a child and wait for its end; an endless child is ended by the alarm. */
static void
run_child(void (*fn)(void *), void *arg, struct ending *end)
{
	size_t len = 0;
	ssize_t n;
	int fd[2];
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	fflush(stdout);
	sync_fork_prepare();
	pid = fork();
	if (pid == 0) {
		sync_fork_child();
		close(fd[0]);
		child_prepare(fd[1]);
		alarm(60 + longer());
		fn(arg);
		fflush(stdout);
		_exit(0);
	}
	sync_fork_parent();
	assert_true(pid > 0);
	close(fd[1]);
	while (len < sizeof(end->text) - 1 &&
	       ((n = read(fd[0], end->text + len, sizeof(end->text) - 1 - len)) > 0 ||
		   (n < 0 && errno == EINTR)))
		if (n > 0)
			len += (size_t)n;
	end->text[len] = '\0';
	close(fd[0]);
	while (waitpid(pid, &end->status, 0) < 0)
		assert_int_equal(errno, EINTR);
}

void
in_child(void (*fn)(void *), void *arg)
{
	struct ending end;

	run_child(fn, arg, &end);
	if (!WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0)
		fail_msg(
		    "child ended with status 0x%x, saying: %s", (unsigned)end.status, end.text);
}

void
expect_words(void (*fn)(void *), void *arg, const char *text)
{
	struct ending end;

	run_child(fn, arg, &end);
	if (end.status != 0 || strstr(end.text, text) == NULL)
		fail_msg("expected the words \"%s\"; got status 0x%x, saying: %s", text,
		    (unsigned)end.status, end.text);
}

void
expect_silence(void (*fn)(void *), void *arg)
{
	struct ending end;

	run_child(fn, arg, &end);
	if (end.status != 0 || end.text[0] != '\0')
		fail_msg("expected no words; got status 0x%x, saying: %s", (unsigned)end.status,
		    end.text);
}

static bool
stopped_saying(const struct ending *end, const char *text)
{
	return (WIFSIGNALED(end->status) && WTERMSIG(end->status) == SIGABRT &&
		strstr(end->text, text) != NULL);
}

void
expect_stop(void (*fn)(void *), void *arg, const char *text)
{
	struct ending end;

	run_child(fn, arg, &end);
	if (!stopped_saying(&end, text))
		fail_msg("expected a stop saying \"%s\"; got status 0x%x, saying: %s", text,
		    (unsigned)end.status, end.text);
}

void
expect_fault(void (*fn)(void *), void *arg)
{
	struct ending end;

	run_child(fn, arg, &end);
	if (!WIFSIGNALED(end.status) ||
	    (WTERMSIG(end.status) != SIGSEGV && WTERMSIG(end.status) != SIGBUS))
		fail_msg("expected a memory fault; got status 0x%x, saying: %s",
		    (unsigned)end.status, end.text);
}

struct misuse {
	int (*fn)(void *);
	void *arg;
	int *result; /* shared with the child */
};

static void
misuse_in_child(void *p)
{
	struct misuse *m = p;

	*m->result = m->fn(m->arg);
}

int
expect_misuse(int (*fn)(void *), void *arg, const char *text)
{
	struct misuse m = { fn, arg,
		mmap(
		    NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) };
	int result = 0;

	assert_ptr_not_equal(m.result, MAP_FAILED);
	if (cooper_shape()->debug)
		expect_stop(misuse_in_child, &m, text);
	else {
		in_child(misuse_in_child, &m);
		result = *m.result;
	}
	munmap(m.result, sizeof(int));
	return (result);
}
