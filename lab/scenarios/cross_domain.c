/*
 * Frees far from home: threads hand items to each other and free what others allocated. With three
 * domains such items are sorted on their way back, and buckets for that are got on the way.
 */
#include <cooper/kmem.h>
#include <cooper/uma.h>

#include "lab/lab.h"

#define SLOTS 16
#define SIZES 2
#define TINY  256

struct belt { /* items between threads; each is taken and put with nothing in between */
	uma_zone_t zone;
	void *slot[SLOTS];
};
LAB_STATE static struct belt belts[SIZES];

LAB_STATE static uma_zone_t tiny;
LAB_STATE static void *tinies[2][TINY]; /* from the first CPU's domain */

/* Put an item on the belt and take what lay there. */
static void *
exchange(struct belt *belt, void *mine)
{
	void **slot = &belt->slot[lab_random(SLOTS)], *theirs = *slot;

	*slot = mine;
	return (theirs);
}

static void
worker(void *arg)
{
	(void)arg;
	for (unsigned n = lab_scale(4, 60); n > 0; n--) {
		struct belt *belt = &belts[lab_random(SIZES)];
		void *mine = uma_zalloc(belt->zone, M_WAITOK);

		lab_must(mine != NULL, "uma_zalloc: M_WAITOK returned NULL");
		uma_zfree(belt->zone, exchange(belt, mine));
	}
}

/* Kernel memory of every size, freed on another CPU than it was got on. */
static void
mapper(void *arg)
{
	LAB_STATE static void *p[4];
	LAB_STATE static vm_size_t size[4];

	(void)arg;
	for (unsigned n = lab_scale(2, 12); n > 0; n--) {
		unsigned at = n % 4;
		void *mine = kmem_malloc(4096 * (1 + n % 3), M_WAITOK), *theirs = p[at];
		vm_size_t theirs_size = size[at];

		p[at] = mine;
		size[at] = 4096 * (1 + n % 3);
		if (theirs != NULL)
			kmem_free(theirs, theirs_size);
		if (n <= 4) {
			mine = p[at];
			p[at] = NULL;
			if (mine != NULL)
				kmem_free(mine, size[at]);
		}
	}
}

/* A bucket's worth of the smallest items, all of them from another domain: sorted at once. */
static void
collector(void *arg)
{
	void **item = arg;

	for (unsigned i = 0; i < TINY; i++)
		uma_zfree(tiny, item[i]);
}

static void
setup(void)
{
	tiny = uma_zcreate("tiny", 40, NULL, NULL, NULL, NULL, 7, UMA_ZONE_FIRSTTOUCH);
	for (unsigned share = 0; share < 2; share++)
		for (unsigned i = 0; i < TINY; i++)
			tinies[share][i] = uma_zalloc(tiny, M_WAITOK);
	belts[0].zone = uma_zcreate("belt", 1000, NULL, NULL, NULL, NULL, 7, UMA_ZONE_FIRSTTOUCH);
	belts[1].zone =
	    uma_zcreate("small belt", 2000, NULL, NULL, NULL, NULL, 7, UMA_ZONE_FIRSTTOUCH);
	for (unsigned cpu = 0; cpu < lab_cpus(); cpu++)
		lab_thread("worker", (int)cpu, worker, NULL);
	for (unsigned share = 0; share < 2; share++) {
		lab_thread("mapper", -1, mapper, NULL);
		lab_thread("collector", (int)(lab_cpus() - 1 - share), collector, tinies[share]);
	}
}

static void
finish(void)
{
	for (unsigned i = 0; i < SIZES; i++) {
		for (unsigned at = 0; at < SLOTS; at++)
			uma_zfree(belts[i].zone, exchange(&belts[i], NULL));
		for (unsigned at = 0; at < SLOTS; at++)
			uma_zfree(belts[i].zone, belts[i].slot[at]);
		uma_zdestroy(belts[i].zone);
	}
	uma_zdestroy(tiny);
}

LAB_SCENARIO(cross_domain, .name = "cross-domain",
    .about = "items are freed on CPUs of three domains, wherever they came from",
    .shape = { .ncpus = 3, .ndomains = 3 }, .direct_map_too = true, .setup = setup,
    .finish = finish,
    .sees = (const char *const[]){ "bucket_under_cross_lock", "freed_to_the_wrong_arena", NULL });
