/*
 * What is kept of one run: plain data, filled in by record.c while the core runs, read by everything
 * else after it. Knows nothing of the core, so that tests can write recordings by hand.
 *
 * Texts and call paths are numbers; 0 is none. Texts are clean: valid UTF-8 without control
 * characters, whatever names a program gave to its zones.
 */
#ifndef LAB_REPORT_RECORDING_H
#define LAB_REPORT_RECORDING_H

#include "lab/run.h"
#include "stats/stats.h"

#define PATH_MAX_DEPTH 40
#define EVENTS_MAX     (4u << 20) /* kept at most: of longer runs, the latest */
#define NOBODY         UINT8_MAX  /* no fiber */

/* ---- events ------------------------------------------------------------------------------------- */

struct rec_event {
	uint64_t step, now; /* now: virtual ns */
	uint64_t value;     /* as in struct sim_event */
	uint64_t object;    /* its address in the run */
	uint32_t name;      /* of the object */
	uint32_t path;      /* where; 0 for the kinds that are too many */
	uint8_t kind, fiber, cpu;
};

/* ---- meters: an amount, wherever it changed -------------------------------------------------------- */

enum meter_kind {
	METER_TAGS, /* free in slabs */
	METER_RESERVE,
	METER_PAGES,
	METER_KVA, /* free pages of address space */
	METER_ARENA,
	METER_LIMIT,    /* what a zone may still import */
	METER_SLEEPERS, /* on a channel */
	METER_OTHER
};

struct rec_point {
	uint64_t step;
	int64_t value;
	uint32_t path; /* who changed it */
	uint32_t call; /* in which public function: text */
	uint8_t fiber, cpu;
};

struct rec_meter {
	uint32_t name;            /* "tags_free", "arena transient", "limit files" */
	uint32_t owner;           /* the arena's or zone's name alone; 0 */
	uint32_t unit;            /* "tags", "pages", ... */
	uint8_t kind;             /* enum meter_kind */
	bool gone;                /* its object was destroyed */
	struct rec_point *points; /* the first is where it was first seen */
	unsigned n, room;
};

/* ---- operations: outermost public calls --------------------------------------------------------------- */

struct rec_call {
	uint64_t step, returned; /* returned 0: not yet */
	uint64_t asked, result;
	uint32_t name, owner; /* the function; its zone or arena, 0 if that is not known */
	uint32_t path;
	uint8_t fiber;
};

/* ---- hands: items and ranges that were taken and given back ------------------------------------------- */

struct rec_hand {
	uint64_t step, address, size;
	uint32_t of; /* the zone's or arena's name */
	uint32_t path;
	uint8_t fiber, cpu;
	bool out;
};

/* ---- fibers and the end -------------------------------------------------------------------------- */

enum wait_kind {
	WAIT_NONE,
	WAIT_TAGS,     /* "btalloc" */
	WAIT_KVA,      /* "kva" */
	WAIT_PAGES,    /* "vmwait" */
	WAIT_ARENA,    /* an arena's own queue */
	WAIT_LIMIT,    /* "zonelimit" */
	WAIT_SMR,      /* readers of an earlier time */
	WAIT_PASS,     /* the end of a reclaim pass or of a walk over zones */
	WAIT_LOCK,     /* a lock that is held */
	WAIT_SCENARIO, /* the scenario's own: lab_wait(), lab_sleep() */
	WAIT_OTHER
};

/*
 * A wait lasts from the first sleep on a channel to the return of the public call in which it
 * happened: in between a waiter may wake up in vain, look, reclaim and sleep again.
 */
struct rec_wait {
	uint8_t kind;       /* enum wait_kind */
	uint8_t holder;     /* LOCK: who has it; NOBODY */
	uint32_t channel;   /* its name */
	uint32_t owner;     /* of what it is the channel: the arena's, zone's or lock's name */
	uint64_t need;      /* in the channel's unit; 0: not told */
	uint64_t step, now; /* since when */
	uint64_t sleeps;    /* how often it went to sleep */
	uint64_t lock;      /* LOCK: its address in the run */
	uint64_t taken;     /* LOCK: at which step */
	uint32_t path;      /* of the latest sleep */
	uint32_t held_path; /* LOCK: where it was taken */
};

struct rec_fiber {
	uint32_t name;
	uint8_t state; /* as sim_fiber() has it */
	uint8_t cpu;
	bool daemon;
	uint32_t call;   /* the operation that it is in: place in calls + 1 */
	uint32_t ncalls; /* operations so far */
	uint32_t path;   /* where it stands; 0 where unknown */
	struct rec_wait wait;
};

struct rec_path {
	uintptr_t *pc; /* innermost first */
	unsigned n;
};

struct rec_table { /* numbers of texts or paths, by hash */
	uint32_t *slot;
	unsigned mask, used;
};

struct recording {
	struct lab_spec spec;
	struct lab_schedule schedule;
	struct lab_result result;

	struct rec_event *events; /* a ring once EVENTS_MAX are there: event i is at first + i */
	unsigned nevents, events_room, first;
	struct rec_meter *meters;
	unsigned nmeters, meters_room;
	struct rec_call *calls;
	unsigned ncalls, calls_room;
	struct rec_hand *hands;
	unsigned nhands, hands_room;
	struct rec_fiber fibers[SIM_FIBERS];
	unsigned nfibers;

	/* At the end. */
	struct stats_zone *zones;
	unsigned nzones, zones_room;
	struct stats_arena *arenas;
	unsigned narenas, arenas_room;
	struct stats_domain *domains;
	unsigned ndomains, domains_room;

	/* Texts and call paths: each once, found by a table. */
	char **texts;
	unsigned ntexts, texts_room;
	struct rec_path *paths;
	unsigned npaths, paths_room;
	struct rec_table text_table, path_table;
};

struct recording *recording_new(const struct lab_spec *spec, const struct lab_schedule *schedule);
void recording_free(struct recording *r);

uint32_t rec_text(struct recording *r, const char *fmt, ...) PRINTFLIKE(2, 3);
const char *rec_string(const struct recording *r, uint32_t text); /* "" for 0 */
uint32_t rec_path(struct recording *r, const uintptr_t *pc, unsigned n);

void rec_add_event(struct recording *r, const struct rec_event *e);
const struct rec_event *rec_event(const struct recording *r, unsigned i); /* i < nevents */
unsigned rec_event_at(const struct recording *r, uint64_t step); /* first of step or later */
struct rec_meter *rec_meter(struct recording *r, enum meter_kind kind, const char *name,
    const char *owner, const char *unit);
void rec_add_point(struct rec_meter *m, const struct rec_point *p);
/* The meter of a kind, and of an owner unless that is 0; NULL: there is none. The latest that lives. */
const struct rec_meter *rec_find_meter(
    const struct recording *r, enum meter_kind kind, uint32_t owner);
int64_t rec_value(const struct rec_meter *m, uint64_t step); /* at the end of a step */
int64_t rec_last(const struct rec_meter *m);
unsigned rec_add_call(struct recording *r, const struct rec_call *c); /* its place */

/* The operation that a fiber is in; NULL: none. */
const struct rec_call *rec_current(const struct recording *r, const struct rec_fiber *f);

/* Memory, zeroed; room for one more element. Both end the program when memory is out. */
void *rec_alloc(size_t size);
void *rec_grow(void *array, unsigned n, unsigned *room, size_t size);
#define REC_PUSH(array, n, room, element) \
	((array) = rec_grow((array), (n), &(room), sizeof(*(array))), (array)[(n)++] = (element))

#endif
