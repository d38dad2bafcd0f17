/*
 * The n-th run of a campaign. Neighbouring n differ in kind, so that any stretch of a campaign has
 * something of everything:
 *
 *	n % 2    random, PCT with d = 1, 2, 3, 4 by turns
 *	n % 3    2: a failure or a reclaim pass is put in, by turns
 *	n % 4    3: in another shape than the scenario's own
 *
 * Run 0 is the default schedule in the scenario's own shape.
 */
#include <cooper/uma.h>
#include "base/base.h"
#include "lab/search/search.h"

#define SIZES 64 /* shapes of one campaign, about */

/* What default runs looked like: PCT and the injections draw from it. */
static struct {
	struct lab_spec spec;
	struct search_size size;
	bool broken;
} sizes[SIZES];
static unsigned nsizes;

static bool
same_shape(const struct machine_shape *a, const struct machine_shape *b)
{
	return (a->ncpus == b->ncpus && a->ndomains == b->ndomains &&
		a->direct_map == b->direct_map && a->debug == b->debug && a->daemon == b->daemon);
}

/* The size of the default run of this scenario in this shape; true: that run breaks a promise. */
static bool
measure(const struct lab_spec *spec, struct search_size *size, struct search_result *r)
{
	uint64_t schedules = r->schedules;
	unsigned i;

	for (i = 0; i < nsizes; i++)
		if (sizes[i].spec.scenario == spec->scenario &&
		    sizes[i].spec.faults == spec->faults && sizes[i].spec.policy == spec->policy &&
		    same_shape(&sizes[i].spec.shape, &spec->shape))
			break;
	if (i == nsizes) {
		if (i == SIZES)
			nsizes = i = 0;
		nsizes++;
		sizes[i].spec = *spec;
		sizes[i].broken = search_measure(spec, r);
		sizes[i].size = r->size;
		r->schedules = schedules; /* not one of the campaign's */
	}
	*size = sizes[i].size;
	return (sizes[i].broken);
}

/* What the scenario leaves open may be anything. */
static void
vary_shape(const struct lab_scenario *scenario, struct machine_shape *s, uint64_t *state)
{
	static const uint8_t cpus[] = { 1, 2, 3, 4, 8 };

	if (scenario->shape.ncpus == 0 && scenario->shape.ndomains <= 1)
		s->ncpus = cpus[search_random(state) % nitems(cpus)];
	if (scenario->shape.ndomains == 0)
		s->ndomains = s->ncpus > 1 ? 1 + search_random(state) % 2 : 1;
	if (scenario->direct_map_too)
		s->direct_map = search_random(state) % 2;
	s->debug = search_random(state) % 2;
}

static void
vary_plan(struct sim_plan *plan, const struct search_size *size, uint64_t n, uint64_t *state)
{
	static const int how[] = { UMA_RECLAIM_TRIM, UMA_RECLAIM_DRAIN, UMA_RECLAIM_DRAIN_CPU };

	if (n / 3 % 2 == 0 && size->injectable > 0) {
		plan->inject_at = 1 + search_random(state) % size->injectable;
		return;
	}
	plan->reclaim_at = 1 + search_random(state) % size->steps;
	plan->reclaim_how = how[search_random(state) % nitems(how)];
}

const struct lab_strategy *
vary(struct lab_spec *spec, uint64_t seed, uint64_t n, struct search_result *r)
{
	uint64_t state = search_mix(seed, n);
	struct search_size size;

	spec->shape = lab_shape(spec->scenario);
	spec->plan = (struct sim_plan){ 0 };
	spec->seed = n == 0 ? 0 : search_random(&state) >> 1; /* JSON's numbers have a sign */
	spec->small = false;
	spec->max_steps = 0;
	if (n % 4 == 3)
		vary_shape(spec->scenario, &spec->shape, &state);
	if (measure(spec, &size, r) || n == 0) {
		spec->seed = 0;
		return (&lab_default_strategy);
	}
	if (n % 3 == 2)
		vary_plan(&spec->plan, &size, n, &state);
	if (n % 2 == 1)
		return (random_strategy());
	return (pct_strategy(&size, 1 + n / 2 % 4));
}
