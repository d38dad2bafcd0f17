/*
 * The zones of the size classes and the map that leads from a page to its class.
 *
 * A zone is made at its class's first use: most programs use few classes, and a short-lived process
 * should not pay for the others. Two threads may make the same one; the first to publish it wins and
 * the other takes its zone back. Once published a zone stays.
 *
 * Slabs come from UMA's own sources; the wrappers here only write the page map. The map is complete
 * because a zone gets the wrappers before it is published, so before its first slab.
 */
#include "malloc/malloc_int.h"
#include "uma/uma_int.h"

#define DEPOT_BYTES ((size_t)1 << 20) /* that a class's depot holds at most, in each domain */

CORE_STATE uma_zone_t malloc_zones[MALLOC_CLASSES];
CORE_STATE struct malloc_map malloc_map[2];

/* clang-format off */
static const char zone_names[MALLOC_CLASSES][sizeof("malloc-65536")] = {
	"malloc-16", "malloc-32", "malloc-48", "malloc-64", "malloc-80", "malloc-96", "malloc-112", "malloc-128",
	"malloc-144", "malloc-160", "malloc-176", "malloc-192", "malloc-208", "malloc-224", "malloc-240", "malloc-256",
	"malloc-288", "malloc-320", "malloc-352", "malloc-384", "malloc-416", "malloc-448", "malloc-480", "malloc-512",
	"malloc-576", "malloc-640", "malloc-704", "malloc-768", "malloc-832", "malloc-896", "malloc-960", "malloc-1024",
	"malloc-1152", "malloc-1280", "malloc-1408", "malloc-1536", "malloc-1664", "malloc-1792", "malloc-1920", "malloc-2048",
	"malloc-2304", "malloc-2560", "malloc-2816", "malloc-3072", "malloc-3328", "malloc-3584", "malloc-3840", "malloc-4096",
	"malloc-4608", "malloc-5120", "malloc-5632", "malloc-6144", "malloc-6656", "malloc-7168", "malloc-7680", "malloc-8192",
	"malloc-9216", "malloc-10240", "malloc-11264", "malloc-12288", "malloc-13312", "malloc-14336", "malloc-15360", "malloc-16384",
	"malloc-18432", "malloc-20480", "malloc-22528", "malloc-24576", "malloc-26624", "malloc-28672", "malloc-30720", "malloc-32768",
	"malloc-36864", "malloc-40960", "malloc-45056", "malloc-49152", "malloc-53248", "malloc-57344", "malloc-61440", "malloc-65536",
};
/* clang-format on */

/* ---- the page map ------------------------------------------------------------------------------ */

static void
map_stamp(const void *mem, vm_size_t bytes, unsigned code)
{
	uint8_t *at = malloc_map_at((vm_offset_t)mem);

	MUST(at != NULL, "malloc: slab at %p lies outside of the page map", mem);
	memset(at, (int)code, atop(bytes));
}

static void
map_start(void)
{
	struct machine_segment seg[32];
	vm_offset_t window, direct = 0;
	vm_size_t window_size, direct_size = 0;
	unsigned n = machine_segments(seg, nitems(seg));

	machine_kva(&window, &window_size);
	if (cooper_shape()->direct_map && n > 0) {
		direct = (vm_offset_t)machine_direct(seg[0].start);
		direct_size = (vm_size_t)(seg[n - 1].end - seg[0].start);
	}
	malloc_map[0].base = window;
	malloc_map[0].pages = atop(window_size);
	if (direct + direct_size == window || window + window_size == direct) {
		malloc_map[0].base = MIN(window, direct);
		malloc_map[0].pages += atop(direct_size);
	} else {
		malloc_map[1].base = direct;
		malloc_map[1].pages = atop(direct_size);
	}
	for (unsigned i = 0; i < nitems(malloc_map); i++) {
		if (malloc_map[i].pages == 0)
			continue;
		malloc_map[i].code = machine_boot_alloc(malloc_map[i].pages, CACHE_LINE);
		MUST(malloc_map[i].code != NULL, "malloc: no memory for a page map of %zu bytes",
		    malloc_map[i].pages);
	}
}

/* ---- slabs ------------------------------------------------------------------------------------- */

static unsigned
zone_code(uma_zone_t zone)
{
	unsigned class = 0;

	while (malloc_zones[class] != zone)
		class ++;
	return (MALLOC_CODE_CLASS + class);
}

static const struct slab_source *
slab_source_of(vm_size_t bytes)
{
	return (bytes == PAGE_SIZE ? &uma_backend.small : &uma_backend.page);
}

static void *
slab_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait)
{
	void *mem = slab_source_of(bytes)->alloc(zone, bytes, domain, sflag, wait);

	if (mem != NULL)
		map_stamp(mem, bytes, zone_code(zone));
	return (mem);
}

static void
slab_free(void *mem, vm_size_t bytes, uint8_t sflag)
{
	map_stamp(mem, bytes, MALLOC_CODE_NONE);
	slab_source_of(bytes)->free(mem, bytes, sflag);
}

/* ---- zones --------------------------------------------------------------------------------------- */

/* The largest power of two that divides a class's size, at most a page. */
static size_t
class_alignment(unsigned class)
{
	size_t size = malloc_class_size(class);

	return (MIN(size & -size, PAGE_SIZE));
}

unsigned
malloc_class_aligned(size_t size, size_t align)
{
	unsigned class;

	size = MAX(size, align);
	if (size > MALLOC_SMALL_MAX || align > PAGE_SIZE)
		return (MALLOC_CLASSES);
	for (class = malloc_class(size); class_alignment(class) < align; class ++)
		; /* ends at the next power of two at the latest */
	return (class);
}

uma_zone_t
malloc_zone_make(unsigned class)
{
	uma_zone_t zone = atomic_load_acquire(&malloc_zones[class]), first = NULL;
	uint32_t flags = UMA_ZONE_MALLOC | (page_ndomains() > 1 ? UMA_ZONE_FIRSTTOUCH : 0);

	if (zone != NULL)
		return (zone);
	zone = uma_zcreate(zone_names[class], malloc_class_size(class), NULL, NULL, NULL, NULL,
	    (int)class_alignment(class) - 1, flags);
	uma_zone_set_allocf(zone, slab_alloc);
	uma_zone_set_freef(zone, slab_free);
	/* Beyond that items go to their slabs, and free slabs' pages serve other classes. */
	atomic_store_relaxed(&zone->bucket_max, DEPOT_BYTES / malloc_class_size(class));
	if (atomic_cas(&malloc_zones[class], &first, zone))
		return (zone);
	uma_zdestroy(zone);
	return (first);
}

uma_zone_t
malloc_zone_near(unsigned class)
{
	size_t align = class_alignment(class);

	for (; class < MALLOC_CLASSES; class ++) {
		uma_zone_t zone = atomic_load_acquire(&malloc_zones[class]);

		if (zone != NULL && class_alignment(class) >= align)
			return (zone);
	}
	return (NULL);
}

void
cooper_malloc_prepare(void)
{
	for (unsigned class = 0; class < MALLOC_CLASSES; class ++)
		(void)malloc_zone_make(class);
}

void
malloc_start(void)
{
	map_start();
	malloc_types_start();
}
