/*
 * Step by step, for a terminal:
 *
 *	    step         time  01  thread     what
 *	   8,120   1,257.8 us  .*  reclaim#2  releases keg "vmem btag"  [tags_free 254 -> 0]
 *
 * A column of one character a CPU shows where it happened. Runs of steps that say little by
 * themselves are one line, unless only a few steps are asked for.
 */
#include <stdlib.h>
#include <string.h>
#include "lab/report/report_int.h"

#define FEW_STEPS 80 /* so many are shown one by one */
#define DULL_RUN  3  /* as many dull ones as make a line of their own */
#define LANES_MAX 16

static const char *
name_or_address(const struct explanation *e, const struct rec_event *event)
{
	if (event->name != 0)
		return (rec_string(e->r, event->name));
	return (rec_string(e->r, rec_text(e->r, "0x%llx", (unsigned long long)event->object)));
}

void
event_words(const struct explanation *e, const struct rec_event *event, char *text, size_t size)
{
	const char *name = event->name == 0 ? "" : rec_string(e->r, event->name);
	unsigned long long value = event->value;

	switch (event->kind) {
	case SIM_ATOMIC:
		snprintf(text, size, "looks at %s", name_or_address(e, event));
		break;
	case SIM_LOCK:
		snprintf(text, size, "takes %s", name_or_address(e, event));
		break;
	case SIM_BLOCK:
		snprintf(text, size, "finds %s held", name_or_address(e, event));
		break;
	case SIM_TRYLOCK:
		snprintf(text, size, "%s %s", value != 0 ? "takes" : "cannot take at once",
		    name_or_address(e, event));
		break;
	case SIM_UNLOCK:
		snprintf(text, size, "releases %s", name_or_address(e, event));
		break;
	case SIM_PARK:
		snprintf(text, size, "sleeps%s%s%s%s%s", *name != '\0' ? " on \"" : "", name,
		    *name != '\0' ? "\"" : "", value != 0 ? " until " : "",
		    value > SIM_START_NS ? duration(value - SIM_START_NS) : "");
		break;
	case SIM_WAKE:
		snprintf(text, size, "wakes up%s", value != 0 ? "" : ": its time is over");
		break;
	case SIM_UNPARK:
		snprintf(text, size, "wakes %s", fiber_label(e, (unsigned)value));
		break;
	case SIM_ENTER:
		snprintf(text, size, "enters CPU %llu, %s", value, name);
		break;
	case SIM_EXIT:
		snprintf(text, size, "leaves CPU %llu, %s", value, name);
		break;
	case SIM_POP:
		snprintf(text, size, "pops from %s: %s", name, value != 0 ? "an item" : "nothing");
		break;
	case SIM_PUSH:
		snprintf(text, size, "pushes to %s%s", name, value != 0 ? "" : ": no room");
		break;
	case SIM_MAP:
	case SIM_UNMAP:
		snprintf(text, size, "%s %llu page%s at 0x%llx",
		    event->kind == SIM_MAP ? "maps" : "unmaps", value, value == 1 ? "" : "s",
		    (unsigned long long)event->object);
		break;
	case SIM_PAGES:
		snprintf(text, size, "contents of %llu page%s", value, value == 1 ? "" : "s");
		break;
	case SIM_START:
		snprintf(text, size, "starts %s", fiber_label(e, (unsigned)value));
		break;
	case SIM_SWITCH:
		snprintf(text, size, "lets %s go on", fiber_label(e, (unsigned)value));
		break;
	case SIM_MIGRATE:
		snprintf(text, size, "moves to CPU %llu", value);
		break;
	case SIM_INJECT:
		snprintf(text, size, "request %llu is made to fail", value);
		break;
	case SIM_RECLAIM:
		snprintf(text, size, "a reclaim pass is put in here");
		break;
	case SIM_CALL:
		snprintf(text, size, "calls %s(%llu)", name, value);
		break;
	case SIM_RETURN:
		snprintf(text, size, "returns from %s()", name);
		break;
	case SIM_NOTE:
		snprintf(text, size, "notes: %s", name);
		break;
	default:
		snprintf(text, size, "%s", sim_kind_names[event->kind]);
	}
}

bool
event_is_dull(const struct rec_event *event)
{
	switch (event->kind) {
	case SIM_ATOMIC:
	case SIM_LOCK:
	case SIM_UNLOCK:
	case SIM_TRYLOCK:
	case SIM_ENTER:
	case SIM_EXIT:
	case SIM_POP:
	case SIM_PUSH:
	case SIM_SWITCH:
	case SIM_PAGES:
		return (true);
	default:
		return (false);
	}
}

/* ---- what changed ------------------------------------------------------------------------------------ */

struct change {
	const struct rec_meter *meter;
	unsigned point;
};

struct view {
	const struct explanation *e;
	FILE *to;
	bool colour;
	struct change *changes; /* in the range, by step */
	unsigned nchanges, changes_room, next;
	/* The dull ones that wait to be printed. */
	unsigned first_dull, ndull;
};

static int
by_step(const void *a, const void *b)
{
	const struct change *p = a, *q = b;
	uint64_t x = p->meter->points[p->point].step, y = q->meter->points[q->point].step;

	return (x != y ? (x > y) - (x < y) : (p->meter > q->meter) - (p->meter < q->meter));
}

static void
gather_changes(struct view *v, uint64_t first, uint64_t last)
{
	for (unsigned i = 0; i < v->e->r->nmeters; i++) {
		const struct rec_meter *m = &v->e->r->meters[i];

		for (unsigned k = 1; k < m->n; k++)
			if (m->points[k].step >= first && m->points[k].step <= last)
				REC_PUSH(v->changes, v->nchanges, v->changes_room,
				    ((struct change){ m, k }));
	}
	if (v->nchanges > 0)
		qsort(v->changes, v->nchanges, sizeof(*v->changes), by_step);
}

static bool
is_fatal(const struct view *v, const struct change *c)
{
	for (unsigned i = 0; i < v->e->nfatal; i++)
		if (v->e->fatal[i].meter == c->meter && v->e->fatal[i].point == c->point)
			return (true);
	return (false);
}

/* These share their step with what the next fiber then does. */
static bool
is_a_switch(const struct rec_event *event)
{
	return (event->kind == SIM_SWITCH || event->kind == SIM_MIGRATE);
}

/* "tags_free 254 -> 0, ..." of this event; true if one of them is a fatal step. */
static bool
changes_of(struct view *v, const struct rec_event *event, char *text, size_t size)
{
	bool fatal = false;
	size_t len = 0;

	text[0] = '\0';
	if (is_a_switch(event))
		return (false);
	while (v->next < v->nchanges) {
		const struct change *c = &v->changes[v->next];
		const struct rec_point *p = &c->meter->points[c->point];

		if (p->step > event->step)
			break;
		v->next++;
		if (p->step < event->step || len >= size)
			continue;
		fatal |= is_fatal(v, c);
		len +=
		    (size_t)snprintf(text + len, size - len, "%s%s %s -> %s", len > 0 ? ", " : "",
			rec_string(v->e->r, c->meter->name), number(p[-1].value), number(p->value));
	}
	return (fatal);
}

static bool
changes_something(const struct view *v, const struct rec_event *event)
{
	for (unsigned i = is_a_switch(event) ? v->nchanges : v->next; i < v->nchanges; i++) {
		const struct change *c = &v->changes[i];

		if (c->meter->points[c->point].step >= event->step)
			return (c->meter->points[c->point].step == event->step);
	}
	return (false);
}

/* Steps follow each other in tenths of microseconds: "1,257.8 us". */
static const char *
micros(uint64_t ns)
{
	static char text[40];

	snprintf(text, sizeof(text), "%s.%u us", number((int64_t)(ns / 1000)),
	    (unsigned)(ns / 100 % 10));
	return (text);
}

/* ---- lines --------------------------------------------------------------------------------------------- */

static void
lanes(const struct view *v, unsigned cpu, char text[LANES_MAX + 1])
{
	unsigned n = v->e->r->spec.shape.ncpus;

	if (n > LANES_MAX || n == 0) {
		snprintf(text, LANES_MAX + 1, "%3u", cpu);
		return;
	}
	memset(text, '.', n);
	text[n] = '\0';
	if (cpu < n)
		text[cpu] = '*';
}

static void
print_head(const struct view *v)
{
	char cpus[LANES_MAX + 1] = "cpu";
	unsigned n = v->e->r->spec.shape.ncpus;

	for (unsigned i = 0; n <= LANES_MAX && i < n; i++)
		cpus[i] = "0123456789abcdef"[i], cpus[i + 1] = '\0';
	fprintf(v->to, "  %10s  %14s  %s  %-14s %s\n", "step", "time", cpus, "thread", "what");
}

static void
print_line(const struct view *v, const struct rec_event *event, const char *what,
    const char *changes, bool fatal, bool dim)
{
	char cpus[LANES_MAX + 1];
	const char *on = "", *off = "";

	if (v->colour && (fatal || dim || *changes != '\0')) {
		on = fatal ? "\033[1;31m" : dim ? "\033[2m" : "\033[33m";
		off = "\033[0m";
	}
	lanes(v, event->cpu, cpus);
	fprintf(v->to, "%s%s %10s  %14s  %s  %-14.14s %s", on, fatal ? "!" : " ",
	    number((int64_t)event->step), micros(event->now), cpus, fiber_label(v->e, event->fiber),
	    what);
	if (*changes != '\0')
		fprintf(v->to, "%s[%s]", strlen(what) < 34 ? "  " : " ", changes);
	fprintf(v->to, "%s\n", off);
}

static void
print_event(struct view *v, const struct rec_event *event)
{
	char what[120], changes[400];
	bool fatal = changes_of(v, event, changes, sizeof(changes));

	event_words(v->e, event, what, sizeof(what));
	print_line(v, event, what, changes, fatal, event_is_dull(event) && changes[0] == '\0');
}

static void
print_dull(struct view *v)
{
	const struct rec_event *first = rec_event(v->e->r, v->first_dull);
	unsigned count[SIM_KINDS] = { 0 };
	char what[200];
	size_t len;

	if (v->ndull <= DULL_RUN) {
		for (unsigned i = 0; i < v->ndull; i++)
			print_event(v, rec_event(v->e->r, v->first_dull + i));
		v->ndull = 0;
		return;
	}
	for (unsigned i = 0; i < v->ndull; i++)
		count[rec_event(v->e->r, v->first_dull + i)->kind]++;
	len = (size_t)snprintf(what, sizeof(what), "... %u:", v->ndull);
	for (unsigned k = 0; k < SIM_KINDS && len < sizeof(what); k++)
		if (count[k] > 0)
			len += (size_t)snprintf(
			    what + len, sizeof(what) - len, " %s x%u", sim_kind_names[k], count[k]);
	print_line(v, first, what, "", false, true);
	v->ndull = 0;
}

static void
take_event(struct view *v, unsigned i, bool all)
{
	const struct rec_event *event = rec_event(v->e->r, i);

	if (!all && event_is_dull(event) && !changes_something(v, event)) {
		if (v->ndull > 0 && rec_event(v->e->r, v->first_dull)->fiber != event->fiber)
			print_dull(v);
		if (v->ndull++ == 0)
			v->first_dull = i;
		return;
	}
	print_dull(v);
	print_event(v, event);
}

bool
report_steps(const struct report *report, FILE *to, uint64_t first, uint64_t last, bool colour)
{
	struct view v = { .e = report->explanation, .to = to, .colour = colour };
	const struct recording *r = report->recording;
	unsigned i = rec_event_at(r, first);

	if (last == 0)
		last = UINT64_MAX;
	if (i == r->nevents || rec_event(r, i)->step > last)
		return (false);
	gather_changes(&v, first, last);
	print_head(&v);
	if (r->first != 0 && first < rec_event(r, 0)->step)
		fprintf(to, "  %10s  of this run the latest %s events are kept\n", "...",
		    number(EVENTS_MAX));
	for (; i < r->nevents && rec_event(r, i)->step <= last; i++)
		take_event(&v, i, last - first < FEW_STEPS);
	print_dull(&v);
	free(v.changes);
	return (true);
}
