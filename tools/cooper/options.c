/*
 * The options of cooper run. Each becomes a word of COOPER_OPTIONS, and what may stand in a word is
 * decided by the parser that every process of the run will use: src/machine/posix/options.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "machine/posix/options.h"
#include "tool.h"

#define DEFAULT_HANG 20 /* seconds */
#define MAX_HANG     86400

static const char known[] =
    "--shape --physmem --kva --cpus --domains --debug --decay --ceiling --limit --pressure "
    "--stats --progress --hang --help";

/* Add what --name value said as a word, after asking the parser about it. */
static void
add_word(struct run_options *o, const char *name, const char *value)
{
	struct machine_options parsed;
	const char *why;
	char *word = value == NULL ? xprintf("%s", name) : xprintf("%s=%s", name, value);
	char *all;

	if (value != NULL && (value[0] == '\0' || strpbrk(value, ", \t\n") != NULL))
		refuse(
		    "run: --%s \"%s\": a value without commas and blanks is accepted", name, value);
	if (machine_options_parse(word, &parsed, &why) != 0) {
		const char *accepted = strstr(why, "\": ");

		refuse("run: --%s %s: %s", name, value, accepted == NULL ? why : accepted + 3);
	}
	all = xprintf("%s%s%s", o->words, o->words[0] == '\0' ? "" : ",", word);
	free(o->words);
	free(word);
	o->words = all;
}

/* A name that still means the same file after the command has changed its directory. */
static char *
absolute(const char *path)
{
	char *cwd, *all;

	if (path[0] == '/')
		return (xprintf("%s", path));
	cwd = getcwd(NULL, 0);
	if (cwd == NULL)
		refuse("run: the current directory cannot be told: %s", strerror(errno));
	all = xprintf("%s/%s", cwd, path);
	free(cwd);
	return (all);
}

static unsigned
seconds(const char *text)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n == 0 || n > MAX_HANG)
		refuse("run: --hang %s: 1 to %d seconds are accepted", text, MAX_HANG);
	return ((unsigned)n);
}

static void
from_environment(struct run_options *o)
{
	const char *text = getenv("COOPER_OPTIONS");
	struct machine_options parsed;
	const char *why;

	if (text == NULL)
		text = "";
	if (machine_options_parse(text, &parsed, &why) != 0)
		refuse("COOPER_OPTIONS: %s", why);
	o->words = xprintf("%s", text);
	if (parsed.given & OPTION_STATS) {
		o->stats = absolute(parsed.stats);
		if (parsed.stats[0] != '/')
			add_word(o, "stats", o->stats);
	}
}

static void
from_command_line(int argc, char **argv, struct run_options *o)
{
	static const struct option longs[] = {
		{ "shape", required_argument, NULL, 's' },
		{ "physmem", required_argument, NULL, 'p' },
		{ "kva", required_argument, NULL, 'k' },
		{ "cpus", required_argument, NULL, 'c' },
		{ "domains", required_argument, NULL, 'd' },
		{ "decay", required_argument, NULL, 'x' },
		{ "ceiling", required_argument, NULL, 'x' },
		{ "limit", required_argument, NULL, 'x' },
		{ "pressure", required_argument, NULL, 'x' },
		{ "debug", no_argument, NULL, 'D' },
		{ "stats", required_argument, NULL, 'S' },
		{ "progress", no_argument, NULL, 'P' },
		{ "hang", required_argument, NULL, 'H' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int which, index;

	opterr = 0;
	while ((which = getopt_long(argc, argv, "+:h", longs, &index)) != -1) {
		switch (which) {
		case 's':
		case 'p':
		case 'k':
		case 'c':
		case 'd':
		case 'x':
			add_word(o, longs[index].name, optarg);
			break;
		case 'D':
			add_word(o, "debug", NULL);
			break;
		case 'S':
			free(o->stats);
			o->stats = absolute(optarg);
			add_word(o, "stats", o->stats);
			break;
		case 'P':
			o->progress = true;
			break;
		case 'H':
			o->hang = seconds(optarg);
			break;
		case 'h':
			help_command("run");
			exit(0);
		default:
			refuse_option("run", argv, which, known);
		}
	}
	o->command = argv + optind;
	if (o->command[0] == NULL)
		refuse(
		    "run: the command is missing: cooper run [OPTION]... -- COMMAND [ARGUMENT]...");
}

/*
 * Would a process start with this shape? Start one here, in a child whose only trace is what it
 * says; so that a shape that is refused is refused before anything runs.
 */
static void
try_shape(const struct run_options *o)
{
	struct machine_options parsed;
	struct machine_shape shape;
	const char *why;
	char line[256] = "";
	int pipes[2], status;
	pid_t pid;
	ssize_t n;

	if (machine_options_parse(o->words, &parsed, &why) != 0)
		refuse("run: %s", why);
	if (machine_default_shape(&shape, &why) != 0)
		refuse("run: %s", why);
	machine_options_apply(&parsed, &shape);
	if (pipe2(pipes, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		refuse("run: no process can be started: %s", strerror(errno));
	if (pid == 0) {
		if (cooper_start(&shape) == 0)
			_exit(0);
		why = cooper_start_error();
		n = write(pipes[1], why, strlen(why));
		_exit(n < 0 ? 2 : 1);
	}
	close(pipes[1]);
	n = read(pipes[0], line, sizeof(line) - 1);
	close(pipes[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		refuse(
		    "run: no process can have this shape: %s", n > 0 ? line : "it does not start");
}

void
run_options(int argc, char **argv, struct run_options *o)
{
	*o = (struct run_options){ .hang = DEFAULT_HANG };
	from_environment(o);
	from_command_line(argc, argv, o);
	try_shape(o);
}
