/*
 * Making a run that broke a promise smaller, as long as what it breaks is the same.
 *
 * First the specification: each way to make it smaller is tried until none helps. A schedule does
 * not fit another shape, so a few schedules of the smaller one are searched. What is smaller must
 * still be a place where the scenario can end: if the run has a fault or another policy, the shipped
 * code must hold there, on some schedules; if it has none, memory and addresses stay as they are.
 *
 * Then the schedule: of some that break the promise, the one with the fewest deviations, and from
 * that every deviation that it does without (ddmin; Zeller, Hildebrandt, IEEE TSE 2002). Steps
 * count from the beginning, so dropping one deviation moves the points at which later ones apply:
 * what is kept is what such a run recorded, not what it was told.
 */
#include "machine/machine.h"
#include "base/base.h"
#include "lab/search/search.h"

#define TRIES 48 /* schedules of a smaller specification */
#define HOLDS 12 /* ... of the shipped code, to see that it holds there */

static struct {
	struct shrink_result *best;
	enum lab_verdict verdict;
	uint64_t budget; /* points */
} at;

/* ---- the same broken promise ------------------------------------------------------------------------- */

static bool
same_end(enum lab_verdict v)
{
	return (v == at.verdict || (search_hang(v) && search_hang(at.verdict)));
}

static bool
spent(void)
{
	return (at.best->points >= at.budget);
}

/* Run it; true if it breaks the same promise. The schedule is what was recorded. */
static bool
breaks(const struct lab_spec *spec, const struct lab_strategy *strategy,
    struct lab_schedule *schedule, struct lab_result *result)
{
	lab_run(spec, strategy, NULL, schedule, result);
	at.best->runs++;
	at.best->points += result->steps;
	return (same_end(result->verdict));
}

/* The i-th of the schedules that are tried, the plainest first; of one specification, in order. */
static const struct lab_strategy *
attempt(struct lab_spec *spec, unsigned i, const struct search_size *size)
{
	spec->seed = i;
	if (i == 0)
		return (&lab_default_strategy);
	return (i % 4 == 0 ? random_strategy() : pct_strategy(size, i % 4));
}

static struct search_size
size_of(const struct lab_result *result)
{
	return ((struct search_size){ result->steps, sim_fibers(), result->injectable });
}

static void
keep(const struct lab_spec *spec, const struct lab_schedule *schedule,
    const struct lab_result *result)
{
	at.best->spec = *spec;
	at.best->result = *result;
	schedule_copy(&at.best->schedule, schedule);
}

/* ---- the specification -------------------------------------------------------------------------------- */

static bool
shipped(const struct lab_spec *spec)
{
	return (spec->faults == 0 && spec->policy == POLICY_shipped);
}

/* Does the shipped code hold there? */
static bool
holds(const struct lab_spec *wanted)
{
	struct search_size size = { 0 };
	struct lab_spec spec = *wanted;
	struct lab_schedule schedule = { 0 };
	struct lab_result result = { 0 };
	bool good = true;

	spec.faults = 0;
	spec.policy = POLICY_shipped;
	for (unsigned i = 0; i < HOLDS && good && !spent(); i++) {
		breaks(&spec, attempt(&spec, i, &size), &schedule, &result);
		if (i == 0)
			size = size_of(&result);
		good = result.verdict == LAB_HELD;
	}
	schedule_free(&schedule);
	return (good);
}

static bool
accept(const struct lab_spec *wanted)
{
	struct search_size size = { 0 };
	struct lab_spec spec = *wanted;
	struct lab_schedule schedule = { 0 };
	struct lab_result result;
	bool found;

	/* The same answers may do: those that do not fit are not given. */
	found = breaks(&spec, replay_strategy(&at.best->schedule), &schedule, &result);
	for (unsigned i = 0; i < TRIES && !found && !spent(); i++) {
		found = breaks(&spec, attempt(&spec, i, &size), &schedule, &result);
		if (i == 0)
			size = size_of(&result);
	}
	found = found && (shipped(wanted) || holds(wanted));
	if (found)
		keep(&spec, &schedule, &result);
	schedule_free(&schedule);
	return (found);
}

static uint64_t
three_quarters(uint64_t bytes)
{
	return (trunc_page(bytes - bytes / 4));
}

/* Make it smaller in the which-th way. False: it cannot be. */
static bool
smaller(struct lab_spec *s, unsigned which)
{
	const struct lab_spec old = *s;

	switch (which) {
	case 0:
		s->small = true;
		break;
	case 1:
		s->plan.inject_at = 0;
		break;
	case 2:
		s->plan.reclaim_at = 0;
		break;
	case 3:
		s->shape.ndomains = 1;
		break;
	case 4:
		s->shape.ncpus = MAX(s->shape.ncpus / 2, s->shape.ndomains);
		break;
	case 5:
		s->shape.ncpus = MAX(s->shape.ncpus - 1, s->shape.ndomains);
		break;
	case 6:
		if (!shipped(s) && s->shape.physmem > (uint64_t)1 << 20)
			s->shape.physmem = three_quarters(s->shape.physmem);
		break;
	case 7:
		if (!shipped(s) && s->shape.kva_size > (vm_size_t)1 << 20)
			s->shape.kva_size = (vm_size_t)three_quarters(s->shape.kva_size);
		break;
	}
	return (s->small != old.small || s->plan.inject_at != old.plan.inject_at ||
		s->plan.reclaim_at != old.plan.reclaim_at ||
		s->shape.ndomains != old.shape.ndomains || s->shape.ncpus != old.shape.ncpus ||
		s->shape.physmem != old.shape.physmem || s->shape.kva_size != old.shape.kva_size);
}
#define WAYS 8

static void
shrink_spec(void)
{
	bool progress;

	do {
		progress = false;
		for (unsigned which = 0; which < WAYS && !spent(); which++) {
			struct lab_spec spec = at.best->spec;

			if (smaller(&spec, which) && accept(&spec))
				progress = true;
		}
	} while (progress && !spent());
}

/* ---- the schedule ------------------------------------------------------------------------------------- */

static void
fewest_deviations(void)
{
	struct search_size size = size_of(&at.best->result);
	struct lab_spec spec = at.best->spec;
	struct lab_schedule schedule = { 0 };
	struct lab_result result;

	for (unsigned i = 0; i < TRIES && !spent() && at.best->schedule.n > 0; i++)
		if (breaks(&spec, attempt(&spec, i, &size), &schedule, &result) &&
		    schedule.n < at.best->schedule.n)
			keep(&spec, &schedule, &result);
	schedule_free(&schedule);
}

/* The best schedule without n deviations from `first` on; kept if that breaks the promise, too. */
static bool
without(unsigned first, unsigned n)
{
	const struct lab_schedule *all = &at.best->schedule;
	struct lab_schedule told = { 0 }, recorded = { 0 };
	struct lab_spec spec = at.best->spec;
	struct lab_result result;
	bool better = false;

	for (unsigned i = 0; i < all->n; i++)
		if (i < first || i >= first + n)
			schedule_add(&told, all->deviation[i].step,
			    (enum sim_choice)all->deviation[i].choice, all->deviation[i].value);
	if (breaks(&spec, replay_strategy(&told), &recorded, &result) && recorded.n < all->n) {
		keep(&spec, &recorded, &result);
		better = true;
	}
	schedule_free(&told);
	schedule_free(&recorded);
	return (better);
}

static void
shrink_schedule(void)
{
	unsigned chunk = (at.best->schedule.n + 1) / 2;

	while (chunk > 0 && !spent()) {
		bool progress = false;

		for (unsigned first = 0; first < at.best->schedule.n && !spent();) {
			if (without(first, chunk))
				progress = true;
			else
				first += chunk;
		}
		if (chunk == 1 && !progress)
			break;
		chunk = MIN(progress && chunk == 1 ? 1 : chunk / 2, at.best->schedule.n);
	}
}

void
shrink(const struct lab_spec *spec, const struct lab_schedule *schedule,
    const struct lab_result *broken, uint64_t points, struct shrink_result *out)
{
	*out = (struct shrink_result){ .spec = *spec, .result = *broken };
	schedule_copy(&out->schedule, schedule);
	at.best = out;
	at.verdict = broken->verdict;
	at.budget = points / 2;
	shrink_spec();
	at.budget = points;
	fewest_deviations();
	shrink_schedule();
}
