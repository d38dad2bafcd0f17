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
	FILE *from = fopen(path, "r");
	const char *why;

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

int
replay_command(int argc, char **argv)
{
	struct args a = { 0 };
	struct file_run run;
	struct lab_result result;

	args_parse("replay", " from to json html ", argc, argv, &a);
	if (a.nrest != 1)
		refuse("replay: one file is wanted, not %u", a.nrest);
	if (a.to != 0 && a.from > a.to)
		refuse("replay: --from %" PRIu64 " comes after --to %" PRIu64, a.from, a.to);
	read_run(a.rest[0], &run);
	lab_run(&run.spec, replay_strategy(&run.schedule), NULL, NULL, &result);
	must_be_the_same(a.rest[0], &run, &result);
	if (a.json)
		json_print(json_pack("{s:i, s:o, s:o, s:o}", "cooper_lab_replay", 1, "run",
		    spec_json(&run.spec), "result", result_json(&result), "deviations",
		    schedule_json(&run.schedule)));
	else {
		spec_print(&run.spec, stdout);
		printf("\n%s at step %" PRIu64 ", hash %016" PRIx64 ", %u deviations: %s\n",
		    lab_verdict_names[result.verdict], result.steps, result.hash, run.schedule.n,
		    result.line);
	}
	schedule_free(&run.schedule);
	return (search_broken(result.verdict) ? STATUS_BROKEN : STATUS_HELD);
}
