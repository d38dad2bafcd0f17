/*
 * cooper stat: what a process holds now, or what the processes of a run held at their ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "stats/posix/save.h"
#include "tool.h"

/* Arenas with more segments than this are shown without a histogram: it takes a second or so. */
#define MAX_TAGS (1u << 20)
#define ALWAYS   (STATS_BIT(PROCESS) | STATS_BIT(SHAPE) | STATS_BIT(DAMAGE))

static bool
is_number(const char *text)
{
	return (text[0] != '\0' && strspn(text, "0123456789") == strlen(text));
}

static pid_t
parse_pid(const char *text)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(text, &end, 10);
	if (errno != 0 || pid <= 0 || pid > INT_MAX)
		refuse("stat: %s is no process's number", text);
	return ((pid_t)pid);
}

static void
read_command(pid_t pid, char *command)
{
	char *name = xprintf("/proc/%d/comm", (int)pid), text[STATS_NAME] = "";
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	free(name);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	stats_set_name(command, text);
}

static void
read_process(const char *text, unsigned sections, struct merged *m)
{
	static struct stats_cpu cpus[COOPER_MAXCPU];
	struct stats_visitor out = { merge_record, m };
	struct timespec now;
	const char *why;
	pid_t pid = parse_pid(text);
	struct stats_collector c = { .peek = stats_peek_pid,
		.peek_arg = &pid,
		.resident = stats_resident_pid,
		.max_tags = MAX_TAGS,
		.sections = sections,
		.cpus = cpus };

	c.root = target_root(pid, &why);
	if (c.root == 0)
		refuse("stat: process %s: %s", text, why);
	clock_gettime(CLOCK_MONOTONIC, &now);
	c.now = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	c.process.pid = (uint64_t)pid;
	c.process.time = (uint64_t)time(NULL);
	read_command(pid, c.process.command);
	stats_set_name(c.process.state, "live");
	why = stats_collect(&c, &out);
	if (why != NULL)
		refuse("stat: process %s: %s", text, why);
}

int
stat_command(int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	struct merged m = { 0 };
	unsigned sections = 0;
	bool json = false, details = false;
	const char *why;
	int which;

	opterr = 0;
	while ((which = getopt_long(argc, argv, ":zmvweh", longs, NULL)) != -1) {
		switch (which) {
		case 'z':
			sections |= STATS_BIT(ZONES);
			break;
		case 'm':
			sections |= STATS_BIT(TYPES);
			break;
		case 'v':
			sections |= STATS_BIT(ARENAS) | STATS_BIT(DOMAINS);
			details = true;
			break;
		case 'w':
			sections |= STATS_BIT(CHANNELS) | STATS_BIT(WAITS);
			break;
		case 'e':
			sections |= STATS_BIT(MEMORY) | STATS_BIT(CPUS);
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			help_command("stat");
			return (0);
		default:
			refuse_option("stat", argv, which, "-z -m -v -w -e --json --help");
		}
	}
	if (argc - optind != 1)
		refuse("stat: one process's number or one file is accepted, not %d", argc - optind);
	sections = sections == 0 ? STATS_ALL : sections | ALWAYS;
	if (is_number(argv[optind]))
		read_process(argv[optind], sections, &m);
	else if (!read_file(argv[optind], &m, &why))
		refuse(
		    "stat: %s: %s; accepted is a process's number or a file of cooper run --stats",
		    argv[optind], why);
	if (json)
		report_json(&m, sections, stdout);
	else
		report_tables(&m, sections, details, stdout);
	merged_free(&m);
	if (fflush(stdout) != 0)
		refuse("stat: the output cannot be written: %s", strerror(errno));
	return (0);
}
