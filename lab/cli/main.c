/*
 * cooper-lab: which subcommand, and how they say what is wrong.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "lab/cli/cli.h"
#include "tools/cooper/one_line.h"

static void
complain(const char *fmt, va_list ap)
{
	fflush(stdout);
	fputs("cooper: lab ", stderr);
	one_line(stderr, fmt, ap);
}

void
refuse(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	exit(STATUS_USAGE);
}

void
fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	exit(STATUS_FAILED);
}

void *
xrealloc(void *p, size_t size)
{
	p = realloc(p, size);
	if (p == NULL)
		fail("has no memory left");
	return (p);
}

char *
xprintf(const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		fail("has no memory left");
	return (text);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*fn)(int, char **);
	} commands[] = { { "list", list_command }, { "run", run_command },
		{ "replay", replay_command }, { "hunt", hunt_command },
		{ "compare", compare_command }, { "soak", soak_command }, { "help", help_command },
		{ "--help", help_command }, { "-h", help_command } };

	if (argc < 2)
		refuse("wants a command: list, run, replay, hunt, compare, soak or help");
	for (size_t i = 0; i < nitems(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return (commands[i].fn(argc - 1, argv + 1));
	refuse(
	    "%s: unknown command; known are list, run, replay, hunt, compare, soak, help", argv[1]);
}
