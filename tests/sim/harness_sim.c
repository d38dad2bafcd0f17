/*
 * The test harness's program on the sim machine: the tests of a suite are one run, and their threads
 * are fibers under random answers from a seed.
 *
 *	test_NAME [--shape i386|amd64] [--cpus N] [--domains N] [--debug] [--daemon] [--seed N] ...
 *
 * A test's child is a copy of the whole run; how the run ends there is how a process would have ended.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "machine/posix/options.h"
#include "machine/sim/sim.h"

#define MAX_STEPS 2000000000ull
#define MEAN_GAP  16 /* steps between switches, on average */

/* ---- the program ------------------------------------------------------------------------------------ */

struct machine_shape harness_shape = {
	.ncpus = 2, .ndomains = 1, .direct_map = true, .pin = true, .physmem = 64 << 20
};

static struct {
	const struct CMUnitTest *tests;
	size_t ntests;
	uint64_t random;
	int failed;
	pid_t pid;
} program;

static void
parse_arguments(int argc, char **argv)
{
	char text[512] = "";
	struct machine_options options;
	const char *why = "a word without its value";
	size_t len = 0;

	program.random = 1;
	for (int i = 1; i < argc && len < sizeof(text); i++)
		if (strcmp(argv[i], "--debug") == 0 || strcmp(argv[i], "--daemon") == 0)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s,", argv[i] + 2);
		else if (i + 1 == argc || strncmp(argv[i], "--", 2) != 0)
			goto usage;
		else if (strcmp(argv[i], "--only") == 0)
			cmocka_set_test_filter(argv[++i]);
		else if (strcmp(argv[i], "--seed") == 0)
			program.random = strtoull(argv[++i], NULL, 0);
		else {
			len += (size_t)snprintf(
			    text + len, sizeof(text) - len, "%s=%s,", argv[i] + 2, argv[i + 1]);
			i++;
		}
	if (len < sizeof(text) && machine_options_parse(text, &options, &why) == 0) {
		harness_shape.kva_size = machine_default_kva(harness_shape.physmem);
		machine_options_apply(&options, &harness_shape);
		return;
	}
usage:
	fprintf(stderr, "%s: %s\n", argv[0], why);
	exit(2);
}

static void
first_fiber(void *arg)
{
	const char *why = "";
	int error = harness_start(&harness_shape, &why);

	(void)arg;
	if (error != 0)
		sim_stop("start: %s (%d)", why, error);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	program.failed =
	    _cmocka_run_group_tests("tests", program.tests, program.ntests, NULL, NULL);
	fflush(stdout);
	sim_stop("the tests are over");
}

static unsigned
choose(void *arg, enum sim_choice what, uint64_t candidates, unsigned dflt)
{
	uint64_t r = test_random(&program.random);

	(void)arg;
	(void)what;
	(void)dflt;
	sim_ask_at = sim_steps() + 1 + (r >> 32) % (2 * MEAN_GAP);
	for (unsigned skip = (unsigned)r % (unsigned)__builtin_popcountll(candidates); skip > 0;
	     skip--)
		candidates &= candidates - 1;
	return ((unsigned)__builtin_ctzll(candidates));
}

/* In a test's child: as a process would have ended. */
static void
end_child(enum sim_end end)
{
	fprintf(stderr, "%s\n", sim_end_line());
	fflush(stderr);
	if (end == SIM_BAD_TOUCH) {
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
	}
	abort();
}

/* As on other machines: tests read what a child says. */
static void
to_stderr(const char *text, size_t len)
{
	if (write(STDERR_FILENO, text, len) < 0)
		abort();
}

int
harness_main(int argc, char **argv, const struct CMUnitTest *tests, size_t ntests)
{
	struct sim_driver driver = { .choose = choose, .max_steps = MAX_STEPS };
	enum sim_end end;

	parse_arguments(argc, argv);
	program.tests = tests;
	program.ntests = ntests;
	program.pid = getpid();
	program.failed = -1;
	sim_ask_at = 0;
	sim_on_print = to_stderr;
	end = sim_run(&harness_shape, &driver, first_fiber, NULL);
	if (getpid() != program.pid)
		end_child(end);
	if (program.failed < 0) {
		printf("not ok - the run ended: %s\n", sim_end_line());
		return (1);
	}
	return (program.failed);
}

/* ---- threads ---------------------------------------------------------------------------------------- */

struct side_thread {
	void (*fn)(void *);
	void *arg;
	struct thread_state *joiner;
	bool over;
};

static void
side_main(void *p)
{
	struct side_thread *t = p;

	t->fn(t->arg);
	t->over = true;
	if (t->joiner != NULL)
		machine_unpark(t->joiner);
}

struct side_thread *
side_start(void (*fn)(void *), void *arg, int cpu)
{
	struct side_thread *t = malloc(sizeof(*t));

	TEST_MUST(t != NULL);
	*t = (struct side_thread){ .fn = fn, .arg = arg };
	sim_start("side", cpu, side_main, t);
	return (t);
}

void
side_join(struct side_thread *t)
{
	t->joiner = machine_thread_state();
	while (!t->over)
		machine_park(0);
	free(t);
}

struct barrier {
	unsigned expected, arrived, round;
};

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
	struct barrier barrier = { .expected = n };

	for (unsigned i = 0; i < n; i++) {
		run[i] = (struct run){ { i, n, arg, &barrier }, fn };
		side[i] = side_start(
		    run_main, &run[i], cooper_shape()->pin ? (int)(i % cooper_shape()->ncpus) : -1);
	}
	for (unsigned i = 0; i < n; i++)
		side_join(side[i]);
}

void
thread_barrier(struct test_thread *t)
{
	struct barrier *b = t->barrier;
	unsigned round = b->round;

	if (++b->arrived == b->expected) {
		b->arrived = 0;
		b->round++;
	}
	while (b->round == round)
		machine_park(machine_now() + 1000);
}

bool
lock_is_wanted(const struct mtx *m)
{
	struct sim_fiber_info info;

	for (unsigned i = 0; i < sim_fibers(); i++) {
		sim_fiber(i, &info);
		if (info.on == &m->lock)
			return (true);
	}
	return (false);
}

void
harness_nap(void)
{
	machine_park(machine_now() + 1000);
}
