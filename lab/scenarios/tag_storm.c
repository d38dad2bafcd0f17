/*
 * Storms on the recursion of boundary tags: threads take and give back kernel memory while reclaim
 * passes go on, so that slabs of tags come and go around the reserve.
 *
 * What stays for the whole run is measured out so that the first slab of tags, which reclaim cannot
 * take, has little more than the reserve left: what the threads hold lies about its edge, where a
 * drain must leave a whole slab for the reserve. Beside them a zone of small objects comes and goes:
 * the empty buckets that it leaves behind are what fills of the tag zone take.
 */
#include "held_tags.h"

#define EACH   6 /* what a thread holds at a time */
#define ROUNDS 3
#define MARGIN 10 /* free tags that the ranges that stay leave */

static void
worker(void *arg)
{
	void *p[EACH] = { NULL };
	vm_size_t size[EACH];

	(void)arg;
	for (unsigned i = lab_scale(1, ROUNDS) * 2 * EACH; i > 0; i--) {
		unsigned at = lab_random(EACH);

		if (p[at] != NULL) {
			kmem_free(p[at], size[at]);
			p[at] = NULL;
			continue;
		}
		size[at] = 4096 * (1 + lab_random(2));
		p[at] = kmem_malloc(size[at], M_WAITOK);
		lab_must(p[at] != NULL, "kmem_malloc: M_WAITOK returned NULL");
	}
	for (unsigned at = 0; at < EACH; at++)
		if (p[at] != NULL)
			kmem_free(p[at], size[at]);
}

static void
reclaimer(void *arg)
{
	uma_zone_t zone;

	(void)arg;
	for (unsigned round = lab_scale(1, 2 * ROUNDS); round > 0; round--) {
		zone = uma_zcreate("small", 40, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
		uma_zfree(zone, uma_zalloc(zone, M_WAITOK));
		uma_zdestroy(zone);
		lab_reclaim();
	}
}

static void
setup(void)
{
	hold_one_page();
	hold_all_tags_but(MARGIN);
	for (unsigned cpu = 0; cpu < lab_cpus(); cpu++)
		lab_thread("worker", -1, worker, NULL);
	lab_thread("reclaimer", -1, reclaimer, NULL);
}

static void
finish(void)
{
	let_held_tags_go();
}

LAB_SCENARIO(tag_storm, .name = "tag-storm",
    .about = "kernel memory comes and goes on every CPU while reclaim takes slabs of tags",
    .shape = { .ncpus = 3 }, .direct_map_too = true, .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "drain_ignores_reserve", "fill_swallows_reserve",
	"reserve_for_one_layer", "six_tags_a_layer", "tag_slabs_to_quantum_cache",
	"map_entry_recursion", "refills_side_by_side", NULL });

/* The same on one domain and many CPUs: fewer rounds, more threads. */
LAB_SCENARIO(tag_storm_16, .name = "tag-storm-16", .about = "the same on 16 CPUs",
    .shape = { .ncpus = 16 }, .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "drain_ignores_reserve", "map_entry_recursion", NULL });
