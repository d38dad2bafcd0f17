/*
 * How many scheduling points a second the laboratory makes, oracles and all: each scenario under
 * random schedules, the same ones in each run of this program. In processor time, of one processor.
 *
 *	driver_lab i386|amd64 [SCENARIO]
 *
 * prints the mean over all points of all scenarios, or of one.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lab/run.h"
#include "lab/search/search.h"

#define POINTS 100000 /* of each scenario, at least */

static double
processor_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return ((double)t.tv_sec + (double)t.tv_nsec / 1e9);
}

/* How many points of one scenario. */
static uint64_t
run_scenario(const struct lab_scenario *scenario, bool direct_map)
{
	struct lab_spec spec = { .scenario = scenario, .shape = lab_shape(scenario), .seed = 1 };
	struct lab_result result;
	uint64_t points = 0;

	spec.shape.direct_map = direct_map;
	for (; points < POINTS; spec.seed++) {
		lab_run(&spec, random_strategy(), NULL, NULL, &result);
		if (search_broken(result.verdict))
			fprintf(stderr, "%s, seed %llu: %s\n", scenario->name,
			    (unsigned long long)spec.seed, result.line);
		points += result.steps;
	}
	return (points);
}

int
main(int argc, char **argv)
{
	bool direct_map = argc > 1 && strcmp(argv[1], "amd64") == 0;
	double start = processor_seconds();
	uint64_t points = 0;

	for (unsigned i = 0; i < lab_nscenarios; i++) {
		const struct lab_scenario *scenario = lab_scenarios[i];

		if ((direct_map && !scenario->direct_map_too) ||
		    (argc > 2 && strcmp(argv[2], scenario->name) != 0))
			continue;
		points += run_scenario(scenario, direct_map);
	}
	printf("lab_point %.3f ns\n", (processor_seconds() - start) * 1e9 / (double)points);
	return (0);
}
