/*
 * Records of many processes into one set, field by field as their rules say (stats.h). Records of a
 * section with equal key fields become one.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include "tool.h"

#define MAX_PID 4194304 /* Linux has no larger one */

static bool
same_field(const struct stats_field *f, const void *a, const void *b)
{
	const char *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;

	return (f->type == STATS_STRING ? strcmp(x, y) == 0 : memcmp(x, y, f->size) == 0);
}

static bool
same_keys(const struct stats_kind *kind, const void *a, const void *b)
{
	for (unsigned i = 0; i < kind->nfields; i++)
		if (kind->fields[i].rule == STATS_KEY && !same_field(&kind->fields[i], a, b))
			return (false);
	return (true);
}

static void merge_fields(const struct stats_kind *kind, void *into, void *from, bool max);

/* A list inside a record: elements with equal keys are merged, others appended while there is room. */
static void
merge_list(const struct stats_field *f, void *into, void *from, bool max)
{
	uint64_t *n = (uint64_t *)((char *)into + f->count_offset);
	uint64_t more = *(uint64_t *)((char *)from + f->count_offset);
	char *a = (char *)into + f->offset, *b = (char *)from + f->offset;
	const struct stats_kind *sub = stats_sub(f);

	for (uint64_t i = 0; i < more; i++) {
		char *element = b + i * sub->size;
		uint64_t k = 0;

		while (k < *n && !same_keys(sub, a + k * sub->size, element))
			k++;
		if (k < *n)
			merge_fields(sub, a + k * sub->size, element, max);
		else if (k < f->size / sub->size) {
			memcpy(a + k * sub->size, element, sub->size);
			*n = k + 1;
		}
	}
}

static void
merge_fields(const struct stats_kind *kind, void *into, void *from, bool max)
{
	for (unsigned i = 0; i < kind->nfields; i++) {
		const struct stats_field *f = &kind->fields[i];
		uint64_t *a = stats_number(f, into), *b = stats_number(f, from);

		if (f->type == STATS_LIST)
			merge_list(f, into, from, max);
		else if (f->type == STATS_STRING)
			continue;
		else if (f->rule == STATS_BITS)
			*a |= *b;
		else if (f->rule == STATS_MAX ||
			 (max && f->rule != STATS_KEY && f->rule != STATS_FIRST))
			*a = MAX(*a, *b);
		else if (f->rule == STATS_SUM || f->rule == STATS_COUNT)
			*a += *b;
	}
}

static struct merged_record *
find_or_add(struct merged *m, enum stats_section s, const void *record)
{
	const struct stats_kind *kind = &stats_kinds[s];
	struct merged_record *r;
	size_t n = m->count[s];

	for (size_t i = 0; i < n; i++) {
		r = &m->records[s][i];
		if (kind->single || same_keys(kind, &r->sum, record))
			return (r);
	}
	if ((n & (n - 1)) == 0) /* room for the next power of two */
		m->records[s] = xrealloc(m->records[s], (n == 0 ? 1 : 2 * n) * sizeof(*r));
	r = &m->records[s][n];
	m->count[s] = n + 1;
	memset(r, 0, sizeof(*r));
	memcpy(&r->sum, record, kind->size);
	memcpy(&r->max, record, kind->size);
	return (r);
}

/* A process may leave several lines, one for each program that it was. */
static void
count_process(struct merged *m, uint64_t pid)
{
	m->images++;
	if (m->pids == NULL) {
		m->pids = xrealloc(NULL, MAX_PID / 8 + 1);
		memset(m->pids, 0, MAX_PID / 8 + 1);
	}
	if (pid <= MAX_PID && (m->pids[pid / 8] >> pid % 8 & 1) != 0)
		return;
	if (pid <= MAX_PID)
		m->pids[pid / 8] |= (uint8_t)(1 << pid % 8);
	m->processes++;
}

void
merge_record(void *merged, enum stats_section s, const void *record)
{
	struct merged *m = merged;
	union stats_record copy;
	struct merged_record *r;

	memcpy(&copy, record, stats_kinds[s].size);
	if (s == STATS_PROCESS)
		count_process(m, copy.process.pid);
	r = find_or_add(m, s, &copy);
	r->processes += r->image != m->images; /* two zones of one name count once */
	r->image = m->images;
	if (r->parts++ > 0) {
		merge_fields(&stats_kinds[s], &r->sum, &copy, false);
		merge_fields(&stats_kinds[s], &r->max, &copy, true);
	}
}

const struct merged_record *
merged_first(const struct merged *m, enum stats_section s)
{
	return (m->count[s] == 0 ? NULL : &m->records[s][0]);
}

void
merged_free(struct merged *m)
{
	for (unsigned s = 0; s < STATS_SECTIONS; s++)
		free(m->records[s]);
	free(m->pids);
	memset(m, 0, sizeof(*m));
}
