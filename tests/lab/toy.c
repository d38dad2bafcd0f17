/*
 * The toy machine: lab_run() over lists of steps, with the points, defaults and recorded deviations
 * of the real one. A point of a lock comes after it was taken, that of a word before it is touched.
 */
#include <stdio.h>
#include <string.h>
#include "tests/lab/toy.h"

struct toy toy;
uint64_t toy_runs;
uint32_t toy_word[TOY_OBJECTS];
uint64_t sim_ask_at;

static struct {
	const struct lab_strategy *strategy;
	const struct lab_observer *observer;
	struct lab_schedule *schedule;
	struct lab_result *result;
	uint64_t steps, hash;
	unsigned self;
	unsigned next[TOY_FIBERS]; /* step of each */
	uint32_t own[TOY_FIBERS];  /* number */
	int touches[TOY_FIBERS];   /* a step on a word that its point has announced */
	int holder[TOY_OBJECTS];   /* of each lock; -1 */
	bool blocked[TOY_FIBERS];  /* found the lock of its step held */
	bool ended[TOY_FIBERS];
	bool stopped;
} run;

uint64_t
sim_steps(void)
{
	return (run.steps);
}

unsigned
sim_self(void)
{
	return (run.self);
}

unsigned
sim_fibers(void)
{
	return (toy.nfibers);
}

void
sim_stop(const char *fmt, ...)
{
	(void)fmt;
	run.stopped = true;
}

static const struct toy_step *
next_of(unsigned fiber)
{
	return (&toy.step[fiber][run.next[fiber]]);
}

static bool
can_run(unsigned fiber)
{
	return (
	    !run.ended[fiber] && (!run.blocked[fiber] || run.holder[next_of(fiber)->object] < 0));
}

static uint64_t
candidates(void)
{
	uint64_t set = 0;

	for (unsigned i = 0; i < toy.nfibers; i++)
		set |= (uint64_t)can_run(i) << i;
	return (set);
}

static unsigned
ask(enum sim_choice what, uint64_t set, unsigned dflt)
{
	unsigned answer = dflt;

	if (dflt != run.self || run.steps >= sim_ask_at)
		answer = run.strategy->choose(run.strategy->arg, what, set, dflt);
	if (answer != dflt && run.schedule != NULL)
		schedule_add(run.schedule, run.steps, what, answer);
	return (answer);
}

static void
point(enum sim_kind kind, unsigned object)
{
	struct sim_event e = { .kind = (uint8_t)kind, .fiber = (uint8_t)run.self };

	e.value = kind == SIM_ATOMIC && next_of(run.self)->op == TOY_LOAD;

	e.step = ++run.steps;
	e.object = &run.holder[object];
	run.hash = search_mix(run.hash ^ run.self, kind * 16 + object);
	if (run.observer != NULL)
		run.observer->event(run.observer->arg, &e);
}

/* One step of the running fiber, to its point. */
static void
advance(void)
{
	const struct toy_step *s = next_of(run.self);
	unsigned self = run.self;

	if (s->op >= TOY_LOAD && !run.touches[self]) {
		run.touches[self] = 1;
		point(SIM_ATOMIC, s->object);
		return;
	}
	run.touches[self] = 0;
	run.blocked[self] = s->op == TOY_LOCK && run.holder[s->object] >= 0;
	if (run.blocked[self]) {
		point(SIM_BLOCK, s->object);
		return;
	}
	run.next[self]++;
	switch (s->op) {
	case TOY_LOCK:
		run.holder[s->object] = (int)self;
		point(SIM_LOCK, s->object);
		break;
	case TOY_UNLOCK:
		run.holder[s->object] = -1;
		point(SIM_UNLOCK, s->object);
		break;
	case TOY_LOAD:
		run.own[self] = toy_word[s->object];
		break;
	case TOY_STORE:
		toy_word[s->object] = run.own[self] + 1;
		break;
	case TOY_END:
		run.ended[self] = true;
		point(SIM_END, 0);
		break;
	}
}

static void
run_fibers(const struct lab_spec *spec)
{
	uint64_t set;
	bool pointed = true;

	while (!run.stopped && (set = candidates()) != 0) {
		if (pointed && (set >> run.self & 1))
			run.self = ask(SIM_CHOOSE_FIBER, set, run.self);
		else if (!(set >> run.self & 1)) {
			unsigned dflt = run.self;

			do
				dflt = (dflt + 1) % toy.nfibers;
			while (!(set >> dflt & 1));
			run.self = ask(SIM_CHOOSE_FIBER, set, dflt);
		}
		set = run.steps;
		advance();
		pointed = run.steps != set;
	}
	if (run.stopped)
		run.result->verdict = LAB_PANIC;
	else
		for (unsigned i = 0; i < toy.nfibers; i++)
			if (!run.ended[i])
				run.result->verdict = LAB_DEADLOCK;
	if (run.result->verdict == LAB_HELD && toy.promise != NULL && !toy.promise(toy_word) &&
	    spec->shape.ncpus >= toy.useless_cpus && spec->faults != 0)
		run.result->verdict = LAB_PROMISE;
}

void
lab_run(const struct lab_spec *spec, const struct lab_strategy *strategy,
    const struct lab_observer *observer, struct lab_schedule *schedule, struct lab_result *result)
{
	memset(&run, 0, sizeof(run));
	memset(run.holder, -1, sizeof(run.holder));
	memset(toy_word, 0, sizeof(toy_word));
	*result = (struct lab_result){ .verdict = LAB_HELD, .injectable = 3 };
	if (schedule != NULL)
		schedule->n = 0;
	run.strategy = strategy;
	run.observer = observer;
	run.schedule = schedule;
	run.result = result;
	toy_runs++;
	sim_ask_at = 0;
	if (strategy->begin != NULL)
		strategy->begin(strategy->arg, spec->seed, 100);
	run_fibers(spec);
	result->steps = run.steps;
	result->hash = run.hash;
}

/* ---- what else the searches know ----------------------------------------------------------------------- */

static unsigned
choose_default(void *arg, enum sim_choice what, uint64_t set, unsigned dflt)
{
	(void)arg, (void)what, (void)set;
	return (dflt);
}

static void
begin_default(void *arg, uint64_t seed, uint64_t steps)
{
	(void)arg, (void)seed, (void)steps;
	sim_ask_at = UINT64_MAX;
}

const struct lab_strategy lab_default_strategy = { begin_default, choose_default, NULL };

const struct lab_scenario toy_scenario = { .name = "toy", .about = "steps on locks and words" };
const struct lab_scenario *const lab_scenarios[] = { &toy_scenario };
const unsigned lab_nscenarios = 1;
const struct lab_fault lab_faults[] = { { "fault_one", "R1", "one" },
	{ "fault_two", "R2", "two" } };
const unsigned lab_nfaults = 2;
const char *const lab_policy_names[3] = { "shipped", "nofree", "nofree-no-dmap" };
const char *const lab_verdict_names[LAB_VERDICTS] = { "held", "deadlock", "livelock", "starvation",
	"lost wakeup", "overlap", "freed", "bad touch", "reserve", "account", "lock order", "panic",
	"promise", "too long" };

struct machine_shape
lab_shape(const struct lab_scenario *scenario)
{
	(void)scenario;
	return ((struct machine_shape){ .ncpus = 2,
	    .ndomains = 1,
	    .debug = true,
	    .pin = true,
	    .physmem = 2 << 20,
	    .kva_size = 4 << 20 });
}

struct lab_spec
toy_spec(void)
{
	return ((struct lab_spec){
	    .scenario = &toy_scenario, .shape = lab_shape(&toy_scenario), .faults = 1 });
}
