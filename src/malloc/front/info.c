/*
 * What a program may ask about its memory: mallinfo(3), malloc_info(3), malloc_stats(3),
 * malloc_trim(3), mallopt(3). For people and monitors that know glibc's figures; `cooper stat` tells
 * more. Everything is computed when asked for, so figures may disagree by what other threads do
 * meanwhile.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdio.h>

#include "front.h"

struct usage {
	size_t slabs;  /* bytes of the size classes' slabs, and of large blocks that are kept */
	size_t used;   /* of these, in blocks that the program holds */
	size_t free;   /* free blocks in slabs and caches, how many; large ones left out */
	size_t large;  /* large blocks: how many */
	size_t mapped; /* and their bytes */
};

struct class_usage {
	size_t size, slabs, used, free; /* bytes of a block, of the slabs; blocks */
};

static bool
class_usage(unsigned class, struct class_usage *u)
{
	uma_zone_t zone = atomic_load_acquire(&malloc_zones[class]);
	size_t all;

	if (zone == NULL)
		return (false);
	u->size = malloc_class_size(class);
	u->slabs = uma_zone_memory(zone);
	all = u->slabs / u->size;
	u->used = MIN((size_t)uma_zone_get_cur(zone), all);
	u->free = all - u->used;
	return (true);
}

static void
usage(struct usage *sum)
{
	struct malloc_type_stats large;
	struct class_usage u;

	*sum = (struct usage){ 0 };
	if (!front_started())
		return;
	for (unsigned class = 0; class < MALLOC_CLASSES; class ++)
		if (class_usage(class, &u)) {
			sum->slabs += u.slabs;
			sum->used += u.used * u.size;
			sum->free += u.free;
		}
	sum->slabs += front_large_kept();
	malloc_type_sum(front_type, &large);
	sum->large = large.numallocs - large.numfrees;
	sum->mapped = large.memalloced - large.memfreed;
}

FRONT_EXPORT struct mallinfo2
mallinfo2(void)
{
	struct usage u;

	usage(&u);
	return ((struct mallinfo2){
	    .arena = u.slabs,
	    .ordblks = u.free,
	    .hblks = u.large,
	    .hblkhd = u.mapped,
	    .uordblks = u.used,
	    .fordblks = u.slabs - u.used,
	});
}

/* The old interface: ints, which wrap. */
FRONT_EXPORT struct mallinfo
mallinfo(void)
{
	struct mallinfo2 m = mallinfo2();

	return ((struct mallinfo){
	    .arena = (int)m.arena,
	    .ordblks = (int)m.ordblks,
	    .hblks = (int)m.hblks,
	    .hblkhd = (int)m.hblkhd,
	    .uordblks = (int)m.uordblks,
	    .fordblks = (int)m.fordblks,
	});
}

/* glibc's elements as far as they have a meaning here; one heap, a <size> for each class in use. */
FRONT_EXPORT int
malloc_info(int options, FILE *out)
{
	struct class_usage c;
	struct usage u;

	if (options != 0)
		return (EINVAL);
	usage(&u);
	fprintf(out, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n");
	for (unsigned class = 0; class < MALLOC_CLASSES; class ++)
		if (class_usage(class, &c))
			fprintf(out,
			    "<size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n",
			    class == 0 ? (size_t)1 : malloc_class_size(class - 1) + 1, c.size,
			    c.free * c.size, c.free);
	fprintf(out,
	    "</sizes>\n<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n"
	    "<total type=\"rest\" count=\"0\" size=\"0\"/>\n"
	    "<system type=\"current\" size=\"%zu\"/>\n</heap>\n",
	    u.free, u.slabs - u.used, u.slabs);
	fprintf(out,
	    "<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n"
	    "<total type=\"rest\" count=\"0\" size=\"0\"/>\n"
	    "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
	    "<system type=\"current\" size=\"%zu\"/>\n</malloc>\n",
	    u.free, u.slabs - u.used, u.large, u.mapped, u.slabs + u.mapped);
	return (0);
}

FRONT_EXPORT void
malloc_stats(void)
{
	struct class_usage c;
	struct usage u;

	usage(&u);
	for (unsigned class = 0; class < MALLOC_CLASSES; class ++)
		if (class_usage(class, &c) && c.slabs > 0)
			fprintf(stderr, "size %6zu: %9zu blocks in use, %9zu free\n", c.size,
			    c.used, c.free);
	fprintf(stderr,
	    "system bytes     = %10zu\nin use bytes     = %10zu\n"
	    "large blocks     = %10zu\nlarge bytes      = %10zu\n",
	    u.slabs + u.mapped, u.used + u.mapped, u.large, u.mapped);
}

/* All caches, all free slabs, all free pages go back; 1 if anything did. */
FRONT_EXPORT int
malloc_trim(size_t pad)
{
	int saved = errno;
	unsigned long before, discarded;
	size_t kept;

	(void)pad; /* no top of a heap to be kept */
	if (!front_started())
		return (0);
	before = uma_size();
	kept = front_large_purge();
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	discarded = page_discard_free(~0ul);
	errno = saved;
	return (uma_size() < before || discarded > 0 || kept > 0);
}

/* Parameters of glibc's algorithms; there is nothing here that they could mean. */
FRONT_EXPORT int
mallopt(int parameter, int value)
{
	(void)parameter;
	(void)value;
	return (1);
}
