/*
 * The recursion of boundary tags at its smallest: two CPUs, two layers of arenas, three slabs of
 * tags; small enough for every schedule with few preemptions.
 *
 * When the threads start the first slab of tags is used up to the reserve and a second one is wholly
 * free but for what they will take. Each asks for one page more than the tags at hand can describe; one
 * of them has the free slabs drained in between.
 */
#include <cooper/kmem.h>
#include <cooper/uma.h>

#include "lab/lab.h"

#define HELD 160 /* most ranges that stay */
#define LEFT 9   /* free tags that they leave: one more than the reserve */

LAB_STATE static vm_offset_t held[HELD];
LAB_STATE static unsigned nheld;
LAB_STATE static unsigned long tags_free;

static void
look_at(const struct uma_zone_stat *st, void *arg)
{
	(void)arg;
	if (__builtin_strcmp(st->name, "vmem btag") == 0)
		tags_free = st->keg_free_items;
}

static void
take_and_give(void *arg)
{
	void *p = kmem_malloc(4096, M_WAITOK);

	(void)arg;
	lab_must(p != NULL, "kmem_malloc: M_WAITOK returned NULL");
	kmem_free(p, 4096);
}

static void
drain_and_take(void *arg)
{
	lab_reclaim();
	take_and_give(arg);
}

static void
setup(void)
{
	uma_each_zone_stat(look_at, NULL);
	while (tags_free > LEFT && nheld < HELD) {
		held[nheld++] = kva_alloc(4096);
		if (--tags_free <= LEFT + 4)
			uma_each_zone_stat(look_at, NULL);
	}
	lab_thread("taker", 0, take_and_give, NULL);
	lab_thread("drainer", 1, drain_and_take, NULL);
}

static void
finish(void)
{
	while (nheld > 0)
		kva_free(held[--nheld], 4096);
}

LAB_SCENARIO(tags_tiny, .name = "tags-tiny",
    .about = "two threads ask for the last tags but the reserve, and one drains",
    .shape = { .ncpus = 2 }, .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "drain_ignores_reserve", "reserve_for_one_layer",
	"refills_side_by_side", NULL },
    .tiny = true);
