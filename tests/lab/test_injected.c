/*
 * Every promise holds whichever request of the core is made to fail, with threads that wait: a
 * failure that was injected leaves what was asked for where it is, and no event tells of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "lab/run.h"
#include "lab/search/search.h"

static const struct lab_scenario *
scenario_of(const char *name)
{
	for (unsigned i = 0; i < lab_nscenarios; i++)
		if (strcmp(lab_scenarios[i]->name, name) == 0)
			return (lab_scenarios[i]);
	fail_msg("no scenario %s", name);
	return (NULL);
}

static void
run_one(struct lab_spec *spec, struct lab_result *r)
{
	lab_run(spec, random_strategy(), NULL, NULL, r);
	if (r->verdict != LAB_HELD)
		fail_msg("%s, seed %u, request %u fails: %s: %s", spec->scenario->name,
		    (unsigned)spec->seed, (unsigned)spec->plan.inject_at,
		    lab_verdict_names[r->verdict], r->line);
}

static void
each_failure(const char *name, unsigned seeds)
{
	struct lab_spec spec = { .scenario = scenario_of(name) };
	struct lab_result r, plain;

	spec.shape = lab_shape(spec.scenario);
	for (spec.seed = 1; spec.seed <= seeds; spec.seed++) {
		spec.plan.inject_at = 0;
		run_one(&spec, &plain);
		for (uint64_t k = 1; k <= plain.injectable; k++) {
			spec.plan.inject_at = k;
			run_one(&spec, &r);
		}
	}
}

static void
test_waiters_for_pages(void **state)
{
	(void)state;
	each_failure("page-waiters", 4);
}

static void
test_waiters_for_items(void **state)
{
	(void)state;
	each_failure("slab-waiters", 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiters_for_pages),
		cmocka_unit_test(test_waiters_for_items),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
