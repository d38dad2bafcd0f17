/*
 * From "who waits" to "why nobody can bring it back". An explanation is a graph, one paragraph and
 * the fatal steps; the terminal's chain, the JSON and the page's picture are three views of it.
 *
 *	waiter --waits for--> resource --needs--> resource ... --needs--> the first again: a circle
 *	                         |  \--taken by--> the fatal step: who, when, through which calls
 *	                          \--brought back by--> those who could, and why they do not
 *
 * Which resource is made of which others stands in one table, needs.c. All else follows from the
 * recording: a resource is short if it has less than is needed, and the fatal step is the one after
 * which it was short until the end.
 */
#ifndef LAB_REPORT_EXPLAIN_H
#define LAB_REPORT_EXPLAIN_H

#include <stdio.h>
#include "lab/report/recording.h"
#include "lab/report/symbols.h"

#define NODES_MAX 64
#define EDGES_MAX 128
#define FATAL_MAX 16

enum node_kind {
	NODE_WAITER,   /* threads that wait for the same */
	NODE_RESOURCE, /* what they wait for, or what that is made of */
	NODE_TAKEN,    /* a fatal step, or another step that matters */
	NODE_HELPER,   /* who could bring it back, and why not */
	NODE_KINDS
};
extern const char *const node_kind_names[NODE_KINDS];

struct want {         /* of a resource */
	uint8_t kind; /* enum wait_kind */
	uint32_t owner, channel;
	uint64_t need;
	const struct rec_wait *lock; /* WAIT_LOCK: somebody's wait for it */
};

struct node {
	uint8_t kind; /* enum node_kind */
	uint8_t fiber;
	bool is_short; /* RESOURCE: there is less than is needed */
	bool circle;   /* on a circle of needs */
	uint32_t title, detail;
	uint32_t path;    /* call path to be shown */
	uint64_t step;    /* 0: none */
	struct want want; /* RESOURCE */
};

struct edge {
	unsigned from, to;
	uint32_t label;
	bool circle;
};

struct fatal {
	const struct rec_meter *meter;
	unsigned point; /* of the meter: the first one on the wrong side */
	int64_t bound;  /* less than this is too little */
};

struct explanation {
	struct recording *r; /* its texts are used, and added to */
	struct symbols *symbols;
	char *paragraph;
	struct node nodes[NODES_MAX];
	unsigned nnodes;
	struct edge edges[EDGES_MAX];
	unsigned nedges;
	struct fatal fatal[FATAL_MAX];
	unsigned nfatal;
	struct fatal risen[FATAL_MAX]; /* LOST_WAKEUP: what came back, and nobody was woken */
	unsigned nrisen;
	uint8_t waiter_of[SIM_FIBERS]; /* the node that a fiber is in, + 1; 0: none */
};

struct explanation *explain(struct recording *r, struct symbols *symbols);
void explanation_free(struct explanation *e);
/* The paragraph and the chain, for people; at most 100 columns. */
void explanation_print(const struct explanation *e, FILE *to);
void explanation_print_chain(const struct explanation *e, FILE *to); /* the chain alone */

/* ---- graph.c ------------------------------------------------------------------------------------- */

/* A new node; a full graph gives the last one again and again, and stays readable. */
unsigned add_node(struct explanation *e, enum node_kind kind, uint32_t title, uint32_t detail);
void add_edge(struct explanation *e, unsigned from, unsigned to, const char *label);
/* Mark what lies on a circle of needs. */
void mark_circles(struct explanation *e);
bool has_circle(const struct explanation *e);
/* "worker#3" */
const char *fiber_label(const struct explanation *e, unsigned fiber);
/* The functions of a path, from the outermost, " > " between them; at most max of the innermost. */
uint32_t path_line(const struct explanation *e, uint32_t path, unsigned max);
/* 1234567 as "1,234,567"; a virtual time as "12.3 ms"; in one of a few buffers. */
const char *number(int64_t n);
const char *duration(uint64_t ns);

/* ---- needs.c --------------------------------------------------------------------------------------- */

/* The node of a resource, made with all that it is made of if it is new. */
unsigned resource_node(struct explanation *e, const struct want *w);
bool resource_short(const struct explanation *e, const struct want *w);
/* What a resource is called: "boundary tags", "slots of zone \"files\"". */
const char *resource_name(const struct explanation *e, const struct want *w);
const struct rec_meter *resource_meter(const struct explanation *e, const struct want *w);
/* Less than this is too little. */
int64_t resource_bound(const struct explanation *e, const struct want *w);

/* ---- blame.c ------------------------------------------------------------------------------------------ */

/* The step after which a meter was below bound until the end; -1: it is not, or always was. */
int last_fall(const struct rec_meter *m, int64_t bound);
/* The step since which it has been at or above bound; -1: it is not, or always was. */
int last_rise(const struct rec_meter *m, int64_t bound);
/* A node for the step that took the last of a resource; under `of`. */
void blame_fall(struct explanation *e, unsigned of, const struct rec_meter *m, int64_t bound);
/* A node for a point, with who did it through which calls. */
unsigned point_node(
    struct explanation *e, const struct rec_meter *m, unsigned point, const char *what);
/* Under `of`: who last took and gave back what an address lies in, latest first. */
void blame_address(struct explanation *e, unsigned of, uint64_t address);
/* Under `of`: what of this zone or arena was taken and never given back. */
void blame_owner(struct explanation *e, unsigned of, uint32_t owner);

#endif
