/*
 * Pages that never come back among pages that do: objects of a zone whose slabs stay, ordinary ones,
 * and in between requests for all that is left.
 */
#include <cooper/kmem.h>
#include <cooper/uma.h>

#include "lab/lab.h"

#define ITEMS 10

LAB_STATE static uma_zone_t stays, comes_and_goes;

static void
churn(void *arg)
{
	uma_zone_t zone = arg;
	void *item[ITEMS];

	for (unsigned round = lab_scale(1, 2); round > 0; round--) {
		for (unsigned i = 0; i < ITEMS; i++)
			item[i] = uma_zalloc(zone, M_NOWAIT);
		lab_note("objects in hand");
		for (unsigned i = 0; i < ITEMS; i++)
			uma_zfree(zone, item[i]);
	}
}

/* Every page there is: what is counted as free must be there. */
static void
takes_all(void *arg)
{
	struct {
		void *p;
		vm_size_t size;
	} all[32];
	unsigned n = 0;

	(void)arg;
	for (vm_size_t size = 64 * 4096; size >= 4096; size /= 2)
		while (n < 32 && (all[n].p = kmem_malloc(size, M_NOWAIT)) != NULL)
			all[n++].size = size;
	while (n-- > 0)
		kmem_free(all[n].p, all[n].size);
}

static void
setup(void)
{
	stays = uma_zcreate("stays", 3000, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, UMA_ZONE_NOFREE);
	comes_and_goes =
	    uma_zcreate("comes and goes", 1300, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	lab_thread("stays", -1, churn, stays);
	lab_thread("comes and goes", -1, churn, comes_and_goes);
	lab_thread("takes all", -1, takes_all, NULL);
	lab_thread("takes all", -1, takes_all, NULL);
}

static void
finish(void)
{
	takes_all(NULL);
	uma_zdestroy(comes_and_goes);
}

LAB_SCENARIO(nofree_churn, .name = "nofree-churn",
    .about = "pages that never come back are cut out of memory that others want",
    .shape = { .physmem = 1 << 20 }, .direct_map_too = true, .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "nofree_tail_lost", NULL });
