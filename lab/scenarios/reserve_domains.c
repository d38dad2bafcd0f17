/*
 * The reserve of boundary tags on several domains: it lies in the first one's slab, and CPUs of the
 * last one must refill from it, since nothing else is left.
 */
#include "held_tags.h"

#define LEFT 10 /* free tags that what stays leaves: the reserve, and little more */
#define EACH 12

static void
worker(void *arg)
{
	void *p[EACH];

	(void)arg;
	for (unsigned round = lab_scale(1, 2); round > 0; round--) {
		for (unsigned i = 0; i < EACH; i++) {
			p[i] = kmem_malloc(4096, M_WAITOK);
			lab_must(p[i] != NULL, "kmem_malloc: M_WAITOK returned NULL");
		}
		if (lab_random(3) == 0)
			lab_reclaim();
		for (unsigned i = 0; i < EACH; i += 2)
			kmem_free(p[i], 4096);
		for (unsigned i = 1; i < EACH; i += 2)
			kmem_free(p[i], 4096);
	}
}

static void
setup(void)
{
	hold_all_tags_but(LEFT);
	for (unsigned cpu = lab_cpus() / lab_domains(); cpu < lab_cpus(); cpu++)
		lab_thread("worker", (int)cpu, worker, NULL);
	lab_thread("worker", -1, worker, NULL);
}

static void
finish(void)
{
	let_held_tags_go();
}

LAB_SCENARIO(reserve_domains, .name = "reserve-domains",
    .about = "CPUs of one domain refill from the reserve of tags in another",
    .shape = { .ncpus = 4, .ndomains = 2 }, .patience = 8000, .setup = setup, .finish = finish,
    .sees = (const char *const[]){
	"reserve_of_one_domain", "freed_to_the_wrong_arena", "refills_side_by_side", NULL });
