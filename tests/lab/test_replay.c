/*
 * A run is a pure function of its specification: every scenario, in its shapes and under all
 * strategies, runs again step for step from the schedule that was recorded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "lab/search/search.h"

#define EACH 24 /* runs of a scenario */

static void
every_run_replays(void **state)
{
	struct search_result r = { 0 };
	struct lab_schedule recorded = { 0 }, again = { 0 };
	struct lab_result first, second;

	(void)state;
	for (uint64_t n = 0; n < (uint64_t)EACH * lab_nscenarios; n++) {
		struct lab_spec spec = { .scenario = lab_scenarios[n % lab_nscenarios] };
		const struct lab_strategy *strategy = vary(&spec, 7, n / lab_nscenarios, &r);

		lab_run(&spec, strategy, NULL, &recorded, &first);
		lab_run(&spec, replay_strategy(&recorded), NULL, &again, &second);
		if (!replay_fitted() || first.hash != second.hash || first.steps != second.steps ||
		    first.verdict != second.verdict || again.n != recorded.n)
			fail_msg("%s, variation %u: %u deviations, steps %u and %u, fits %d",
			    spec.scenario->name, (unsigned)(n / lab_nscenarios), recorded.n,
			    (unsigned)first.steps, (unsigned)second.steps, replay_fitted());
	}
	schedule_free(&recorded);
	schedule_free(&again);
	schedule_free(&r.schedule);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_run_replays) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return (cmocka_run_group_tests_name("replay", tests, NULL, NULL));
}
