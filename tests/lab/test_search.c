/*
 * The searches, on the toy machine: what they find, that they miss nothing, what they keep.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "base/base.h"
#include "tests/lab/toy.h"

/* clang-format off */
static const struct toy lost_update = { 2, {
	{ { TOY_LOAD, 0 }, { TOY_STORE, 0 } },
	{ { TOY_LOAD, 0 }, { TOY_STORE, 0 } },
}, NULL, 0 };
static const struct toy guarded_update = { 2, {
	{ { TOY_LOCK, 2 }, { TOY_LOAD, 0 }, { TOY_STORE, 0 }, { TOY_UNLOCK, 2 } },
	{ { TOY_LOCK, 2 }, { TOY_LOAD, 0 }, { TOY_STORE, 0 }, { TOY_UNLOCK, 2 } },
}, NULL, 0 };
static const struct toy crossed_locks = { 3, {
	{ { TOY_LOCK, 0 }, { TOY_LOCK, 1 }, { TOY_UNLOCK, 1 }, { TOY_UNLOCK, 0 } },
	{ { TOY_LOCK, 1 }, { TOY_LOCK, 0 }, { TOY_UNLOCK, 0 }, { TOY_UNLOCK, 1 } },
	{ { TOY_LOCK, 2 }, { TOY_UNLOCK, 2 }, { TOY_LOCK, 2 }, { TOY_UNLOCK, 2 } },
}, NULL, 0 };
static const struct toy strangers = { 2, {
	{ { TOY_LOCK, 0 }, { TOY_LOAD, 0 }, { TOY_STORE, 0 }, { TOY_UNLOCK, 0 } },
	{ { TOY_LOCK, 1 }, { TOY_LOAD, 1 }, { TOY_STORE, 1 }, { TOY_UNLOCK, 1 } },
}, NULL, 0 };
/* clang-format on */

static bool
two(const uint32_t word[TOY_OBJECTS])
{
	return (word[0] == 2);
}

static struct search_result
search(enum search_kind kind, unsigned bound, uint64_t schedules)
{
	struct search_options o = { .spec = toy_spec(),
		.kind = kind,
		.depth = bound,
		.preemptions = bound,
		.schedules = schedules };
	struct search_result r;

	search_run(&o, &r);
	return (r);
}

static void
random_and_pct_find(void **state)
{
	struct search_result r;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		toy = i == 0 ? lost_update : crossed_locks;
		toy.promise = i == 0 ? two : NULL;
		for (unsigned kind = SEARCH_RANDOM; kind <= SEARCH_PCT; kind++) {
			r = search((enum search_kind)kind, 2, 200);
			assert_true(r.found);
			assert_int_equal(r.result.verdict, i == 0 ? LAB_PROMISE : LAB_DEADLOCK);
			schedule_free(&r.schedule);
		}
	}
	toy = guarded_update;
	toy.promise = two;
	for (unsigned kind = SEARCH_RANDOM; kind <= SEARCH_PCT; kind++) {
		r = search((enum search_kind)kind, 3, 200);
		assert_false(r.found);
		assert_int_equal(r.schedules, 200);
		schedule_free(&r.schedule);
	}
}

/* The seed that found it finds it again, alone, and its schedule replays. */
static void
a_seed_stands_for_a_run(void **state)
{
	struct search_options o;
	struct search_result r, again;
	struct lab_schedule recorded = { 0 };
	struct lab_result result;

	(void)state;
	toy = crossed_locks;
	for (unsigned kind = SEARCH_RANDOM; kind <= SEARCH_PCT; kind++) {
		o = (struct search_options){
			.spec = toy_spec(), .kind = (enum search_kind)kind, .depth = 2
		};
		o.spec.seed = 1000;
		assert_true(search_run(&o, &r));
		o.spec.seed = r.spec.seed;
		o.schedules = 1;
		assert_true(search_run(&o, &again));
		assert_int_equal(r.result.hash, again.result.hash);
		lab_run(&r.spec, replay_strategy(&r.schedule), NULL, &recorded, &result);
		assert_true(replay_fitted());
		assert_int_equal(r.result.hash, result.hash);
		assert_int_equal(recorded.n, r.schedule.n);
		schedule_free(&r.schedule);
		schedule_free(&again.schedule);
	}
	schedule_free(&recorded);
}

/* PCT finds a bug of depth 2 at least as often as it promises. */
static void
pct_keeps_its_bound(void **state)
{
	struct search_size size;
	struct search_result r = { 0 };
	struct lab_spec spec = toy_spec();
	unsigned found = 0;

	(void)state;
	toy = crossed_locks;
	search_measure(&spec, &r);
	size = r.size;
	assert_int_equal(size.fibers, 3);
	for (spec.seed = 0; spec.seed < 2000; spec.seed++)
		found += search_once(&spec, pct_strategy(&size, 2), &r);
	assert_true(found >= 2000 * pct_chance(&size, 2));
	schedule_free(&r.schedule);
}

/* ---- exhaustive ------------------------------------------------------------------------------------ */

static void
exhaustive_needs_the_preemptions(void **state)
{
	struct search_result r;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		toy = i == 0 ? lost_update : crossed_locks;
		toy.promise = i == 0 ? two : NULL;
		r = search(SEARCH_EXHAUSTIVE, 0, 0);
		assert_false(r.found);
		assert_true(r.all);
		schedule_free(&r.schedule);
		r = search(SEARCH_EXHAUSTIVE, 2, 0);
		assert_true(r.found);
		assert_true(r.schedule.n <= 2);
		schedule_free(&r.schedule);
	}
	toy = guarded_update;
	toy.promise = two;
	r = search(SEARCH_EXHAUSTIVE, 4, 0);
	assert_false(r.found);
	assert_true(r.all);
	schedule_free(&r.schedule);
}

/* Fibers that share nothing are not interleaved: who begins is all there is. */
static void
strangers_are_left_alone(void **state)
{
	struct search_result r;

	(void)state;
	toy = strangers;
	r = search(SEARCH_EXHAUSTIVE, 2, 0);
	assert_true(r.all);
	assert_true(r.schedules <= 6);
	schedule_free(&r.schedule);
}

static void
a_search_that_was_stopped_is_not_all(void **state)
{
	struct search_result r;

	(void)state;
	toy = guarded_update;
	r = search(SEARCH_EXHAUSTIVE, 4, 3);
	assert_false(r.all);
	assert_int_equal(r.schedules, 3);
	schedule_free(&r.schedule);
}

/* Brute force: every answer at every point, at most `left` of them preemptions. */
static struct {
	struct lab_schedule prefix;
	unsigned passed;
	struct {
		uint64_t step, set;
		unsigned dflt;
		bool free;
	} branch[256];
	unsigned n;
	uint64_t ends; /* set of what word 0 and 1 may be at the end, and the deadlock */
} brute;

static unsigned
brute_choose(void *arg, enum sim_choice what, uint64_t set, unsigned dflt)
{
	(void)arg, (void)what;
	if (brute.passed < brute.prefix.n) {
		if (brute.prefix.deviation[brute.passed].step != sim_steps())
			return (dflt);
		return (brute.prefix.deviation[brute.passed++].value);
	}
	brute.branch[brute.n].step = sim_steps();
	brute.branch[brute.n].set = set;
	brute.branch[brute.n].dflt = dflt;
	brute.branch[brute.n++].free = dflt != sim_self();
	return (dflt);
}

static unsigned
end_of(const struct lab_result *result)
{
	return (result->verdict == LAB_DEADLOCK ? 63 : toy_word[0] * 7 + toy_word[1]);
}

static void
brute_force(unsigned left)
{
	static const struct lab_strategy strategy = { NULL, brute_choose, NULL };
	struct lab_spec spec = toy_spec();
	struct lab_result result;
	__typeof__(brute.branch[0]) branch[256];
	unsigned n;

	brute.n = brute.passed = 0;
	lab_run(&spec, &strategy, NULL, NULL, &result);
	brute.ends |= (uint64_t)1 << end_of(&result);
	n = brute.n;
	memcpy(branch, brute.branch, sizeof(branch));
	for (unsigned i = 0; i < n; i++)
		for (unsigned value = 0; value < TOY_FIBERS; value++) {
			if (value == branch[i].dflt || !(branch[i].set >> value & 1) ||
			    (left == 0 && !branch[i].free))
				continue;
			schedule_add(&brute.prefix, branch[i].step, SIM_CHOOSE_FIBER, value);
			brute_force(left - !branch[i].free);
			brute.prefix.n--;
		}
}

/* A fiber that takes locks in any order and always lets go of them. */
static void
make_fiber(struct toy_step *step, uint64_t *state)
{
	unsigned held = TOY_OBJECTS, n = 0;

	for (unsigned i = 0; i < 5; i++) {
		unsigned object = search_random(state) % 2;

		switch (search_random(state) % 3) {
		case 0:
			step[n++] = (struct toy_step){ TOY_LOAD, object };
			break;
		case 1:
			step[n++] = (struct toy_step){ TOY_STORE, object };
			break;
		case 2:
			if (held < TOY_OBJECTS)
				step[n++] = (struct toy_step){ TOY_UNLOCK, held };
			else
				step[n++] = (struct toy_step){ TOY_LOCK, object };
			held = held < TOY_OBJECTS ? TOY_OBJECTS : object;
			break;
		}
	}
	if (held < TOY_OBJECTS)
		step[n++] = (struct toy_step){ TOY_UNLOCK, held };
	step[n] = (struct toy_step){ TOY_END, 0 };
}

static unsigned wanted_end;

static bool
not_the_wanted_end(const uint32_t word[TOY_OBJECTS])
{
	return (word[0] * 7 + word[1] != wanted_end);
}

/* What brute force can end in, and nothing else, is what the reduced search can end in. */
static void
the_reductions_lose_nothing(void **state)
{
	uint64_t random = 1, reduced = 0, all = 0, before;
	unsigned races = 0;

	(void)state;
	for (unsigned program = 0; program < 120; program++) {
		unsigned bound = program % 3;
		bool deadlocks;

		memset(&toy, 0, sizeof(toy));
		toy.nfibers = 2 + program % 5 / 4;
		for (unsigned i = 0; i < toy.nfibers; i++)
			make_fiber(toy.step[i], &random);
		brute.ends = 0;
		brute.prefix.n = 0;
		before = toy_runs;
		brute_force(bound);
		all += toy_runs - before;
		races += (brute.ends & (brute.ends - 1)) != 0;
		deadlocks = brute.ends >> 63;
		for (wanted_end = 0; wanted_end < 49; wanted_end++) {
			struct search_result r;

			toy.promise = deadlocks ? NULL : not_the_wanted_end;
			before = toy_runs;
			r = search(SEARCH_EXHAUSTIVE, bound, 0);
			if (wanted_end == 48)
				reduced += toy_runs - before;
			schedule_free(&r.schedule);
			assert_int_equal(r.found, deadlocks || (brute.ends >> wanted_end & 1));
			if (!r.found)
				assert_true(r.all);
			if (deadlocks)
				break;
		}
	}
	schedule_free(&brute.prefix);

	assert_true(races > 30); /* the programs were worth it */
	assert_true(reduced < all);
	print_message("# runs: %u by brute force, %u with the reductions, %u races\n",
	    (unsigned)all, (unsigned)reduced, races);
}

/* ---- shrinking ------------------------------------------------------------------------------------- */

static void
shrinking_keeps_what_matters(void **state)
{
	struct search_result r;
	struct shrink_result s;

	(void)state;
	toy = crossed_locks;
	r = search(SEARCH_RANDOM, 0, 0);
	assert_true(r.found);
	shrink(&r.spec, &r.schedule, &r.result, 1000000, &s);
	assert_int_equal(s.result.verdict, LAB_DEADLOCK);
	assert_true(s.schedule.n <= 2);
	assert_true(s.schedule.n >= 1);
	assert_int_equal(
	    s.spec.shape.physmem, toy_spec().shape.physmem); /* shipped hangs as well */
	schedule_free(&s.schedule);
	schedule_free(&r.schedule);

	toy = lost_update; /* which the toy calls broken only with a fault */
	toy.promise = two;
	toy.useless_cpus = 2;
	r = search(SEARCH_RANDOM, 0, 0);
	assert_true(r.found);
	r.spec.plan.inject_at = 2;
	shrink(&r.spec, &r.schedule, &r.result, 1000000, &s);
	assert_int_equal(s.result.verdict, LAB_PROMISE);
	assert_true(s.schedule.n <= 2);
	assert_int_equal(s.spec.shape.ncpus, 2); /* it needs them */
	assert_int_equal(s.spec.plan.inject_at, 0);
	assert_true(s.spec.small);
	assert_true(s.spec.shape.physmem < r.spec.shape.physmem);
	assert_true(s.spec.shape.kva_size < r.spec.shape.kva_size);
	schedule_free(&s.schedule);
	schedule_free(&r.schedule);
}

static void
shrinking_ends_with_its_points(void **state)
{
	struct search_result r;
	struct shrink_result s;

	(void)state;
	toy = crossed_locks;
	r = search(SEARCH_RANDOM, 0, 0);
	shrink(&r.spec, &r.schedule, &r.result, 1, &s);
	assert_true(s.runs <= 2);
	assert_int_equal(s.result.verdict, LAB_DEADLOCK);
	schedule_free(&s.schedule);
	schedule_free(&r.schedule);
}

/* ---- campaigns --------------------------------------------------------------------------------------- */

/* Member by member: what lies between them is nobody's. */
static bool
equal(const struct lab_spec *a, const struct lab_spec *b)
{
	const struct machine_shape *x = &a->shape, *y = &b->shape;

	return (
	    a->scenario == b->scenario && a->page_shift == b->page_shift &&
	    a->faults == b->faults && a->policy == b->policy &&
	    a->plan.inject_at == b->plan.inject_at && a->plan.reclaim_at == b->plan.reclaim_at &&
	    a->plan.reclaim_how == b->plan.reclaim_how && a->seed == b->seed &&
	    a->small == b->small && a->max_steps == b->max_steps && a->tolerated == b->tolerated &&
	    x->ncpus == y->ncpus && x->ndomains == y->ndomains && x->direct_map == y->direct_map &&
	    x->debug == y->debug && x->daemon == y->daemon && x->pin == y->pin &&
	    x->physmem == y->physmem && x->kva_size == y->kva_size);
}

static void
variations_are_functions_of_their_number(void **state)
{
	struct search_result r = { 0 };
	unsigned injected = 0, reclaimed = 0, shapes = 0, random = 0;

	(void)state;
	toy = strangers;
	for (unsigned n = 0; n < 200; n++) {
		struct lab_spec a = toy_spec(), b = toy_spec();
		const struct lab_strategy *s = vary(&a, 7, n, &r);

		assert_ptr_equal(s, vary(&b, 7, n, &r));
		assert_true(equal(&a, &b));
		injected += a.plan.inject_at != 0;
		reclaimed += a.plan.reclaim_at != 0;
		shapes += a.shape.ncpus != 2;
		random += s == random_strategy();
		assert_true(a.shape.ndomains <= a.shape.ncpus);
		assert_true(a.plan.inject_at <= 3);
	}
	assert_true(injected > 20 && reclaimed > 20 && shapes > 20 && random > 50 && random < 150);
	schedule_free(&r.schedule);
}

/* ---- files ------------------------------------------------------------------------------------------- */

static bool
read_back(const char *text, size_t size, struct file_run *run, const char **why)
{
	FILE *from = fmemopen((void *)text, size, "r");
	bool good = file_read(from, run, why);

	fclose(from);
	return (good);
}

static char *
written(struct lab_spec *spec, size_t *size)
{
	struct lab_schedule schedule = { 0 };
	struct lab_result result = { .verdict = LAB_LOST_WAKEUP, .steps = 4711, .hash = 0xfeedu };
	char *text;
	FILE *to = open_memstream(&text, size);

	*spec = toy_spec();
	spec->page_shift = 14;
	spec->faults = 3;
	spec->policy = POLICY_nofree_no_dmap;
	spec->plan = (struct sim_plan){ 5, 6, 1 };
	spec->seed = UINT64_MAX;
	spec->small = true;
	spec->max_steps = 12345;
	spec->tolerated = 1u << LAB_RESERVE;
	schedule_add(&schedule, 1, SIM_CHOOSE_FIBER, 2);
	schedule_add(&schedule, 1, SIM_CHOOSE_CPU, 1);
	schedule_add(&schedule, (uint64_t)1 << 40, SIM_CHOOSE_WAKE, 3);
	assert_true(file_write(to, spec, &schedule, &result));
	fclose(to);
	schedule_free(&schedule);
	return (text);
}

static void
a_file_brings_back_the_run(void **state)
{
	struct lab_spec spec;
	struct file_run run;
	const char *why;
	size_t size;
	char *text = written(&spec, &size);

	(void)state;
	assert_true(read_back(text, size, &run, &why));
	assert_ptr_equal(run.spec.scenario, &toy_scenario);
	assert_int_equal(run.spec.page_shift, 14);
	assert_int_equal(run.spec.faults, 3);
	assert_int_equal(run.spec.policy, POLICY_nofree_no_dmap);
	assert_int_equal(run.spec.plan.inject_at, 5);
	assert_int_equal(run.spec.plan.reclaim_at, 6);
	assert_int_equal(run.spec.plan.reclaim_how, 1);
	assert_true(run.spec.seed == UINT64_MAX);
	assert_true(run.spec.small);
	assert_int_equal(run.spec.max_steps, 12345);
	assert_int_equal(run.spec.tolerated, 1u << LAB_RESERVE);
	assert_int_equal(run.spec.shape.ncpus, spec.shape.ncpus);
	assert_int_equal(run.spec.shape.physmem, spec.shape.physmem);
	assert_int_equal(run.spec.shape.kva_size, spec.shape.kva_size);
	assert_int_equal(run.verdict, LAB_LOST_WAKEUP);
	assert_int_equal(run.steps, 4711);
	assert_int_equal(run.hash, 0xfeedu);
	assert_int_equal(run.schedule.n, 3);
	assert_true(run.schedule.deviation[2].step == (uint64_t)1 << 40);
	assert_int_equal(run.schedule.deviation[1].choice, SIM_CHOOSE_CPU);
	assert_int_equal(run.schedule.deviation[0].value, 2);
	schedule_free(&run.schedule);
	free(text);
}

/* Any byte that is missing or another, and any that is added. */
static void
a_damaged_file_is_refused(void **state)
{
	struct lab_spec spec;
	struct file_run run;
	const char *why;
	size_t size;
	char *text = written(&spec, &size), *copy = malloc(size + 2);

	(void)state;
	for (size_t i = 0; i < size; i++) {
		if (i > 0)
			assert_false(read_back(text, i, &run, &why));
		memcpy(copy, text, size);
		copy[i] = copy[i] == '7' ? '8' : '7';
		if (copy[i] != text[i])
			assert_false(read_back(copy, size, &run, &why));
		assert_true(strlen(why) > 0 && strchr(why, '\n') == NULL);
		assert_null(run.schedule.deviation);
	}
	memcpy(copy, text, size);
	copy[size] = '\n';
	assert_false(read_back(copy, size + 1, &run, &why));
	free(copy);
	free(text);
}

/* Files that somebody made with care, checksum and all. */
static void
a_wrong_file_is_refused(void **state)
{
	static const struct {
		const char *from, *to, *says;
	} cases[] = {
		{ "cooper-lab 1", "cooper-lab 2", "format 1" },
		{ "scenario toy", "scenario joy", "no scenario \"joy\"" },
		{ "shape i386", "shape vax", "no shape \"vax\"" },
		{ "cpus 2", "cpus 1000", "\"1000\"" },
		{ "page 16384", "page 5000", "pages of 5000 bytes" },
		{ "fault_two", "fault_six", "no fault \"fault_six\"" },
		{ "policy nofree-no-dmap", "policy none", "no policy \"none\"" },
		{ "verdict lost wakeup", "verdict well", "no verdict \"well\"" },
		{ "deviations 3", "deviations 4", "line 16" },
		{ "deviations 3", "deviations 2", "more after" },
		{ "1 cpu 1", "1 cake 1", "no choice \"cake\"" },
		{ "1 cpu 1", "0 cpu 1", "step 0 comes after step 1" },
		{ "1 cpu 1", "1 cpu -1", "\"-1\"" },
		{ "seed ", "seed", "\"seed\" is expected" },
		{ "small 1", "small 1 2", "too much" },
		{ "small 1", "small", "missing" },
	};
	struct lab_spec spec;
	struct file_run run;
	const char *why;
	size_t size;
	char *text = written(&spec, &size);

	(void)state;
	for (size_t i = 0; i < nitems(cases); i++) {
		char changed[2000], *place = strstr(text, cases[i].from), *end;
		uint64_t sum = 0xcbf29ce484222325u;

		assert_non_null(place);
		snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(place - text), text,
		    cases[i].to, place + strlen(cases[i].from));
		end = strstr(changed, "\nend ") + 1;
		for (const char *c = changed; c < end; c++)
			sum = (sum ^ (unsigned char)*c) * 0x100000001b3u;
		sprintf(end, "end %016llx\n", (unsigned long long)sum);
		assert_false(read_back(changed, strlen(changed), &run, &why));
		if (strstr(why, cases[i].says) == NULL)
			fail_msg("%s: \"%s\" does not say %s", cases[i].to, why, cases[i].says);
	}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_and_pct_find),
		cmocka_unit_test(a_seed_stands_for_a_run),
		cmocka_unit_test(pct_keeps_its_bound),
		cmocka_unit_test(exhaustive_needs_the_preemptions),
		cmocka_unit_test(strangers_are_left_alone),
		cmocka_unit_test(a_search_that_was_stopped_is_not_all),
		cmocka_unit_test(the_reductions_lose_nothing),
		cmocka_unit_test(shrinking_keeps_what_matters),
		cmocka_unit_test(shrinking_ends_with_its_points),
		cmocka_unit_test(variations_are_functions_of_their_number),
		cmocka_unit_test(a_file_brings_back_the_run),
		cmocka_unit_test(a_damaged_file_is_refused),
		cmocka_unit_test(a_wrong_file_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return (cmocka_run_group_tests_name("search", tests, NULL, NULL));
}
