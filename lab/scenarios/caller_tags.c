/*
 * An arena whose boundary tags are the caller's: threads that run out of them wait for one to come
 * back, or for more.
 */
#include <cooper/vmem.h>

#include "lab/lab.h"

#define TAGS 9 /* tags in the first block: one span, and few segments */
#define EACH 2

LAB_STATE static char storage[VMEM_STORAGE] __attribute__((aligned(VMEM_STORAGE_ALIGN)));
LAB_STATE static char block[3][40 * (TAGS + 80)] __attribute__((aligned(16)));
LAB_STATE static vmem_t *arena;
LAB_STATE static uint32_t got;

/* Segments with gaps between them, so that each has a tag of its own and its neighbours too. */
static void
worker(void *arg)
{
	vmem_addr_t a;

	(void)arg;
	for (unsigned round = lab_scale(1, 4); round > 0; round--) {
		vmem_size_t size = 1 + lab_random(4);

		lab_must(vmem_alloc(arena, size, M_WAITOK | M_BESTFIT, &a) == 0,
		    "vmem_alloc: M_WAITOK failed");
		lab_note("a segment in hand");
		vmem_free(arena, a, size);
	}
}

/* Together they hold more segments than the first block has tags for, until the second has come. */
static void
together(void *arg)
{
	vmem_addr_t a[EACH];

	(void)arg;
	for (unsigned i = 0; i < EACH; i++)
		lab_must(vmem_xalloc(arena, 1, 4, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX,
			     M_WAITOK | M_FIRSTFIT, &a[i]) == 0,
		    "vmem_xalloc: M_WAITOK failed");
	lab_meet(&got, 3);
	for (unsigned i = 0; i < EACH; i++)
		vmem_xfree(arena, a[i], 1);
}

static void
adder(void *arg)
{
	(void)arg;
	lab_must(vmem_add_tags(arena, block[1], 40 * 12) == 0, "vmem_add_tags failed");
	lab_must(vmem_add_tags(arena, block[2], 40 * 12) == 0, "vmem_add_tags failed");
}

static void
setup(void)
{
	arena = vmem_init((vmem_t *)(void *)storage, "own tags", 0, 0, 1, 0, M_NOWAIT);
	lab_must(vmem_add_tags(arena, block[0], 40 * TAGS) == 0, "vmem_add_tags failed");
	lab_must(vmem_add(arena, 64, 256, M_NOWAIT) == 0, "vmem_add failed");
	for (unsigned i = 0; i < 3; i++)
		lab_thread("together", -1, together, NULL);
	lab_thread("worker", -1, worker, NULL);
	lab_thread("worker", -1, worker, NULL);
	lab_thread("adder", -1, adder, NULL);
}

static void
finish(void)
{
	vmem_destroy(arena);
}

LAB_SCENARIO(caller_tags, .name = "caller-tags",
    .about = "an arena on the caller's tags: threads wait for a tag, or for more of them",
    .direct_map_too = true, .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "added_tags_wake_nobody", NULL });
