/*
 * Address space but for a page or two, and tags down to the reserve: refills race with others for the
 * last address, and those that fail must leave the reserve as it was.
 */
#include "held_tags.h"

#define LEFT   32 /* free tags, before the rest of the window is taken in large pieces */
#define PIECES 24
#define HOLES  2

LAB_STATE static struct {
	vm_offset_t addr;
	vm_size_t size;
} piece[PIECES];
LAB_STATE static unsigned pieces;

static void
worker(void *arg)
{
	(void)arg;
	for (unsigned round = lab_scale(2, 12); round > 0; round--) {
		vm_offset_t addr = kva_alloc(4096);

		if (addr != 0)
			kva_free(addr, 4096);
	}
}

static void
reclaimer(void *arg)
{
	(void)arg;
	for (unsigned round = lab_scale(1, 6); round > 0; round--)
		lab_reclaim();
}

static void
setup(void)
{
	hold_one_page();
	hold_all_tags_but(LEFT);
	for (vm_size_t size = cooper_shape()->kva_size; size >= 4096; size /= 2)
		while (pieces < PIECES && (piece[pieces].addr = kva_alloc(size)) != 0)
			piece[pieces++].size = size;
	hold_imported_addresses();
	for (unsigned i = 0; i < HOLES && nheld > 0; i++)
		kva_free(held[--nheld], 4096);
	for (unsigned i = 0; i < lab_cpus() + 3; i++)
		lab_thread("worker", -1, worker, NULL);
	lab_thread("reclaimer", -1, reclaimer, NULL);
}

static void
finish(void)
{
	let_held_tags_go();
	while (pieces-- > 0)
		kva_free(piece[pieces].addr, piece[pieces].size);
}

LAB_SCENARIO(kva_tight, .name = "kva-tight",
    .about = "refills race with others for the last page of address space",
    .shape = { .ncpus = 1 }, /* more CPUs cache more tags, and refill less */
    .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "failed_fill_leaks_tags", "six_tags_a_layer", NULL });
