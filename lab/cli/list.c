/*
 * cooper lab list: scenarios, faults, policies, shapes.
 */
#include <stdlib.h>
#include <string.h>
#include "lab/cli/cli.h"

static const char *const policy_about[] = {
	"a drain that honours the reserve, a free function that matches",
	"slabs of boundary tags are never given back",
	"never given back where there is no direct map",
};

static json_t *
scenario_json(const struct lab_scenario *s)
{
	struct machine_shape shape = lab_shape(s);
	json_t *sees = json_array();

	for (unsigned i = 0; s->sees != NULL && s->sees[i] != NULL; i++)
		json_array_append_new(sees, json_string(s->sees[i]));
	return (json_pack("{s:s, s:s, s:o, s:b, s:b, s:o}", "name", s->name, "about", s->about,
	    "machine", shape_json(&shape), "direct_map_too", (int)s->direct_map_too, "tiny",
	    (int)s->tiny, "sees", sees));
}

static json_t *
list_json(void)
{
	json_t *scenarios = json_array(), *faults = json_array(), *policies = json_array();

	for (unsigned i = 0; i < lab_nscenarios; i++)
		json_array_append_new(scenarios, scenario_json(lab_scenarios[i]));
	for (unsigned i = 0; i < lab_nfaults; i++)
		json_array_append_new(
		    faults, json_pack("{s:s, s:s, s:s}", "name", lab_faults[i].name, "reference",
				lab_faults[i].reference, "about", lab_faults[i].about));
	for (unsigned i = 0; i < nitems(lab_policy_names); i++)
		json_array_append_new(policies,
		    json_pack("{s:s, s:s}", "name", lab_policy_names[i], "about", policy_about[i]));
	return (json_pack("{s:i, s:o, s:o, s:o, s:[s, s]}", "cooper_lab_list", 1, "scenarios",
	    scenarios, "faults", faults, "policies", policies, "shapes", "i386", "amd64"));
}

static void
list_text(void)
{
	char shape[160];

	puts("SCENARIOS");
	for (unsigned i = 0; i < lab_nscenarios; i++) {
		struct machine_shape s = lab_shape(lab_scenarios[i]);

		shape_text(&s, shape, sizeof(shape));
		printf("  %-20s %s\n  %-20s   %s%s%s\n", lab_scenarios[i]->name,
		    lab_scenarios[i]->about, "", shape,
		    lab_scenarios[i]->direct_map_too ? "; amd64 as well" : "",
		    lab_scenarios[i]->tiny ? "; tiny" : "");
	}
	puts("\nFAULTS");
	for (unsigned i = 0; i < lab_nfaults; i++)
		printf("  %-28s %s\n  %-28s   %s\n", lab_faults[i].name, lab_faults[i].reference,
		    "", lab_faults[i].about);
	puts("\nPOLICIES");
	for (unsigned i = 0; i < nitems(lab_policy_names); i++)
		printf("  %-20s %s\n", lab_policy_names[i], policy_about[i]);
	puts("\nSHAPES\n  i386                 no direct map: each slab is mapped\n"
	     "  amd64                with a direct map");
}

int
list_command(int argc, char **argv)
{
	struct args a = { 0 };

	args_parse("list", " json ", argc, argv, &a);
	if (a.nrest > 0)
		refuse("list: takes no argument, not %s", a.rest[0]);
	if (a.json)
		json_print(list_json());
	else
		list_text();
	return (STATUS_HELD);
}
