/*
 * The explanation as a whole: who waits, for what, and the paragraph that says it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lab/report/explain.h"

static const char *const lead[LAB_VERDICTS] = {
	[LAB_HELD] = "Every promise was kept.",
	[LAB_DEADLOCK] = "Nobody can run any more.",
	[LAB_LIVELOCK] = "Time passes, and nobody gets anywhere.",
	[LAB_STARVATION] = "One call does not end while others come and go.",
	[LAB_LOST_WAKEUP] = "A thread sleeps although what it waits for is there.",
	[LAB_OVERLAP] = "Memory was handed out twice, or given back by one who did not have it.",
	[LAB_FREED] = "Memory was used after it was freed.",
	[LAB_BAD_TOUCH] = "Memory was touched where none is mapped.",
	[LAB_RESERVE] = "A reserve fell below what must stay in it.",
	[LAB_ACCOUNT] = "At the end the books do not balance.",
	[LAB_LOCK_ORDER] = "Locks were taken against their order.",
	[LAB_PANIC] = "The core stopped itself.",
	[LAB_PROMISE] = "The scenario asked for something that does not hold.",
	[LAB_TOO_LONG] = "The run came to its limit of steps, which alone is no finding.",
};

struct writer {
	FILE *to;
	char *text;
	size_t len;
};

static void
say(struct writer *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(w->to, fmt, ap);
	va_end(ap);
}

/* ---- who waits ---------------------------------------------------------------------------------------- */

static struct want
want_of(const struct rec_wait *w)
{
	return ((struct want){ .kind = w->kind,
	    .owner = w->owner,
	    .channel = w->kind == WAIT_OTHER ? w->channel : 0,
	    .need = w->need,
	    .lock = w->kind == WAIT_LOCK ? w : NULL });
}

static bool
waits(const struct rec_fiber *f)
{
	/* A daemon that waits for work is as it should be. */
	return (f->wait.kind != WAIT_NONE && f->state != SIM_ENDED &&
		!(f->daemon && (f->wait.kind == WAIT_OTHER || f->wait.kind == WAIT_PASS)));
}

static bool
wait_together(const struct rec_wait *a, const struct rec_wait *b)
{
	return (a->kind == b->kind && a->owner == b->owner && a->channel == b->channel &&
		a->lock == b->lock);
}

/* The fibers of a waiter's node, the one that waits longest first. */
static unsigned
members(const struct explanation *e, unsigned node, uint8_t fibers[SIM_FIBERS])
{
	unsigned n = 0;

	for (unsigned i = 0; i < e->r->nfibers; i++) {
		unsigned at = n;

		if (e->waiter_of[i] != node + 1)
			continue;
		for (; at > 0 && e->r->fibers[fibers[at - 1]].wait.step > e->r->fibers[i].wait.step;
		     at--)
			fibers[at] = fibers[at - 1];
		fibers[at] = (uint8_t)i;
		n++;
	}
	return (n);
}

static const char *
in_vain(const struct explanation *e, const struct rec_fiber *f)
{
	if (f->wait.sleeps < 2)
		return ("");
	if (f->wait.sleeps == 2)
		return (", woken once in vain");
	return (rec_string(
	    e->r, rec_text(e->r, ", woken %s times in vain", number((int64_t)f->wait.sleeps - 1))));
}

/* "since step 8,120 (12.4 ms) in uma_zalloc_arg(), woken 41 times in vain" */
static const char *
since(const struct explanation *e, unsigned fiber)
{
	const struct rec_fiber *f = &e->r->fibers[fiber];
	const struct rec_call *c = rec_current(e->r, f);

	return (rec_string(
	    e->r, rec_text(e->r, "since step %s (%s)%s%s%s%s", number((int64_t)f->wait.step),
		      duration(e->r->result.now - MIN(f->wait.now, e->r->result.now)),
		      c == NULL ? "" : " in ", c == NULL ? "" : rec_string(e->r, c->name),
		      c == NULL ? "" : "()", in_vain(e, f))));
}

static void
describe_waiters(struct explanation *e, unsigned node)
{
	uint8_t fibers[SIM_FIBERS];
	unsigned n = members(e, node, fibers), shown = MIN(n, 4u);
	char who[300] = "", *to = who, *end = who + sizeof(who);
	const struct rec_wait *wait = &e->r->fibers[fibers[0]].wait;
	const char *channel = rec_string(e->r, wait->channel);

	for (unsigned i = 0; i < shown && to < end; i++)
		to += snprintf(to, (size_t)(end - to), "%s%s",
		    i == 0                         ? ""
		    : i + 1 == shown && n == i + 1 ? " and "
						   : ", ",
		    fiber_label(e, fibers[i]));
	if (n > shown && to < end)
		snprintf(to, (size_t)(end - to), " and %u more", n - shown);
	e->nodes[node].title = rec_text(e->r, "%s", who);
	e->nodes[node].detail = rec_text(e->r, "%s%s%s%s", since(e, fibers[0]),
	    *channel != '\0' ? ", on \"" : "", channel, *channel != '\0' ? "\"" : "");
	e->nodes[node].fiber = fibers[0];
	e->nodes[node].step = wait->step;
	e->nodes[node].path = wait->path;
}

static void
find_waiters(struct explanation *e, bool scenario)
{
	for (unsigned i = 0; i < e->r->nfibers; i++) {
		const struct rec_fiber *f = &e->r->fibers[i];

		if (!waits(f) || (f->wait.kind == WAIT_SCENARIO) != scenario)
			continue;
		for (unsigned k = 0; k < i && e->waiter_of[i] == 0; k++)
			if (e->waiter_of[k] != 0 && wait_together(&f->wait, &e->r->fibers[k].wait))
				e->waiter_of[i] = e->waiter_of[k];
		if (e->waiter_of[i] == 0)
			e->waiter_of[i] = (uint8_t)(add_node(e, NODE_WAITER, 0, 0) + 1);
	}
	for (unsigned node = 0, n = e->nnodes; node < n; node++)
		describe_waiters(e, node);
}

/* ---- who could help ---------------------------------------------------------------------------------------- */

/* One of find_callers(): it runs, and comes to no end. */
static bool
is_stuck(const struct explanation *e, unsigned fiber)
{
	for (unsigned i = 0; i < e->nnodes; i++)
		if (e->nodes[i].kind == NODE_WAITER && e->nodes[i].fiber == fiber)
			return (true);
	return (false);
}

/* "1 thread has ended, 3 wait themselves"; true if somebody is left who could. */
static bool
who_could(const struct explanation *e, char *text, size_t size)
{
	unsigned ended = 0, waiting = 0, able = 0;
	const char *one = "";

	for (unsigned i = 0; i < e->r->nfibers; i++) {
		const struct rec_fiber *f = &e->r->fibers[i];

		if (f->state == SIM_ENDED)
			ended++;
		else if (waits(f) || is_stuck(e, i))
			waiting++;
		else if (!f->daemon && able++ == 0)
			one = fiber_label(e, i);
	}
	if (able > 0)
		snprintf(
		    text, size, "%s%s", one, able > 1 ? " and others still run" : " still runs");
	else if (ended > 0)
		snprintf(text, size, "%u thread%s ended, %u wait%s", ended,
		    ended == 1 ? " has" : "s have", waiting,
		    waiting == 1 ? "s itself" : " themselves");
	else
		snprintf(text, size, "all %u threads wait themselves", waiting);
	return (able > 0);
}

static void
helper_node(struct explanation *e, unsigned resource)
{
	char text[160];
	bool able = who_could(e, text, sizeof(text));
	unsigned node;

	node = add_node(e, NODE_HELPER, rec_text(e->r, "%s", able ? text : "nobody"),
	    able ? 0 : rec_text(e->r, "%s", text));
	add_edge(e, resource, node, "brought back by");
}

/* It is there, and can be used: only nobody was told. */
static bool
is_at_hand(const struct node *resource)
{
	return (!resource->is_short && !resource->circle);
}

/* Several groups may wait for one resource. */
static bool
has_end(const struct explanation *e, unsigned resource)
{
	for (unsigned i = 0; i < e->nedges; i++)
		if (e->edges[i].from == resource && e->nodes[e->edges[i].to].kind == NODE_HELPER)
			return (true);
	return (false);
}

/* When did what is at hand, and could end the wait, come back? From `node` along its needs. */
static void
find_rises(struct explanation *e, unsigned node, uint64_t since, unsigned depth)
{
	const struct node *n = &e->nodes[node];
	const struct rec_meter *m = resource_meter(e, &n->want);
	int point = -1;

	if (m != NULL && is_at_hand(n))
		point = last_rise(m, resource_bound(e, &n->want));
	if (point >= 0 && m->points[point].step >= since && e->nrisen < FATAL_MAX) {
		e->risen[e->nrisen++] =
		    (struct fatal){ m, (unsigned)point, resource_bound(e, &n->want) };
		add_edge(e, node, point_node(e, m, (unsigned)point, "free"),
		    "it came back, and nobody was woken");
	}
	for (unsigned i = 0, all = e->nedges; i < all && depth < 4; i++)
		if (e->edges[i].from == node && e->nodes[e->edges[i].to].kind == NODE_RESOURCE)
			find_rises(e, e->edges[i].to, since, depth + 1);
}

static void
follow_waiters(struct explanation *e)
{
	unsigned n = e->nnodes;

	for (unsigned node = 0; node < n; node++) {
		struct want w;

		if (e->waiter_of[e->nodes[node].fiber] != node + 1) /* find_callers() */
			continue;
		w = want_of(&e->r->fibers[e->nodes[node].fiber].wait);
		add_edge(e, node, resource_node(e, &w), "waits for");
	}
	mark_circles(e);
	for (unsigned i = 0, all = e->nedges; i < all; i++) {
		unsigned to = e->edges[i].to;

		if (e->nodes[e->edges[i].from].kind != NODE_WAITER || has_end(e, to) ||
		    e->nodes[to].want.kind == WAIT_LOCK)
			continue;
		if (e->r->result.verdict == LAB_LOST_WAKEUP)
			find_rises(e, to, e->nodes[e->edges[i].from].step, 0);
		else if (!is_at_hand(&e->nodes[to]))
			helper_node(e, to);
	}
}

/* Nobody sleeps for it, but this is short; so it is what the first of those who do not advance lacks. */
static void
find_shortages(struct explanation *e)
{
	static const uint8_t kinds[] = { WAIT_TAGS, WAIT_KVA, WAIT_PAGES };
	unsigned all = e->nnodes;

	for (unsigned i = 0; i < all; i++)
		if (e->nodes[i].kind == NODE_RESOURCE && e->nodes[i].is_short &&
		    resource_meter(e, &e->nodes[i].want) != NULL)
			return;
	for (unsigned i = 0; i < nitems(kinds) && all > 0; i++) {
		struct want w = { .kind = kinds[i], .need = 1 };
		unsigned resource;

		if (resource_meter(e, &w) == NULL || !resource_short(e, &w))
			continue;
		resource = resource_node(e, &w);
		add_edge(e, 0, resource, "lacks");
		if (!has_end(e, resource))
			helper_node(e, resource);
	}
	mark_circles(e);
}

/* Nobody waits: those whose call does not end. */
static void
find_callers(struct explanation *e)
{
	for (unsigned i = 0; i < e->r->nfibers; i++) {
		const struct rec_fiber *f = &e->r->fibers[i];
		const struct rec_call *c = rec_current(e->r, f);
		unsigned node;

		if (c == NULL || f->state == SIM_ENDED)
			continue;
		node = add_node(e, NODE_WAITER, rec_text(e->r, "%s", fiber_label(e, i)),
		    rec_text(e->r, "in %s() since step %s", rec_string(e->r, c->name),
			number((int64_t)c->step)));
		e->nodes[node].fiber = (uint8_t)i;
		e->nodes[node].step = c->step;
		e->nodes[node].path = f->path;
	}
}

/* ---- findings that are no waits -------------------------------------------------------------------------------- */

/* The name in quotes that a finding's line has; 0: none. */
static uint32_t
quoted(const struct explanation *e, const char *line)
{
	const char *from = strchr(line, '"'), *to = from == NULL ? NULL : strchr(from + 1, '"');

	return (to == NULL ? 0 : rec_text(e->r, "%.*s", (int)(to - from - 1), from + 1));
}

static void
place_node(struct explanation *e)
{
	const struct lab_result *res = &e->r->result;
	const struct rec_fiber *f = &e->r->fibers[res->fiber];
	const struct rec_call *c = rec_current(e->r, f);
	const char *hex = strstr(res->line, "0x");
	unsigned node;

	if (res->fiber >= e->r->nfibers)
		return;
	node = add_node(e, NODE_TAKEN,
	    rec_text(e->r, "step %s, %s on CPU %u%s%s%s", number((int64_t)res->steps),
		fiber_label(e, res->fiber), f->cpu, c == NULL ? "" : " in ",
		c == NULL ? "" : rec_string(e->r, c->name), c == NULL ? "" : "()"),
	    rec_text(e->r, "%s", res->line));
	e->nodes[node].step = res->steps;
	e->nodes[node].fiber = (uint8_t)res->fiber;
	e->nodes[node].path = f->path;
	if (res->verdict == LAB_RESERVE) {
		struct want tags = { .kind = WAIT_TAGS };

		add_edge(e, node, resource_node(e, &tags), "left");
		if (e->nfatal > 0) /* which has the same path */
			e->nodes[node].path = 0;
	}
	if (hex != NULL)
		blame_address(e, node, strtoull(hex, NULL, 16));
	else if (res->verdict == LAB_ACCOUNT)
		blame_owner(e, node, quoted(e, res->line));
}

static bool
is_about_waiting(enum lab_verdict verdict)
{
	return (verdict == LAB_DEADLOCK || verdict == LAB_LIVELOCK || verdict == LAB_STARVATION ||
		verdict == LAB_LOST_WAKEUP || verdict == LAB_TOO_LONG);
}

/* ---- the paragraph ------------------------------------------------------------------------------------------------ */

static void
say_waiters(const struct explanation *e, struct writer *w, unsigned node)
{
	uint8_t fibers[SIM_FIBERS] = { 0 };
	unsigned n = members(e, node, fibers);
	const struct rec_wait *wait = &e->r->fibers[fibers[0]].wait;
	struct want want;
	const char *channel;

	if (n == 0) { /* find_callers() */
		say(w, " %s is %s.", rec_string(e->r, e->nodes[node].title),
		    rec_string(e->r, e->nodes[node].detail));
		return;
	}
	want = want_of(wait);
	channel = rec_string(e->r, wait->channel);
	say(w, " %s wait%s for %s", rec_string(e->r, e->nodes[node].title), n == 1 ? "s" : "",
	    resource_name(e, &want));
	if (*channel != '\0')
		say(w, " on \"%s\"", channel);
	say(w, ", %s%s", n == 1 ? "" : "the first ", since(e, fibers[0]));
	if (wait->kind == WAIT_LOCK && wait->holder != NOBODY)
		say(w, "; %s took it at step %s", fiber_label(e, wait->holder),
		    number((int64_t)wait->taken));
	say(w, ".");
}

/* What the making or the use of a resource takes; *said are nodes that were told of. */
static void
say_needs(const struct explanation *e, struct writer *w, unsigned node, uint64_t *said)
{
	*said |= 1ull << node;
	for (unsigned i = 0; i < e->nedges; i++) {
		const struct edge *edge = &e->edges[i];
		const struct node *to = &e->nodes[edge->to];
		const char *label = rec_string(e->r, edge->label);

		if (edge->from != node || to->kind != NODE_RESOURCE)
			continue;
		if ((*said >> edge->to & 1) != 0) {
			say(w, " And %s %s%s.", label, rec_string(e->r, to->title),
			    edge->circle ? ": there the circle closes" : "");
			continue;
		}
		if (to->is_short)
			say(w, " But %s", label);
		else
			say(w, " %c%s", label[0] - 'a' + 'A', label + 1);
		say(w, " %s: %s.", rec_string(e->r, to->title), rec_string(e->r, to->detail));
		say_needs(e, w, edge->to, said);
	}
}

static void
say_point(const struct explanation *e, struct writer *w, const char *what,
    const struct rec_meter *m, unsigned point)
{
	const struct rec_point *p = &m->points[point];
	const char *call = rec_string(e->r, p->call);
	const char *line = rec_string(e->r, path_line(e, p->path, 5));

	say(w, " %s at step %s: %s on CPU %u%s%s%s brought the free %s from %s to %s", what,
	    number((int64_t)p->step), fiber_label(e, p->fiber), p->cpu,
	    *call != '\0' ? ", in " : "", call, *call != '\0' ? "()," : "",
	    rec_string(e->r, m->unit), number(p[-1].value), number(p->value));
	say(w, "%s%s.", *line != '\0' ? " through " : "", line);
}

static void
say_resource(const struct explanation *e, struct writer *w, unsigned node, uint64_t *said)
{
	const struct node *n = &e->nodes[node];

	if (resource_meter(e, &n->want) != NULL)
		say(w, " Of %s: %s.", rec_string(e->r, n->title), rec_string(e->r, n->detail));
	say_needs(e, w, node, said);
	if (resource_meter(e, &n->want) != NULL && is_at_hand(n) &&
	    e->r->result.verdict != LAB_LOST_WAKEUP)
		say(w, " Yet each try for it fails, or has not come to its turn.");
}

static const char *
fell(const struct fatal *f)
{
	return (f->meter->points[f->point].value == 0 ? "The last went" : "Too few were left");
}

static void
say_the_end(const struct explanation *e, struct writer *w)
{
	char text[160];
	bool wanted = false;

	for (unsigned i = 0; i < e->nfatal; i++)
		say_point(e, w, fell(&e->fatal[i]), e->fatal[i].meter, e->fatal[i].point);
	for (unsigned i = 0; i < e->nrisen; i++)
		say_point(e, w, "Nobody was woken when it came back", e->risen[i].meter,
		    e->risen[i].point);
	for (unsigned i = 0; i < e->nnodes; i++)
		wanted |= e->nodes[i].kind == NODE_HELPER && e->nodes[i].want.kind == WAIT_NONE &&
			  e->nodes[i].fiber == NOBODY;
	if (!wanted)
		return;
	if (who_could(e, text, sizeof(text)))
		say(w, " Some could be brought back: %s.", text);
	else
		say(w, " Nobody can bring any back: %s.", text);
}

static void
say_waiting(const struct explanation *e, struct writer *w)
{
	uint64_t said = 0;
	unsigned groups = 0, locks = 0;

	for (unsigned i = 0; i < e->nnodes; i++)
		if (e->nodes[i].kind == NODE_WAITER && ++groups <= 3)
			say_waiters(e, w, i);
	if (groups > 3)
		say(w, " So do others: see the chain.");
	for (unsigned i = 0; i < e->nedges; i++) {
		const struct edge *edge = &e->edges[i];

		locks += edge->circle && e->nodes[edge->to].want.kind == WAIT_LOCK;
		if (e->nodes[edge->from].kind == NODE_WAITER && (said >> edge->to & 1) == 0)
			say_resource(e, w, edge->to, &said);
	}
	say_the_end(e, w);
	if (locks > 1)
		say(w, " They wait for each other in a circle, and none can go on to let go.");
}

static char *
paragraph(const struct explanation *e)
{
	const struct lab_result *res = &e->r->result;
	struct writer w = { 0 };

	w.to = open_memstream(&w.text, &w.len);
	if (w.to == NULL)
		abort();
	say(&w, "%s", lead[res->verdict]);
	if (is_about_waiting(res->verdict))
		say_waiting(e, &w);
	else if (res->verdict != LAB_HELD)
		say(&w, " At step %s, in %s: %s.", number((int64_t)res->steps),
		    fiber_label(e, res->fiber), res->line);
	else
		say(&w, " %s steps, %s of virtual time, %u threads.", number((int64_t)res->steps),
		    duration(res->now), e->r->nfibers);
	if (res->verdict == LAB_RESERVE)
		for (unsigned i = 0; i < e->nfatal; i++)
			say_point(e, &w, fell(&e->fatal[i]), e->fatal[i].meter, e->fatal[i].point);
	if (fclose(w.to) != 0)
		abort();
	return (w.text);
}

struct explanation *
explain(struct recording *r, struct symbols *symbols)
{
	struct explanation *e = rec_alloc(sizeof(*e));

	e->r = r;
	e->symbols = symbols;
	if (is_about_waiting(r->result.verdict)) {
		find_waiters(e, false);
		if (e->nnodes == 0)
			find_callers(e);
		if (e->nnodes == 0) /* else these wait for those */
			find_waiters(e, true);
		follow_waiters(e);
		if (r->result.verdict == LAB_LIVELOCK || r->result.verdict == LAB_STARVATION)
			find_shortages(e);
	} else if (r->result.verdict != LAB_HELD) {
		place_node(e);
		mark_circles(e);
	}
	e->paragraph = paragraph(e);
	return (e);
}

void
explanation_free(struct explanation *e)
{
	free(e->paragraph);
	free(e);
}
