/*
 * Scenarios, faults, policies and shapes: by name, as text, as JSON.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lab/cli/cli.h"

const struct lab_scenario *
scenario_find(const char *name)
{
	for (unsigned i = 0; i < lab_nscenarios; i++)
		if (strcmp(lab_scenarios[i]->name, name) == 0)
			return (lab_scenarios[i]);
	return (NULL);
}

const struct lab_scenario *
scenario_named(const char *command, const char *name)
{
	const struct lab_scenario *scenario = scenario_find(name);

	if (scenario == NULL)
		refuse(
		    "%s: there is no scenario \"%s\"; cooper lab list names them", command, name);
	return (scenario);
}

uint64_t
fault_named(const char *command, const char *name)
{
	for (unsigned i = 0; i < lab_nfaults; i++)
		if (strcmp(lab_faults[i].name, name) == 0)
			return ((uint64_t)1 << i);
	refuse("%s: there is no fault \"%s\"; cooper lab list names them", command, name);
}

enum core_policy
policy_named(const char *command, const char *name)
{
	for (unsigned i = 0; i < nitems(lab_policy_names); i++)
		if (strcmp(lab_policy_names[i], name) == 0)
			return ((enum core_policy)i);
	refuse("%s: there is no policy \"%s\"; cooper lab list names them", command, name);
}

/* ---- text ------------------------------------------------------------------------------------------- */

static const char *
size_text(uint64_t bytes, char text[32])
{
	if (bytes % (1 << 20) == 0)
		snprintf(text, 32, "%" PRIu64 "M", bytes >> 20);
	else
		snprintf(text, 32, "%" PRIu64 "K", bytes >> 10);
	return (text);
}

void
shape_text(const struct machine_shape *s, char *text, size_t size)
{
	char memory[32], kva[32];

	snprintf(text, size, "%s, %u CPU%s, %u domain%s, memory %s, KVA %s%s%s",
	    s->direct_map ? "amd64" : "i386", s->ncpus, s->ncpus == 1 ? "" : "s", s->ndomains,
	    s->ndomains == 1 ? "" : "s", size_text(s->physmem, memory), size_text(s->kva_size, kva),
	    s->debug ? ", debug" : ", release", s->daemon ? ", daemon" : "");
}

void
spec_print(const struct lab_spec *spec, FILE *to)
{
	char shape[160];
	const char *before = "; fault ";

	shape_text(&spec->shape, shape, sizeof(shape));
	fprintf(to, "%s%s on %s", spec->scenario->name, spec->small ? " (small)" : "", shape);
	if (spec->page_shift != 0)
		fprintf(to, ", pages of %uK", 1u << (spec->page_shift - 10));
	for (unsigned i = 0; i < lab_nfaults; i++)
		if (spec->faults >> i & 1) {
			fprintf(to, "%s%s", before, lab_faults[i].name);
			before = ", ";
		}
	if (spec->policy != POLICY_shipped)
		fprintf(to, "; policy %s", lab_policy_names[spec->policy]);
	if (spec->plan.inject_at != 0)
		fprintf(to, "; request %" PRIu64 " fails", spec->plan.inject_at);
	if (spec->plan.reclaim_at != 0)
		fprintf(to, "; reclaim at step %" PRIu64, spec->plan.reclaim_at);
}

/* ---- JSON ------------------------------------------------------------------------------------------- */

json_t *
shape_json(const struct machine_shape *s)
{
	return (json_pack("{s:s, s:i, s:i, s:I, s:I, s:b, s:b}", "shape",
	    s->direct_map ? "amd64" : "i386", "cpus", (int)s->ncpus, "domains", (int)s->ndomains,
	    "physmem", (json_int_t)s->physmem, "kva", (json_int_t)s->kva_size, "debug",
	    (int)s->debug, "daemon", (int)s->daemon));
}

json_t *
spec_json(const struct lab_spec *spec)
{
	json_t *faults = json_array();

	for (unsigned i = 0; i < lab_nfaults; i++)
		if (spec->faults >> i & 1)
			json_array_append_new(faults, json_string(lab_faults[i].name));
	return (json_pack("{s:s, s:o, s:i, s:o, s:s, s:I, s:b, s:I, s:I}", "scenario",
	    spec->scenario->name, "machine", shape_json(&spec->shape), "page",
	    1 << MAX(spec->page_shift, (unsigned)SIM_PAGE_SHIFT_MIN), "faults", faults, "policy",
	    lab_policy_names[spec->policy], "seed", (json_int_t)spec->seed, "small",
	    (int)spec->small, "inject_at", (json_int_t)spec->plan.inject_at, "reclaim_at",
	    (json_int_t)spec->plan.reclaim_at));
}

json_t *
schedule_json(const struct lab_schedule *s)
{
	static const char *const choices[SIM_CHOICES] = { "fiber", "cpu", "wake" };
	json_t *list = json_array();

	for (unsigned i = 0; i < s->n; i++)
		json_array_append_new(
		    list, json_pack("[I, s, i]", (json_int_t)s->deviation[i].step,
			      choices[s->deviation[i].choice], (int)s->deviation[i].value));
	return (list);
}

json_t *
result_json(const struct lab_result *r)
{
	char hash[17];

	snprintf(hash, sizeof(hash), "%016" PRIx64, r->hash);
	return (json_pack("{s:s, s:s, s:I, s:s, s:I, s:i}", "verdict",
	    lab_verdict_names[r->verdict], "line", r->line, "steps", (json_int_t)r->steps, "hash",
	    hash, "virtual_ns", (json_int_t)r->now, "fiber", (int)r->fiber));
}

void
json_print(json_t *json)
{
	if (json == NULL || json_dumpf(json, stdout, JSON_INDENT(1)) != 0 || putchar('\n') == EOF ||
	    fflush(stdout) != 0)
		fail("cannot write its JSON");
	json_decref(json);
}
