/*
 * The recursion of boundary tags at its smallest: two CPUs, two layers of arenas, three slabs of
 * tags; small enough for every schedule with few preemptions.
 *
 * When the threads start the first slab of tags is used up to the reserve and a second one is wholly
 * free but for what they will take. Each asks for one page more than the tags at hand can describe; one
 * of them has the free slabs drained in between.
 */
#include "held_tags.h"

#define LEFT 9 /* free tags that what stays leaves: one more than the reserve */

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
	hold_imported_addresses();
	hold_all_tags_but(LEFT);
	lab_thread("taker", 0, take_and_give, NULL);
	lab_thread("drainer", 1, drain_and_take, NULL);
}

static void
finish(void)
{
	let_held_tags_go();
}

LAB_SCENARIO(tags_tiny, .name = "tags-tiny",
    .about = "two threads ask for the last tags but the reserve, and one drains",
    .shape = { .ncpus = 2 }, .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "drain_ignores_reserve", "reserve_for_one_layer",
	"refills_side_by_side", "six_tags_a_layer", NULL },
    .tiny = true);
