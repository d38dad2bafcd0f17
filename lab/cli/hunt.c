/*
 * cooper lab hunt: every fault in the scenarios that should see it, and the shipped code in all.
 *
 * A unit of work is a fault, or a scenario with the shipped code. Its runs are numbered; number n is
 * the (n / m)-th variation of the (n % m)-th of m scenarios (vary.c), so what is found and after how
 * many schedules depends on the seed alone, neither on the number of processes nor on the shards.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lab/cli/cli.h"

#define BUDGET    60 /* seconds */
#define NO_FAULT  UINT32_MAX
#define SCENARIOS 64

struct unit {
	unsigned fault; /* or NO_FAULT: the shipped code in scenario[0] */
	const struct lab_scenario *scenario[SCENARIOS];
	unsigned nscenarios;
	double seconds; /* budget */
	char name[96];
};

struct hunt {
	const struct args *args;
	struct unit *unit;
	unsigned nunits;
	json_t *results; /* by unit */
};

/* ---- what there is to do -------------------------------------------------------------------------------- */

/* 1 + the place of the fault among those that the scenario should see; 0: not among them. */
static unsigned
sees(const struct lab_scenario *s, const char *fault)
{
	for (unsigned i = 0; s->sees != NULL && s->sees[i] != NULL; i++)
		if (strcmp(s->sees[i], fault) == 0)
			return (i + 1);
	return (0);
}

static struct unit
fault_unit(unsigned fault)
{
	struct unit u = { .fault = fault };

	snprintf(u.name, sizeof(u.name), "fault %s", lab_faults[fault].name);
	for (unsigned first = 1; first <= 2; first++)
		for (unsigned i = 0; i < lab_nscenarios && u.nscenarios < SCENARIOS; i++) {
			unsigned place = sees(lab_scenarios[i], lab_faults[fault].name);

			if (place != 0 && (place == 1) == (first == 1))
				u.scenario[u.nscenarios++] = lab_scenarios[i];
		}
	return (u);
}

static void
plan(struct hunt *h)
{
	const struct args *a = h->args;
	unsigned all = lab_nfaults + lab_nscenarios;

	h->unit = xrealloc(NULL, all * sizeof(*h->unit));
	for (unsigned i = 0; i < all; i++) {
		struct unit *u = &h->unit[h->nunits];

		if (i % a->shards != a->shard - 1)
			continue;
		if (i < lab_nfaults) {
			*u = fault_unit(i);
			u->seconds = (double)a->budget;
		} else {
			*u = (struct unit){ .fault = NO_FAULT, .nscenarios = 1 };
			u->scenario[0] = lab_scenarios[i - lab_nfaults];
			u->seconds = (double)a->budget / lab_nscenarios;
			snprintf(
			    u->name, sizeof(u->name), "shipped code in %s", u->scenario[0]->name);
		}
		h->nunits++;
	}
}

/* ---- one unit, in a process of its own -------------------------------------------------------------------- */

static json_t *
unit_json(const struct unit *u, const struct search_result *r, uint64_t runs, double seconds)
{
	json_t *json = json_pack("{s:b, s:I, s:I, s:f, s:I}", "found", (int)r->found, "schedules",
	    (json_int_t)runs, "points", (json_int_t)r->points, "seconds", seconds, "too_long",
	    (json_int_t)r->too_long);

	if (u->fault != NO_FAULT) {
		json_object_set_new(json, "fault", json_string(lab_faults[u->fault].name));
		json_object_set_new(json, "reference", json_string(lab_faults[u->fault].reference));
	} else
		json_object_set_new(json, "scenario", json_string(u->scenario[0]->name));
	if (r->found) {
		char *text = replay_text(&r->spec, &r->schedule, &r->result);

		json_object_set_new(json, "run", spec_json(&r->spec));
		json_object_set_new(json, "result", result_json(&r->result));
		json_object_set_new(json, "replay", json_string(text));
		free(text);
	}
	return (json);
}

static json_t *
hunt_one(void *arg, unsigned unit)
{
	struct hunt *h = arg;
	const struct unit *u = &h->unit[unit];
	uint64_t start = search_clock(), n = 0;
	uint64_t end = start + (uint64_t)(u->seconds * 1e9);
	struct search_result r = { 0 };
	json_t *json;

	while (u->nscenarios > 0 && !r.found && search_clock() < end) {
		struct lab_spec spec = { .scenario = u->scenario[n % u->nscenarios] };
		const struct lab_strategy *strategy;

		if (u->fault != NO_FAULT)
			spec.faults = (uint64_t)1 << u->fault;
		strategy = vary(&spec, h->args->search.spec.seed, n / u->nscenarios, &r);
		search_once(&spec, strategy, &r);
		n++;
	}
	json = unit_json(u, &r, n, (double)(search_clock() - start) / 1e9);
	schedule_free(&r.schedule);
	return (json);
}

/* ---- the whole ------------------------------------------------------------------------------------------ */

static const char *
unit_name(void *arg, unsigned unit)
{
	struct hunt *h = arg;

	return (h->unit[unit].name);
}

static void
take_result(void *arg, unsigned unit, json_t *what)
{
	struct hunt *h = arg;

	json_array_set(h->results, unit, what);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%s: %s\r", h->unit[unit].name,
		    json_is_true(json_object_get(what, "found")) ? "broken" : "held");
}

/* FAULT.lab or SCENARIO.lab for each run that broke a promise. */
static void
save_all(const char *folder, const json_t *results)
{
	size_t i;
	json_t *one;

	json_array_foreach(results, i, one)
	{
		const char *name, *text = json_string_value(json_object_get(one, "replay"));
		char *path;
		FILE *to;

		if (text == NULL)
			continue;
		name = json_string_value(json_object_get(one, "fault"));
		if (name == NULL)
			name = json_string_value(json_object_get(one, "scenario"));
		path = xprintf("%s/%s.lab", folder, name);
		to = fopen(path, "w");
		if (to == NULL || fputs(text, to) == EOF || fclose(to) != 0)
			fail("hunt: %s cannot be written: %s", path, strerror(errno));
		free(path);
	}
}

static json_t *
hunt(const struct args *a)
{
	struct hunt h = { .args = a, .results = json_array() };
	struct pool pool = {
		.jobs = a->jobs, .work = hunt_one, .done = take_result, .name = unit_name, .arg = &h
	};
	char *shard = xprintf("%u/%u", a->shard, a->shards);
	json_t *json;

	plan(&h);
	pool.units = h.nunits;
	for (unsigned i = 0; i < h.nunits; i++)
		json_array_append_new(h.results, json_null());
	pool_run(&pool);
	if (isatty(STDERR_FILENO))
		fputs("\033[K", stderr);
	json = json_pack("{s:i, s:I, s:I, s:[s], s:o}", "cooper_lab_hunt", 1, "seed",
	    (json_int_t)a->search.spec.seed, "budget", (json_int_t)a->budget, "shards", shard,
	    "results", h.results);
	free(shard);
	free(h.unit);
	return (json);
}

int
hunt_command(int argc, char **argv)
{
	struct args a = { .search = { .spec = { .seed = 1 } },
		.budget = BUDGET,
		.jobs = pool_cpus(),
		.shard = 1,
		.shards = 1 };
	struct stat st;
	json_t *tally;
	int status;

	args_parse("hunt", " budget jobs shard seed json merge save ", argc, argv, &a);
	if (!a.merge && a.nrest > 0)
		refuse("hunt: takes no argument, not %s", a.rest[0]);
	if (a.merge && a.nrest == 0)
		refuse("hunt: --merge wants the files of hunts that ran with --json");
	if (a.save != NULL && (stat(a.save, &st) != 0 || !S_ISDIR(st.st_mode)))
		refuse("hunt: --save %s: no such folder", a.save);
	tally = a.merge ? tally_merge("hunt", a.rest, a.nrest) : hunt(&a);
	if (a.save != NULL)
		save_all(a.save, json_object_get(tally, "results"));
	status = tally_status(tally);
	if (a.json)
		json_print(tally);
	else {
		tally_print(tally, stdout);
		json_decref(tally);
	}
	return (status);
}
