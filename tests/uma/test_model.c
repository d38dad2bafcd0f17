/*
 * Zones against a reference: random operations on several zones at once, from one thread that moves
 * between CPUs and from many. No item is ever in two hands, contents stay, counts are exact.
 */
#include <stdlib.h>
#include <string.h>
#include "zones.h"

#define ZONES 8
#define HANDS 400 /* items of one zone in a thread's hands */

static const struct {
	const char *name;
	size_t size;
	uint32_t flags;
	int max;
} kind[ZONES] = {
	{ "m16", 16, 0, 0 },
	{ "m56vm", 56, UMA_ZONE_VM, 0 },
	{ "m100", 100, UMA_ZONE_ROUNDROBIN, 0 },
	{ "m512", 512, UMA_ZONE_MALLOC, 0 },
	{ "m1500", 1500, 0, 0 },
	{ "m64max", 64, 0, 900 },
	{ "m4096", 4096, UMA_ZONE_NOTOUCH, 0 },
	{ "m200nb", 200, UMA_ZONE_NOBUCKET, 0 },
};
static uma_zone_t zone[ZONES];
static unsigned nzones;

static void
make_zones(void)
{
	for (unsigned z = 0; z < ZONES; z++) {
		zone[z] = uma_zcreate(
		    kind[z].name, kind[z].size, NULL, NULL, NULL, NULL, 7, kind[z].flags);
		if (kind[z].max != 0)
			uma_zone_set_max(zone[z], kind[z].max);
	}
	nzones = ZONES;
}

/* ---- an item's contents say whose it is ------------------------------------------------------------ */

static void
sign(void *item, unsigned z, uint64_t mark)
{
	uint64_t *p = item;

	p[0] = mark;
	for (size_t i = 1; i < kind[z].size / 8; i++)
		p[i] = mark * 0x9e3779b97f4a7c15ull + i;
}

static void
verify(const void *item, unsigned z, uint64_t mark)
{
	const uint64_t *p = item;

	TEST_MUST(p[0] == mark);
	for (size_t i = 1; i < kind[z].size / 8; i++)
		TEST_MUST(p[i] == mark * 0x9e3779b97f4a7c15ull + i);
}

struct hands {
	struct {
		void *item;
		uint64_t mark;
	} held[ZONES][HANDS];
	unsigned n[ZONES];
	uint64_t allocs[ZONES], fails[ZONES], seed, next_mark;
};

static void
take(struct hands *h, unsigned z)
{
	void *item;
	int flags = (int)(M_NOWAIT | (test_random(&h->seed) % 4 == 0 ? M_ZERO : 0));

	if (h->n[z] == HANDS)
		return;
	if (kind[z].max == 0 && test_random(&h->seed) % 2 == 0)
		flags = (flags & ~M_NOWAIT) | M_WAITOK;
	item = uma_zalloc(zone[z], flags);
	if (item == NULL) {
		TEST_MUST((flags & M_WAITOK) == 0);
		h->fails[z]++;
		return;
	}
	if ((flags & M_ZERO) != 0)
		for (size_t i = 0; i < kind[z].size / 8; i++)
			TEST_MUST(((uint64_t *)item)[i] == 0);
	h->held[z][h->n[z]].item = item;
	h->held[z][h->n[z]].mark = h->next_mark;
	h->n[z]++;
	h->allocs[z]++;
	sign(item, z, h->next_mark++);
}

static void
drop(struct hands *h, unsigned z)
{
	unsigned i;

	if (h->n[z] == 0)
		return;
	i = (unsigned)(test_random(&h->seed) % h->n[z]);
	verify(h->held[z][i].item, z, h->held[z][i].mark);
	memset(h->held[z][i].item, 0xee, kind[z].size);
	uma_zfree(zone[z], h->held[z][i].item);
	h->held[z][i] = h->held[z][--h->n[z]];
}

/* Runs of one kind of operation, so that caches fill and run dry. */
static void
some_operations(struct hands *h)
{
	unsigned z = (unsigned)(test_random(&h->seed) % nzones);
	unsigned run = 1 + (unsigned)(test_random(&h->seed) % 100), what;

	what = (unsigned)(test_random(&h->seed) % 100);
	for (unsigned i = 0; i < run; i++) {
		if (what < 45)
			take(h, z);
		else if (what < 85)
			drop(h, z);
		else if (what < 97) {
			take(h, z);
			drop(h, z);
		} else {
			uma_zone_reclaim(zone[z], 1 + (int)(test_random(&h->seed) % 3));
			break;
		}
	}
	if (what == 99 && test_random(&h->seed) % 8 == 0)
		uma_reclaim_domain(1 + (int)(test_random(&h->seed) % 3),
		    (int)(test_random(&h->seed) % uma_ndomains));
	if (what == 98)
		uma_timeout();
}

static void
counts_agree(const struct hands *h, unsigned z)
{
	struct uma_zone_stat st = stat_of(zone[z]);

	TEST_MUST(st.used == h->n[z]);
	TEST_MUST(st.req == h->allocs[z]);
	TEST_MUST(st.fail == h->fails[z]);
	TEST_MUST(st.used + st.free == st.keg_pages / st.ppera * st.ipers);
	if (kind[z].max != 0) {
		TEST_MUST(st.limit_items <= (uint64_t)kind[z].max);
		TEST_MUST(st.limit_items == st.used + st.cached_cpu + st.cached_depot);
	}
}

static void
everything_goes_home(void)
{
	for (unsigned z = 0; z < nzones; z++) {
		struct uma_zone_stat st;

		uma_zone_reclaim(zone[z], UMA_RECLAIM_DRAIN_CPU);
		st = stat_of(zone[z]);
		assert_int_equal(st.used, 0);
		assert_int_equal(st.cached_cpu + st.cached_depot, 0);
		assert_int_equal(st.keg_pages, 0);
		assert_int_equal(st.limit_items, 0);
		uma_zdestroy(zone[z]);
	}
}

static void
one_thread(void **state)
{
	struct hands *h = calloc(1, sizeof(*h));

	(void)state;
	make_zones();
	h->seed = 12345;
	h->next_mark = 1;
	for (unsigned i = 0; i < TEST_STEPS(8000); i++) {
		if (i % 16 == 0)
			machine_bind((int)(test_random(&h->seed) % uma_ncpus));
		some_operations(h);
		if (i % 8 == 0)
			counts_agree(h, i / 8 % nzones);
	}
	for (unsigned z = 0; z < nzones; z++) {
		counts_agree(h, z);
		while (h->n[z] > 0)
			drop(h, z);
	}
	machine_bind(-1);
	everything_goes_home();
	free(h);
}

/* ---- many threads: items change hands --------------------------------------------------------------- */

#define TABLE 256

static struct {
	void *item; /* atomic: swapped in and out */
} table[ZONES][TABLE];

/* Offer an item of ours to others, take what lay there, and free it here. */
static void
exchange(struct hands *h, unsigned z)
{
	unsigned i, at = (unsigned)(test_random(&h->seed) % TABLE);
	void *item;

	if (h->n[z] == 0)
		return;
	i = (unsigned)(test_random(&h->seed) % h->n[z]);
	item = h->held[z][i].item;
	verify(item, z, h->held[z][i].mark);
	h->held[z][i] = h->held[z][--h->n[z]];
	item = __atomic_exchange_n(&table[z][at].item, item, __ATOMIC_ACQ_REL);
	if (item != NULL) {
		verify(item, z, *(uint64_t *)item);
		uma_zfree(zone[z], item);
	}
}

static void
worker(struct test_thread *t)
{
	struct hands *h = calloc(1, sizeof(*h));

	h->seed = t->index * 7919 + 1;
	h->next_mark = (uint64_t)(t->index + 1) << 40;
	for (unsigned i = 0; i < TEST_STEPS(1200); i++) {
		some_operations(h);
		for (unsigned k = 0; k < 20; k++)
			exchange(h, (unsigned)(test_random(&h->seed) % nzones));
	}
	thread_barrier(t);
	for (unsigned z = 0; z < nzones; z++)
		while (h->n[z] > 0)
			drop(h, z);
	free(h);
}

static void
many_threads(void **state)
{
	(void)state;
	make_zones();
	memset(table, 0, sizeof(table));
	run_threads(4, worker, NULL);
	for (unsigned z = 0; z < nzones; z++)
		for (unsigned i = 0; i < TABLE; i++)
			uma_zfree(zone[z], table[z][i].item);
	everything_goes_home();
}

/* ---- under a shortage of pages ------------------------------------------------------------------------ */

/* Requests that may wait get through while others take and give back most of memory. */
static void
greedy(struct test_thread *t)
{
	unsigned long most = *(unsigned long *)t->arg;
	uint64_t seed = t->index + 99;
	void **item = calloc(most, sizeof(*item));
	unsigned long n;

	for (unsigned round = 0; round < 3; round++) {
		for (n = 0; n < most; n++) {
			item[n] = uma_zalloc(zone[0], M_WAITOK);
			TEST_MUST(item[n] != NULL);
			*(uint64_t *)item[n] = seed + n;
		}
		for (; n > 0; n--) {
			TEST_MUST(*(uint64_t *)item[n - 1] == seed + n - 1);
			uma_zfree(zone[0], item[n - 1]);
		}
	}
	free(item);
}

static void
shortage(void **state)
{
	struct page_domain_stat st;
	struct vm_page *first = NULL, *m;
	unsigned long free_pages = 0, each;

	(void)state;
	zone[0] = uma_zcreate("page", 2000, NULL, NULL, NULL, NULL, 7, 0);
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	/* Leave each domain about 1000 pages over its reserve. */
	for (unsigned d = 0; d < uma_ndomains; d++)
		for (;;) {
			page_stat(d, &st);
			if (st.free <= st.interrupt + 1000 ||
			    (m = vm_page_alloc((int)d, M_NOWAIT)) == NULL)
				break;
			m->owner = (uintptr_t)first;
			first = m;
		}
	for (unsigned d = 0; d < uma_ndomains; d++) {
		page_stat(d, &st);
		free_pages += st.free - st.interrupt;
	}
	each =
	    free_pages * 2 / 4 * 3 / 4; /* items of half a page: three quarters of what there is */
	run_threads(4, greedy, &each);
	while (first != NULL) {
		m = first;
		first = (struct vm_page *)m->owner;
		vm_page_free(m);
	}
	uma_zone_reclaim(zone[0], UMA_RECLAIM_DRAIN_CPU);
	assert_int_equal(stat_of(zone[0]).keg_pages, 0);
	uma_zdestroy(zone[0]);
}

TEST_MAIN(cmocka_unit_test(one_thread), cmocka_unit_test(many_threads), cmocka_unit_test(shortage))
