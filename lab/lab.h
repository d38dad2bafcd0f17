/*
 * Writing a scenario: a small C program over Cooper's public functions, run under every schedule.
 *
 *	static void
 *	worker(void *arg)
 *	{
 *		uma_zone_t zone = arg;
 *		void *item;
 *
 *		for (int i = 0; i < 4; i++) {
 *			item = uma_zalloc(zone, M_WAITOK);
 *			lab_must(item != NULL, "M_WAITOK returned NULL");
 *			uma_zfree(zone, item);
 *		}
 *	}
 *
 *	static void
 *	setup(void)
 *	{
 *		static uma_zone_t zone;      // LAB_STATE, see below
 *
 *		zone = uma_zcreate("objects", 64, NULL, NULL, NULL, NULL, 0, 0);
 *		for (int i = 0; i < 3; i++)
 *			lab_thread("worker", -1, worker, zone);
 *	}
 *
 *	LAB_SCENARIO(objects, .about = "three threads, one zone", .setup = setup, ...);
 *
 * The runner starts the core in the run's shape, calls setup() on the first thread, lets the threads
 * run to their ends, calls finish() (destroy what setup made), and looks at the books: pages, address
 * space, tags, items and limits must sum to what they were. A scenario must be one that always *can* end: a
 * thread that waits for memory holds nothing that another one needs to let go of.
 *
 * Scenarios include public headers and this one alone. State that outlives a function is marked LAB_STATE and is as at
 * program start in each run. Calls of public functions are seen by the oracles without further ado.
 */
#ifndef LAB_LAB_H
#define LAB_LAB_H

#include <cooper/cooper.h>

#define LAB_STATE __attribute__((section("cooper_state"))) /* restored with the core's */

struct lab_scenario {
	const char *name;  /* as on the command line: lower case and '-' */
	const char *about; /* one line */
	struct machine_shape
	    shape; /* the default; zero fields: the runner's (i386, 2 CPUs, 1 domain, 2 MiB, 4 MiB KVA, debug on, daemon off) */
	bool direct_map_too; /* makes sense with a direct map as well */
	uint64_t max_steps;  /* points a run may take; 0: 200,000 */
	uint64_t
	    patience; /* starvation: points that one call may last while others advance; 0: 100,000 */
	void (*setup)(void);
	void (*finish)(void); /* NULL: nothing to destroy */
	const char *const
	    *sees; /* faults that it should find: names of lab/faults.def, ends with NULL */
	bool tiny; /* small enough for the exhaustive strategy */
};

/* Defines `const struct lab_scenario lab_scenario_NAME`; lab/scenarios/meson.build lists the names. */
#define LAB_SCENARIO(ident, ...) const struct lab_scenario lab_scenario_##ident = { __VA_ARGS__ }

/* A thread of the scenario, on CPU `cpu` for good, or -1: on any, moving. */
void lab_thread(const char *name, int cpu, void (*fn)(void *), void *arg);
unsigned lab_random(unsigned
	n); /* 0..n-1, from the run's seed, a stream a thread: the same whatever the schedule */
unsigned lab_cpus(void), lab_domains(void);
unsigned lab_scale(unsigned small, unsigned large); /* exhaustive runs get the small number */
void lab_note(const char *text);                    /* constant text, into the trace */
void lab_must(bool held, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void lab_sleep(uint64_t ns); /* virtual time passes for this thread */
void lab_wait(
    const uint32_t *word, uint32_t value); /* until another thread has stored value (lab_post) */
void lab_post(uint32_t *word, uint32_t value);
void lab_meet(uint32_t *came, unsigned n); /* until n threads have come here; *came begins as 0 */
void lab_reclaim(void); /* what the page daemon would do: a pass with DRAIN_CPU */

#endif
