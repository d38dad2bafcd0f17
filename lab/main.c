/*
 * cooper-lab: run a scenario.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/run.h"

static uint64_t state;

/* Switch with a chance of one in eight, to anybody. */
static void
random_begin(void *arg, uint64_t seed, uint64_t expected_steps)
{
	(void)arg;
	(void)expected_steps;
	state = seed;
}

static unsigned
random_choose(void *arg, enum sim_choice what, uint64_t candidates, unsigned dflt)
{
	unsigned skip;

	(void)arg;
	(void)what;
	state = state * 6364136223846793005u + 1442695040888963407u;
	sim_ask_at = sim_steps() + 1 + (unsigned)(state >> 59);
	skip = (unsigned)(state >> 33) % (unsigned)__builtin_popcountll(candidates);
	(void)dflt;
	while (skip-- > 0)
		candidates &= candidates - 1;
	return ((unsigned)__builtin_ctzll(candidates));
}

static const struct lab_strategy strategy = { .begin = random_begin, .choose = random_choose };

static int
usage(void)
{
	fprintf(
	    stderr, "usage: cooper-lab run SCENARIO [--seed N] [--shape i386|amd64] [--runs N]\n");
	return (2);
}

int
main(int argc, char **argv)
{
	struct lab_spec spec = { .seed = 1 };
	struct lab_result result;
	unsigned long runs = 1;
	uint64_t steps = 0;

	if (argc < 3 || strcmp(argv[1], "run") != 0 || argc % 2 == 0)
		return (usage());
	for (unsigned i = 0; i < lab_nscenarios; i++)
		if (strcmp(lab_scenarios[i]->name, argv[2]) == 0)
			spec.scenario = lab_scenarios[i];
	if (spec.scenario == NULL) {
		fprintf(stderr, "cooper-lab: %s: no such scenario\n", argv[2]);
		return (2);
	}
	spec.shape = lab_shape(spec.scenario);
	for (int i = 3; i + 1 < argc; i += 2)
		if (strcmp(argv[i], "--seed") == 0)
			spec.seed = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--runs") == 0)
			runs = strtoul(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--shape") == 0)
			spec.shape.direct_map = strcmp(argv[i + 1], "amd64") == 0;
		else
			return (usage());
	do {
		lab_run(&spec, &strategy, NULL, NULL, &result);
		spec.seed++;
		steps += result.steps;
	} while (--runs > 0 && result.verdict == LAB_HELD);
	printf("%s: seed %" PRIu64 ": %s: %s\n%" PRIu64 " steps, hash %016" PRIx64 ", %" PRIu64
	       " ns of virtual time; %" PRIu64 " steps in all\n",
	    spec.scenario->name, spec.seed - 1, lab_verdict_names[result.verdict], result.line,
	    result.steps, result.hash, result.now, steps);
	return (result.verdict == LAB_HELD ? 0 : 3);
}
