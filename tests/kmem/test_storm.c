/*
 * Storms: many threads, little memory, reclaim at the worst moments. M_WAITOK must come back, and at
 * the end everything must be where it was.
 */
#include <sched.h>
#include <stdlib.h>
#include "kmem_test.h"

static bool stop_reclaim;

static void
reclaim_on(void *arg)
{
	static const int how[] = { UMA_RECLAIM_DRAIN, UMA_RECLAIM_DRAIN_CPU, UMA_RECLAIM_TRIM };

	(void)arg;
	for (unsigned i = 0; !__atomic_load_n(&stop_reclaim, __ATOMIC_RELAXED); i++) {
		uma_reclaim(how[i % 3]);
		tags_check("reclaim_on");
	}
}

/* ---- tags ------------------------------------------------------------------------------------------------ */

#define HELD  48
#define STEPS TEST_STEPS(2000)

static void
storm_thread(struct test_thread *t)
{
	struct {
		void *p;
		vm_size_t size;
		bool kva;
	} held[HELD] = { 0 };
	uint64_t seed = 1 + t->index;

	for (unsigned i = 0; i < STEPS; i++) {
		unsigned at = test_random(&seed) % HELD;

		if (held[at].p == NULL) {
			held[at].size = PAGE_SIZE * (1 + test_random(&seed) % 4);
			held[at].kva = test_random(&seed) % 2 == 0;
			if (held[at].kva)
				held[at].p = (void *)kva_alloc(held[at].size);
			else
				TEST_MUST(
				    (held[at].p = kmem_malloc(held[at].size, M_WAITOK)) != NULL);
			if (held[at].p != NULL && !held[at].kva)
				memset(held[at].p, (int)t->index, held[at].size);
		} else {
			if (held[at].kva)
				kva_free((vm_offset_t)held[at].p, held[at].size);
			else {
				TEST_MUST(
				    ((char *)held[at].p)[held[at].size - 1] == (char)t->index);
				kmem_free(held[at].p, held[at].size);
			}
			held[at].p = NULL;
		}
	}
	for (unsigned at = 0; at < HELD; at++) {
		if (held[at].p != NULL && held[at].kva)
			kva_free((vm_offset_t)held[at].p, held[at].size);
		else if (held[at].p != NULL)
			kmem_free(held[at].p, held[at].size);
	}
}

static void
storm(void)
{
	unsigned n = MAX(2, MIN(8, cooper_shape()->ncpus));
	struct picture before, after;
	struct side_thread *side;

	warm_up();
	picture_take(&before);
	for (unsigned round = 0; round < 2; round++) {
		__atomic_store_n(&stop_reclaim, false, __ATOMIC_RELAXED);
		side = side_start(reclaim_on, NULL, -1);
		run_threads(n, storm_thread, NULL);
		__atomic_store_n(&stop_reclaim, true, __ATOMIC_RELAXED);
		side_join(side);
		tags_check("storm");
		settle();
		picture_take(&after);
		picture_equal(&before, &after);
	}
}

static void
tag_storm_with_reclaim(void **state)
{
	(void)state;
	/* 8 threads of 48 times up to 4 pages: up to 1536 pages, address space for two thirds more. */
	on_shape(8 << 20, 16 << 20, storm);
}

/* The same with pages for half of it at most: threads sleep for memory and wake. */
static void
hungry_thread(struct test_thread *t)
{
	uint64_t seed = 77 + t->index;

	for (unsigned i = 0; i < 300; i++) {
		vm_size_t size = PAGE_SIZE * (1 + test_random(&seed) % 40);
		char *p = kmem_malloc(size, M_WAITOK);

		TEST_MUST(p != NULL);
		p[0] = p[size - 1] = (char)t->index;
		if (i % 3 == 0)
			kva_free(kva_alloc(PAGE_SIZE), PAGE_SIZE);
		kmem_free(p, size);
	}
}

static void
hunger(void)
{
	unsigned n = 2 * MIN(4, cooper_shape()->ncpus);
	struct picture before, after;
	struct hoard hoard;

	warm_up();
	picture_take(&before);
	hoard_pages(&hoard, 40 * n / 2 + 40);
	run_threads(n, hungry_thread, NULL);
	hoard_end(&hoard);
	tags_check("hunger");
	settle();
	picture_take(&after);
	picture_equal(&before, &after);
}

static void
waitok_comes_back_under_a_limit(void **state)
{
	(void)state;
	on_shape(8 << 20, 32 << 20, hunger);
}

/*
 * Zones too: what one hoards in its caches another needs. Each thread has one item at a time, so
 * that however many sleep, the next free lets one go on; arenas of users take tags meanwhile.
 */
#define HUNGRY 3

struct hungry_zones {
	uma_zone_t zone[HUNGRY];
	vmem_t *ids;
};
static const size_t hungry_size[HUNGRY] = { 1000, 20000, 45000 };

static void
hungry_zone_thread(struct test_thread *t)
{
	struct hungry_zones *z = t->arg;
	uint64_t seed = 7 + t->index;

	thread_barrier(t);
	for (unsigned i = 0; i < 400; i++) {
		unsigned which = test_random(&seed) % HUNGRY;
		char *item = uma_zalloc(z->zone[which], M_WAITOK);
		vmem_addr_t id;

		TEST_MUST(item != NULL);
		memset(item, (int)t->index, hungry_size[which]);
		TEST_MUST(vmem_xalloc(z->ids, 1, 2, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX,
			      M_WAITOK | M_NEXTFIT, &id) == 0);
		if (i % 8 == 0)
			sched_yield();
		TEST_MUST(item[hungry_size[which] - 1] == (char)t->index);
		vmem_xfree(z->ids, id, 1);
		uma_zfree(z->zone[which], item);
	}
}

static void
zone_hunger(void)
{
	unsigned n = 2 * MIN(4, cooper_shape()->ncpus);
	struct hungry_zones z;
	struct hoard hoard;

	for (unsigned i = 0; i < HUNGRY; i++)
		z.zone[i] =
		    uma_zcreate("hungry", hungry_size[i], NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	z.ids = vmem_create("ids", 1, 100000, 1, 0, M_WAITOK | M_FIRSTFIT);
	settle();
	hoard_pages(&hoard, 12 * (n / 2) + 24);
	run_threads(n, hungry_zone_thread, &z);
	hoard_end(&hoard);
	vmem_destroy(z.ids);
	for (unsigned i = 0; i < HUNGRY; i++)
		uma_zdestroy(z.zone[i]);
	tags_check("zone_hunger");
}

static void
zones_come_back_under_a_limit(void **state)
{
	(void)state;
	on_shape(8 << 20, 32 << 20, zone_hunger);
	on_shape(8 << 20, 4 << 20, zone_hunger);
}

/* ---- who waits, for what, and what wakes them ------------------------------------------------------------- */

static void
take_pages(void *arg)
{
	void **p = arg;

	*p = kmem_malloc(20 * PAGE_SIZE, M_WAITOK);
}

static void
wait_for_pages(void)
{
	struct hoard hoard;
	struct side_thread *side;
	void *p = NULL;

	hoard_pages(&hoard, 10);
	side = side_start(take_pages, &p, 0);
	wait_for_sleepers("vmwait", 1);
	hoard_release(&hoard, 200);
	side_join(side);
	TEST_MUST(p != NULL);
	kmem_free(p, 20 * PAGE_SIZE);
	hoard_end(&hoard);
}

/* A zone holds all the memory in its caches: the waiter's own pass gets it. */
static void
reclaim_helps(void)
{
	uma_zone_t zone = uma_zcreate("hog", 1000, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	static void *item[8192];
	unsigned n = 0;
	void *p;

	while (n < 8192 && (item[n] = uma_zalloc(zone, M_NOWAIT)) != NULL)
		n++;
	TEST_MUST(n > 500);
	while (n > 0)
		uma_zfree(zone, item[--n]);
	p = kmem_malloc(cooper_shape()->physmem / 2, M_WAITOK);
	TEST_MUST(p != NULL);
	kmem_free(p, cooper_shape()->physmem / 2);
	uma_zdestroy(zone);
}

static void
take_addresses(void *arg)
{
	void **p = arg;

	*p = kmem_malloc(16 * PAGE_SIZE, M_WAITOK);
}

static void
wait_for_addresses(void)
{
	static vm_offset_t va[8192];
	struct side_thread *side;
	unsigned n = 0;
	void *p = NULL;

	while (n < 8192 && (va[n] = kva_alloc(8 * PAGE_SIZE)) != 0)
		n++;
	side = side_start(take_addresses, &p, 0);
	wait_for_sleepers("kva", 1);
	while (n > 0)
		kva_free(va[--n], 8 * PAGE_SIZE);
	side_join(side);
	TEST_MUST(p != NULL);
	kmem_free(p, 16 * PAGE_SIZE);
}

/* No address and no page comes back, only an item of the very zone: that serves too. */
static uma_zone_t full;
static void *victim;

static void
take_items(void *arg)
{
	(void)arg;
	while (uma_zalloc(full, M_WAITOK) != victim)
		;
}

static void
wait_for_an_item(void)
{
	struct side_thread *side;

	full = uma_zcreate("full", 1000, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	for (unsigned i = 0; i < 100; i++)
		TEST_MUST((victim = uma_zalloc(full, M_WAITOK)) != NULL);
	while (kva_alloc(PAGE_SIZE) != 0)
		;
	side =
	    side_start(take_items, NULL, cooper_shape()->pin ? (int)cooper_shape()->ncpus - 1 : -1);
	wait_for_sleepers("kva", 1);
	uma_zfree(full, victim);
	side_join(side);
}

/* Nothing comes back at all: another thread makes the slab, of the last page, and leaves items in it. */
static void
take_one_item(void *arg)
{
	TEST_MUST((*(void **)arg = uma_zalloc(full, M_WAITOK)) != NULL);
}

static void
wait_for_a_new_slab(void)
{
	struct side_thread *side;
	struct hoard hoard;
	void *theirs = NULL, *ours;

	full = uma_zcreate("full", 1000, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, UMA_ZONE_NOBUCKET);
	uma_zfree(full, uma_zalloc(full, M_WAITOK));
	settle();
	hoard_pages(&hoard, 1);
	side = side_start(take_one_item, &theirs, 0);
	wait_for_sleepers("vmwait", 1);
	TEST_MUST((ours = uma_zalloc(full, M_NOWAIT | M_USE_RESERVE)) != NULL);
	side_join(side);
	hoard_end(&hoard);
	uma_zfree(full, ours);
	uma_zfree(full, theirs);
	uma_zdestroy(full);
}

/* An arena of somebody's needs tags, and there is no page for a slab of them. */
struct ids {
	vmem_t *vm;
	vmem_addr_t last;
	int error;
};

static void
take_id(void *arg)
{
	struct ids *ids = arg;

	ids->error = vmem_xalloc(
	    ids->vm, 1, 0, 0, 0, 1000000, VMEM_ADDR_MAX, M_WAITOK | M_FIRSTFIT, &ids->last);
}

static void
starve_of_tags(struct hoard *hoard, struct ids *ids, unsigned *n)
{
	vmem_addr_t id;

	ids->vm = vmem_create("ids", 1, 2000000, 1, 0, M_WAITOK | M_FIRSTFIT);
	TEST_MUST(ids->vm != NULL);
	settle();
	hoard_pages(hoard, 0);
	for (*n = 0;; ++*n) /* every second number: each takes tags */
		if (vmem_xalloc(ids->vm, 1, 2, 0, 0, VMEM_ADDR_MIN, 999999, M_NOWAIT | M_FIRSTFIT,
			&id) != 0)
			break;
	TEST_MUST(*n > 0 && *n < 400000);
}

static void
wait_for_tags(void)
{
	struct side_thread *side;
	struct hoard hoard;
	struct ids ids;
	unsigned n;

	starve_of_tags(&hoard, &ids, &n);
	side = side_start(take_id, &ids, 0);
	wait_for_sleepers("btalloc", 1);
	hoard_release(&hoard, 4);
	side_join(side);
	TEST_MUST(ids.error == 0 && ids.last >= 1000000);
	hoard_end(&hoard);
}

/* The same, and it is not pages that come back but tags: the arena's own. */
static void
wait_for_freed_tags(void)
{
	struct side_thread *side;
	struct hoard hoard;
	struct ids ids;
	unsigned n;

	starve_of_tags(&hoard, &ids, &n);
	side = side_start(take_id, &ids, 0);
	wait_for_sleepers("btalloc", 1);
	for (vmem_addr_t id = 2; n > 0 && id < 100; id += 2, n--)
		vmem_xfree(ids.vm, id, 1);
	side_join(side);
	TEST_MUST(ids.error == 0 && ids.last >= 1000000);
	hoard_end(&hoard);
}

static void
waiters_are_woken_by_the_event(void **state)
{
	struct machine_shape shape = mapped_shape(4 << 20, 32 << 20);

	(void)state;
	on_shape(4 << 20, 32 << 20, wait_for_pages);
	on_shape(4 << 20, 32 << 20, reclaim_helps);
	on_shape(16 << 20, 4 << 20, wait_for_addresses);
	on_shape(4 << 20, 32 << 20, wait_for_tags);
	on_exact_shape(&shape, wait_for_tags);
	shape = mapped_shape(16 << 20, 4 << 20);
	on_exact_shape(&shape, wait_for_an_item);
	on_shape(4 << 20, 32 << 20, wait_for_a_new_slab);
	shape = mapped_shape(4 << 20, 32 << 20);
	on_exact_shape(&shape, wait_for_freed_tags);
}

TEST_MAIN(cmocka_unit_test(waiters_are_woken_by_the_event),
    cmocka_unit_test(tag_storm_with_reclaim), cmocka_unit_test(waitok_comes_back_under_a_limit),
    cmocka_unit_test(zones_come_back_under_a_limit))
