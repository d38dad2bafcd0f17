/*
 * Files that a subcommand is going to write: looked at before anything is done, so that what is
 * wrong with them is said at once and nothing has been written then.
 */
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lab/cli/cli.h"

void
file_must_be_writable(const char *command, const char *option, const char *path)
{
	struct stat st;
	char *copy;

	if (stat(path, &st) == 0) {
		if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
			refuse("%s: --%s %s: not a file", command, option, path);
		if (access(path, W_OK) != 0)
			refuse("%s: --%s %s: %s", command, option, path, strerror(errno));
		return;
	}
	if (errno != ENOENT || lstat(path, &st) == 0) /* a link to nothing is no new file */
		refuse("%s: --%s %s: %s", command, option, path, strerror(errno));
	copy = xprintf("%s", path);
	if (access(dirname(copy), W_OK | X_OK) != 0)
		refuse("%s: --%s %s: %s", command, option, path, strerror(errno));
	free(copy);
}

/* A file of ours is replaced, and so is an empty one; anybody else's is not. */
static void
must_be_ours(
    const char *command, const char *option, const char *path, const char *begin, const char *what)
{
	char there[16];
	FILE *file;
	size_t n;

	file_must_be_writable(command, option, path);
	file = fopen(path, "r");
	if (file == NULL)
		return;
	n = fread(there, 1, strlen(begin), file);
	fclose(file);
	if (n != 0 && (n != strlen(begin) || memcmp(there, begin, n) != 0))
		refuse("%s: --%s %s: exists and is no %s", command, option, path, what);
}

void
replay_must_be_writable(const char *command, const char *path)
{
	must_be_ours(command, "save", path, "cooper-lab ", "replay file");
}

void
page_must_be_writable(const char *command, const char *path)
{
	must_be_ours(command, "html", path, "<!doctype html>", "page");
}

void
file_must_be_regular(const char *command, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		refuse("%s: %s: %s", command, path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		refuse("%s: %s: not a regular file", command, path);
}

void
replay_save(const char *path, const struct lab_spec *spec, const struct lab_schedule *schedule,
    const struct lab_result *result)
{
	FILE *to = fopen(path, "w");

	if (to == NULL || !file_write(to, spec, schedule, result) || fclose(to) != 0)
		fail("%s cannot be written: %s", path, strerror(errno));
}

char *
replay_text(const struct lab_spec *spec, const struct lab_schedule *schedule,
    const struct lab_result *result)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (to == NULL || !file_write(to, spec, schedule, result) || fclose(to) != 0)
		fail("has no memory left");
	return (text);
}

void
page_save(const char *path, const struct report *report)
{
	FILE *to = fopen(path, "w");

	if (to == NULL || !report_html(report, to) || fclose(to) != 0)
		fail("%s cannot be written: %s", path, strerror(errno));
}
