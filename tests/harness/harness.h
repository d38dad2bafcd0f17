/*
 * The test harness: one program a suite, cmocka inside, TAP outside, run in a matrix of shapes.
 *
 * A room adds a suite in its tests/<room>/meson.build:
 *
 *	suites += [['name', files('test_name.c'), 'LEVEL']]
 *
 * LEVEL says how much of the house is started before the tests, and linked at all:
 *
 *	MACHINE  machine_start, sync_start
 *	PAGE     ... page_start
 *	UMA      ... uma_startup1..3 over a simple slab source of the harness
 *	VMEM     ... vmem_startup between them
 *	ALL      cooper_start: everything
 *	NONE     nothing; the test starts what it wants
 *
 * and the program ends with
 *
 *	TEST_MAIN(cmocka_unit_test(R1_reclaim_keeps_reserve), cmocka_unit_test(...))
 *
 * `meson test -C build --suite ROOM` runs a room's suites in each shape of tests/meson.build.
 * By hand:
 *
 *	build/tests/test_NAME [--shape i386|amd64] [--cpus N] [--domains N] [--physmem SIZE]
 *	    [--kva SIZE] [--debug] [--daemon] [--real] [--only PATTERN]
 *
 * CPUs are virtual (a thread chooses with machine_bind()) unless --real is given, which is what
 * programs get: the host's CPUs and restartable sequences, where it has them.
 *
 * cmocka's own assertions work in the test's thread only. In other threads use TEST_MUST().
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <cooper/cooper.h>

#include "machine/machine.h"
#include "sync/sync.h"

#define TEST_MAIN(...)                                                                      \
	int main(int argc, char **argv)                                                     \
	{                                                                                   \
		const struct CMUnitTest tests[] = { __VA_ARGS__ };                          \
                                                                                            \
		return (harness_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]))); \
	}
int harness_main(int argc, char **argv, const struct CMUnitTest *tests, size_t ntests);

/* The shape of the command line; at level NONE, where nothing has taken it yet. */
extern struct machine_shape harness_shape;

/* Can this machine have such a shape? A process can have any. */
bool harness_can(const struct machine_shape *shape);

/* level_*.c: start the house up to a floor. Returns 0 or an errno and *why. */
int harness_start(const struct machine_shape *shape, const char **why);

/* Stop the program with one line; for any thread. */
#define TEST_MUST(cond)                                          \
	do {                                                     \
		if (!(cond))                                     \
			harness_fail(__FILE__, __LINE__, #cond); \
	} while (0)
__attribute__((noreturn)) void harness_fail(const char *file, int line, const char *what);

/* Leave this test, saying so, in a shape that it is not about. */
#define NEED(cond)                                                          \
	do {                                                                \
		if (!(cond)) {                                              \
			printf("# %s is not about this shape\n", __func__); \
			return;                                             \
		}                                                           \
	} while (0)

/* Leave this test where no shape of this machine or build has what it is about; the count says so. */
#define NEED_MACHINE(cond, what)                                                   \
	do {                                                                       \
		if (!(cond)) {                                                     \
			printf("# %s: not on this machine: %s\n", __func__, what); \
			return;                                                    \
		}                                                                  \
	} while (0)

/* n rounds of something; where the environment says that this machine is slow (TEST_DIVIDE=K), n / K. */
unsigned test_many(unsigned n);

/* ---- children -------------------------------------------------------------------------------------
 * A forked child has a copy of everything; what it does to it is not seen by the tests after it.
 */

/* fn(arg) in a child; it must return or exit with 0. */
void in_child(void (*fn)(void *), void *arg);

/* fn(arg) in a child; it must end as above, and have said `text` on the console. */
void expect_words(void (*fn)(void *), void *arg, const char *text);

/* fn(arg) in a child; it must end as above, and have said nothing on the console. */
void expect_silence(void (*fn)(void *), void *arg);

/* fn(arg) in a child; the core must stop it, with a line that contains `text`. */
void expect_stop(void (*fn)(void *), void *arg, const char *text);

/* fn(arg) in a child; it must die of a memory fault. */
void expect_fault(void (*fn)(void *), void *arg);

/*
 * Misuse, in both kinds of shape: the debug shape stops with `text`; the release shape returns, and
 * *result, shared with the child, is then fn's to fill in. Returns fn's value or 0 if it stopped.
 */
int expect_misuse(int (*fn)(void *), void *arg, const char *text);

/* ---- threads ---------------------------------------------------------------------------------------- */

struct test_thread {
	unsigned index, count; /* which of how many */
	void *arg;
	void *barrier;
};

/* Run fn in n threads, thread i bound to CPU i modulo the shape's, until all have returned. */
void run_threads(unsigned n, void (*fn)(struct test_thread *), void *arg);
void thread_barrier(struct test_thread *t); /* wait for all of them */

/* One thread beside the test: start, and wait for its end. Bound to cpu if that is >= 0. */
struct side_thread;
struct side_thread *side_start(void (*fn)(void *), void *arg, int cpu);
void side_join(struct side_thread *t);

/* Wait until n threads sleep on `channel`. The one poll here: nothing tells of falling asleep. */
void wait_for_sleepers(const char *channel, unsigned n);

/* Of n random steps, as many as an emulated machine makes in the time: built with TEST_SLOW. */
#ifndef TEST_SLOW
#define TEST_SLOW 1
#endif
#define TEST_STEPS(n) ((n) / TEST_SLOW)

/* Does a thread wait for m, which another one holds? */
bool lock_is_wanted(const struct mtx *m);
void harness_nap(void); /* the machine's: let others run for a moment */

/* A generator for tests: the same numbers for the same seed on each machine. */
uint64_t test_random(uint64_t *state);

/* ---- failure injection -------------------------------------------------------------------------------- */

/*
 * For k = 1, 2, ...: fail the k-th internal request of attempt(). When it reports failure
 * (false), a snapshot taken before and after must be equal; when it succeeds, undo() takes it back
 * (and snapshots are not compared: caches may have grown). Ends when attempt() succeeds without
 * having met the k-th request. Returns how many attempts failed.
 */
struct inject_case {
	bool (*attempt)(void *arg);
	void (*undo)(void *arg);
	void (*snapshot)(void *out, void *arg); /* fill out, already zeroed */
	size_t snapshot_size;                   /* at most 4096 */
	void *arg;
};
unsigned inject_each(const struct inject_case *c);

#endif
