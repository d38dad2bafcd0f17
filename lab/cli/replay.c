/*
 * cooper lab replay: the run that a file has kept, step by step.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include "lab/cli/cli.h"

static void
read_run(const char *path, struct file_run *run)
{
	FILE *from;
	const char *why;

	file_must_be_regular("replay", path);
	from = fopen(path, "r");
	if (from == NULL)
		refuse("replay: %s: %s", path, strerror(errno));
	if (!file_read(from, run, &why))
		refuse("replay: %s: %s", path, why);
	fclose(from);
}

/* The run must be the one that was kept, step for step. */
static void
must_be_the_same(const char *path, const struct file_run *run, const struct lab_result *result)
{
	if (result->hash == run->hash && result->verdict == run->verdict &&
	    result->steps == run->steps && replay_fitted())
		return;
	fail("replay: %s is of another build: it ended with %s at step %" PRIu64
	     ", hash %016" PRIx64 "; here it ends with %s at step %" PRIu64 ", hash %016" PRIx64,
	    path, lab_verdict_names[run->verdict], run->steps, run->hash,
	    lab_verdict_names[result->verdict], result->steps, result->hash);
}

/* The whole run is long: its last steps, unless others are asked for. */
#define LAST_STEPS 200

static void
show(const struct args *a, const struct file_run *run, const struct report *report)
{
	const struct lab_result *result = report_result(report);
	uint64_t from = a->from;

	if (from == 0 && a->to == 0 && result->steps > LAST_STEPS)
		from = result->steps - LAST_STEPS;
	spec_print(&run->spec, stdout);
	printf("\n%s at step %" PRIu64 ", hash %016" PRIx64 ", %u deviations: %s\n\n",
	    lab_verdict_names[result->verdict], result->steps, result->hash, run->schedule.n,
	    result->line);
	report_steps(report, stdout, from, a->to, isatty(STDOUT_FILENO));
	putchar('\n');
	report_print(report, stdout);
}

int
replay_command(int argc, char **argv)
{
	struct args a = { 0 };
	struct file_run run;
	struct lab_result result;
	struct report *report;
	json_t *json;

	args_parse("replay", " from to json html ", argc, argv, &a);
	if (a.nrest != 1)
		refuse("replay: one file is wanted, not %u", a.nrest);
	if (a.to != 0 && a.from > a.to)
		refuse("replay: --from %" PRIu64 " comes after --to %" PRIu64, a.from, a.to);
	read_run(a.rest[0], &run);
	if (a.html != NULL)
		page_must_be_writable("replay", a.html);
	report = report_make(&run.spec, &run.schedule);
	result = *report_result(report);
	must_be_the_same(a.rest[0], &run, &result);
	if (a.from > result.steps)
		refuse("replay: --from %" PRIu64 ": the run ended at step %" PRIu64, a.from,
		    result.steps);
	if (a.html != NULL)
		page_save(a.html, report);
	if (a.json) {
		json = json_pack("{s:i, s:o, s:o, s:o}", "cooper_lab_replay", 1, "run",
		    spec_json(&run.spec), "result", result_json(&result), "deviations",
		    schedule_json(&run.schedule));
		json_object_set_new(json, "report", report_json(report));
		json_print(json);
	} else {
		show(&a, &run, report);
	}
	report_free(report);
	schedule_free(&run.schedule);
	return (search_broken(result.verdict) ? STATUS_BROKEN : STATUS_HELD);
}
