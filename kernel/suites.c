/*
 * Running the unit tests: every suite of the image, each on a house that was opened for it, in each
 * shape. One line a failure and a suite, then the sums.
 *
 * A failed assertion leaves its test by a long jump, which is good on the thread that runs the tests alone;
 * elsewhere, and in a try, it ends the machine or the try.
 */
#include "x86.h"
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "harness.h"
#include "kernel.h"

static void *leave[5], *leave_suite[5]; /* of __builtin_setjmp */
static const void *runner;              /* the thread that may use it */
static const char *test_name;
static unsigned passed, failed;

void
kernel_test_failed(const char *file, int line, const char *fmt, ...)
{
	char what[300];
	va_list ap;

	va_start(ap, fmt);
	core_vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (x86_trying() || machine_thread_state() != runner)
		core_panic("%s:%d: %s", file, line, what);
	printf("FAILED %s (%s:%d): %s\n", test_name, file, line, what);
	__builtin_longjmp(leave, 1);
}

bool
kernel_same_text(const char *a, const char *b)
{
	return (strcmp(a, b) == 0);
}

/* volatile: it is read after the jump. */
static bool
run_test(const struct CMUnitTest *test)
{
	const struct CMUnitTest *volatile t = test;
	void *state = t->initial_state;

	test_name = t->name;
	runner = machine_thread_state();
	if (__builtin_setjmp(leave) != 0)
		return (false);
	if (t->setup_func != NULL && t->setup_func(&state) != 0)
		return (false);
	t->test_func(&state);
	if (t->teardown_func != NULL && t->teardown_func(&state) != 0)
		return (false);
	return (true);
}

/* What a suite's main() comes to: see TEST_MAIN. */
int
harness_main(int argc, char **argv, const struct CMUnitTest *tests, size_t ntests)
{
	unsigned before = failed;

	(void)argc;
	(void)argv;
	for (size_t i = 0; i < ntests; i++) {
		watchdog_advance();
		if (x86_option("verbose") != NULL)
			printf("  %s\n", tests[i].name);
		if (run_test(&tests[i]))
			passed++;
		else
			failed++;
	}
	return ((int)(failed - before));
}

/* A panic outside of a try ends the suite; on another thread than the tests', everything. */
static void
panicked(const char *line)
{
	if (machine_thread_state() != runner)
		return;
	printf("FAILED %s: %s\n", test_name, line);
	__builtin_longjmp(leave_suite, 1);
}

static void
run_suite(const struct kernel_suite *s)
{
	const struct kernel_suite *volatile suite = s; /* read after the jump */
	volatile uint64_t start = machine_now();
	const char *why = "";
	int error, bad;

	x86_restart();
	error = s->start(&harness_shape, &why);
	if (error != 0) {
		printf("FAILED %s: start: %s (%d)\n", s->name, why, error);
		failed++;
		return;
	}
	if (__builtin_setjmp(leave_suite) == 0) {
		x86_on_panic = panicked;
		bad = suite->main(0, NULL);
	} else {
		failed++;
		bad = 1;
	}
	x86_on_panic = NULL;
	printf("%s %s, %u ms\n", bad == 0 ? "ok" : "not ok", suite->name,
	    (unsigned)((machine_now() - start) >> 20));
}

/* `list`: names with commas between them, up to a space; NULL: all. */
static bool
wanted(const struct kernel_suite *s, const char *list)
{
	size_t n = strlen(s->name);

	if (list == NULL)
		return (true);
	for (;;) {
		if (strncmp(s->name, list, n) == 0 &&
		    (list[n] == ',' || list[n] == ' ' || list[n] == '\0'))
			return (true);
		while (*list != ',' && *list != ' ' && *list != '\0')
			list++;
		if (*list++ != ',')
			return (false);
	}
}

int
kernel_suites(void)
{
	const char *why;

	if (machine_default_shape(&harness_shape, &why) != 0) {
		printf("tests: %s\n", why);
		return (1);
	}
	harness_shape.physmem = x86_option_size("mem", (uint64_t)64 << 20);
	harness_shape.daemon = false;
	harness_shape.pin = true;
	if (!kernel_heap_start((size_t)24 << 20) || !x86_try_start(harness_shape.physmem)) {
		printf("tests: too little memory for the tests' own\n");
		return (1);
	}
	for (const struct kernel_suite *s = kernel_suite_table; s->name != NULL; s++)
		if (wanted(s, x86_option("suite")))
			run_suite(s);
	printf("tests: %u passed, %u failed\n", passed, failed);
	return (passed > 0 && failed == 0 ? 0 : 1);
}
