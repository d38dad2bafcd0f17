/*
 * Who did it: the step after which a resource was short until the end, and what happened to an
 * address.
 */
#include "lab/report/explain.h"

int
last_fall(const struct rec_meter *m, int64_t bound)
{
	unsigned k = m->n;

	while (k > 0 && m->points[k - 1].value < bound)
		k--;
	return (k == 0 || k == m->n ? -1 : (int)k);
}

int
last_rise(const struct rec_meter *m, int64_t bound)
{
	unsigned k = m->n;

	while (k > 0 && m->points[k - 1].value >= bound)
		k--;
	return (k == 0 || k == m->n ? -1 : (int)k);
}

unsigned
point_node(struct explanation *e, const struct rec_meter *m, unsigned point, const char *what)
{
	const struct rec_point *p = &m->points[point];
	int64_t before = point == 0 ? p->value : p[-1].value;
	const char *call = rec_string(e->r, p->call);
	unsigned node;

	node = add_node(e, NODE_TAKEN,
	    rec_text(e->r, "step %s, %s on CPU %u%s%s%s", number((int64_t)p->step),
		fiber_label(e, p->fiber), p->cpu, *call != '\0' ? " in " : "", call,
		*call != '\0' ? "()" : ""),
	    rec_text(e->r, "%s %s %s -> %s", what, rec_string(e->r, m->unit), number(before),
		number(p->value)));
	e->nodes[node].step = p->step;
	e->nodes[node].fiber = p->fiber;
	e->nodes[node].path = p->path;
	return (node);
}

void
blame_fall(struct explanation *e, unsigned of, const struct rec_meter *m, int64_t bound)
{
	int point = last_fall(m, bound);

	if (point < 0)
		return;
	add_edge(e, of, point_node(e, m, (unsigned)point, "free"),
	    m->points[point].value == 0 ? "the last of it went" : "too little was left");
	if (e->nfatal < FATAL_MAX)
		e->fatal[e->nfatal++] = (struct fatal){ m, (unsigned)point, bound };
}

void
blame_address(struct explanation *e, unsigned of, uint64_t address)
{
	unsigned told = 0, node;

	for (unsigned i = e->r->ncalls; i > 0 && told < 4; i--) {
		const struct rec_call *c = &e->r->calls[i - 1];

		if (c->result != address && c->asked != address)
			continue;
		node = add_node(e, NODE_TAKEN,
		    rec_text(e->r, "%s in %s() at step %s", fiber_label(e, c->fiber),
			rec_string(e->r, c->name), number((int64_t)c->step)),
		    path_line(e, c->path, 4));
		e->nodes[node].step = c->step;
		e->nodes[node].fiber = c->fiber;
		e->nodes[node].path = c->path;
		add_edge(e, of, node, c->result == address ? "got by" : "given back by");
		told++;
	}
}
