/*
 * cooper lab compare: the three remedies that PR 248008 discussed, and the bug, on the same
 * schedules: what hangs, what stays behind after a storm, how much memory tags take.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lab/cli/cli.h"

#define SCENARIO  "tag-storm"
#define BUG       "drain_ignores_reserve"
#define SCHEDULES 200

struct column {
	const char *name, *about;
	enum core_policy policy;
	bool fault;
};

static const struct column columns[] = {
	{ "r358097", "a drain ignores the reserve", POLICY_shipped, true },
	{ "nofree", "tag slabs are never freed", POLICY_nofree, false },
	{ "nofree-no-dmap", "... where there is no direct map", POLICY_nofree_no_dmap, false },
	{ "shipped", "a drain that honours the reserve", POLICY_shipped, false },
};

struct compare {
	const struct args *args;
	json_t *result[nitems(columns)];
};

/* ---- one column, in a process of its own ------------------------------------------------------------------ */

static json_t *
compare_one(void *arg, unsigned unit)
{
	struct compare *c = arg;
	const struct column *column = &columns[unit];
	struct lab_spec spec = c->args->search.spec;
	struct search_result r = { 0 };
	uint64_t hangs = 0, broken = 0, finished = 0, stranded = 0, stranded_max = 0, tags = 0;
	int64_t first = -1;

	spec.policy = column->policy;
	spec.tolerated = HANGS_ALONE;
	if (column->fault)
		spec.faults |= fault_named("compare", BUG);
	for (uint64_t i = 0; i < c->args->search.schedules; i++, spec.seed++) {
		search_once(&spec, random_strategy(), &r);
		tags = MAX(tags, r.result.tags_peak_bytes);
		if (search_hang(r.result.verdict)) {
			hangs++;
			first = first < 0 ? (int64_t)spec.seed : first;
		} else if (search_broken(r.result.verdict))
			broken++;
		else if (r.result.verdict == LAB_HELD) {
			finished++;
			stranded += r.result.pages_stranded;
			stranded_max = MAX(stranded_max, r.result.pages_stranded);
		}
	}
	schedule_free(&r.schedule);
	return (
	    json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I}", "name", column->name,
		"about", column->about, "schedules", (json_int_t)c->args->search.schedules, "hangs",
		(json_int_t)hangs, "first_hang", (json_int_t)first, "otherwise_broken",
		(json_int_t)broken, "finished", (json_int_t)finished, "pages_stranded",
		finished == 0 ? 0.0 : (double)stranded / (double)finished, "pages_stranded_max",
		(json_int_t)stranded_max, "tags_peak_bytes", (json_int_t)tags));
}

/* ---- the whole ------------------------------------------------------------------------------------------ */

static const char *
column_name(void *arg, unsigned unit)
{
	(void)arg;
	return (columns[unit].name);
}

static void
take_column(void *arg, unsigned unit, json_t *what)
{
	struct compare *c = arg;

	c->result[unit] = json_incref(what);
}

static void
print_column(const json_t *one)
{
	const char *name, *about;
	json_int_t schedules, hangs, first, broken, finished, most, tags;
	char hang[48] = "-", pages[48] = "-";
	double stranded;

	if (json_unpack((json_t *)one, "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:F, s:I, s:I}", "name",
		&name, "about", &about, "schedules", &schedules, "hangs", &hangs, "first_hang",
		&first, "otherwise_broken", &broken, "finished", &finished, "pages_stranded",
		&stranded, "pages_stranded_max", &most, "tags_peak_bytes", &tags) != 0)
		fail("compare: a worker sent what is no result");
	if (hangs > 0)
		snprintf(hang, sizeof(hang), "seed %" PRId64, (int64_t)first);
	if (finished > 0)
		snprintf(pages, sizeof(pages), "%.1f (most %" PRId64 ")", stranded, (int64_t)most);
	printf("%-15s %6" PRId64 "  %-10s %7" PRId64 "  %-17s %7.1fK   %s\n", name, (int64_t)hangs,
	    hang, (int64_t)broken, pages, (double)tags / 1024, about);
}

static void
print_table(const struct compare *c)
{
	spec_print(&c->args->search.spec, stdout);
	printf("\n%" PRIu64 " schedules each, seeds %" PRIu64 " to %" PRIu64 "\n\n",
	    c->args->search.schedules, c->args->search.spec.seed,
	    c->args->search.spec.seed + c->args->search.schedules - 1);
	printf("%-15s %6s  %-10s %7s  %-17s %8s\n", "REMEDY", "HANGS", "FIRST", "BROKEN",
	    "PAGES STRANDED", "TAGS");
	for (size_t i = 0; i < nitems(columns); i++)
		print_column(c->result[i]);
	puts("\nHANGS: schedules after which nobody could go on. PAGES STRANDED: of the tag zone, "
	     "after the\nstorm is over and all was reclaimed, on average and at most. TAGS: most "
	     "memory that they took.");
}

int
compare_command(int argc, char **argv)
{
	struct args a = { .search = { .spec = { .seed = 1 }, .schedules = SCHEDULES },
		.jobs = pool_cpus() };
	struct compare c = { .args = &a };
	struct pool pool = { .units = nitems(columns),
		.work = compare_one,
		.done = take_column,
		.name = column_name,
		.arg = &c };
	json_t *list;

	args_parse("compare", " schedules seed json jobs ", argc, argv, &a);
	if (a.nrest > 1)
		refuse("compare: takes one scenario, not also %s", a.rest[1]);
	a.search.spec.scenario = scenario_named("compare", a.nrest == 1 ? a.rest[0] : SCENARIO);
	a.search.spec.shape = lab_shape(a.search.spec.scenario);
	a.search.spec.shape.debug = false; /* whose checks would end a run before it hangs */
	pool.jobs = a.jobs;
	pool_run(&pool);
	if (!a.json) {
		print_table(&c);
		for (size_t i = 0; i < nitems(columns); i++)
			json_decref(c.result[i]);
		return (STATUS_HELD);
	}
	list = json_array();
	for (size_t i = 0; i < nitems(columns); i++)
		json_array_append_new(list, c.result[i]);
	json_print(json_pack("{s:i, s:o, s:I, s:o}", "cooper_lab_compare", 1, "run",
	    spec_json(&a.search.spec), "schedules", (json_int_t)a.search.schedules, "remedies",
	    list));
	return (STATUS_HELD);
}
