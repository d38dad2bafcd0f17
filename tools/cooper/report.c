/*
 * A set of records as tables or as JSON. Of one process it is what that process said; of several,
 * each row also says in how many it was seen and what the largest of them had.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <string.h>
#include "tool.h"

/* A row is printed by the core; what a merged row has beyond that is added to its first line. */
struct printer {
	FILE *to;
	const char *suffix;
};

static void
print_line(void *arg, const char *line)
{
	struct printer *p = arg;

	fprintf(p->to, "%s%s\n", line, p->suffix);
	p->suffix = "";
}

/* The levels whose largest value in one process is worth a column. */
static const struct {
	const char *head;
	size_t field[2];
} largest[STATS_SECTIONS] = {
	[STATS_ZONES] = { "   PROCS    MAXUSED   MAXPAGES",
	    { offsetof(struct stats_zone, used), offsetof(struct stats_zone, pages) } },
	[STATS_ARENAS] = { "   PROCS   MAXINUSE    MAXBUSY",
	    { offsetof(struct stats_arena, inuse), offsetof(struct stats_arena, tags_busy) } },
	[STATS_DOMAINS] = { "   PROCS  MAXALLOCS  MAXPASSES",
	    { offsetof(struct stats_domain, allocs), offsetof(struct stats_domain, passes) } },
	[STATS_CHANNELS] = { "   PROCS  MAXSLEEPS MAXTIMEOUT",
	    { offsetof(struct stats_channel, sleeps), offsetof(struct stats_channel, timeouts) } },
};

static void
table_row(const struct merged *m, enum stats_section s, const struct merged_record *r, bool details,
    FILE *to)
{
	char suffix[80] = "";
	struct printer p = { to, suffix };
	union stats_record copy = r->sum;

	if (s == STATS_ARENAS && !details)
		copy.arena.nclasses = 0;
	if (m->images > 1 && largest[s].head != NULL) {
		const char *max = (const char *)&r->max;

		snprintf(suffix, sizeof(suffix), " %7" PRIu64 " %10" PRIu64 " %10" PRIu64,
		    r->processes, *(const uint64_t *)(max + largest[s].field[0]),
		    *(const uint64_t *)(max + largest[s].field[1]));
	}
	stats_table_row(s, &copy, print_line, &p);
}

static void
header(const struct merged *m, FILE *to)
{
	const struct merged_record *p = merged_first(m, STATS_PROCESS);
	const struct merged_record *s = merged_first(m, STATS_SHAPE);

	if (p == NULL)
		return;
	if (m->images == 1)
		fprintf(to, "process %" PRIu64 " (%s), %s", p->sum.process.pid,
		    p->sum.process.command, p->sum.process.state);
	else
		fprintf(to, "%" PRIu64 " processes, %" PRIu64 " programs", m->processes, m->images);
	fprintf(to, ", Cooper %s", p->sum.process.version);
	if (s != NULL)
		fprintf(to,
		    "; %s, %" PRIu64 " CPUs, %" PRIu64 " domains, %" PRIu64 "K memory, %" PRIu64
		    "K address space%s",
		    s->sum.shape.direct_map ? "direct map" : "no direct map", s->sum.shape.cpus,
		    s->sum.shape.domains, s->sum.shape.physmem >> 10, s->sum.shape.kva >> 10,
		    s->sum.shape.debug ? ", debug" : "");
	fputc('\n', to);
}

/* Of many processes the page daemons, which wait for work, are no news: each has one. */
static bool
is_news(const struct merged *m, unsigned s, const struct merged_record *r)
{
	return (
	    m->images <= 1 || s != STATS_WAITS || strcmp(r->sum.wait.channel, IDLE_CHANNEL) != 0);
}

void
report_tables(const struct merged *m, unsigned sections, bool details, FILE *to)
{
	header(m, to);
	for (unsigned s = STATS_ZONES; s < STATS_SECTIONS; s++) {
		struct printer p = { to,
			m->images > 1 && largest[s].head != NULL ? largest[s].head : "" };
		size_t rows = 0;

		if ((sections & 1u << s) == 0 || s == STATS_TOTALS ||
		    (s == STATS_CPUS && sections == STATS_ALL) ||
		    ((s == STATS_DAMAGE || s == STATS_MEMORY) && m->count[s] == 0))
			continue;
		fputc('\n', to);
		stats_table_head(s, print_line, &p);
		for (size_t i = 0; i < m->count[s]; i++)
			if (is_news(m, s, &m->records[s][i])) {
				table_row(m, s, &m->records[s][i], details, to);
				rows++;
			}
		if (s == STATS_WAITS && rows == 0)
			fputs("nobody\n", to);
	}
}

static void
write_file(void *arg, const char *text, size_t len)
{
	fwrite(text, 1, len, arg);
}

static void
json_merged(struct json *j, enum stats_section s, const struct merged_record *r, bool single)
{
	json_open(j, single ? stats_kinds[s].name : NULL, '{');
	stats_json_fields(j, &stats_kinds[s], &r->sum);
	json_put_number(j, "processes", r->processes);
	json_open(j, "max", '{');
	stats_json_fields(j, &stats_kinds[s], &r->max);
	json_close(j, '}');
	json_close(j, '}');
}

void
report_json(const struct merged *m, unsigned sections, FILE *to)
{
	struct stats_json w;
	bool many = m->images > 1;

	stats_json_start(&w, sections, write_file, to);
	if (many) {
		json_put_number(&w.json, "processes", m->processes);
		json_put_number(&w.json, "programs", m->images);
	}
	for (unsigned s = 0; s < STATS_SECTIONS; s++) {
		const struct stats_kind *kind = &stats_kinds[s];

		if ((sections & 1u << s) == 0 || (many && s == STATS_PROCESS))
			continue;
		for (size_t i = 0; i < m->count[s] && !many; i++)
			stats_json_record(&w, s, &m->records[s][i].sum);
		if (many && !kind->single)
			json_open(&w.json, kind->name, '[');
		for (size_t i = 0; i < m->count[s] && many; i++)
			json_merged(&w.json, s, &m->records[s][i], kind->single);
		if (many && !kind->single)
			json_close(&w.json, ']');
	}
	if (many)
		w.next = STATS_SECTIONS;
	stats_json_end(&w);
}
