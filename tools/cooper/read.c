/*
 * A saved file back into records: a loop over the same description that wrote it. A line is checked
 * as a whole before any of it is given out. Fields that are missing are zero (a later version may
 * have added them); fields that we do not know are ignored (so may a later one that wrote the file).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>
#include <jansson.h>
#include "tool.h"

static char problem[256];

static bool
wrong(const char **why, const char *kind, const char *field, const char *expected)
{
	snprintf(problem, sizeof(problem), "%s.%s is not %s", kind, field, expected);
	*why = problem;
	return (false);
}

static bool read_object(
    const json_t *object, const struct stats_kind *kind, void *record, const char **why);

static bool
read_list(const json_t *value, const struct stats_kind *kind, const struct stats_field *f,
    void *record, const char **why)
{
	const struct stats_kind *sub = stats_sub(f);
	size_t n = json_array_size(value);

	if (!json_is_array(value) || n > f->size / sub->size)
		return (wrong(why, kind->name, f->name, "a list of the right length"));
	for (size_t i = 0; i < n; i++)
		if (!read_object(json_array_get(value, i), sub,
			(char *)record + f->offset + i * sub->size, why))
			return (false);
	*(uint64_t *)((char *)record + f->count_offset) = n;
	return (true);
}

static bool
read_field(const json_t *value, const struct stats_kind *kind, const struct stats_field *f,
    void *record, const char **why)
{
	switch (f->type) {
	case STATS_STRING:
		if (!json_is_string(value))
			return (wrong(why, kind->name, f->name, "a string"));
		snprintf((char *)record + f->offset, f->size, "%s", json_string_value(value));
		return (true);
	case STATS_NUMBER:
		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return (wrong(why, kind->name, f->name, "a number"));
		*stats_number(f, record) = (uint64_t)json_integer_value(value);
		return (true);
	case STATS_FLAG:
		if (!json_is_boolean(value))
			return (wrong(why, kind->name, f->name, "true or false"));
		*stats_number(f, record) = json_is_true(value);
		return (true);
	default:
		return (read_list(value, kind, f, record, why));
	}
}

static bool
read_object(const json_t *object, const struct stats_kind *kind, void *record, const char **why)
{
	memset(record, 0, kind->size);
	if (!json_is_object(object))
		return (wrong(why, kind->name, "entry", "an object"));
	for (unsigned i = 0; i < kind->nfields; i++) {
		const json_t *value = json_object_get(object, kind->fields[i].name);

		if (value != NULL && !read_field(value, kind, &kind->fields[i], record, why))
			return (false);
	}
	return (true);
}

/* One section; with out NULL it is only checked. */
static bool
read_section(
    const json_t *root, enum stats_section s, const struct stats_visitor *out, const char **why)
{
	const struct stats_kind *kind = &stats_kinds[s];
	const json_t *value = json_object_get(root, kind->name);
	union stats_record record;
	size_t n = kind->single ? 1 : json_array_size(value);

	if (value == NULL)
		return (true);
	if (!kind->single && !json_is_array(value))
		return (wrong(why, "snapshot", kind->name, "a list"));
	for (size_t i = 0; i < n; i++) {
		if (!read_object(
			kind->single ? value : json_array_get(value, i), kind, &record, why))
			return (false);
		if (out != NULL)
			out->record(out->arg, s, &record);
	}
	return (true);
}

static bool
read_snapshot(const json_t *root, const struct stats_visitor *out, const char **why)
{
	const json_t *format = json_object_get(root, "cooper_stats");

	if (!json_is_integer(format)) {
		*why = "it is not a snapshot of Cooper's statistics";
		return (false);
	}
	if (json_integer_value(format) != STATS_FORMAT) {
		snprintf(problem, sizeof(problem),
		    "it has format %lld; this cooper reads format %d",
		    (long long)json_integer_value(format), STATS_FORMAT);
		*why = problem;
		return (false);
	}
	for (unsigned s = 0; s < STATS_SECTIONS; s++)
		if (!read_section(root, s, NULL, why))
			return (false);
	for (unsigned s = 0; s < STATS_SECTIONS; s++)
		read_section(root, s, out, why);
	return (true);
}

bool
read_line(const char *text, size_t len, const struct stats_visitor *out, const char **why)
{
	json_error_t error;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	bool ok;

	if (root == NULL) {
		snprintf(problem, sizeof(problem), "%s at byte %d", error.text, error.position);
		*why = problem;
		return (false);
	}
	ok = read_snapshot(root, out, why);
	json_decref(root);
	return (ok);
}

bool
read_is_stats(const char *text, size_t len)
{
	static const char start[] = "{\"cooper_stats\":";

	return (len >= sizeof(start) - 1 && memcmp(text, start, sizeof(start) - 1) == 0);
}

static bool
read_lines(const char *text, size_t size, struct merged *m, const char **why)
{
	struct stats_visitor out = { merge_record, m };
	unsigned line = 0;

	for (size_t at = 0; at < size;) {
		const char *end = memchr(text + at, '\n', size - at);
		size_t len = end == NULL ? size - at : (size_t)(end - text) - at;

		line++;
		if (!read_line(text + at, len, &out, why)) {
			*why = xprintf("line %u is damaged: %s", line, *why);
			return (false);
		}
		at += len + 1;
	}
	return (true);
}

bool
read_file(const char *path, struct merged *m, const char **why)
{
	struct stat st;
	char *text;
	bool ok;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* nobody may be writing a pipe */

	if (fd < 0 || fstat(fd, &st) != 0) {
		*why = strerror(errno);
		return (false);
	}
	*why = !S_ISREG(st.st_mode) ? "it is not a regular file"
	       : st.st_size == 0    ? "it is empty: no process of the run has ended"
				    : NULL;
	text = *why != NULL ? MAP_FAILED
			    : mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (text == MAP_FAILED) {
		if (*why == NULL)
			*why = strerror(errno);
		return (false);
	}
	ok = read_is_stats(text, (size_t)st.st_size);
	if (ok)
		ok = read_lines(text, (size_t)st.st_size, m, why);
	else
		*why = "it is not a statistics file";
	munmap(text, (size_t)st.st_size);
	return (ok);
}
