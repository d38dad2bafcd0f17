/*
 * Who did it: the step after which a resource was short until the end, and what happened to an
 * address.
 */
#include <stdlib.h>
#include "lab/report/explain.h"

#define HANDS_TOLD 4

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

/* ---- hands ---------------------------------------------------------------------------------------- */

static unsigned
hand_node(struct explanation *e, const struct rec_hand *h)
{
	unsigned node = add_node(e, NODE_TAKEN,
	    rec_text(e->r, "step %s, %s on CPU %u", number((int64_t)h->step),
		fiber_label(e, h->fiber), h->cpu),
	    rec_text(e->r, "0x%llx + 0x%llx of \"%s\"", (unsigned long long)h->address,
		(unsigned long long)h->size, rec_string(e->r, h->of)));

	e->nodes[node].step = h->step;
	e->nodes[node].fiber = h->fiber;
	e->nodes[node].path = h->path;
	return (node);
}

void
blame_address(struct explanation *e, unsigned of, uint64_t address)
{
	unsigned told = 0;

	for (unsigned i = e->r->nhands; i > 0 && told < HANDS_TOLD; i--) {
		const struct rec_hand *h = &e->r->hands[i - 1];

		if (address - h->address >= MAX(h->size, 1u))
			continue;
		add_edge(
		    e, of, hand_node(e, h), h->out ? "was handed out at" : "was given back at");
		told++;
	}
}

static int
by_address(const void *a, const void *b)
{
	const struct rec_hand *p = *(const struct rec_hand *const *)a;
	const struct rec_hand *q = *(const struct rec_hand *const *)b;

	return (p->address != q->address ? (p->address > q->address) - (p->address < q->address)
					 : (p > q) - (p < q)); /* they are in the order of time */
}

void
blame_owner(struct explanation *e, unsigned of, uint32_t owner)
{
	const struct rec_hand **list = rec_alloc((e->r->nhands + 1) * sizeof(*list));
	unsigned n = 0, told = 0;

	for (unsigned i = 0; i < e->r->nhands; i++)
		if (e->r->hands[i].of == owner)
			list[n++] = &e->r->hands[i];
	qsort(list, n, sizeof(*list), by_address);
	for (unsigned i = 0; i < n && told < HANDS_TOLD; i++) {
		if (!list[i]->out || (i + 1 < n && list[i + 1]->address == list[i]->address))
			continue;
		add_edge(e, of, hand_node(e, list[i]), "was never given back");
		told++;
	}
	free(list);
}
