/*
 * Resources: what they are called, what they are made of, how much of them there is.
 *
 * The table below is all that this room knows of the core's plan. A resource that is short is made
 * from others; following that until something suffices, or comes round to where it began, gives the
 * chain.
 */
#include <stdio.h>
#include <string.h>
#include "lab/report/explain.h"

struct need {
	uint8_t of, is; /* enum wait_kind */
	bool to_use;    /* even where there is enough of it; else only to make more */
	bool mapped;    /* only in a shape without a direct map */
	const char *label;
};

/* clang-format off */
static const struct need needs[] = {
	{ WAIT_TAGS,  WAIT_PAGES, false, false, "a new slab of them takes" },
	{ WAIT_TAGS,  WAIT_KVA,   false, true,  "it must also be mapped in" },
	{ WAIT_KVA,   WAIT_TAGS,  true,  false, "to cut a piece out of an arena takes" },
	{ WAIT_ARENA, WAIT_TAGS,  true,  false, "to cut a piece out of an arena takes" },
};
/* clang-format on */

/* ---- amounts ---------------------------------------------------------------------------------------- */

static enum meter_kind
meter_kind(unsigned wait)
{
	switch (wait) {
	case WAIT_TAGS:
		return (METER_TAGS);
	case WAIT_KVA:
		return (METER_KVA);
	case WAIT_PAGES:
		return (METER_PAGES);
	case WAIT_ARENA:
		return (METER_ARENA);
	case WAIT_LIMIT:
		return (METER_LIMIT);
	default:
		return (METER_OTHER);
	}
}

const struct rec_meter *
resource_meter(const struct explanation *e, const struct want *w)
{
	enum meter_kind kind = meter_kind(w->kind);

	return (kind == METER_OTHER ? NULL : rec_find_meter(e->r, kind, w->owner));
}

int64_t
resource_bound(const struct explanation *e, const struct want *w)
{
	const struct rec_meter *reserve;

	if (w->kind == WAIT_TAGS) {
		reserve = rec_find_meter(e->r, METER_RESERVE, 0);
		return (MAX(reserve == NULL ? 0 : rec_last(reserve), 1));
	}
	if (w->kind == WAIT_KVA) /* asked for in bytes, measured in pages */
		return ((int64_t)MAX(w->need >> PAGE_SHIFT, 1u));
	return ((int64_t)MAX(w->need, 1u));
}

bool
resource_short(const struct explanation *e, const struct want *w)
{
	const struct rec_meter *m = resource_meter(e, w);

	if (m == NULL)
		return (w->kind != WAIT_NONE);
	return (rec_last(m) < resource_bound(e, w));
}

/* ---- words ---------------------------------------------------------------------------------------------- */

const char *
resource_name(const struct explanation *e, const struct want *w)
{
	const char *owner = rec_string(e->r, w->owner);

	switch (w->kind) {
	case WAIT_TAGS:
		return ("boundary tags");
	case WAIT_KVA:
		return ("address space");
	case WAIT_PAGES:
		return ("pages");
	case WAIT_ARENA:
		return (rec_string(e->r, rec_text(e->r, "space in arena \"%s\"", owner)));
	case WAIT_LIMIT:
		return (
		    rec_string(e->r, rec_text(e->r, "room below the limit of zone \"%s\"", owner)));
	case WAIT_SMR:
		return ("the end of older read sections");
	case WAIT_PASS:
		return ("the end of a pass that others make");
	case WAIT_LOCK:
		return (rec_string(e->r, rec_text(e->r, "the lock %s", owner)));
	case WAIT_SCENARIO:
		return ("another thread of the scenario");
	default:
		return (rec_string(
		    e->r, rec_text(e->r, "an event on \"%s\"", rec_string(e->r, w->channel))));
	}
}

/* ", 0 + 254 by domain" */
static const char *
by_domain(const struct explanation *e, const struct want *w)
{
	char text[120] = "";
	size_t len = 0;

	for (unsigned i = 0; w->kind == WAIT_PAGES && e->r->ndomains > 1 && i < e->r->ndomains; i++)
		if (len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
			    i == 0 ? ", by domain " : " + ",
			    number((int64_t)e->r->domains[i].free));
	return (rec_string(e->r, rec_text(e->r, "%s", text)));
}

/* "0 free in slabs, 8 are kept for a refill" */
static uint32_t
amounts(const struct explanation *e, const struct want *w)
{
	const struct rec_meter *m = resource_meter(e, w), *reserve;
	const char *unit;
	int64_t have, bound;

	if (m == NULL)
		return (0);
	have = rec_last(m);
	bound = resource_bound(e, w);
	unit = have == 1 && m->kind == METER_LIMIT ? "item" : rec_string(e->r, m->unit);
	if (w->kind == WAIT_TAGS) {
		reserve = rec_find_meter(e->r, METER_RESERVE, 0);
		return (reserve != NULL && rec_last(reserve) > 0
			    ? rec_text(e->r, "%s free in slabs, %s to be kept in reserve",
				  number(have), number(rec_last(reserve)))
			    : rec_text(e->r, "%s free in slabs", number(have)));
	}
	if (have < bound)
		return (rec_text(e->r, "%s %s free%s, %s needed", number(have), unit,
		    by_domain(e, w), number(bound)));
	return (rec_text(e->r, "%s %s free%s, enough", number(have), unit, by_domain(e, w)));
}

/* ---- nodes ------------------------------------------------------------------------------------------------ */

static void
holder_node(struct explanation *e, unsigned node, const struct want *w)
{
	const struct rec_wait *l = w->lock;
	unsigned holder;

	if (l == NULL || l->holder == NOBODY)
		return;
	if (e->waiter_of[l->holder] != 0) {
		holder = e->waiter_of[l->holder] - 1u;
	} else {
		holder = add_node(e, NODE_HELPER, rec_text(e->r, "%s", fiber_label(e, l->holder)),
		    rec_text(e->r, "%s",
			e->r->fibers[l->holder].state == SIM_ENDED ? "which has ended"
								   : "which could go on"));
		e->nodes[holder].fiber = l->holder;
	}
	e->nodes[node].step = l->taken;
	e->nodes[node].path = l->held_path;
	e->nodes[node].detail = rec_text(e->r, "taken at step %s", number((int64_t)l->taken));
	add_edge(e, node, holder, "held by");
}

/* The arena that this one imports from. */
static bool
parent_of(const struct explanation *e, const struct want *w, struct want *parent)
{
	const char *name = rec_string(e->r, w->owner);

	for (unsigned i = 0; w->kind == WAIT_ARENA && i < e->r->narenas; i++) {
		const struct stats_arena *a = &e->r->arenas[i];

		if (strcmp(a->name, name) != 0 || a->parent[0] == '\0')
			continue;
		*parent = (struct want){
			.kind = WAIT_ARENA,
			.owner = rec_text(e->r, "%s", a->parent),
			.need = w->need,
		};
		return (true);
	}
	return (false);
}

static bool
same_want(const struct want *a, const struct want *b)
{
	return (a->kind == b->kind && a->owner == b->owner && a->channel == b->channel &&
		(a->lock == NULL || a->lock->lock == b->lock->lock));
}

unsigned
resource_node(struct explanation *e, const struct want *w)
{
	const struct rec_meter *m = resource_meter(e, w);
	struct want part;
	bool is_short;
	unsigned node;

	for (unsigned i = 0; i < e->nnodes; i++)
		if (e->nodes[i].kind == NODE_RESOURCE && same_want(&e->nodes[i].want, w))
			return (i);
	is_short = resource_short(e, w);
	node = add_node(e, NODE_RESOURCE, rec_text(e->r, "%s", resource_name(e, w)), amounts(e, w));
	e->nodes[node].want = *w;
	e->nodes[node].is_short = is_short;
	if (w->kind == WAIT_LOCK)
		holder_node(e, node, w);
	if (m != NULL && is_short)
		blame_fall(e, node, m, resource_bound(e, w));
	for (unsigned i = 0; i < nitems(needs); i++) {
		if (needs[i].of != w->kind || (needs[i].mapped && e->r->spec.shape.direct_map) ||
		    (!needs[i].to_use && !is_short))
			continue;
		part = (struct want){ .kind = needs[i].is, .need = 1 };
		add_edge(e, node, resource_node(e, &part), needs[i].label);
	}
	if (is_short && parent_of(e, w, &part))
		add_edge(e, node, resource_node(e, &part), "more is imported from");
	return (node);
}
