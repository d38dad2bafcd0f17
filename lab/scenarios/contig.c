/*
 * The page daemon against requests for contiguous pages, pages of a window, and plain ones, in a
 * memory that is all but used up. What is wanted lies in caches: of zones, and of a zone that caches
 * pages themselves.
 */
#include <cooper/kmem.h>
#include <cooper/uma.h>

#include "lab/lab.h"

#define CHUNKS 24
#define ITEMS  12
#define PAGES  4
#define PAIR   2

LAB_STATE static struct {
	void *p;
	vm_size_t size;
} hoard[CHUNKS];
LAB_STATE static unsigned chunks;
LAB_STATE static uma_zone_t objects, pages;
LAB_STATE static void *both;
LAB_STATE static uint32_t got;

static int
import_pages(void *arg, void **store, int count, int domain, int flags)
{
	int n;

	(void)arg;
	(void)domain;
	for (n = 0; n < count && (store[n] = kmem_malloc(4096, (flags & ~M_WAITOK) | M_NOWAIT));
	     n++)
		;
	return (n);
}

static void
release_pages(void *arg, void **store, int count)
{
	(void)arg;
	for (int i = 0; i < count; i++)
		kmem_free(store[i], 4096);
}

/* Fills the caches and leaves them so. */
static void
cacher(void *arg)
{
	uma_zone_t zone = arg;
	void *item[ITEMS];

	for (unsigned round = lab_scale(1, 2); round > 0; round--) {
		for (unsigned i = 0; i < ITEMS; i++)
			item[i] = uma_zalloc(zone, M_NOWAIT);
		for (unsigned i = 0; i < ITEMS; i++)
			uma_zfree(zone, item[i]);
	}
}

/* Such a request may be refused, but what it had taken by then must be back. */
static void
contiguous(void *arg)
{
	vm_paddr_t top = (vm_paddr_t)1 << 32;

	(void)arg;
	for (unsigned round = lab_scale(1, 3); round > 0; round--) {
		int flags = round % 2 == 0 ? M_WAITOK : M_NOWAIT;
		void *run =
		    kmem_alloc_contig(PAGES * 4096, flags, 0, top, 4096, 0, VM_MEMATTR_DEFAULT);
		void *some = kmem_alloc_attr(8 * PAGES * 4096, flags, 0, top, VM_MEMATTR_DEFAULT);

		if (run != NULL)
			kmem_free(run, PAGES * 4096);
		if (some != NULL)
			kmem_free(some, 8 * PAGES * 4096);
	}
}

/* Two who need a page each, and what both need comes back at once. */
static void
one_of_two(void *arg)
{
	void *page = kmem_malloc(4096, M_WAITOK);

	(void)arg;
	lab_must(page != NULL, "kmem_malloc: M_WAITOK returned NULL");
	lab_meet(&got, PAIR);
	kmem_free(page, 4096);
}

static void
gives_both(void *arg)
{
	(void)arg;
	kmem_free(both, PAIR * 4096);
}

/* All that is left but a few, in large chunks so that it takes few steps. */
static void
use_memory_up(void)
{
	both = kmem_malloc(PAIR * 4096, M_WAITOK);
	for (vm_size_t size = 64 * 4096; size >= 4096; size /= 2)
		while (chunks < CHUNKS && (hoard[chunks].p = kmem_malloc(size, M_NOWAIT)) != NULL)
			hoard[chunks++].size = size;
}

static void
setup(void)
{
	void *item[ITEMS];

	objects = uma_zcreate("objects", 3000, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	pages = uma_zcache_create(
	    "pages", 4096, NULL, NULL, NULL, NULL, import_pages, release_pages, NULL, 0);
	for (unsigned i = 0; i < ITEMS; i++)
		item[i] = uma_zalloc(pages, M_WAITOK);
	use_memory_up();
	for (unsigned i = 0; i < ITEMS; i++)
		uma_zfree(pages, item[i]);
	lab_thread("cacher", -1, cacher, objects);
	lab_thread("cacher", -1, cacher, pages);
	lab_thread("contiguous", -1, contiguous, NULL);
	for (unsigned i = 0; i < PAIR; i++)
		lab_thread("one of two", -1, one_of_two, NULL);
	lab_thread("gives both", -1, gives_both, NULL);
}

static void
finish(void)
{
	uma_zdestroy(objects);
	uma_zdestroy(pages);
	while (chunks-- > 0)
		kmem_free(hoard[chunks].p, hoard[chunks].size);
}

LAB_SCENARIO(contig, .name = "daemon-contig",
    .about = "page daemon, contiguous and plain requests in a memory that is all but used up",
    .shape = { .daemon = true, .physmem = 1 << 20 }, .direct_map_too = true, .setup = setup,
    .finish = finish, .sees = (const char *const[]){ "range_goes_before_its_pages", NULL });

/* Memory that lies in a zone which caches pages, and who needs it has nothing else to wait for. */
static void
needs_all(void *arg)
{
	void *p = kmem_malloc((ITEMS / 2) * 4096, M_WAITOK);

	(void)arg;
	lab_must(p != NULL, "kmem_malloc: M_WAITOK returned NULL");
	kmem_free(p, (ITEMS / 2) * 4096);
}

static void
setup_cached(void)
{
	void *item[ITEMS];

	pages = uma_zcache_create(
	    "pages", 4096, NULL, NULL, NULL, NULL, import_pages, release_pages, NULL, 0);
	for (unsigned i = 0; i < ITEMS; i++)
		item[i] = uma_zalloc(pages, M_WAITOK);
	use_memory_up();
	kmem_free(both, PAIR * 4096);
	for (unsigned i = 0; i < ITEMS; i++)
		uma_zfree(pages, item[i]);
	lab_thread("needs all", -1, needs_all, NULL);
	lab_thread("cacher", -1, cacher, pages);
}

static void
finish_cached(void)
{
	uma_zdestroy(pages);
	while (chunks-- > 0)
		kmem_free(hoard[chunks].p, hoard[chunks].size);
}

LAB_SCENARIO(cached_pages, .name = "cached-pages",
    .about = "the pages that a thread waits for lie in the caches of a zone without slabs",
    .shape = { .physmem = 1 << 20 }, .direct_map_too = true, .setup = setup_cached,
    .finish = finish_cached, .sees = (const char *const[]){ "cache_zones_not_reclaimed", NULL });
