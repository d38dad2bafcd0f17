/*
 * The recursion of boundary tags at its smallest: two CPUs, two layers of arenas, three slabs of
 * tags; small enough for every schedule with few preemptions.
 *
 * When the threads start, the first slab of tags is used up but for the reserve, and the domain's
 * arena has neither an address nor a spare tag left. Each thread asks for one page, which takes a refill that needs all that the reserve
 * has; one of them has free slabs drained before. The small form takes addresses alone, and drains the
 * tags alone: it is one of the two scenarios that see more than public headers.
 */
#include "held_tags.h"
#include "kmem/kmem_int.h"

#define LEFT 8 /* free tags that what stays leaves: the reserve */

static void
take_and_give(void *arg)
{
	vm_offset_t addr;
	void *p;

	(void)arg;
	if (lab_scale(1, 0)) {
		addr = kva_alloc(4096);
		lab_must(addr != 0, "kva_alloc: no address, though there are pages and addresses");
		kva_free(addr, 4096);
	} else {
		p = kmem_malloc(4096, M_WAITOK);
		lab_must(p != NULL, "kmem_malloc: M_WAITOK returned NULL");
		kmem_free(p, 4096);
	}
}

static void
drain_and_take(void *arg)
{
	if (lab_scale(1, 0)) {
		vmem_trim();
		uma_zone_reclaim(tag_zone, UMA_RECLAIM_DRAIN_CPU);
	} else
		lab_reclaim();
	take_and_give(arg);
}

static void
setup(void)
{
	hold_imported_addresses();
	vmem_trim();
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
    .sees = (const char *const[]){ "reserve_for_one_layer", "drain_ignores_reserve",
	"six_tags_a_layer", "refills_side_by_side", NULL },
    .tiny = true);
