/*
 * The test harness's program: options, start-up, cmocka; children, threads, injected failures.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "posix.h"

/* ---- the program ------------------------------------------------------------------------------------ */

struct machine_shape harness_shape = {
	.ncpus = 2, .ndomains = 1, .direct_map = true, .pin = true, .physmem = 64 << 20
};

/* Command-line words are those of COOPER_OPTIONS: "--cpus 2" is "cpus=2". */
static void
parse_arguments(int argc, char **argv, struct machine_shape *shape)
{
	static const char *const flags[] = { "--debug", "--daemon" };
	char text[512] = "";
	struct machine_options options;
	const char *why;
	size_t len = 0;

	for (int i = 1; i < argc; i++) {
		bool flag = false;

		for (unsigned f = 0; f < 2; f++)
			flag |= strcmp(argv[i], flags[f]) == 0;
		if (strcmp(argv[i], "--real") == 0)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "pin=0,");
		else if (flag)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s,", argv[i] + 2);
		else if (i + 1 == argc || strncmp(argv[i], "--", 2) != 0)
			goto usage;
		else if (strcmp(argv[i], "--only") == 0)
			cmocka_set_test_filter(argv[++i]);
		else {
			len += (size_t)snprintf(
			    text + len, sizeof(text) - len, "%s=%s,", argv[i] + 2, argv[i + 1]);
			i++;
		}
		if (len >= sizeof(text))
			goto usage;
	}
	if (machine_options_parse(text, &options, &why) != 0) {
		fprintf(stderr, "%s: %s\n", argv[0], why);
		exit(2);
	}
	shape->kva_size = machine_default_kva(shape->physmem);
	if ((options.given & OPTION_PIN) && !options.shape.pin) /* real CPUs: all there can be */
		shape->ncpus = MIN(posix_possible_cpus(), (unsigned)COOPER_MAXCPU);
	machine_options_apply(&options, shape);
	return;
usage:
	fprintf(stderr,
	    "usage: %s [--shape i386|amd64] [--cpus N] [--domains N] [--physmem SIZE]\n"
	    "    [--kva SIZE] [--debug] [--daemon] [--real] [--only PATTERN]\n",
	    argv[0]);
	exit(2);
}

int
harness_main(int argc, char **argv, const struct CMUnitTest *tests, size_t ntests)
{
	const char *why = "";
	int error;

	parse_arguments(argc, argv, &harness_shape);
	error = harness_start(&harness_shape, &why);
	if (error != 0) {
		fprintf(stderr, "%s: start: %s (%d)\n", argv[0], why, error);
		return (1);
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return (_cmocka_run_group_tests("tests", tests, ntests, NULL, NULL));
}

void
harness_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
	abort();
}

uint64_t
test_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31));
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
		alarm(60);
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

/* ---- threads ---------------------------------------------------------------------------------------- */

struct side_thread {
	pthread_t thread;
	void (*fn)(void *);
	void *arg;
	int cpu;
};

static void *
side_main(void *p)
{
	struct side_thread *t = p;

	if (t->cpu >= 0)
		machine_bind(t->cpu);
	t->fn(t->arg);
	return (NULL);
}

struct side_thread *
side_start(void (*fn)(void *), void *arg, int cpu)
{
	struct side_thread *t = malloc(sizeof(*t));

	TEST_MUST(t != NULL);
	*t = (struct side_thread){ .fn = fn, .arg = arg, .cpu = cpu };
	TEST_MUST(pthread_create(&t->thread, NULL, side_main, t) == 0);
	return (t);
}

void
side_join(struct side_thread *t)
{
	TEST_MUST(pthread_join(t->thread, NULL) == 0);
	free(t);
}

struct run {
	struct test_thread thread;
	void (*fn)(struct test_thread *);
};

static void
run_main(void *p)
{
	struct run *run = p;

	run->fn(&run->thread);
}

void
run_threads(unsigned n, void (*fn)(struct test_thread *), void *arg)
{
	struct run run[n];
	struct side_thread *side[n];
	pthread_barrier_t barrier;

	TEST_MUST(n > 0 && pthread_barrier_init(&barrier, NULL, n) == 0);
	for (unsigned i = 0; i < n; i++) {
		run[i] = (struct run){ { i, n, arg, &barrier }, fn };
		side[i] = side_start(
		    run_main, &run[i], cooper_shape()->pin ? (int)(i % cooper_shape()->ncpus) : -1);
	}
	for (unsigned i = 0; i < n; i++)
		side_join(side[i]);
	pthread_barrier_destroy(&barrier);
}

void
thread_barrier(struct test_thread *t)
{
	int error = pthread_barrier_wait(t->barrier);

	TEST_MUST(error == 0 || error == PTHREAD_BARRIER_SERIAL_THREAD);
}

struct sleepers {
	const char *channel;
	unsigned count;
};

static void
count_sleeper(const struct wait_info *info, void *p)
{
	struct sleepers *s = p;

	s->count += strcmp(info->channel, s->channel) == 0;
}

void
wait_for_sleepers(const char *channel, unsigned n)
{
	struct timespec nap = { 0, 200000 };
	struct sleepers s = { channel, 0 };

	for (unsigned tries = 0; tries < 100000; tries++) {
		s.count = 0;
		sync_each_wait(count_sleeper, &s);
		if (s.count >= n)
			return;
		nanosleep(&nap, NULL);
	}
	fprintf(stderr, "only %u of %u threads sleep on %s\n", s.count, n, channel);
	abort();
}

/* ---- failure injection -------------------------------------------------------------------------------- */

#define MAX_FAILURES 100000

unsigned
inject_each(const struct inject_case *c)
{
	unsigned char before[4096], after[4096];
	unsigned failed = 0;

	assert_in_range(c->snapshot_size, 0, sizeof(before));
	for (uint64_t k = 1; k < MAX_FAILURES; k++) {
		uint64_t seen;
		bool done;

		memset(before, 0, sizeof(before));
		c->snapshot(before, c->arg);
		cooper_inject_failure(k);
		done = c->attempt(c->arg);
		seen = cooper_inject_failure(0);
		if (done) {
			c->undo(c->arg);
			if (seen < k)
				return (failed);
			continue;
		}
		failed++;
		memset(after, 0, sizeof(after));
		c->snapshot(after, c->arg);
		for (size_t i = 0; i < c->snapshot_size; i++)
			if (before[i] != after[i])
				fail_msg(
				    "failure of request %llu of %llu left byte %zu of the snapshot "
				    "changed",
				    (unsigned long long)k, (unsigned long long)seen, i);
	}
	fail_msg("no success after %d injected failures", MAX_FAILURES);
	return (failed);
}
