/*
 * Buckets far from home. What is below kmem takes buckets that there are, of whichever domain; here all
 * are of the first one. CPUs of the others need them for tags, and what they let go of gathers in their
 * cross buckets until those are full and must be sorted. That happens under an arena's lock: who takes the
 * last cached tag lets go of its bucket there. So the bucket to sort with must be one that there
 * is, too: the address of a new slab of them would be had of that very arena.
 */
#include <cooper/kmem.h>
#include <cooper/uma.h>

#include "lab/lab.h"

#define EACH  40 /* ranges that a thread holds */
#define SIZES 7
#define PAST  8 /* zones of a size */

LAB_STATE static uma_zone_t zones[SIZES];

/* Address space page by page, of which each takes a tag. */
static void
hoarder(void *arg)
{
	vm_offset_t va[EACH];
	unsigned each = lab_scale(10, EACH);

	(void)arg;
	for (unsigned i = 0; i < each; i++)
		va[i] = kva_alloc(4096); /* never sleeps: it may be 0 */
	for (unsigned i = 0; i < each; i++)
		if (va[i] != 0)
			kva_free(va[i], 4096);
}

/* Zones that came and went: so many buckets that those of buckets are cached themselves. */
static void
come_and_go(uint16_t size)
{
	for (unsigned i = 0; i < PAST; i++) {
		uma_zone_t zone =
		    uma_zcreate("past", size, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);

		uma_zfree(zone, uma_zalloc(zone, M_WAITOK));
		uma_zdestroy(zone);
	}
}

/* Passes have made all buckets small; then the first CPU takes one of each size. */
static void
setup(void)
{
	static const uint16_t sizes[SIZES] = { 40, 120, 250, 500, 1000, 2000, 3000 };

	for (unsigned i = 0; i < SIZES; i++)
		come_and_go(sizes[i]);
	for (unsigned pass = 3 + lab_random(4); pass > 0; pass--)
		lab_reclaim();
	for (unsigned i = 0; i < SIZES; i++) {
		zones[i] = uma_zcreate("sized", sizes[i], NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
		uma_zfree(zones[i], uma_zalloc(zones[i], M_WAITOK));
	}
	for (unsigned cpu = 1; cpu < lab_cpus(); cpu++)
		lab_thread("hoarder", (int)cpu, hoarder, NULL);
}

static void
finish(void)
{
	for (unsigned i = 0; i < SIZES; i++)
		uma_zdestroy(zones[i]);
}

LAB_SCENARIO(far_buckets, .name = "far-buckets",
    .about = "CPUs of two domains live on the buckets of a third",
    .shape = { .ncpus = 3, .ndomains = 3 }, .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "sort_forgets_what_is_locked", NULL });
