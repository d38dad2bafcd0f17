/*
 * The reserve of boundary tags on several domains: its slabs come to lie in one of them, and CPUs of
 * all refill from it.
 */
#include <cooper/kmem.h>
#include <cooper/uma.h>

#include "lab/lab.h"

#define HELD 64
#define EACH 24

struct hand {
	void *p[EACH];
};
LAB_STATE static struct hand hands[16];
LAB_STATE static vm_offset_t held[HELD];

static void
worker(void *arg)
{
	struct hand *h = arg;

	for (unsigned round = lab_scale(1, 2); round > 0; round--) {
		for (unsigned i = 0; i < EACH; i++) {
			h->p[i] = kmem_malloc(4096, M_WAITOK);
			lab_must(h->p[i] != NULL, "kmem_malloc: M_WAITOK returned NULL");
		}
		if (lab_random(3) == 0)
			lab_reclaim();
		for (unsigned i = 0; i < EACH; i += 2)
			kmem_free(h->p[i], 4096);
		for (unsigned i = 1; i < EACH; i += 2)
			kmem_free(h->p[i], 4096);
	}
}

static void
setup(void)
{
	for (unsigned i = 0; i < HELD; i++)
		held[i] = kva_alloc(4096);
	for (unsigned cpu = 0; cpu < lab_cpus(); cpu++)
		lab_thread("worker", (int)cpu, worker, &hands[cpu]);
}

static void
finish(void)
{
	for (unsigned i = 0; i < HELD; i++)
		kva_free(held[i], 4096);
}

LAB_SCENARIO(reserve_domains, .name = "reserve-domains",
    .about = "CPUs of two domains refill from one reserve of tags",
    .shape = { .ncpus = 4, .ndomains = 2 }, .direct_map_too = true, .setup = setup,
    .finish = finish,
    .sees = (const char *const[]){
	"reserve_of_one_domain", "freed_to_the_wrong_arena", "refills_side_by_side", NULL });
