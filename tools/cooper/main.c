/*
 * The cooper command: run programs on Cooper, and see what they hold.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include "one_line.h"
#include "tool.h"

void
refuse(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("cooper: ", stderr);
	va_start(ap, fmt);
	one_line(stderr, fmt, ap);
	va_end(ap);
	exit(STATUS_USAGE);
}

void *
xrealloc(void *p, size_t size)
{
	p = realloc(p, size);
	if (p == NULL)
		refuse("out of memory");
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
		refuse("out of memory");
	return (text);
}

void
refuse_option(const char *command, char **argv, int answer, const char *known)
{
	if (answer == ':')
		refuse("%s: %s needs a value; see: cooper help %s", command, argv[optind - 1],
		    command);
	refuse("%s: unknown option %s; known are %s", command, argv[optind - 1], known);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*fn)(int, char **);
	} commands[] = { { "run", run }, { "stat", stat_command }, { "lab", lab_command },
		{ "help", help } };

	if (argc < 2)
		refuse("a command is missing: run, stat, lab or help");
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		if (argc > 2)
			refuse("--version takes nothing after it, not %s", argv[2]);
		printf("cooper %s\n", COOPER_VERSION);
		return (0);
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return (help(argc - 1, argv + 1));
	for (size_t i = 0; i < nitems(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return (commands[i].fn(argc - 1, argv + 1));
	refuse("unknown command %s; known are run, stat, lab, help, --version", argv[1]);
}
