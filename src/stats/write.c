/*
 * A snapshot as one line of JSON: the visitor that turns records into text. Sections of many
 * records are arrays; all wanted sections appear, empty ones too, so that a reader need not guess.
 */
#include "stats/stats.h"
#include "stats/json.h"

void
stats_json_fields(struct json *j, const struct stats_kind *kind, const void *record)
{
	for (unsigned i = 0; i < kind->nfields; i++) {
		const struct stats_field *f = &kind->fields[i];
		const char *at = (const char *)record + f->offset;
		uint64_t n;

		switch (f->type) {
		case STATS_STRING:
			json_put_string(j, f->name, at);
			break;
		case STATS_NUMBER:
			json_put_number(j, f->name, *(const uint64_t *)at);
			break;
		case STATS_FLAG:
			json_put_bool(j, f->name, *(const uint64_t *)at != 0);
			break;
		case STATS_LIST:
			json_open(j, f->name, '[');
			n = *(const uint64_t *)((const char *)record + f->count_offset);
			for (uint64_t k = 0; k < n; k++) {
				json_open(j, NULL, '{');
				stats_json_fields(j, stats_sub(f), at + k * stats_sub(f)->size);
				json_close(j, '}');
			}
			json_close(j, ']');
			break;
		}
	}
}

/* Close what is open and open sections up to `s`; those without records become empty arrays. */
static void
advance(struct stats_json *w, unsigned s)
{
	for (; w->next <= s; w->next++) {
		if (w->open)
			json_close(&w->json, ']');
		w->open = false;
		if (w->next == STATS_SECTIONS)
			return;
		if (stats_kinds[w->next].single || (w->sections & 1u << w->next) == 0)
			continue;
		json_open(&w->json, stats_kinds[w->next].name, '[');
		w->open = true;
	}
}

void
stats_json_start(struct stats_json *w, unsigned sections, json_write_t *write, void *arg)
{
	*w = (struct stats_json){ .json = { .write = write, .arg = arg }, .sections = sections };
	json_open(&w->json, NULL, '{');
	json_put_number(&w->json, "cooper_stats", STATS_FORMAT);
}

void
stats_json_record(struct stats_json *w, enum stats_section section, const void *record)
{
	const struct stats_kind *kind = &stats_kinds[section];

	advance(w, section);
	json_open(&w->json, kind->single ? kind->name : NULL, '{');
	stats_json_fields(&w->json, kind, record);
	json_close(&w->json, '}');
}

void
stats_json_end(struct stats_json *w)
{
	advance(w, STATS_SECTIONS);
	json_close(&w->json, '}');
	w->json.write(w->json.arg, "\n", 1);
}
