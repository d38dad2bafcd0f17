/*
 * Threads that take and give back items of one zone: the plainest use there is.
 */
#include <cooper/uma.h>

#include "lab/lab.h"

#define ITEMS 4

LAB_STATE static uma_zone_t zone;

static void
worker(void *arg)
{
	void *item[ITEMS];

	(void)arg;
	for (unsigned round = lab_scale(1, 4); round > 0; round--) {
		for (unsigned i = 0; i < ITEMS; i++) {
			item[i] = uma_zalloc(zone, M_WAITOK);
			lab_must(item[i] != NULL, "uma_zalloc: M_WAITOK returned NULL");
		}
		for (unsigned i = 0; i < ITEMS; i++)
			uma_zfree(zone, item[i]);
	}
}

static void
setup(void)
{
	zone = uma_zcreate("objects", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	for (unsigned i = 0; i < lab_cpus() + 1; i++)
		lab_thread("worker", -1, worker, NULL);
}

static void
finish(void)
{
	uma_zdestroy(zone);
}

LAB_SCENARIO(objects, .name = "objects", .about = "threads take and give back items of one zone",
    .direct_map_too = true, .setup = setup, .finish = finish, .tiny = true);
