/*
 * Meters: the gauges of the laboratory, and one for each arena, each zone with a limit and each
 * channel with sleepers. Looked at after each step that can have changed one; what changed becomes a
 * point, with who did it and through which calls.
 */
#include <stdio.h>
#include "kmem/kmem_int.h"
#include "lab/report/record.h"
#include "sync/sync_int.h"
#include "uma/uma_int.h"
#include "vmem/vmem_int.h"

static const struct {
	const char *unit; /* NULL: channels have meters of their own */
	uint8_t kind;
} gauges[LAB_GAUGES] = {
	[GAUGE_TAGS_FREE] = { "tags", METER_TAGS },
	[GAUGE_TAGS_CACHED] = { "tags", METER_OTHER },
	[GAUGE_TAGS_LIVE] = { "tags", METER_OTHER },
	[GAUGE_TAG_SLABS] = { "slabs", METER_OTHER },
	[GAUGE_PAGES_FREE] = { "pages", METER_PAGES },
	[GAUGE_KVA_FREE] = { "pages", METER_KVA },
	[GAUGE_SLEEPERS] = { "threads", METER_OTHER },
};

static unsigned
new_meter(struct recorder *rec, enum meter_kind kind, const char *name, const char *owner,
    const char *unit)
{
	rec_meter(rec->r, kind, name, owner, unit);
	return (rec->r->nmeters - 1);
}

void
meters_start(struct recorder *rec)
{
	for (unsigned i = 0; i < LAB_GAUGES; i++)
		if (gauges[i].unit != NULL)
			rec->gauge_meter[i] =
			    new_meter(rec, gauges[i].kind, lab_gauge_names[i], "", gauges[i].unit);
	rec->reserve_meter = new_meter(rec, METER_RESERVE, "reserve", "", "tags");
}

static void
note_value(struct recorder *rec, unsigned meter, int64_t value, const struct sim_event *event,
    uint32_t *path)
{
	struct rec_meter *m = &rec->r->meters[meter];
	const struct rec_call *call = rec_current(rec->r, &rec->r->fibers[event->fiber]);

	if (m->n > 0 && m->points[m->n - 1].value == value)
		return;
	if (*path == 0)
		*path = record_path(rec, event->fiber);
	rec_add_point(m, &(struct rec_point){ .step = event->step,
			     .value = value,
			     .path = *path,
			     .call = call == NULL ? 0 : call->name,
			     .fiber = event->fiber,
			     .cpu = event->cpu });
}

/* ---- objects with meters of their own --------------------------------------------------------------- */

/* The object's place among the watched; they come in the same order each time. */
static struct watched *
watch(struct recorder *rec, const void *object, unsigned *hint, enum meter_kind kind,
    const char *prefix, const char *owner, const char *unit)
{
	char name[160];
	struct watched *w;

	for (unsigned i = 0; i < rec->nwatched; i++) {
		w = &rec->watched[(*hint + i) % rec->nwatched];
		if (w->object != object)
			continue;
		*hint = (unsigned)(w - rec->watched) + 1;
		w->seen = true;
		return (w);
	}
	if (rec->nwatched == WATCHED_MAX)
		return (NULL);
	snprintf(name, sizeof(name), "%s %s", prefix, owner);
	w = &rec->watched[rec->nwatched];
	*w = (struct watched){ object, new_meter(rec, kind, name, owner, unit), true };
	rec->nwatched++;
	return (w);
}

/* What was not seen is gone, but a channel, on which merely nobody sleeps. */
static void
forget_unseen(struct recorder *rec, const struct sim_event *event, uint32_t *path)
{
	for (unsigned i = 0; i < rec->nwatched;) {
		struct watched *w = &rec->watched[i];
		struct rec_meter *m = &rec->r->meters[w->meter];

		if (w->seen || m->kind == METER_SLEEPERS) {
			if (!w->seen)
				note_value(rec, w->meter, 0, event, path);
			w->seen = false;
			i++;
			continue;
		}
		m->gone = true;
		*w = rec->watched[--rec->nwatched];
	}
}

static void
look_at_objects(struct recorder *rec, const struct sim_event *event, uint32_t *path)
{
	struct watched *w;
	unsigned hint = 0;

	LIST_EACH (l, &uma_zones) {
		const struct uma_zone *zone = list_entry(l, struct uma_zone, link);

		if ((zone->flags & ZF_LIMIT) != 0 && zone->max_items != 0 &&
		    (w = watch(rec, zone, &hint, METER_LIMIT, "limit", zone->name, "items")) !=
			NULL)
			note_value(
			    rec, w->meter, (int64_t)(zone->max_items - zone->items), event, path);
	}
	LIST_EACH (l, &vmem_arenas) {
		const struct vmem *vm = list_entry(l, struct vmem, link);

		w = watch(rec, vm, &hint, METER_ARENA, "arena", vm->name, "units");
		if (w != NULL)
			note_value(rec, w->meter, (int64_t)(vm->size - vm->inuse), event, path);
	}
	LIST_EACH (l, &sync_waiting) {
		const struct waitq *q = list_entry(l, struct waitq, table);

		w = watch(rec, q, &hint, METER_SLEEPERS, "asleep on", q->name, "threads");
		if (w != NULL)
			note_value(rec, w->meter, q->nwaiters, event, path);
	}
	forget_unseen(rec, event, path);
}

void
meters_look(struct recorder *rec, const struct sim_event *event)
{
	int64_t gauge[LAB_GAUGES];
	uint32_t path = 0;

	view_gauges(gauge);
	for (unsigned i = 0; i < LAB_GAUGES; i++)
		if (gauges[i].unit != NULL)
			note_value(rec, rec->gauge_meter[i], gauge[i], event, &path);
	note_value(rec, rec->reserve_meter, view_reserve(), event, &path);
	look_at_objects(rec, event, &path);
}
