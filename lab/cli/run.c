/*
 * cooper lab run: search the schedules of a scenario; if one breaks a promise, explain it, make it
 * smaller and keep that as a replay file.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "lab/cli/cli.h"

#define SCHEDULES     1000
#define SHRINK_POINTS 8000000 /* a few seconds */
#define SHOWN         24      /* deviations of a schedule that are printed */

struct outcome {
	struct search_options options;
	struct search_result found;
	struct shrink_result smaller;
	struct report *report; /* of the smaller one */
	double seconds;
	const char *save; /* where the smaller one is kept */
	const char *html; /* and the page about it; NULL: nowhere */
};

/* ---- text ------------------------------------------------------------------------------------------- */

static void
print_schedule(const struct lab_schedule *s)
{
	static const char *const what[SIM_CHOICES] = { "fiber %u goes on", "it goes on on CPU %u",
		"fiber %u wakes first" };

	for (unsigned i = 0; i < s->n && i < SHOWN; i++) {
		printf("    step %6" PRIu64 ": ", s->deviation[i].step);
		printf(what[s->deviation[i].choice], s->deviation[i].value);
		putchar('\n');
	}
	if (s->n > SHOWN)
		printf("    ... and %u more\n", s->n - SHOWN);
}

/* The command that makes this very run again. */
static void
print_command(const struct outcome *o)
{
	const struct lab_spec *spec = &o->found.spec;
	const struct machine_shape *s = &spec->shape;
	struct machine_shape own = lab_shape(spec->scenario);

	printf("  again: cooper lab run %s", spec->scenario->name);
	if (s->direct_map != own.direct_map)
		printf(" --shape %s", s->direct_map ? "amd64" : "i386");
	if (s->ncpus != own.ncpus)
		printf(" --cpus %u", s->ncpus);
	if (s->ndomains != own.ndomains)
		printf(" --domains %u", s->ndomains);
	if (s->physmem != own.physmem)
		printf(" --physmem %" PRIu64, s->physmem);
	if (s->kva_size != own.kva_size)
		printf(" --kva %" PRIu64, (uint64_t)s->kva_size);
	if (spec->page_shift != 0)
		printf(" --page %uK", 1u << (spec->page_shift - 10));
	if (s->debug != own.debug)
		printf(" --release");
	if (s->daemon != own.daemon)
		printf(" --daemon");
	if (spec->small)
		printf(" --small");
	if (spec->tolerated != 0)
		printf(" --hangs");
	for (unsigned i = 0; i < lab_nfaults; i++)
		if (spec->faults >> i & 1)
			printf(" --fault %s", lab_faults[i].name);
	if (spec->policy != POLICY_shipped)
		printf(" --policy %s", lab_policy_names[spec->policy]);
	if (o->options.kind == SEARCH_EXHAUSTIVE)
		printf(" --strategy exhaustive --preemptions %u\n", o->options.preemptions);
	else if (o->options.kind == SEARCH_PCT)
		printf(" --strategy pct --depth %u --seed %" PRIu64 " --schedules 1\n",
		    o->options.depth, spec->seed);
	else
		printf(" --seed %" PRIu64 " --schedules 1\n", spec->seed);
}

static void
print_bound(const struct outcome *o)
{
	const struct search_size *size = &o->found.size;
	double chance = pct_chance(size, o->options.depth);

	printf("a bug of depth %u shows in a run with a chance of at least 1/(n*k^(d-1)) = "
	       "1/(%u*%" PRIu64 "^%u) = %.3g; all %" PRIu64 " miss it with one of at most %.6f\n",
	    o->options.depth, size->fibers, size->steps, o->options.depth - 1, chance,
	    o->found.schedules, pow(1 - chance, (double)o->found.schedules));
}

static void
print_search(const struct outcome *o)
{
	const struct search_result *r = &o->found;

	spec_print(&o->options.spec, stdout);
	printf("\n%s: %" PRIu64 " schedule%s, %" PRIu64 " points in %.2f s",
	    search_kind_names[o->options.kind], r->schedules, r->schedules == 1 ? "" : "s",
	    r->points, o->seconds);
	if (r->too_long > 0)
		printf("; %" PRIu64 " were cut off as too long", r->too_long);
	putchar('\n');
	if (o->options.kind == SEARCH_EXHAUSTIVE && !r->found)
		printf("%s schedules with at most %u preemptions\n",
		    r->all ? "these are all" : "stopped before it had seen all",
		    o->options.preemptions);
	if (o->options.kind == SEARCH_PCT && r->schedules > 0)
		print_bound(o);
}

static void
print_found(const struct outcome *o)
{
	const struct search_result *r = &o->found;
	struct report *report;

	printf("BROKEN at step %" PRIu64 ", seed %" PRIu64 ", %u deviations: %s: %s\n",
	    r->result.steps, r->spec.seed, r->schedule.n, lab_verdict_names[r->result.verdict],
	    r->result.line);
	print_schedule(&r->schedule);
	print_command(o);
	putchar('\n');
	report = report_make(&r->spec, &r->schedule);
	report_print(report, stdout);
	report_free(report);
	putchar('\n');
}

static void
print_smaller(const struct outcome *o)
{
	const struct shrink_result *s = &o->smaller;

	printf("smaller, by %" PRIu64 " runs: ", s->runs);
	spec_print(&s->spec, stdout);
	printf("\n  %s at step %" PRIu64 ", %u deviations: %s\n",
	    lab_verdict_names[s->result.verdict], s->result.steps, s->schedule.n, s->result.line);
	print_schedule(&s->schedule);
	printf("  kept: cooper lab replay %s\n", o->save);
	if (o->html != NULL)
		printf("  page: %s\n", o->html);
}

/* ---- JSON ------------------------------------------------------------------------------------------- */

static json_t *
broken_json(const struct lab_spec *spec, const struct lab_schedule *schedule,
    const struct lab_result *result)
{
	return (json_pack("{s:o, s:o, s:o}", "run", spec_json(spec), "result", result_json(result),
	    "deviations", schedule_json(schedule)));
}

static json_t *
outcome_json(const struct outcome *o)
{
	const struct search_result *r = &o->found;
	json_t *json = json_pack("{s:i, s:o, s:s, s:b, s:I, s:I, s:I, s:f}", "cooper_lab_run", 1,
	    "asked", spec_json(&o->options.spec), "strategy", search_kind_names[o->options.kind],
	    "held", (int)!r->found, "schedules", (json_int_t)r->schedules, "points",
	    (json_int_t)r->points, "too_long", (json_int_t)r->too_long, "seconds", o->seconds);

	if (o->options.kind == SEARCH_EXHAUSTIVE)
		json_object_set_new(json, "all", json_boolean(r->all));
	if (o->options.kind == SEARCH_PCT)
		json_object_set_new(json, "pct",
		    json_pack("{s:i, s:i, s:I, s:f}", "d", (int)o->options.depth, "n",
			(int)r->size.fibers, "k", (json_int_t)r->size.steps, "chance",
			pct_chance(&r->size, o->options.depth)));
	if (r->found) {
		json_object_set_new(
		    json, "broken", broken_json(&r->spec, &r->schedule, &r->result));
		json_object_set_new(json, "smaller",
		    broken_json(&o->smaller.spec, &o->smaller.schedule, &o->smaller.result));
		json_object_set_new(json, "file", json_string(o->save));
	}
	if (o->report != NULL)
		json_object_set_new(json, "report", report_json(o->report));
	return (json);
}

/* ---- the command -------------------------------------------------------------------------------------- */

static void
search(struct outcome *o, bool quiet)
{
	uint64_t start = search_clock();
	struct search_result *r = &o->found;

	search_run(&o->options, r);
	o->seconds = (double)(search_clock() - start) / 1e9;
	if (!quiet)
		print_search(o);
	if (!r->found) {
		if (!quiet)
			puts("every promise held");
		if (o->html != NULL) /* the default schedule is as good as any */
			o->report = report_make(&o->options.spec, NULL);
		return;
	}
	if (!quiet) {
		print_found(o);
		fflush(stdout);
	}
	shrink(&r->spec, &r->schedule, &r->result, SHRINK_POINTS, &o->smaller);
	replay_save(o->save, &o->smaller.spec, &o->smaller.schedule, &o->smaller.result);
	if (o->html != NULL || quiet)
		o->report = report_make(&o->smaller.spec, &o->smaller.schedule);
	if (!quiet)
		print_smaller(o);
}

int
run_command(int argc, char **argv)
{
	struct args a = { .search = { .spec = { .seed = 1 }, .depth = 3, .preemptions = 2 } };
	struct outcome o = { 0 };

	args_parse("run",
	    " shape cpus domains physmem kva page release daemon small hangs json fault policy "
	    "strategy "
	    "seed"
	    " schedules depth preemptions html save ",
	    argc, argv, &a);
	if (a.nrest != 1)
		refuse("run: one scenario is wanted, not %u; cooper lab list names them", a.nrest);
	a.search.spec.scenario = scenario_named("run", a.rest[0]);
	o.save = a.save != NULL ? a.save : xprintf("%s.lab", a.rest[0]);
	o.html = a.html;
	replay_must_be_writable("run", o.save);
	if (o.html != NULL)
		page_must_be_writable("run", o.html);
	args_shape("run", &a);
	if (a.search.schedules == 0 && a.search.kind != SEARCH_EXHAUSTIVE)
		a.search.schedules = SCHEDULES;
	o.options = a.search;
	search(&o, a.json);
	if (o.html != NULL)
		page_save(o.html, o.report);
	if (a.json)
		json_print(outcome_json(&o));
	if (o.report != NULL)
		report_free(o.report);
	schedule_free(&o.found.schedule);
	schedule_free(&o.smaller.schedule);
	if (a.save == NULL)
		free((char *)(uintptr_t)o.save);
	return (o.found.found ? STATUS_BROKEN : STATUS_HELD);
}
