/*
 * The test harness's program on the posix machine: options, start-up, cmocka, threads.
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

unsigned
test_many(unsigned n)
{
	const char *by = getenv("TEST_DIVIDE");
	unsigned long divisor = by == NULL ? 1 : strtoul(by, NULL, 10);

	return (divisor <= 1 ? n : (unsigned)MAX(n / divisor, 1ul));
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

/* See machine/posix/futex.c: 2 is left by who goes to sleep. */
bool
lock_is_wanted(const struct mtx *m)
{
	return (atomic_load_relaxed(&m->lock.word) == 2);
}

void
harness_nap(void)
{
	struct timespec nap = { 0, 200000 };

	nanosleep(&nap, NULL);
}
