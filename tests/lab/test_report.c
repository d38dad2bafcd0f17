/*
 * What is made of recordings: of some that were written by hand, whose explanation is known, and of
 * real runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "lab/report/report_int.h"
#include "lab/search/search.h"
#include "tests/lab/recordings.h"

static struct report *
report_on(const char *name)
{
	return (report_of(recording_named(name), symbols_open()));
}

static char *
printed(const struct report *report)
{
	char *text;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	report_print(report, to);
	assert_int_equal(fclose(to), 0);
	return (text);
}

static void
assert_says(const char *text, const char *what)
{
	if (text == NULL || strstr(text, what) == NULL)
		fail_msg("does not say \"%s\":\n%s", what, text != NULL ? text : "nothing");
}

static const struct node *
node_titled(const struct explanation *e, const char *title)
{
	for (unsigned i = 0; i < e->nnodes; i++)
		if (strcmp(rec_string(e->r, e->nodes[i].title), title) == 0)
			return (&e->nodes[i]);
	fail_msg("no node \"%s\"", title);
	return (NULL);
}

/* ---- explanations ----------------------------------------------------------------------------------- */

static void
a_hang_is_explained(void **state)
{
	struct report *report = report_on("hang");
	const struct explanation *e = report->explanation;
	char *text = printed(report);

	(void)state;
	assert_true(has_circle(e));
	assert_true(node_titled(e, "boundary tags")->is_short);
	assert_true(node_titled(e, "address space")->circle);
	assert_false(node_titled(e, "pages")->circle);
	assert_int_equal(e->nfatal, 1);
	assert_int_equal(e->fatal[0].meter->points[e->fatal[0].point].step, HANG_FATAL_STEP);
	assert_int_equal(e->fatal[0].bound, 8);
	assert_says(e->paragraph, "worker#1 and worker#2 wait for boundary tags on \"btalloc\"");
	assert_says(e->paragraph, "the first since step 8,120");
	assert_says(e->paragraph, "at step 7,914: worker#3 on");
#ifndef NO_LIBDW
	assert_says(text, "keg_drain");
	assert_says(text, "src/uma/keg.c:");
#endif
	assert_says(text, "here the circle closes");
	assert_says(text, "2 threads have ended, 3 wait themselves");
	free(text);
	report_free(report);
}

static void
without_the_reserve_there_is_no_circle(void **state)
{
	struct recording *r = recording_of_hang();
	struct report *report;

	(void)state;
	/* With a direct map a slab of tags takes a page, and those are there. */
	r->spec.shape.direct_map = true;
	report = report_of(r, symbols_open());
	assert_false(has_circle(report->explanation));
	report_free(report);
}

static void
a_deadlock_is_a_circle_of_locks(void **state)
{
	struct report *report = report_on("deadlock");
	char *text = printed(report);

	(void)state;
	assert_true(has_circle(report->explanation));
	assert_true(node_titled(report->explanation, "the lock zone cross \"red\"")->circle);
	assert_says(report->explanation->paragraph, "worker#2 took it at step 251");
	assert_says(report->explanation->paragraph, "They wait for each other in a circle");
	free(text);
	report_free(report);
}

static void
a_lost_wakeup_names_the_event(void **state)
{
	struct report *report = report_on("lost-wakeup");
	char *text = printed(report);

	(void)state;
	assert_says(text, "room below the limit of zone \"files\"");
	assert_says(report->explanation->paragraph,
	    "Nobody was woken when it came back at step 500: worker#2");
	assert_int_equal(report->explanation->nfatal, 0);
	free(text);
	report_free(report);
}

static void
lines_fit_a_terminal(void **state)
{
	static const char *const names[] = { "hang", "deadlock", "lost-wakeup", "peace" };

	(void)state;
	for (unsigned i = 0; i < nitems(names); i++) {
		struct report *report = report_on(names[i]);
		char *text = printed(report);

		for (const char *line = text, *end; *line != '\0'; line = end + 1) {
			end = strchr(line, '\n');
			assert_non_null(end);
			if (end - line > 100)
				fail_msg("%s: %.*s", names[i], (int)(end - line), line);
		}
		free(text);
		report_free(report);
	}
}

/* ---- falls and rises ---------------------------------------------------------------------------------- */

static void
the_last_fall_is_the_one_that_stayed(void **state)
{
	static const struct {
		int64_t values[6];
		int fall, rise; /* with a bound of 8 */
	} cases[] = {
		{ { 9, 7, 9, 7, 6, 0 }, 3, -1 },
		{ { 9, 7, 9, 8, 8, 8 }, -1, 2 },
		{ { 0, 1, 2, 3, 4, 5 }, -1, -1 },
		{ { 8, 8, 8, 8, 8, 8 }, -1, -1 },
		{ { 0, 0, 0, 0, 0, 8 }, -1, 5 },
	};

	(void)state;
	for (unsigned i = 0; i < nitems(cases); i++) {
		struct rec_meter m = { .n = 6 };
		struct rec_point points[6] = { 0 };

		for (unsigned k = 0; k < 6; k++)
			points[k] = (struct rec_point){ .step = k, .value = cases[i].values[k] };
		m.points = points;
		assert_int_equal(last_fall(&m, 8), cases[i].fall);
		assert_int_equal(last_rise(&m, 8), cases[i].rise);
		assert_int_equal(rec_value(&m, 3), cases[i].values[3]);
	}
}

/* ---- texts ---------------------------------------------------------------------------------------------- */

static void
texts_are_clean(void **state)
{
	struct recording *r = recording_new(NULL, NULL);
	const char *text = rec_string(r, rec_text(r, "%s", HOSTILE_NAME));

	(void)state;
	for (const char *c = text; *c != '\0'; c++)
		assert_true((unsigned char)*c >= 0x20 && (unsigned char)*c < 0x7f);
	assert_string_equal(rec_string(r, rec_text(r, "%s", "na\303\257ve \342\202\254")),
	    "na\303\257ve \342\202\254");
	assert_string_equal(rec_string(r, rec_text(r, "%s", "cut \342\202")), "cut ??");
	assert_string_equal(
	    rec_string(r, rec_text(r, "%s", "long \300\257 \355\240\200")), "long ?? ???");
	assert_int_equal(rec_text(r, "%s", ""), 0);
	assert_int_equal(rec_text(r, "a%d", 1), rec_text(r, "%s", "a1"));
	for (int i = 0; i < 3000; i++)
		assert_int_equal(rec_text(r, "t%d", i), rec_text(r, "t%d", i));
	recording_free(r);
}

static void
numbers_read_well(void **state)
{
	(void)state;
	assert_string_equal(number(0), "0");
	assert_string_equal(number(999), "999");
	assert_string_equal(number(1000), "1,000");
	assert_string_equal(number(-1234567), "-1,234,567");
	assert_string_equal(duration(0), "0 ns");
	assert_string_equal(duration(1500), "1.50 us");
	assert_string_equal(duration(12345678), "12.3 ms");
	assert_string_equal(duration(1000000000000), "1000 s");
}

/* ---- the other views -------------------------------------------------------------------------------------- */

static void
json_has_the_figures(void **state)
{
	struct report *report = report_on("hang");
	json_t *j = report_json(report), *fatal = json_array_get(json_object_get(j, "fatal"), 0);
	json_t *meter = json_array_get(json_object_get(j, "meters"), 0), *path;
	char key[24];

	(void)state;
	assert_string_equal(json_string_value(json_object_get(j, "verdict")), "livelock");
	assert_int_equal(json_integer_value(json_object_get(j, "steps")), 90000);
	assert_int_equal(json_integer_value(json_object_get(fatal, "from")), 254);
	assert_int_equal(json_integer_value(json_object_get(fatal, "to")), 0);
	assert_string_equal(json_string_value(json_object_get(meter, "name")), "tags_free");
	assert_int_equal(json_integer_value(json_object_get(meter, "last")), 0);
	snprintf(key, sizeof(key), "%lld", json_integer_value(json_object_get(fatal, "path")));
	path = json_object_get(json_object_get(j, "paths"), key);
#ifdef NO_LIBDW
	assert_int_equal(json_array_size(path), 0);
#else
	assert_string_equal(
	    json_string_value(json_object_get(json_array_get(path, 0), "function")), "keg_drain");
#endif
	json_decref(j);
	report_free(report);
}

/* A meter with 100,000 changes is thinned to its shape: the extremes stay, and the ends. */
static void
long_meters_are_thinned(void **state)
{
	struct recording *r = recording_of_peace();
	struct report *report;
	json_t *j, *points, *last;
	int64_t least = INT64_MAX;

	(void)state;
	r->result.steps = 100000;
	rec_meter(r, METER_PAGES, "pages_free", "", "pages");
	for (unsigned i = 1; i <= 100000; i++)
		rec_add_point(&r->meters[0],
		    &(struct rec_point){ .step = i, .value = i == 31415 ? 1 : 1000 + i % 7 });
	report = report_of(r, symbols_open());
	j = report_json(report);
	points = json_object_get(json_array_get(json_object_get(j, "meters"), 0), "points");
	assert_in_range(json_array_size(points), 400, 4 * 401);
	for (size_t i = 0; i < json_array_size(points); i++)
		least =
		    MIN(least, json_integer_value(json_array_get(json_array_get(points, i), 1)));
	assert_int_equal(least, 1);
	last = json_array_get(points, json_array_size(points) - 1);
	assert_int_equal(json_integer_value(json_array_get(last, 0)), 100000);
	json_decref(j);
	report_free(report);
}

static char *
steps_of(const struct report *report, uint64_t first, uint64_t last, bool colour, bool *any)
{
	char *text;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	*any = report_steps(report, to, first, last, colour);
	assert_int_equal(fclose(to), 0);
	return (text);
}

static void
steps_are_those_asked_for(void **state)
{
	struct report *report = report_on("hang");
	bool any;
	char *text = steps_of(report, 7000, 8200, false, &any);

	(void)state;
	assert_true(any);
	assert_says(text, "! ");
	assert_says(text, "[tags_free 254 -> 0]");
	assert_says(text, "sleeps on \"btalloc\"");
	assert_null(strstr(text, "8,300"));
	assert_null(strstr(text, "\033"));
	free(text);
	text = steps_of(report, HANG_FATAL_STEP, HANG_FATAL_STEP, true, &any);
	assert_says(text, "\033[1;31m");
	free(text);
	text = steps_of(report, 90001, 0, false, &any);
	assert_false(any);
	assert_string_equal(text, "");
	free(text);
	report_free(report);
}

static void
dull_steps_are_drawn_together(void **state)
{
	struct recording *r = recording_of_peace();
	struct rec_event e = { .kind = SIM_ATOMIC, .fiber = 1, .cpu = 1 };
	struct report *report;
	char *text;
	bool any;

	(void)state;
	for (e.step = 1; e.step <= 500; e.step++) {
		e.fiber = 1 + (e.step > 300);
		rec_add_event(r, &e);
	}
	report = report_of(r, symbols_open());
	text = steps_of(report, 0, 0, false, &any);
	assert_says(text, "... 300: atomic x300");
	assert_says(text, "... 200: atomic x200");
	free(text);
	text = steps_of(report, 10, 20, false, &any);
	assert_null(strstr(text, "..."));
	free(text);
	report_free(report);
}

static void
a_full_disk_is_told(void **state)
{
	struct report *report = report_on("hang");
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(full);
	assert_false(report_html(report, full));
	(void)fclose(full);
	report_free(report);
}

/* ---- real runs ---------------------------------------------------------------------------------------------- */

/* A report of what a search has found: each scenario, on its first schedules. */
static void
the_second_run_is_the_first(void **state)
{
	struct lab_schedule schedule = { 0 };

	(void)state;
	for (unsigned i = 0; i < 2 * lab_nscenarios; i++) {
		struct lab_spec spec = { .scenario = lab_scenarios[i / 2], .seed = 1 + i % 2 };
		struct lab_result found;
		struct report *report;

		spec.shape = lab_shape(spec.scenario);
		spec.small = true;
		spec.max_steps = 20000;
		lab_run(&spec, random_strategy(), NULL, &schedule, &found);
		report = report_make(&spec, &schedule);
		if (report_result(report)->hash != found.hash)
			fail_msg("%s, seed %u", spec.scenario->name, 1 + i % 2);
		assert_int_equal(report_result(report)->steps, found.steps);
		assert_int_equal(report_result(report)->verdict, found.verdict);
		report_free(report);
	}
	schedule_free(&schedule);
}

static void
a_run_is_recorded_whole(void **state)
{
	struct lab_spec spec = { .scenario = lab_scenarios[0], .seed = 5 };
	struct report *report;
	const struct recording *r;

	(void)state;
	spec.shape = lab_shape(spec.scenario);
	report = report_make(&spec, NULL);
	r = report->recording;
	assert_true(r->nevents > 0 && rec_event(r, r->nevents - 1)->step <= r->result.steps);
	assert_true(r->ncalls > 0);
	assert_true(r->nzones > 0 && r->narenas > 0 && r->ndomains > 0);
	assert_true(rec_find_meter(r, METER_PAGES, 0)->n > 1);
	assert_true(rec_find_meter(r, METER_PAGES, 0)->points[1].path != 0);
	report_free(report);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hang_is_explained),
		cmocka_unit_test(without_the_reserve_there_is_no_circle),
		cmocka_unit_test(a_deadlock_is_a_circle_of_locks),
		cmocka_unit_test(a_lost_wakeup_names_the_event),
		cmocka_unit_test(lines_fit_a_terminal),
		cmocka_unit_test(the_last_fall_is_the_one_that_stayed),
		cmocka_unit_test(texts_are_clean),
		cmocka_unit_test(numbers_read_well),
		cmocka_unit_test(json_has_the_figures),
		cmocka_unit_test(long_meters_are_thinned),
		cmocka_unit_test(steps_are_those_asked_for),
		cmocka_unit_test(dull_steps_are_drawn_together),
		cmocka_unit_test(a_full_disk_is_told),
		cmocka_unit_test(the_second_run_is_the_first),
		cmocka_unit_test(a_run_is_recorded_whole),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return (cmocka_run_group_tests_name("report", tests, NULL, NULL));
}
