/*
 * The graph of an explanation, and how it looks in a terminal: a tree drawn from each waiter, where
 * what was drawn before is only named again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lab/report/explain.h"

#define COLUMNS    100
#define PREFIX_MAX 128 /* bytes of a line's beginning */

const char *const node_kind_names[NODE_KINDS] = {
	[NODE_WAITER] = "waiter",
	[NODE_RESOURCE] = "resource",
	[NODE_TAKEN] = "taken",
	[NODE_HELPER] = "helper",
};

/* ---- words ------------------------------------------------------------------------------------------ */

static char *
next_buffer(void)
{
	static char buffers[16][48];
	static unsigned next;

	return (buffers[next++ % nitems(buffers)]);
}

const char *
number(int64_t n)
{
	char digits[24], *out = next_buffer(), *to = out;
	int len = snprintf(digits, sizeof(digits), "%lld", (long long)n);

	for (int i = 0; i < len; i++) {
		*to++ = digits[i];
		if (digits[i] != '-' && i + 1 < len && (len - i - 1) % 3 == 0)
			*to++ = ',';
	}
	*to = '\0';
	return (out);
}

const char *
duration(uint64_t ns)
{
	static const struct {
		double ns;
		const char *unit;
	} units[] = { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" }, { 1, "ns" } };
	char *out = next_buffer();
	unsigned i = 0;
	double n;

	while (i + 1 < nitems(units) && (double)ns < units[i].ns)
		i++;
	n = (double)ns / units[i].ns;
	snprintf(out, 48, "%.*f %s",
	    units[i].ns == 1 || n >= 100 ? 0
	    : n >= 10                    ? 1
					 : 2,
	    n, units[i].unit);
	return (out);
}

const char *
fiber_label(const struct explanation *e, unsigned fiber)
{
	char *out = next_buffer();

	snprintf(out, 48, "%.36s#%u",
	    fiber < e->r->nfibers ? rec_string(e->r, e->r->fibers[fiber].name) : "thread", fiber);
	return (out);
}

uint32_t
path_line(const struct explanation *e, uint32_t path, unsigned max)
{
	struct frame frames[PATH_MAX_DEPTH];
	char line[400] = "";
	size_t len = 0;
	unsigned n;

	if (path == 0)
		return (0);
	n = symbols_frames(
	    e->symbols, e->r->paths[path - 1].pc, e->r->paths[path - 1].n, frames, nitems(frames));
	for (unsigned i = MIN(n, max); i > 0 && len < sizeof(line); i--)
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%s%s",
		    frames[i - 1].function, i > 1 ? " > " : "");
	return (rec_text(e->r, "%s", line));
}

/* ---- nodes and edges ---------------------------------------------------------------------------------- */

unsigned
add_node(struct explanation *e, enum node_kind kind, uint32_t title, uint32_t detail)
{
	struct node n = {
		.kind = (uint8_t)kind, .fiber = NOBODY, .title = title, .detail = detail
	};

	if (e->nnodes == NODES_MAX)
		return (NODES_MAX - 1);
	e->nodes[e->nnodes] = n;
	return (e->nnodes++);
}

void
add_edge(struct explanation *e, unsigned from, unsigned to, const char *label)
{
	for (unsigned i = 0; i < e->nedges; i++)
		if (e->edges[i].from == from && e->edges[i].to == to)
			return;
	if (e->nedges < EDGES_MAX && from != to)
		e->edges[e->nedges++] =
		    (struct edge){ from, to, rec_text(e->r, "%s", label), false };
}

/* Can `to` be reached from `from` along needs? */
static bool
reaches(const struct explanation *e, unsigned from, unsigned to, uint64_t *seen)
{
	if (from == to)
		return (true);
	if (*seen >> from & 1)
		return (false);
	*seen |= 1ull << from;
	for (unsigned i = 0; i < e->nedges; i++)
		if (e->edges[i].from == from && reaches(e, e->edges[i].to, to, seen))
			return (true);
	return (false);
}
_Static_assert(NODES_MAX <= 64, "a bit each");

void
mark_circles(struct explanation *e)
{
	for (unsigned i = 0; i < e->nedges; i++) {
		struct edge *edge = &e->edges[i];
		uint64_t seen = 0;

		if (!reaches(e, edge->to, edge->from, &seen))
			continue;
		edge->circle = true;
		e->nodes[edge->from].circle = e->nodes[edge->to].circle = true;
	}
}

bool
has_circle(const struct explanation *e)
{
	for (unsigned i = 0; i < e->nedges; i++)
		if (e->edges[i].circle)
			return (true);
	return (false);
}

/* ---- the terminal ---------------------------------------------------------------------------------------- */

/* Bytes of text that fill at most `columns`, ending where a word ends if one does. */
static size_t
line_length(const char *text, size_t columns)
{
	size_t bytes = 0, seen = 0, space = 0;

	for (; text[bytes] != '\0'; bytes++) {
		if (((unsigned char)text[bytes] & 0xc0) != 0x80 && seen++ == columns)
			return (space != 0 ? space : bytes);
		if (text[bytes] == ' ')
			space = bytes;
	}
	return (bytes);
}

static void
print_wrapped(FILE *to, const char *first, const char *rest, const char *text)
{
	const char *prefix = first;

	do {
		size_t room = COLUMNS - MIN(strlen(prefix), (size_t)COLUMNS - 20);
		size_t n = line_length(text, room);

		fprintf(to, "%s%.*s\n", prefix, (int)n, text);
		text += n;
		text += strspn(text, " ");
		prefix = rest;
	} while (*text != '\0');
}

static void
print_path(const struct explanation *e, FILE *to, const char *prefix, uint32_t path)
{
	struct frame frames[PATH_MAX_DEPTH];
	unsigned n;

	if (path == 0)
		return;
	n = symbols_frames(
	    e->symbols, e->r->paths[path - 1].pc, e->r->paths[path - 1].n, frames, nitems(frames));
	for (unsigned i = 0; i < n; i++)
		fprintf(to, "%s  %-28s %s:%u\n", prefix, frames[i].function,
		    frames[i].file != NULL ? frames[i].file : "?", frames[i].line);
}

static void
print_node(const struct explanation *e, FILE *to, unsigned at, const char *label, const char *first,
    const char *rest, uint64_t *drawn)
{
	const struct node *node = &e->nodes[at];
	bool again = (*drawn >> at & 1) != 0;
	char text[1200], below[PREFIX_MAX], next[PREFIX_MAX];
	unsigned left = 0;

	snprintf(text, sizeof(text), "%s%s%s%s%s", label, *label != '\0' ? ": " : "",
	    rec_string(e->r, node->title),
	    again               ? node->circle ? ": here the circle closes" : ", see above"
	    : node->detail != 0 ? ": "
				: "",
	    again ? "" : rec_string(e->r, node->detail));
	print_wrapped(to, first, rest, text);
	if (again)
		return;
	*drawn |= 1ull << at;
	print_path(e, to, rest, node->path);
	for (unsigned i = 0; i < e->nedges; i++)
		left += e->edges[i].from == at;
	for (unsigned i = 0; i < e->nedges; i++) {
		if (e->edges[i].from != at)
			continue;
		left--;
		snprintf(next, sizeof(next), "%s%s", rest, left > 0 ? "|- " : "`- ");
		snprintf(below, sizeof(below), "%s%s", rest, left > 0 ? "|  " : "   ");
		print_node(
		    e, to, e->edges[i].to, rec_string(e->r, e->edges[i].label), next, below, drawn);
	}
}

static bool
is_root(const struct explanation *e, unsigned node)
{
	for (unsigned i = 0; i < e->nedges; i++)
		if (e->edges[i].to == node)
			return (false);
	return (true);
}

void
explanation_print_chain(const struct explanation *e, FILE *to)
{
	uint64_t drawn = 0;

	for (unsigned i = 0; i < e->nnodes; i++)
		if (is_root(e, i))
			print_node(e, to, i, "", "  ", "  ", &drawn);
	for (unsigned i = 0; i < e->nnodes; i++) /* circles that nothing leads into */
		if ((drawn >> i & 1) == 0)
			print_node(e, to, i, "", "  ", "  ", &drawn);
}

void
explanation_print(const struct explanation *e, FILE *to)
{
	print_wrapped(to, "", "", e->paragraph);
	if (e->nnodes > 0)
		fputc('\n', to);
	explanation_print_chain(e, to);
}
