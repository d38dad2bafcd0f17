/*
 * A report as JSON: what --json prints and what the page carries. docs/laboratory.md names the keys.
 *
 * Meters with many points are thinned: of each of SLICES equal parts of the run the first, the least,
 * the largest and the last stay, and all that a marked step is about. "changes" is how many there were.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lab/report/report_int.h"

#define SLICES    400
#define CPU_STEPS 14 /* the last ones of each CPU */

struct output {
	const struct report *report;
	const struct recording *r;
	json_t *paths; /* those that are referred to */
};

json_t *
json_text(const char *text)
{
	json_t *j = json_string(text);

	return (j != NULL ? j : json_string("?"));
}

static json_t *
text_or_null(const struct output *o, uint32_t text)
{
	return (text == 0 ? json_null() : json_text(rec_string(o->r, text)));
}

static json_t *
integer(uint64_t n)
{
	return (json_integer((json_int_t)n));
}

static json_t *
fiber_or_null(unsigned fiber)
{
	return (fiber == NOBODY ? json_null() : integer(fiber));
}

static void
set_shape(json_t *to, const struct machine_shape *s)
{
	json_object_set_new(to, "shape",
	    json_pack("{sI sI sb sI sI sb}", "cpus", (json_int_t)s->ncpus, "domains",
		(json_int_t)s->ndomains, "direct_map", s->direct_map, "physmem",
		(json_int_t)s->physmem, "kva", (json_int_t)s->kva_size, "debug", s->debug));
}

/* ---- call paths: each once, by number ------------------------------------------------------------------- */

static json_t *
path_frames(const struct output *o, uint32_t path)
{
	const struct rec_path *p = &o->r->paths[path - 1];
	struct frame frames[PATH_MAX_DEPTH];
	unsigned n = symbols_frames(o->report->symbols, p->pc, p->n, frames, nitems(frames));
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(
		    list, json_pack("{so so sI}", "function", json_text(frames[i].function), "file",
			      frames[i].file == NULL ? json_null() : json_text(frames[i].file),
			      "line", (json_int_t)frames[i].line));
	return (list);
}

/* The number by which "paths" has it; null for none. */
static json_t *
path_number(struct output *o, uint32_t path)
{
	char key[16];

	if (path == 0)
		return (json_null());
	snprintf(key, sizeof(key), "%" PRIu32, path);
	if (json_object_get(o->paths, key) == NULL)
		json_object_set_new(o->paths, key, path_frames(o, path));
	return (integer(path));
}

/* ---- the run ---------------------------------------------------------------------------------------------- */

static json_t *
fault_names(uint64_t faults)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < lab_nfaults; i++)
		if (faults >> i & 1)
			json_array_append_new(list, json_text(lab_faults[i].name));
	return (list);
}

static json_t *
deviations(const struct lab_schedule *s)
{
	static const char *const choices[SIM_CHOICES] = {
		[SIM_CHOOSE_FIBER] = "fiber",
		[SIM_CHOOSE_CPU] = "cpu",
		[SIM_CHOOSE_WAKE] = "wake",
	};
	json_t *list = json_array();

	for (unsigned i = 0; i < s->n; i++)
		json_array_append_new(list, json_pack("[I s I]", (json_int_t)s->deviation[i].step,
						choices[s->deviation[i].choice % SIM_CHOICES],
						(json_int_t)s->deviation[i].value));
	return (list);
}

static void
set_run(const struct output *o, json_t *to)
{
	const struct lab_spec *spec = &o->r->spec;
	const struct lab_result *res = &o->r->result;
	char hash[24];

	snprintf(hash, sizeof(hash), "0x%016" PRIx64, res->hash);
	json_object_set_new(to, "verdict", json_text(lab_verdict_names[res->verdict]));
	json_object_set_new(to, "line", json_text(res->line));
	json_object_set_new(
	    to, "scenario", json_text(spec->scenario == NULL ? "" : spec->scenario->name));
	json_object_set_new(to, "faults", fault_names(spec->faults));
	json_object_set_new(to, "policy", json_text(lab_policy_names[spec->policy]));
	json_object_set_new(to, "seed", integer(spec->seed));
	set_shape(to, &spec->shape);
	json_object_set_new(to, "steps", integer(res->steps));
	json_object_set_new(to, "virtual_ns", integer(res->now));
	json_object_set_new(to, "hash", json_text(hash));
	json_object_set_new(to, "fiber", integer(res->fiber));
	json_object_set_new(to, "deviations", deviations(&o->r->schedule));
}

/* ---- meters -------------------------------------------------------------------------------------------------- */

static bool
is_marked(const struct output *o, const struct rec_meter *m, unsigned point)
{
	const struct explanation *e = o->report->explanation;

	for (unsigned i = 0; i < e->nrisen; i++)
		if (e->risen[i].meter == m &&
		    (e->risen[i].point == point || e->risen[i].point == point + 1))
			return (true);
	for (unsigned i = 0; i < e->nfatal; i++)
		if (e->fatal[i].meter == m &&
		    (e->fatal[i].point == point || e->fatal[i].point == point + 1))
			return (true);
	return (false);
}

/* Marks the points of [from, to) that stay. */
static void
thin_slice(const struct rec_meter *m, unsigned from, unsigned to, bool *stays)
{
	unsigned least = from, largest = from;

	for (unsigned i = from; i < to; i++) {
		if (m->points[i].value < m->points[least].value)
			least = i;
		if (m->points[i].value > m->points[largest].value)
			largest = i;
	}
	stays[from] = stays[to - 1] = stays[least] = stays[largest] = true;
}

static json_t *
points(struct output *o, const struct rec_meter *m)
{
	uint64_t slice = o->r->result.steps / SLICES + 1;
	bool *stays = rec_alloc(m->n);
	json_t *list = json_array();

	for (unsigned i = 0, from = 0; i < m->n; i++)
		if (i + 1 == m->n ||
		    m->points[i + 1].step / slice != m->points[from].step / slice) {
			thin_slice(m, from, i + 1, stays);
			from = i + 1;
		}
	for (unsigned i = 0; i < m->n; i++) {
		const struct rec_point *p = &m->points[i];

		if (stays[i] || is_marked(o, m, i))
			json_array_append_new(list,
			    json_pack("[I I I I o o]", (json_int_t)p->step, (json_int_t)p->value,
				(json_int_t)p->fiber, (json_int_t)p->cpu, text_or_null(o, p->call),
				path_number(o, p->path)));
	}
	free(stays);
	return (list);
}

static json_t *
meters(struct output *o)
{
	static const char *const kinds[] = {
		[METER_TAGS] = "tags",
		[METER_RESERVE] = "reserve",
		[METER_PAGES] = "pages",
		[METER_KVA] = "kva",
		[METER_ARENA] = "arena",
		[METER_LIMIT] = "limit",
		[METER_SLEEPERS] = "sleepers",
		[METER_OTHER] = "other",
	};
	json_t *list = json_array();

	for (unsigned i = 0; i < o->r->nmeters; i++) {
		const struct rec_meter *m = &o->r->meters[i];

		if (m->n > 0)
			json_array_append_new(
			    list, json_pack("{so ss so sb sI sI so}", "name",
				      json_text(rec_string(o->r, m->name)), "kind", kinds[m->kind],
				      "unit", json_text(rec_string(o->r, m->unit)), "gone", m->gone,
				      "last", (json_int_t)rec_last(m), "changes",
				      (json_int_t)m->n - 1, "points", points(o, m)));
	}
	return (list);
}

/* ---- threads and CPUs ------------------------------------------------------------------------------------------ */

static json_t *
waiting(struct output *o, const struct rec_wait *w)
{
	static const char *const kinds[] = {
		[WAIT_NONE] = "none",
		[WAIT_TAGS] = "tags",
		[WAIT_KVA] = "kva",
		[WAIT_PAGES] = "pages",
		[WAIT_ARENA] = "arena",
		[WAIT_LIMIT] = "limit",
		[WAIT_SMR] = "smr",
		[WAIT_PASS] = "pass",
		[WAIT_LOCK] = "lock",
		[WAIT_SCENARIO] = "scenario",
		[WAIT_OTHER] = "other",
	};

	if (w->kind == WAIT_NONE)
		return (json_null());
	return (json_pack("{ss so so sI sI sI sI so so}", "for", kinds[w->kind], "channel",
	    text_or_null(o, w->channel), "of", text_or_null(o, w->owner), "need",
	    (json_int_t)w->need, "since_step", (json_int_t)w->step, "since_ns", (json_int_t)w->now,
	    "sleeps", (json_int_t)w->sleeps, "held_by",
	    fiber_or_null(w->kind == WAIT_LOCK ? w->holder : NOBODY), "path",
	    path_number(o, w->path)));
}

static json_t *
fibers(struct output *o)
{
	static const char *const states[] = {
		[SIM_RUNNABLE] = "runnable",
		[SIM_BLOCKED] = "blocked",
		[SIM_PARKED] = "asleep",
		[SIM_ENDED] = "ended",
	};
	json_t *list = json_array();

	for (unsigned i = 0; i < o->r->nfibers; i++) {
		const struct rec_fiber *f = &o->r->fibers[i];
		const struct rec_call *c = rec_current(o->r, f);

		json_array_append_new(
		    list, json_pack("{sI so ss sI sb sI so so so}", "id", (json_int_t)i, "name",
			      json_text(rec_string(o->r, f->name)), "state", states[f->state & 3],
			      "cpu", (json_int_t)f->cpu, "daemon", f->daemon, "operations",
			      (json_int_t)f->ncalls, "call",
			      c == NULL ? json_null() : json_text(rec_string(o->r, c->name)),
			      "wait", waiting(o, &f->wait), "path", path_number(o, f->path)));
	}
	return (list);
}

/* The last steps of a CPU that say something, oldest first. */
static json_t *
last_steps(struct output *o, unsigned cpu)
{
	json_t *list = json_array();
	char words[160];

	for (unsigned i = o->r->nevents; i > 0 && json_array_size(list) < CPU_STEPS; i--) {
		const struct rec_event *event = rec_event(o->r, i - 1);

		if (event->cpu != cpu || event->kind == SIM_ATOMIC || event->kind == SIM_SWITCH)
			continue;
		event_words(o->report->explanation, event, words, sizeof(words));
		json_array_insert_new(list, 0,
		    json_pack("{sI sI so}", "step", (json_int_t)event->step, "fiber",
			(json_int_t)event->fiber, "what", json_text(words)));
	}
	return (list);
}

json_t *
report_cpus(const struct report *report)
{
	struct output o = { report, report->recording, NULL };
	json_t *list = json_array();

	for (unsigned i = 0; i < o.r->spec.shape.ncpus; i++)
		json_array_append_new(
		    list, json_pack("{sI so}", "cpu", (json_int_t)i, "last", last_steps(&o, i)));
	return (list);
}

/* ---- the explanation --------------------------------------------------------------------------------------------- */

static json_t *
explanation(struct output *o)
{
	const struct explanation *e = o->report->explanation;
	json_t *nodes = json_array(), *edges = json_array();

	for (unsigned i = 0; i < e->nnodes; i++) {
		const struct node *n = &e->nodes[i];

		json_array_append_new(nodes,
		    json_pack("{sI ss so so sb sb so so so}", "id", (json_int_t)i, "kind",
			node_kind_names[n->kind], "title", json_text(rec_string(o->r, n->title)),
			"detail", text_or_null(o, n->detail), "short", n->is_short, "circle",
			n->circle, "step", n->step == 0 ? json_null() : integer(n->step), "fiber",
			fiber_or_null(n->fiber), "path", path_number(o, n->path)));
	}
	for (unsigned i = 0; i < e->nedges; i++)
		json_array_append_new(
		    edges, json_pack("{sI sI so sb}", "from", (json_int_t)e->edges[i].from, "to",
			       (json_int_t)e->edges[i].to, "label",
			       json_text(rec_string(o->r, e->edges[i].label)), "circle",
			       e->edges[i].circle));
	return (json_pack(
	    "{so so so}", "paragraph", json_text(e->paragraph), "nodes", nodes, "edges", edges));
}

/* Steps that matter: points of meters, and how much there should have been. */
static json_t *
marked_steps(struct output *o, const struct fatal *steps, unsigned n)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++) {
		const struct fatal *f = &steps[i];
		const struct rec_point *p = &f->meter->points[f->point];

		json_array_append_new(
		    list, json_pack("{so sI sI sI sI sI sI so so}", "meter",
			      json_text(rec_string(o->r, f->meter->name)), "step",
			      (json_int_t)p->step, "from", (json_int_t)p[-1].value, "to",
			      (json_int_t)p->value, "bound", (json_int_t)f->bound, "fiber",
			      (json_int_t)p->fiber, "cpu", (json_int_t)p->cpu, "call",
			      text_or_null(o, p->call), "path", path_number(o, p->path)));
	}
	return (list);
}

json_t *
report_json(const struct report *report)
{
	struct output o = { report, report->recording, json_object() };
	const struct explanation *e = report->explanation;
	json_t *j = json_object();

	set_run(&o, j);
	json_object_set_new(j, "explanation", explanation(&o));
	json_object_set_new(j, "fatal", marked_steps(&o, e->fatal, e->nfatal));
	json_object_set_new(j, "risen", marked_steps(&o, e->risen, e->nrisen));
	json_object_set_new(j, "fibers", fibers(&o));
	json_object_set_new(j, "cpus", report_cpus(report));
	json_object_set_new(j, "meters", meters(&o));
	json_object_set_new(j, "paths", o.paths);
	return (j);
}
