/*
 * Keeping a recording: growing arrays, and two tables in which texts and call paths are found again,
 * so that each is there once. Tables have open addresses and are at most half full.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lab/report/recording.h"

static void *
must_have(void *p)
{
	if (p == NULL) {
		fprintf(stderr, "cooper-lab: out of memory for the recording of a run\n");
		exit(1);
	}
	return (p);
}

void *
rec_alloc(size_t size)
{
	return (must_have(calloc(1, MAX(size, 1u))));
}

void *
rec_grow(void *array, unsigned n, unsigned *room, size_t size)
{
	if (n < *room)
		return (array);
	*room = MAX(2 * *room, 16u);
	return (must_have(reallocarray(array, *room, size)));
}

/* ---- tables --------------------------------------------------------------------------------------- */

static uint64_t
hash_bytes(const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	uint64_t h = 14695981039346656037ull;

	while (n-- > 0)
		h = (h ^ *p++) * 1099511628211ull;
	return (h ^ h >> 29);
}

static void
table_put(struct rec_table *t, uint64_t hash, uint32_t number)
{
	unsigned i = (unsigned)hash & t->mask;

	while (t->slot[i] != 0)
		i = (i + 1) & t->mask;
	t->slot[i] = number;
	t->used++;
}

/* Room for one more; the caller puts everything in again if the table was made anew. */
static bool
table_grow(struct rec_table *t)
{
	unsigned slots = t->slot == NULL ? 256 : 2 * (t->mask + 1);

	if (t->slot != NULL && 2 * (t->used + 1) <= t->mask + 1)
		return (false);
	free(t->slot);
	*t = (struct rec_table){ .slot = rec_alloc(slots * sizeof(*t->slot)), .mask = slots - 1 };
	return (true);
}

/* ---- texts ------------------------------------------------------------------------------------------ */

/* Bytes of the UTF-8 character at s; 0 if it is none, or one that moves a terminal's cursor. */
static unsigned
character(const unsigned char *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned n = *s < 0x80 ? 1 : *s >> 5 == 6 ? 2 : *s >> 4 == 14 ? 3 : *s >> 3 == 30 ? 4 : 0;
	uint32_t code = n == 1 ? *s : n == 0 ? 0 : *s & (0xffu >> (n + 1));

	for (unsigned i = 1; i < n; i++) {
		if (s[i] >> 6 != 2)
			return (0);
		code = code << 6 | (s[i] & 0x3fu);
	}
	if (n == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0) || code < least[n] ||
	    code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ||
	    (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069))
		return (0);
	return (n);
}

static void
clean(char *text)
{
	for (unsigned char *s = (unsigned char *)text; *s != '\0';) {
		unsigned n = character(s);

		if (n == 0)
			*s = '?';
		s += MAX(n, 1u);
	}
}

uint32_t
rec_text(struct recording *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	unsigned i;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (text[0] == '\0')
		return (0);
	clean(text);
	if (table_grow(&r->text_table))
		for (uint32_t k = 1; k <= r->ntexts; k++)
			table_put(&r->text_table,
			    hash_bytes(r->texts[k - 1], strlen(r->texts[k - 1])), k);
	i = (unsigned)hash_bytes(text, strlen(text)) & r->text_table.mask;
	for (uint32_t k; (k = r->text_table.slot[i]) != 0; i = (i + 1) & r->text_table.mask)
		if (strcmp(r->texts[k - 1], text) == 0)
			return (k);
	REC_PUSH(r->texts, r->ntexts, r->texts_room, must_have(strdup(text)));
	table_put(&r->text_table, hash_bytes(text, strlen(text)), r->ntexts);
	return (r->ntexts);
}

const char *
rec_string(const struct recording *r, uint32_t text)
{
	return (text == 0 ? "" : r->texts[text - 1]);
}

/* ---- call paths ---------------------------------------------------------------------------------------- */

uint32_t
rec_path(struct recording *r, const uintptr_t *pc, unsigned n)
{
	uint64_t hash = hash_bytes(pc, n * sizeof(*pc));
	struct rec_path p = { .n = n };
	unsigned i;

	if (n == 0)
		return (0);
	if (table_grow(&r->path_table))
		for (uint32_t k = 1; k <= r->npaths; k++)
			table_put(&r->path_table,
			    hash_bytes(r->paths[k - 1].pc, r->paths[k - 1].n * sizeof(*pc)), k);
	i = (unsigned)hash & r->path_table.mask;
	for (uint32_t k; (k = r->path_table.slot[i]) != 0; i = (i + 1) & r->path_table.mask) {
		const struct rec_path *q = &r->paths[k - 1];

		if (q->n == n && memcmp(q->pc, pc, n * sizeof(*pc)) == 0)
			return (k);
	}
	p.pc = rec_alloc(n * sizeof(*pc));
	memcpy(p.pc, pc, n * sizeof(*pc));
	REC_PUSH(r->paths, r->npaths, r->paths_room, p);
	table_put(&r->path_table, hash, r->npaths);
	return (r->npaths);
}

/* ---- events -------------------------------------------------------------------------------------------- */

void
rec_add_event(struct recording *r, const struct rec_event *e)
{
	if (r->nevents < EVENTS_MAX) {
		REC_PUSH(r->events, r->nevents, r->events_room, *e);
		return;
	}
	r->events[r->first] = *e;
	r->first = (r->first + 1) % EVENTS_MAX;
}

const struct rec_event *
rec_event(const struct recording *r, unsigned i)
{
	return (&r->events[r->first == 0 ? i : (r->first + i) % EVENTS_MAX]);
}

unsigned
rec_event_at(const struct recording *r, uint64_t step)
{
	unsigned low = 0, high = r->nevents;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (rec_event(r, middle)->step < step)
			low = middle + 1;
		else
			high = middle;
	}
	return (low);
}

/* ---- meters and operations ---------------------------------------------------------------------------- */

struct rec_meter *
rec_meter(struct recording *r, enum meter_kind kind, const char *name, const char *owner,
    const char *unit)
{
	struct rec_meter m = { .name = rec_text(r, "%s", name),
		.owner = rec_text(r, "%s", owner),
		.unit = rec_text(r, "%s", unit),
		.kind = (uint8_t)kind };

	REC_PUSH(r->meters, r->nmeters, r->meters_room, m);
	return (&r->meters[r->nmeters - 1]);
}

void
rec_add_point(struct rec_meter *m, const struct rec_point *p)
{
	REC_PUSH(m->points, m->n, m->room, *p);
}

const struct rec_meter *
rec_find_meter(const struct recording *r, enum meter_kind kind, uint32_t owner)
{
	const struct rec_meter *found = NULL;

	for (unsigned i = 0; i < r->nmeters; i++) {
		const struct rec_meter *m = &r->meters[i];

		if (m->kind == kind && m->n > 0 && (owner == 0 || m->owner == owner) &&
		    (found == NULL || !m->gone))
			found = m;
	}
	return (found);
}

int64_t
rec_value(const struct rec_meter *m, uint64_t step)
{
	unsigned low = 0, high = m->n;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (m->points[middle].step <= step)
			low = middle + 1;
		else
			high = middle;
	}
	return (low == 0 ? 0 : m->points[low - 1].value);
}

int64_t
rec_last(const struct rec_meter *m)
{
	return (m->n == 0 ? 0 : m->points[m->n - 1].value);
}

unsigned
rec_add_call(struct recording *r, const struct rec_call *c)
{
	REC_PUSH(r->calls, r->ncalls, r->calls_room, *c);
	return (r->ncalls - 1);
}

const struct rec_call *
rec_current(const struct recording *r, const struct rec_fiber *f)
{
	return (f->call == 0 ? NULL : &r->calls[f->call - 1]);
}

/* ---- life --------------------------------------------------------------------------------------------------- */

struct recording *
recording_new(const struct lab_spec *spec, const struct lab_schedule *schedule)
{
	struct recording *r = rec_alloc(sizeof(*r));

	if (spec != NULL)
		r->spec = *spec;
	if (schedule != NULL)
		for (unsigned i = 0; i < schedule->n; i++)
			REC_PUSH(r->schedule.deviation, r->schedule.n, r->schedule.room,
			    schedule->deviation[i]);
	return (r);
}

void
recording_free(struct recording *r)
{
	for (unsigned i = 0; i < r->ntexts; i++)
		free(r->texts[i]);
	for (unsigned i = 0; i < r->npaths; i++)
		free(r->paths[i].pc);
	for (unsigned i = 0; i < r->nmeters; i++)
		free(r->meters[i].points);
	free(r->texts);
	free(r->paths);
	free(r->text_table.slot);
	free(r->path_table.slot);
	free(r->schedule.deviation);
	free(r->events);
	free(r->meters);
	free(r->calls);
	free(r->hands);
	free(r->zones);
	free(r->arenas);
	free(r->domains);
	free(r);
}
