/*
 * One run, from its specification to its result.
 *
 * On fiber 0: the core is started, the scenario sets up, its threads run to their ends, what was made
 * is destroyed, and the books must balance. The oracles look on all the while; they say what the end
 * of the run means (lab/oracles/oracles.h).
 *
 * Failure injection is armed from setup() to the end of the threads. It counts all the time, so that
 * a run with an injected failure takes the same steps as one without, up to there.
 */
#include <stdlib.h>

#include <cooper/uma.h>

#include "lab/oracles/oracles.h"
#include "lab/run_int.h"
#include "machine/machine.h"

#define MAX_STEPS 200000

#define SCENARIO_LINE(ident) extern const struct lab_scenario lab_scenario_##ident;
#include "scenarios.def"
#undef SCENARIO_LINE

/* The run that is under way. */
static struct {
	const struct lab_spec *spec;
	const struct lab_strategy *strategy;
	const struct lab_observer *observer;
	struct lab_schedule *schedule;
	struct lab_result *result;
} run;

/* ---- catalogues ----------------------------------------------------------------------------------- */

const char *const lab_verdict_names[LAB_VERDICTS] = { "held", "deadlock", "livelock", "starvation",
	"lost wakeup", "overlap", "use after free", "bad touch", "reserve", "account", "lock order",
	"panic", "promise", "too long" };

const char *const lab_policy_names[3] = { "shipped", "nofree", "nofree-no-dmap" };

const struct lab_fault lab_faults[] = {
#define FAULT_LINE(name, reference, about) { #name, reference, about },
#include "faults.def"
#undef FAULT_LINE
};
const unsigned lab_nfaults = nitems(lab_faults);

const struct lab_scenario *const lab_scenarios[] = {
#define SCENARIO_LINE(ident) &lab_scenario_##ident,
#include "scenarios.def"
#undef SCENARIO_LINE
};
const unsigned lab_nscenarios = nitems(lab_scenarios);

/* What a scenario does not say is the smallest machine on which things go wrong. */
struct machine_shape
lab_shape(const struct lab_scenario *scenario)
{
	struct machine_shape shape = scenario->shape;

	shape.ncpus = shape.ncpus != 0 ? shape.ncpus : MAX(2u, shape.ndomains);
	shape.ndomains = shape.ndomains != 0 ? shape.ndomains : 1;
	shape.physmem = shape.physmem != 0 ? shape.physmem : (uint64_t)2 << 20;
	shape.kva_size = shape.kva_size != 0 ? shape.kva_size : (vm_size_t)4 << 20;
	shape.debug = true;
	return (shape);
}

/* ---- the default answers -------------------------------------------------------------------------- */

static void
default_begin(void *arg, uint64_t seed, uint64_t expected_steps)
{
	(void)arg;
	(void)seed;
	(void)expected_steps;
	sim_ask_at = UINT64_MAX;
}

static unsigned
default_choose(void *arg, enum sim_choice what, uint64_t candidates, unsigned dflt)
{
	(void)arg;
	(void)what;
	(void)candidates;
	return (dflt);
}

const struct lab_strategy lab_default_strategy = { .begin = default_begin,
	.choose = default_choose };

/* ---- the plan: injected failures, a reclaim pass ---------------------------------------------------- */

/* The linker puts this in the place of the core's: see lab/meson.build. */
bool __real_core_inject_hit(void);
bool __wrap_core_inject_hit(void);

bool
__wrap_core_inject_hit(void)
{
	bool hit = __real_core_inject_hit();

	if (hit)
		sim_event(SIM_INJECT, NULL, run.spec->plan.inject_at);
	return (hit);
}

static void
inject_begin(void)
{
	uint64_t k = run.spec->plan.inject_at;

	(void)cooper_inject_failure(k != 0 ? k : UINT64_MAX);
}

static void
inject_end(void)
{
	run.result->injectable = cooper_inject_failure(0);
}

static void
reclaim_thread(void *arg)
{
	const struct sim_plan *plan = arg;

	sim_hold(plan->reclaim_at);
	sim_event(SIM_RECLAIM, NULL, (uint64_t)plan->reclaim_how);
	uma_reclaim(plan->reclaim_how);
}

/* ---- the first thread ----------------------------------------------------------------------------- */

static void
main_thread(void *arg)
{
	const struct lab_spec *spec = arg;

	if (cooper_start(&spec->shape) != 0)
		oracle_broken(LAB_PANIC, "cooper_start: %s", cooper_start_error());
	if (spec->plan.reclaim_at != 0)
		(void)machine_thread_start("reclaim", reclaim_thread, (void *)&spec->plan);
	oracles_started();
	if (run.observer != NULL && run.observer->started != NULL)
		run.observer->started(run.observer->arg);
	threads_begin(spec->seed, spec->small);
	inject_begin();
	spec->scenario->setup();
	threads_join();
	inject_end();
	oracles_settled();
	if (run.observer != NULL && run.observer->settled != NULL)
		run.observer->settled(run.observer->arg);
	if (spec->scenario->finish != NULL)
		spec->scenario->finish();
	oracles_finished(run.result);
}

/* ---- the driver ----------------------------------------------------------------------------------- */

static void
record(enum sim_choice what, unsigned value)
{
	struct lab_schedule *s = run.schedule;

	if (s->n == LAB_DEVIATIONS_MAX) {
		sim_stop("the schedule has more than %u deviations", LAB_DEVIATIONS_MAX);
		return;
	}
	if (s->n == s->room) {
		unsigned room = s->room != 0 ? 2 * s->room : 64;
		void *p = realloc(s->deviation, room * sizeof(*s->deviation));

		if (p == NULL) {
			sim_stop("no memory for a schedule of %u deviations", room);
			return;
		}
		s->deviation = p;
		s->room = room;
	}
	s->deviation[s->n++] = (struct sim_deviation){ sim_steps(), (uint8_t)what, (uint8_t)value };
}

static unsigned
choose(void *arg, enum sim_choice what, uint64_t candidates, unsigned dflt)
{
	unsigned answer = run.strategy->choose(run.strategy->arg, what, candidates, dflt);

	(void)arg;
	if (answer != dflt && run.schedule != NULL)
		record(what, answer);
	return (answer);
}

static void
event(void *arg, const struct sim_event *ev)
{
	(void)arg;
	oracles_event(ev);
	if (run.observer != NULL && run.observer->event != NULL)
		run.observer->event(run.observer->arg, ev);
}

void
lab_run(const struct lab_spec *spec, const struct lab_strategy *strategy,
    const struct lab_observer *observer, struct lab_schedule *schedule, struct lab_result *result)
{
	uint64_t max_steps = spec->max_steps != 0 ? spec->max_steps : spec->scenario->max_steps;
	struct sim_driver driver = { .choose = choose,
		.event = event,
		.max_steps = max_steps != 0 ? max_steps : MAX_STEPS };
	enum sim_end end;

	*result = (struct lab_result){ 0 };
	run.spec = spec;
	run.strategy = strategy;
	run.observer = observer;
	run.schedule = schedule;
	run.result = result;
	if (schedule != NULL)
		schedule->n = 0;
	sim_page_shift = spec->page_shift != 0 ? spec->page_shift : SIM_PAGE_SHIFT_MIN;
	core_faults = spec->faults;
	core_policy = spec->policy;
	sim_ask_at = 0;
	if (strategy->begin != NULL)
		strategy->begin(strategy->arg, spec->seed, driver.max_steps);
	oracles_begin(spec);
	end = sim_run(&spec->shape, &driver, main_thread, (void *)spec);
	oracles_end(end, result);
	if (result->injectable == 0)
		result->injectable = core_inject_seen; /* the run ended before it was asked */
	result->steps = sim_steps();
	result->hash = sim_hash();
	result->now = sim_now() - SIM_START_NS;
	result->fiber = sim_self();
}
