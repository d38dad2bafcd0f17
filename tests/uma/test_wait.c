/*
 * Waiting for memory, over the real back end: what ends a wait.
 */
#include <string.h>
#include "zones.h"

static uma_zone_t zone;
static void *got;

static void
take_one(void *arg)
{
	void *item = uma_zalloc(zone, M_WAITOK);

	(void)arg;
	TEST_MUST(item != NULL);
	__atomic_store_n(&got, item, __ATOMIC_RELEASE);
}

static void
count(const struct wait_info *w, void *n)
{
	(void)w;
	++*(unsigned *)n;
}

/* A thread that sleeps for an item. One that still finds memory where we did not is no such. */
static struct side_thread *
start_sleeper(void **item, unsigned *n)
{
	struct side_thread *t;
	unsigned sleepers;

	for (;;) {
		got = NULL;
		t = side_start(take_one, NULL, -1);
		do {
			machine_park(machine_now() + 1000000);
			sleepers = 0;
			sync_each_wait(count, &sleepers);
			if (sleepers > 0)
				return (t);
		} while (__atomic_load_n(&got, __ATOMIC_ACQUIRE) == NULL);
		side_join(t);
		item[(*n)++] = got;
	}
}

/*
 * All memory is in slabs that are partly used or full. A request that waits is served when an item
 * comes back, although no page does; with and without caches between.
 */
static void
an_item_that_comes_back_ends_the_wait(void **state)
{
	static const uint32_t kinds[] = { UMA_ZONE_NOBUCKET, 0 };
	static void *item[1 << 15];
	struct side_thread *t;
	struct vm_page *first = NULL, *m;
	struct page_domain_stat st;
	unsigned n, dry;

	(void)state;
	for (unsigned k = 0; k < nitems(kinds); k++) {
		zone = uma_zcreate("wait", 700, NULL, NULL, NULL, NULL, 7, kinds[k]);
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		for (unsigned d = 0; d < uma_ndomains; d++)
			for (;;) {
				page_stat(d, &st);
				if (st.free <= st.interrupt + 300 ||
				    (m = vm_page_alloc((int)d, M_NOWAIT)) == NULL)
					break;
				m->owner = (uintptr_t)first;
				first = m;
			}
		for (n = 0, dry = 0; n < nitems(item) && dry < 3;) {
			if ((item[n] = uma_zalloc(zone, M_NOWAIT)) != NULL)
				n++;
			else if (page_daemon_pass(-1, PRESSURE_SEVERE) == 0)
				dry++; /* nor can reclaim find any */
		}
		assert_in_range(n, 100, nitems(item) - 1);
		t = start_sleeper(item, &n);
		uma_zfree(zone, item[--n]);
		side_join(t);
		uma_zfree(zone, got);
		while (n > 0)
			uma_zfree(zone, item[--n]);
		while (first != NULL) {
			m = first;
			first = (struct vm_page *)m->owner;
			vm_page_free(m);
		}
		uma_zdestroy(zone);
	}
}

TEST_MAIN(cmocka_unit_test(an_item_that_comes_back_ends_the_wait))
