/*
 * A test program's frame without a test library: what is under test is the malloc below any library.
 * Prints TAP. The first broken check of a case ends the program.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Writes with write(2): a check may break in a child, a thread, or a constructor. */
static inline void
check_failed(const char *file, int line, const char *what)
{
	char text[512];
	int n = snprintf(
	    text, sizeof(text), "# %s:%d: not true: %s\nBail out! %s\n", file, line, what, what);

	if (write(STDOUT_FILENO, text, (size_t)n) < 0)
		_exit(1);
	abort();
}

#define check(cond)                                              \
	do {                                                     \
		if (!(cond))                                     \
			check_failed(__FILE__, __LINE__, #cond); \
	} while (0)

struct check_case {
	const char *name;
	void (*fn)(void);
};

#define CASE(fn)        \
	{               \
#fn, fn \
	}

static inline int
check_run(const struct check_case *cases, unsigned n, const char *only)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%u\n", n);
	for (unsigned i = 0; i < n; i++) {
		if (only != NULL && strcmp(only, cases[i].name) != 0) {
			printf("ok %u - %s # SKIP\n", i + 1, cases[i].name);
			continue;
		}
		cases[i].fn();
		printf("ok %u - %s\n", i + 1, cases[i].name);
	}
	return (0);
}

#endif
