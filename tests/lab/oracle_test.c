/*
 * Running a case.
 */
#include "oracle_test.h"

LAB_STATE uma_zone_t zone = NULL;
LAB_STATE vmem_t *arena = NULL;
LAB_STATE vmem_addr_t addr = 0;
LAB_STATE void *kept[KEPT] = { NULL };

struct lab_result
run_once(const struct lab_scenario *scenario, unsigned how, uint64_t faults, uint64_t seed)
{
	struct lab_spec spec = {
		.scenario = scenario, .shape = lab_shape(scenario), .faults = faults, .seed = seed
	};
	struct lab_result result;

	spec.shape.debug = (how & DEBUG) != 0;
	spec.shape.direct_map = (how & DIRECT) != 0;
	spec.shape.daemon = (how & DAEMON) != 0;
	spec.shape.ndomains = how & TWO_DOMAINS ? 2 : 1;
	lab_run(&spec, seed == 0 ? &lab_default_strategy : random_strategy(), NULL, NULL, &result);
	return (result);
}

void
expect(void (*setup)(void), void (*finish)(void), unsigned how, enum lab_verdict verdict,
    const char *part)
{
	struct lab_scenario scenario = {
		.name = "case", .about = "case", .setup = setup, .finish = finish
	};
	struct lab_result r = run_once(&scenario, how, 0, 0);

	if (r.verdict != verdict || strstr(r.line, part) == NULL)
		fail_msg("%s: \"%s\", not %s: \"%s\"", lab_verdict_names[r.verdict], r.line,
		    lab_verdict_names[verdict], part);
}

void
expect_fault(void (*setup)(void), void (*finish)(void), unsigned how, enum core_fault fault,
    enum lab_verdict verdict, unsigned seeds)
{
	struct lab_scenario scenario = {
		.name = "case", .about = "case", .setup = setup, .finish = finish
	};
	struct lab_result r = { 0 };
	unsigned found = 0;

	for (unsigned seed = 0; seed < seeds; seed++) {
		r = run_once(&scenario, how, 0, seed);
		if (r.verdict != LAB_HELD)
			fail_msg("seed %u: %s: %s", seed, lab_verdict_names[r.verdict], r.line);
	}
	for (unsigned seed = 0; seed < seeds && found == 0; seed++) {
		r = run_once(&scenario, how, (uint64_t)1 << fault, seed);
		if (r.verdict != LAB_HELD && r.verdict != verdict)
			fail_msg("seed %u: %s: %s", seed, lab_verdict_names[r.verdict], r.line);
		found += r.verdict == verdict;
	}
	if (found == 0)
		fail_msg("%s: not found in %u runs", lab_faults[fault].name, seeds);
}

void
make_zone(void)
{
	zone = uma_zcreate("items", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
}

void
end_zone(void)
{
	uma_zdestroy(zone);
}

void
make_arena(void)
{
	arena = vmem_create("ids", 16, 64, 1, 0, M_WAITOK | M_BESTFIT);
	vmem_xalloc(arena, 4, 0, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX, M_WAITOK | M_BESTFIT, &addr);
}

void
end_arena(void)
{
	vmem_xfree(arena, addr, 4);
	vmem_destroy(arena);
}

static void
taker(void *arg)
{
	(void)arg;
	kept[1] = uma_zalloc(zone, M_WAITOK);
	uma_zfree(zone, kept[1]);
}

void
take_all(void)
{
	make_zone();
	uma_zone_set_max(zone, 1);
	kept[0] = uma_zalloc(zone, M_WAITOK);
	lab_thread("taker", -1, taker, NULL);
}
