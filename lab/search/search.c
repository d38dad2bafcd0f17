/*
 * Many schedules of one specification, until one of them breaks a promise.
 *
 * The first run is the default schedule with seed 0, whatever the seed asked for: its size is what
 * PCT draws its points from, so that the run of a seed does not depend on the seeds before it.
 */
#include <time.h>
#include "lab/search/search.h"

const char *const search_kind_names[SEARCH_KINDS] = { "random", "pct", "exhaustive" };

unsigned
search_pick(uint64_t set, uint64_t n)
{
	for (n %= (unsigned)__builtin_popcountll(set); n > 0; n--)
		set &= set - 1;
	return ((unsigned)__builtin_ctzll(set));
}

uint64_t
search_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

bool
search_over(const struct search_options *o, const struct search_result *r)
{
	return ((o->schedules != 0 && r->schedules >= o->schedules) ||
		(o->points != 0 && r->points >= o->points) ||
		(o->deadline != 0 && search_clock() >= o->deadline));
}

bool
search_once(
    const struct lab_spec *spec, const struct lab_strategy *strategy, struct search_result *r)
{
	lab_run(spec, strategy, NULL, &r->schedule, &r->result);
	r->schedules++;
	r->points += r->result.steps;
	r->too_long += r->result.verdict == LAB_TOO_LONG;
	r->found = search_broken(r->result.verdict);
	if (r->found)
		r->spec = *spec;
	return (r->found);
}

bool
search_measure(const struct lab_spec *spec, struct search_result *r)
{
	struct lab_spec zero = *spec;

	zero.seed = 0;
	search_once(&zero, &lab_default_strategy, r);
	r->size = (struct search_size){ r->result.steps, sim_fibers(), r->result.injectable };
	return (r->found);
}

bool
search_run(const struct search_options *o, struct search_result *r)
{
	const struct lab_strategy *strategy = random_strategy();
	struct lab_spec spec = o->spec;

	*r = (struct search_result){ .seeds = spec.seed };
	if (o->kind == SEARCH_EXHAUSTIVE)
		return (exhaustive_run(o, r));
	if (search_measure(&spec, r))
		return (true);
	if (o->kind == SEARCH_PCT)
		strategy = pct_strategy(&r->size, o->depth);
	r->schedules = 0; /* what was asked for does not count the default one */
	while (!search_over(o, r)) {
		spec.seed = r->seeds++;
		if (search_once(&spec, strategy, r))
			return (true);
	}
	return (false);
}
