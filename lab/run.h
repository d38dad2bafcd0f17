/*
 * One run, from a specification to a result; everything that searches, replays, shrinks and reports
 * is built on it. A run is a pure function of its specification: the same result, step for step.
 */
#ifndef LAB_RUN_H
#define LAB_RUN_H

#include "base/fault.h"
#include "lab/lab.h"
#include "machine/sim/sim.h"

enum lab_verdict {
	LAB_HELD,       /* every promise */
	LAB_DEADLOCK,   /* nobody can run, nothing is pending */
	LAB_LIVELOCK,   /* time passes, passes repeat, nobody advances although resources suffice */
	LAB_STARVATION, /* one call outlasts its bound while others advance */
	LAB_LOST_WAKEUP, /* a sleeper whose condition holds, and nobody on the way to wake it */
	LAB_OVERLAP,     /* something was handed out twice */
	LAB_FREED,       /* memory was used after it was freed */
	LAB_BAD_TOUCH,   /* unmapped memory was touched */
	LAB_RESERVE,     /* a reserve or the tag invariant is broken */
	LAB_ACCOUNT,     /* pages, addresses, tags, items or limits do not sum to what they were */
	LAB_LOCK_ORDER,
	LAB_PANIC,    /* the core stopped itself: misuse or invariant */
	LAB_PROMISE,  /* the scenario's own lab_must() */
	LAB_TOO_LONG, /* max_steps: the scenario is too large; not a finding */
	LAB_VERDICTS
};
extern const char *const lab_verdict_names[LAB_VERDICTS]; /* "held", "deadlock", ... */

#define LAB_DEVIATIONS_MAX (1u << 16)

struct lab_schedule { /* answers that were not the default, by step */
	struct sim_deviation *deviation;
	unsigned n, room;
};

struct lab_spec {
	const struct lab_scenario *scenario;
	struct machine_shape shape; /* complete: lab_shape() fills it */
	unsigned page_shift;        /* pages of 1 << page_shift bytes; 0: of 4 KB */
	uint64_t faults;            /* set of bits, by place in faults.def */
	enum core_policy policy;
	struct sim_plan plan;
	uint64_t seed;      /* of lab_random() and of the strategy */
	bool small;         /* lab_scale() gives the small number */
	uint64_t max_steps; /* 0: the scenario's */
	uint32_t tolerated; /* set of verdicts: they do not end the run, what comes of them may */
};

/* Who answers. A strategy is made fresh for each run by its owner (lab/search). */
struct lab_strategy {
	void (*begin)(void *arg, uint64_t seed, uint64_t expected_steps);
	unsigned (*choose)(void *arg, enum sim_choice what, uint64_t candidates, unsigned dflt);
	void *arg;
};

/* Who looks, beside the oracles; each may be NULL. Called for every event, on the fiber's stack. */
struct lab_observer {
	void (*event)(void *arg, const struct sim_event *event);
	void (*started)(void *arg); /* cooper_start() has returned; before setup() */
	void (*settled)(void *arg); /* the threads have ended; before finish() */
	void *arg;
};

struct lab_result {
	enum lab_verdict verdict;
	char line[256]; /* what was broken: one line with names and numbers */
	uint64_t steps, hash, now;
	unsigned fiber;      /* who was running */
	uint64_t injectable; /* NOWAIT requests seen: k's that can be failed */
	uint64_t pages_stranded,
	    tags_peak_bytes; /* after finish() and a last reclaim; for `compare` */
};

/* schedule: NULL, or where the deviations of this run are recorded (emptied first). */
void lab_run(const struct lab_spec *spec, const struct lab_strategy *strategy,
    const struct lab_observer *observer, struct lab_schedule *schedule, struct lab_result *result);

/* The default answers. Those of a recorded schedule: replay_strategy() in lab/search. */
extern const struct lab_strategy lab_default_strategy;

/* The scenario's shape, its zero fields filled in. */
struct machine_shape lab_shape(const struct lab_scenario *scenario);

/* ---- catalogues -------------------------------------------------------------------------------- */

struct lab_fault {
	const char *name, *reference, *about; /* reference: "R1, r358097"; about: one line */
};
extern const struct lab_fault lab_faults[];
extern const unsigned lab_nfaults;
extern const struct lab_scenario *const lab_scenarios[];
extern const unsigned lab_nscenarios;
extern const char
    *const lab_policy_names[3]; /* by enum core_policy: "shipped", "nofree", "nofree-no-dmap" */

#endif
