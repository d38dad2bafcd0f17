/*
 * PR 248008 as it was reported: a build on a machine without a direct map, in which processes come to
 * sleep on "btalloc" for good.
 *
 * What the machine holds has used up the slabs of boundary tags but one, which is wholly free: it is
 * the reserve. A drain that comes between two requests must leave it. One that takes it for idle memory
 * leaves no tag to map another slab with: whoever needs one next waits for it, and those who could
 * give tags back are the ones who wait.
 */
#include <cooper/kmem.h>
#include <cooper/uma.h>

#include "lab/lab.h"

#define HELD  400 /* most ranges that stay */
#define MORE  60  /* that come and go, and leave a slab wholly free */
#define EDGE  4   /* tags that are left in the first slab, less than the reserve */
#define FILES 3   /* what a compiler has at a time */

LAB_STATE static vm_offset_t held[HELD];
LAB_STATE static unsigned nheld;
LAB_STATE static void *page; /* stays, too: the domain's arena has imported */
LAB_STATE static unsigned long tags_free;

static void
look_at(const struct uma_zone_stat *st, void *arg)
{
	(void)arg;
	if (__builtin_strcmp(st->name, "vmem btag") == 0)
		tags_free = st->keg_free_items;
}

static void
compiler(void *arg)
{
	void *p[FILES];

	(void)arg;
	for (unsigned file = lab_scale(1, 4); file > 0; file--) {
		for (unsigned i = 0; i < FILES; i++) {
			p[i] = kmem_malloc(4096 * (1 + i), M_WAITOK);
			lab_must(p[i] != NULL, "kmem_malloc: M_WAITOK returned NULL");
		}
		for (unsigned i = 0; i < FILES; i++)
			kmem_free(p[i], 4096 * (1 + i));
	}
}

static void
pageout(void *arg)
{
	(void)arg;
	for (unsigned pass = lab_scale(1, 8); pass > 0; pass--)
		lab_reclaim();
}

static void
hold(unsigned n)
{
	for (; n > 0 && nheld < HELD; n--)
		if ((held[nheld] = kva_alloc(4096)) != 0) /* it may have been made to fail */
			nheld++;
}

static void
setup(void)
{
	unsigned edge;

	page = kmem_malloc(4096, M_NOWAIT);
	uma_each_zone_stat(look_at, NULL);
	hold(tags_free - EDGE);
	edge = nheld;
	hold(MORE);
	while (nheld > edge)
		kva_free(held[--nheld], 4096);
	for (unsigned cpu = 0; cpu < lab_cpus(); cpu++)
		lab_thread("cc", -1, compiler, NULL);
	lab_thread("pageout", -1, pageout, NULL);
}

static void
finish(void)
{
	while (nheld > 0)
		kva_free(held[--nheld], 4096);
	if (page != NULL)
		kmem_free(page, 4096);
}

LAB_SCENARIO(btalloc, .name = "btalloc",
    .about = "a build goes on while drains look for idle slabs: PR 248008", .direct_map_too = true,
    .max_steps = 500000, .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "drain_ignores_reserve", NULL });
