/*
 * Runs of the laboratory: each scenario that there is, on each kind of machine, is the same run when
 * it is made again and when the answers that were recorded are given again; plans do what they say.
 */
#include "sim_test.h"

#include "lab/run.h"
#include "lab/search/search.h"

static struct lab_spec
spec_of(const struct lab_scenario *scenario, bool direct_map, unsigned page_shift, uint64_t seed)
{
	struct lab_spec spec = { .scenario = scenario,
		.shape = lab_shape(scenario),
		.page_shift = page_shift,
		.seed = seed };

	spec.shape.direct_map = direct_map;
	spec.shape.physmem <<= page_shift - SIM_PAGE_SHIFT_MIN; /* as many pages */
	spec.shape.kva_size <<= page_shift - SIM_PAGE_SHIFT_MIN;
	return (spec);
}

static void
expect_same(const struct lab_spec *spec, const struct lab_result *a, const struct lab_result *b,
    const char *how)
{
	if (a->hash != b->hash || a->steps != b->steps || a->verdict != b->verdict ||
	    a->now != b->now)
		fail_msg("%s, seed %u, %s: %u steps, then %u", spec->scenario->name,
		    (unsigned)spec->seed, how, (unsigned)a->steps, (unsigned)b->steps);
}

static void
run_thrice(const struct lab_spec *spec)
{
	struct lab_schedule first = { 0 }, second = { 0 };
	struct lab_result a, b, c;

	lab_run(spec, random_strategy(), NULL, &first, &a);
	lab_run(spec, random_strategy(), NULL, &second, &b);
	expect_same(spec, &a, &b, "again");
	assert_int_equal(first.n, second.n);
	for (unsigned i = 0; i < first.n; i++)
		assert_true(first.deviation[i].step == second.deviation[i].step &&
			    first.deviation[i].choice == second.deviation[i].choice &&
			    first.deviation[i].value == second.deviation[i].value);
	lab_run(spec, replay_strategy(&first), NULL, &second, &c);
	expect_same(spec, &a, &c, "replayed");
	assert_true(replay_fitted());
	assert_int_equal(first.n, second.n);
	schedule_free(&first);
	schedule_free(&second);
}

static void
each_run_is_a_function_of_its_specification(void **state)
{
	(void)state;
	for (unsigned i = 0; i < lab_nscenarios; i++)
		for (unsigned kind = 0; kind < 4; kind++)
			if (kind % 2 == 0 || lab_scenarios[i]->direct_map_too) {
				struct lab_spec spec = spec_of(
				    lab_scenarios[i], kind % 2 == 1, kind < 2 ? 12 : 14, 7 + kind);

				run_thrice(&spec);
			}
}

/* ---- page sizes ------------------------------------------------------------------------------------- */

static vm_size_t page_size;

static void
note_page_size(void *arg)
{
	(void)arg;
	page_size = PAGE_SIZE;
}

/* One after the other, so that each finds what the last left behind. */
static void
each_run_has_pages_of_its_size(void **state)
{
	static const unsigned shifts[] = { 16, 12, 13, 16, 14, 12 };
	struct lab_observer observer = { .started = note_page_size };
	uint64_t steps[SIM_PAGE_SHIFT_MAX + 1] = { 0 };

	(void)state;
	for (unsigned i = 0; i < nitems(shifts); i++) {
		struct lab_spec spec = spec_of(lab_scenarios[0], i % 2 == 0, shifts[i], 3);
		struct lab_result result;

		lab_run(&spec, random_strategy(), &observer, NULL, &result);
		if (result.verdict != LAB_HELD)
			fail_msg("pages of %u bits: %s", shifts[i], result.line);
		assert_int_equal(page_size, (vm_size_t)1 << shifts[i]);
		assert_true(
		    steps[shifts[i]] == 0 || steps[shifts[i]] == result.steps || i % 2 != 0);
		steps[shifts[i]] = result.steps;
	}
}

static void
impossible_page_sizes_are_refused(void **state)
{
	struct lab_spec spec = spec_of(lab_scenarios[0], false, 12, 1);
	struct lab_result result;

	(void)state;
	spec.page_shift = 17;
	lab_run(&spec, &lab_default_strategy, NULL, NULL, &result);
	assert_int_not_equal(result.verdict, LAB_HELD);
	assert_non_null(strstr(result.line, "4 to 64 KB"));
	spec.page_shift = 12;
	lab_run(&spec, &lab_default_strategy, NULL, NULL, &result);
	assert_int_equal(result.verdict, LAB_HELD);
}

/* ---- plans ------------------------------------------------------------------------------------------- */

static unsigned injected, reclaims;
static uint64_t at_step, at_value;

static void
see_plan(void *arg, const struct sim_event *ev)
{
	(void)arg;
	injected += ev->kind == SIM_INJECT;
	reclaims += ev->kind == SIM_RECLAIM;
	if (ev->kind == SIM_INJECT || ev->kind == SIM_RECLAIM) {
		at_step = ev->step;
		at_value = ev->value;
	}
}

static void
run_plan(struct lab_spec *spec, struct lab_result *result)
{
	struct lab_observer observer = { .event = see_plan };

	injected = reclaims = 0;
	lab_run(spec, &lab_default_strategy, &observer, NULL, result);
	if (result->verdict != LAB_HELD)
		fail_msg("k %u, reclaim %u: %s", (unsigned)spec->plan.inject_at,
		    (unsigned)spec->plan.reclaim_at, result->line);
}

/* For each k that there is; beyond the last nothing is injected and the run is the plain one. */
static void
the_kth_request_fails_once(void **state)
{
	struct lab_spec spec = spec_of(lab_scenarios[0], false, 12, 1);
	struct lab_result plain, result;

	(void)state;
	run_plan(&spec, &plain);
	assert_int_equal(injected, 0);
	assert_true(plain.injectable > 3);
	for (spec.plan.inject_at = 1; spec.plan.inject_at <= plain.injectable;
	     spec.plan.inject_at++) {
		run_plan(&spec, &result);
		assert_int_equal(injected, 1);
		assert_int_equal(at_value, spec.plan.inject_at);
	}
	run_plan(&spec, &result);
	assert_int_equal(injected, 0);
	assert_true(result.hash == plain.hash);
}

static void
a_reclaim_pass_comes_at_its_step(void **state)
{
	struct lab_spec spec = spec_of(lab_scenarios[0], false, 12, 1);
	struct lab_result plain, result;
	unsigned seen = 0;

	(void)state;
	run_plan(&spec, &plain);
	spec.plan.reclaim_how = 2;
	for (spec.plan.reclaim_at = plain.steps / 2; spec.plan.reclaim_at < plain.steps;
	     spec.plan.reclaim_at += plain.steps / 40 + 1) {
		run_plan(&spec, &result);
		if (reclaims == 0)
			continue;
		seen++;
		assert_int_equal(reclaims, 1);
		assert_int_equal(at_value, 2);
		/* The pass's own point is the first after its step. */
		assert_in_range(at_step, spec.plan.reclaim_at, spec.plan.reclaim_at + 1);
	}
	assert_true(seen > 10);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_run_is_a_function_of_its_specification),
		cmocka_unit_test(each_run_has_pages_of_its_size),
		cmocka_unit_test(impossible_page_sizes_are_refused),
		cmocka_unit_test(the_kth_request_fails_once),
		cmocka_unit_test(a_reclaim_pass_comes_at_its_step),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
