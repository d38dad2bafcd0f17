/*
 * Each fault is found within a few schedules of one scenario; the schedule that found it keeps every
 * promise without the fault. And what the laboratory has found in the core stays mended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "lab/run.h"
#include "lab/search/search.h"

#define BY(verdict) (1u << (verdict))

struct pin {
	const char *scenario;
	uint64_t faults; /* none: it must hold */
	enum search_kind kind;
	uint64_t seed, schedules;
	unsigned verdicts;
};

static const struct lab_scenario *
scenario_named(const char *name)
{
	for (unsigned i = 0; i < lab_nscenarios; i++)
		if (strcmp(lab_scenarios[i]->name, name) == 0)
			return (lab_scenarios[i]);
	fail_msg("%s: no such scenario", name);
	return (NULL);
}

static void
search(const struct pin *pin, struct search_result *r)
{
	struct search_options options = {
		.spec = { .scenario = scenario_named(pin->scenario),
		    .faults = pin->faults,
		    .seed = pin->seed },
		.kind = pin->kind,
		.depth = 3,
		.schedules = pin->schedules,
	};

	options.spec.shape = lab_shape(options.spec.scenario);
	(void)search_run(&options, r);
}

static void
found(void **state)
{
	const struct pin *pin = *state;
	struct search_result r = { 0 };
	struct lab_result same;

	search(pin, &r);
	if (!r.found)
		fail_msg("%s: not found in %u schedules", pin->scenario, (unsigned)r.schedules);
	if ((pin->verdicts & BY(r.result.verdict)) == 0)
		fail_msg("%s: found as %s: %s", pin->scenario, lab_verdict_names[r.result.verdict],
		    r.result.line);
	/* The same answers, as far as they still fit, in the core as it is. */
	r.spec.faults = 0;
	lab_run(&r.spec, replay_strategy(&r.schedule), NULL, NULL, &same);
	if (same.verdict != LAB_HELD)
		fail_msg("%s: without the fault %s: %s", pin->scenario,
		    lab_verdict_names[same.verdict], same.line);
	schedule_free(&r.schedule);
}

static void
held(void **state)
{
	const struct pin *pin = *state;
	struct search_result r = { 0 };

	search(pin, &r);
	if (r.found)
		fail_msg("%s, seed %llu: %s: %s", pin->scenario, (unsigned long long)r.spec.seed,
		    lab_verdict_names[r.result.verdict], r.result.line);
	assert_int_equal(r.too_long, 0);
	schedule_free(&r.schedule);
}

/* The recursion of tags under each schedule with one preemption; with two it takes minutes. */
static void
tiny_recursion_is_clean(void **state)
{
	struct search_options options = {
		.spec = { .scenario = scenario_named("tags-tiny"), .small = true },
		.kind = SEARCH_EXHAUSTIVE,
		.preemptions = 1,
	};
	struct search_result r = { 0 };

	(void)state;
	options.spec.shape = lab_shape(options.spec.scenario);
	if (search_run(&options, &r))
		fail_msg("%s: %s", lab_verdict_names[r.result.verdict], r.result.line);
	assert_true(r.all && r.schedules > 500);
	schedule_free(&r.schedule);
}

static void
each_fault_is_pinned(void **state)
{
	uint64_t pinned = 0;

	(void)state;
#define PIN(fault, where, strategy, seed, schedules, verdicts) pinned |= 1ull << FAULT_##fault;
#define HELD(what, where, strategy, seed, schedules)
#include "pinned.def"
#undef PIN
#undef HELD
	for (unsigned i = 0; i < lab_nfaults; i++)
		if ((pinned >> i & 1) == 0)
			fail_msg("%s is not pinned", lab_faults[i].name);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(each_fault_is_pinned),
	cmocka_unit_test(tiny_recursion_is_clean),
#define PIN(fault, where, strategy, seed, schedules, verdicts)                                   \
	{ #fault, found, NULL, NULL,                                                             \
		&(struct pin){ where, 1ull << FAULT_##fault, SEARCH_##strategy, seed, schedules, \
		    verdicts } },
#define HELD(what, where, strategy, seed, schedules) \
	{ #what, held, NULL, NULL,                   \
		&(struct pin){ where, 0, SEARCH_##strategy, seed, schedules, 0 } },
#include "pinned.def"
#undef PIN
#undef HELD
};

int
main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
