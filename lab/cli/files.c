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
	copy = xprintf("%s", path);
	if (access(dirname(copy), W_OK | X_OK) != 0)
		refuse("%s: --%s %s: %s", command, option, path, strerror(errno));
	free(copy);
}

/* A file of ours is replaced; anybody else's is not. */
void
replay_must_be_writable(const char *command, const char *path)
{
	char begin[11];
	FILE *file;
	bool ours;

	file_must_be_writable(command, "save", path);
	file = fopen(path, "r");
	if (file == NULL)
		return;
	ours = fread(begin, 1, sizeof(begin), file) == 0 ||
	       memcmp(begin, "cooper-lab ", sizeof(begin)) == 0;
	fclose(file);
	if (!ours)
		refuse("%s: --save %s: exists and is no replay file", command, path);
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
