/*
 * Searching: which schedules of a scenario are run, and what is done with one that breaks a promise.
 *
 *	random.c      a switch at random points
 *	pct.c         priorities that change at d - 1 random points
 *	exhaustive.c  every schedule with at most so many preemptions
 *	replay.c      the schedule that was recorded
 *	search.c      many schedules of one specification, until one breaks a promise
 *	vary.c        the n-th specification of a campaign: shape, injections, strategy by index
 *	shrink.c      a smaller specification and schedule that break the same promise
 *	file.c        a specification and its schedule as a text that can be kept
 *
 * All of it is built on lab_run() and is a pure function of its arguments, deadlines aside.
 */
#ifndef LAB_SEARCH_H
#define LAB_SEARCH_H

#include <stdio.h>
#include "lab/run.h"

/* ---- numbers ------------------------------------------------------------------------------------- */

/* The next of a stream of random numbers (splitmix64). */
static inline uint64_t
search_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31));
}

/* A number that depends on both. */
static inline uint64_t
search_mix(uint64_t a, uint64_t b)
{
	uint64_t state = a ^ (b * 0xd6e8feb86659fd93u);

	return (search_random(&state));
}

/* One of the bits of a set that is not empty; the n-th. */
unsigned search_pick(uint64_t set, uint64_t n);

/* ---- strategies: what they return stays theirs and lasts until the next call ------------------------ */

/* How large the runs of a specification are: those of its default schedule. */
struct search_size {
	uint64_t steps;
	unsigned fibers;
	uint64_t injectable;
};

const struct lab_strategy *random_strategy(void);
/* d: the number of points that must come in order for the bug to show; d - 1 changes of priority. */
const struct lab_strategy *pct_strategy(const struct search_size *size, unsigned d);
/* Least chance that a run finds a bug of depth d: 1 / (n * k^(d-1)). */
double pct_chance(const struct search_size *size, unsigned d);
const struct lab_strategy *replay_strategy(const struct lab_schedule *schedule);
/* Did the latest replay come by all its deviations, each among the candidates? */
bool replay_fitted(void);

/* ---- search.c --------------------------------------------------------------------------------------- */

enum search_kind { SEARCH_RANDOM, SEARCH_PCT, SEARCH_EXHAUSTIVE, SEARCH_KINDS };
extern const char *const search_kind_names[SEARCH_KINDS];

#define SEARCH_DEPTH_MAX 8 /* of PCT */

struct search_options {
	struct lab_spec spec; /* its seed is that of the first schedule; others count on from it */
	enum search_kind kind;
	unsigned depth;       /* PCT: d, from 1 */
	unsigned preemptions; /* exhaustive: at most so many in a schedule */
	uint64_t schedules;   /* stop after so many; 0: no such end */
	uint64_t points;      /* stop after so many points; 0: no such end */
	uint64_t deadline;    /* stop at this time, see search_clock(); 0: no such end */
};

struct search_result {
	bool found;     /* a promise was broken: the four below say how */
	bool all;       /* exhaustive: there are no other schedules */
	uint64_t seeds; /* of the schedules: the seed that comes next */
	uint64_t schedules, points, too_long;
	struct search_size size;
	struct lab_spec spec;
	struct lab_result result; /* of the run that broke it, or of the latest */
	struct lab_schedule schedule;
};

/* True if a promise was broken. The caller frees the schedule: schedule_free(). */
bool search_run(const struct search_options *options, struct search_result *result);

/* One run; counted in *result. True, and all about it in *result, if a promise was broken. */
bool search_once(
    const struct lab_spec *spec, const struct lab_strategy *strategy, struct search_result *result);

/* The default schedule of a specification, whatever its seed: its size; true if that breaks it. */
bool search_measure(const struct lab_spec *spec, struct search_result *result);

/* One hang may be seen as another: which of them comes first depends on who else is about. */
static inline bool
search_hang(enum lab_verdict v)
{
	return (
	    v == LAB_DEADLOCK || v == LAB_LIVELOCK || v == LAB_STARVATION || v == LAB_LOST_WAKEUP);
}

/* lab_spec.tolerated: books and reserves that are wrong, but nothing that a thread runs into. */
#define HANGS_ALONE (1u << LAB_RESERVE | 1u << LAB_ACCOUNT)

static inline bool
search_broken(enum lab_verdict verdict)
{
	return (verdict != LAB_HELD && verdict != LAB_TOO_LONG);
}

uint64_t search_clock(void); /* nanoseconds that pass in the host */
bool search_over(const struct search_options *options, const struct search_result *result);
bool exhaustive_run(const struct search_options *options, struct search_result *result);

/* ---- vary.c ----------------------------------------------------------------------------------------- */

/*
 * The n-th run of a campaign over one scenario. Fields of the shape that the scenario does not care
 * about vary, as do failures, reclaim passes and strategies. spec: scenario, faults and policy are
 * the caller's; the rest is set, a pure function of seed and n. Some n ask for the size of the
 * default run of the same shape, so this may run it: counted in *result.
 */
const struct lab_strategy *vary(
    struct lab_spec *spec, uint64_t seed, uint64_t n, struct search_result *result);

/* ---- shrink.c --------------------------------------------------------------------------------------- */

struct shrink_result {
	struct lab_spec spec;
	struct lab_schedule schedule;
	struct lab_result result;
	uint64_t runs, points; /* that it took */
};

/*
 * From a run that broke a promise to a smaller one that breaks the same: fewer CPUs and domains,
 * less memory and address space, smaller scale, fewer deviations. `points` bounds the work. The
 * caller frees the schedule.
 */
void shrink(const struct lab_spec *spec, const struct lab_schedule *schedule,
    const struct lab_result *broken, uint64_t points, struct shrink_result *out);

/* ---- schedules and file.c --------------------------------------------------------------------------- */

void schedule_add(struct lab_schedule *s, uint64_t step, enum sim_choice choice, unsigned value);
void schedule_copy(struct lab_schedule *to, const struct lab_schedule *from);
void schedule_free(struct lab_schedule *s);

/* Writes the text; false if the stream did not take it. */
bool file_write(FILE *to, const struct lab_spec *spec, const struct lab_schedule *schedule,
    const struct lab_result *result);

struct file_run {
	struct lab_spec spec;
	struct lab_schedule schedule; /* the caller frees it */
	enum lab_verdict verdict;     /* how it ended when it was written */
	uint64_t steps, hash;
};
/* False, *run empty and *why = one line, without the name of the file, about what is wrong. */
bool file_read(FILE *from, struct file_run *run, const char **why);

#endif
