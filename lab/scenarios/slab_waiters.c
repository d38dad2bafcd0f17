/*
 * Requests that wait while memory is used up and no reclaim can help: for items of slabs that stay
 * full otherwise, and for pages. What ends the wait may be an item that comes back to a slab without a page
 * coming free, or several pages that come back at once for several who wait.
 */
#include <cooper/kmem.h>
#include <cooper/uma.h>

#include "lab/lab.h"

#define CHUNKS  64
#define ITEMS   40
#define WAITERS 2

LAB_STATE static struct {
	void *p;
	vm_size_t size;
} hoard[CHUNKS];
LAB_STATE static unsigned chunks, items;
LAB_STATE static uma_zone_t zone;
LAB_STATE static void *item[ITEMS];
LAB_STATE static void *last_pages;
LAB_STATE static uint32_t served; /* each keeps what it got until all are */

static void
waiter(void *arg)
{
	void *mine = uma_zalloc(zone, M_WAITOK);

	(void)arg;
	lab_must(mine != NULL, "uma_zalloc: M_WAITOK returned NULL");
	lab_meet(&served, WAITERS);
	uma_zfree(zone, mine);
}

/* Items of as many slabs: no slab becomes free as a whole. */
static void
freer(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < WAITERS; i++) {
		uma_zfree(zone, item[i * 8]);
		item[i * 8] = NULL;
	}
	lab_wait(&served, WAITERS);
}

/* Every page that an ordinary request may have, and every item. */
static void
use_memory_up(void)
{
	for (vm_size_t size = 64 * 4096; size >= 4096; size /= 2)
		while (chunks < CHUNKS && (hoard[chunks].p = kmem_malloc(size, M_NOWAIT)) != NULL)
			hoard[chunks++].size = size;
	while (items < ITEMS && (item[items] = uma_zalloc(zone, M_NOWAIT)) != NULL)
		items++;
}

static void
page_waiter(void *arg)
{
	void *mine = kmem_malloc(4096, M_WAITOK);

	(void)arg;
	lab_must(mine != NULL, "kmem_malloc: M_WAITOK returned NULL");
	lab_meet(&served, WAITERS);
	kmem_free(mine, 4096);
}

/* After all have gone to sleep, or before: as time goes. */
static void
page_freer(void *arg)
{
	(void)arg;
	lab_sleep(lab_random(2) * 1000000000ull);
	kmem_free(last_pages, WAITERS * 4096);
}

static void
setup_items(void)
{
	zone = uma_zcreate("scarce", 800, NULL, NULL, NULL, NULL, 7, UMA_ZONE_NOBUCKET);
	for (items = 0; items < 20; items++)
		item[items] = uma_zalloc(zone, M_WAITOK);
	use_memory_up();
	for (unsigned i = 0; i < WAITERS; i++)
		lab_thread("waiter", -1, waiter, NULL);
	lab_thread("freer", -1, freer, NULL);
}

static void
setup_pages(void)
{
	zone = uma_zcreate("scarce", 800, NULL, NULL, NULL, NULL, 7, UMA_ZONE_NOBUCKET);
	last_pages = kmem_malloc(WAITERS * 4096, M_WAITOK);
	use_memory_up();
	for (unsigned i = 0; i < WAITERS; i++)
		lab_thread("waiter", -1, page_waiter, NULL);
	lab_thread("freer", -1, page_freer, NULL);
}

static void
finish(void)
{
	for (unsigned i = 0; i < ITEMS; i++)
		uma_zfree(zone, item[i]);
	while (chunks-- > 0)
		kmem_free(hoard[chunks].p, hoard[chunks].size);
	uma_zdestroy(zone);
}

LAB_SCENARIO(slab_waiters, .name = "slab-waiters",
    .about = "without a free page, threads wait for items of full slabs", .direct_map_too = true,
    .shape = { .physmem = 1 << 20 }, .setup = setup_items, .finish = finish,
    .sees = (const char *const[]){ "item_free_wakes_nobody", NULL });

LAB_SCENARIO(page_waiters, .name = "page-waiters",
    .about = "several threads wait for pages that come back at once, under a page daemon",
    .direct_map_too = true, .shape = { .physmem = 1 << 20, .daemon = true }, .setup = setup_pages,
    .finish = finish, .sees = (const char *const[]){ "page_wakeup_lost", NULL });
