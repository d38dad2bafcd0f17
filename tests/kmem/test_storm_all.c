/*
 * A storm over everything at once: zones with limits that change, secondary and SMR zones, arenas that
 * import, pages, addresses, zones and arenas that come and go, reclaim throughout, on little memory.
 *
 * A thread asks with M_WAITOK only while it holds nothing; so at any time somebody can go on, and
 * what is waited for comes back. A watchdog stops the program, with the table of waits, when nobody
 * has advanced for 5 s. COOPER_STORM=SECONDS makes it longer than its second (make soak).
 */
#include <stdlib.h>
#include "kmem_test.h"

#define HELD    24
#define WORKERS 8
#define STUCK   5000000000ull  /* ns without a step of anybody */
#define STARVED 60000000000ull /* or of one thread */
#define WINDOW  0x4000         /* the low addresses of the child arena, asked for by name */

enum { ORDINARY, LIMITED, SECOND, LARGE, READERS, NZONES };

struct held {
	void *p;
	vmem_addr_t addr;
	vm_size_t size;
	void (*release)(struct held *);
	uma_zone_t zone;
};

static uma_zone_t zones[NZONES];
static vmem_t *above, *below;
static uint64_t steps[WORKERS + 1]; /* the last: comings and goings */
static bool over, joined;
static uint64_t end_time;

/* ---- what is taken and given back ----------------------------------------------------------------------- */

static void
release_item(struct held *h)
{
	if (h->zone == zones[READERS])
		uma_zfree_smr(h->zone, h->p);
	else
		uma_zfree(h->zone, h->p);
}

static void
release_pages(struct held *h)
{
	kmem_free(h->p, h->size);
}

static void
release_kva(struct held *h)
{
	kva_free(h->addr, h->size);
}

static void
release_range(struct held *h)
{
	vmem_free(below, h->addr, h->size);
}

static void
release_window(struct held *h)
{
	vmem_xfree(below, h->addr, h->size);
}

static bool
take_item(struct held *h, uint64_t r, int flags)
{
	h->zone = zones[r % NZONES];
	h->release = release_item;
	h->p =
	    h->zone == zones[READERS] ? uma_zalloc_smr(h->zone, flags) : uma_zalloc(h->zone, flags);
	if (h->p != NULL && h->zone != zones[READERS])
		memset(h->p, 0x5a, 64);
	return (h->p != NULL);
}

static bool
take_pages(struct held *h, uint64_t r, int flags)
{
	h->size = PAGE_SIZE * (1 + r % 32);
	h->release = release_pages;
	h->p = kmem_malloc(h->size, flags);
	return (h->p != NULL);
}

/* A shortage of addresses is no news, and a run of pages is not promised. */
static bool
take_kva(struct held *h, uint64_t r, int flags)
{
	h->size = PAGE_SIZE * (1 + r % 16);
	if (flags == M_WAITOK && r % 3 == 0) {
		h->release = release_pages;
		h->p = kmem_alloc_contig(h->size, flags, 0, ~(vm_paddr_t)0, 0, 0, 0);
		if (h->p != NULL)
			return (true);
	}
	h->release = release_kva;
	h->addr = kva_alloc(h->size);
	return (h->addr != 0);
}

static bool
take_range(struct held *h, uint64_t r, int flags)
{
	h->size = 16 * (1 + r % 24);
	h->release = release_range;
	return (vmem_alloc(below, h->size, flags | M_BESTFIT, &h->addr) == 0);
}

static bool
take_window(struct held *h, uint64_t r, int flags)
{
	int error;

	h->size = 16 * (1 + r % 8);
	h->release = release_window;
	error = vmem_xalloc(below, h->size, 0, 0, 0, 16, WINDOW, flags | M_FIRSTFIT, &h->addr);
	TEST_MUST(error != COOPER_EINVAL);
	return (error == 0);
}

static bool (*const take[])(struct held *, uint64_t, int) = { take_item, take_item, take_pages,
	take_kva, take_range, take_window };
/* Does M_WAITOK promise it? A window may be hopeless, addresses are not waited for. */
static bool
promised(unsigned kind)
{
	return (take[kind] != take_kva && take[kind] != take_window);
}

/* ---- the threads ------------------------------------------------------------------------------------------- */

static void
step(unsigned index)
{
	__atomic_fetch_add(&steps[index], 1, __ATOMIC_RELAXED);
}

static void
worker(struct test_thread *t)
{
	struct held held[HELD];
	uint64_t seed = 4711 + t->index;
	unsigned n = 0;

	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		uint64_t r = test_random(&seed);
		unsigned kind = (unsigned)(r >> 8) % (sizeof(take) / sizeof(take[0]));

		if (n == 0 && r % 2 == 0) {
			if (take[kind](&held[n], r >> 16, M_WAITOK))
				n++;
			else
				TEST_MUST(!promised(kind));
		} else if (n < HELD && r % 5 < 3) {
			n += take[kind](&held[n], r >> 16, M_NOWAIT);
		} else {
			for (unsigned keep = r % 3 == 0 ? 0 : n / 2; n > keep; n--)
				held[n - 1].release(&held[n - 1]);
		}
		step(t->index);
	}
	while (n-- > 0)
		held[n].release(&held[n]);
}

/* What comes, goes, and changes meanwhile. */
static void
comings_and_goings(void *arg)
{
	static const int how[] = { UMA_RECLAIM_DRAIN, UMA_RECLAIM_DRAIN_CPU, UMA_RECLAIM_TRIM };
	uint64_t seed = 99;

	(void)arg;
	for (unsigned i = 0; machine_now() < end_time; i++) {
		uma_zone_t zone =
		    uma_zcreate("passing", 48 + i % 900, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
		vmem_t *vm = vmem_create("passing", 16, 4096, 16, 64, M_WAITOK | M_FIRSTFIT);
		vmem_addr_t addr;

		TEST_MUST(zone != NULL && vm != NULL);
		uma_zfree(zone, uma_zalloc(zone, M_WAITOK));
		uma_zone_set_max(zones[LIMITED], (int)(1 + test_random(&seed) % 60));
		TEST_MUST(vmem_alloc(vm, 32, M_WAITOK | M_FIRSTFIT, &addr) == 0);
		uma_reclaim(how[i % 3]);
		if (i % 4 == 0)
			(void)page_daemon_pass(-1, PRESSURE_SEVERE);
		vmem_free(vm, addr, 32);
		vmem_destroy(vm);
		uma_zdestroy(zone);
		tags_check("comings_and_goings");
		step(WORKERS);
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
}

/* ---- the watchdog ------------------------------------------------------------------------------------------- */

static void
print_wait(const struct wait_info *w, void *arg)
{
	(void)arg;
	fprintf(stderr, "storm: thread %llu waits on %s for %llu since %llu ms\n",
	    (unsigned long long)w->thread, w->channel, (unsigned long long)w->need,
	    (unsigned long long)(machine_now() - w->since) / 1000000);
}

static void
watchdog(void *arg)
{
	uint64_t seen[WORKERS + 1] = { 0 }, when[WORKERS + 1], last = machine_now();
	unsigned workers = *(unsigned *)arg;

	for (unsigned i = 0; i <= WORKERS; i++)
		when[i] = last;
	while (!__atomic_load_n(&joined, __ATOMIC_RELAXED)) {
		uint64_t now = machine_now(), until = now + 50000000;
		bool stuck;

		for (unsigned i = 0; i <= WORKERS; i++) {
			uint64_t is = __atomic_load_n(&steps[i], __ATOMIC_RELAXED);

			if (is != seen[i])
				last = when[i] = now;
			seen[i] = is;
		}
		stuck = now - last > STUCK;
		for (unsigned i = 0; i < workers; i++)
			stuck |= now - when[i] > STARVED;
		if (stuck) {
			for (unsigned i = 0; i <= WORKERS; i++)
				fprintf(stderr, "storm: thread %u made %llu steps\n", i,
				    (unsigned long long)seen[i]);
			sync_each_wait(print_wait, NULL);
			TEST_MUST(!stuck);
		}
		while (machine_now() < until)
			machine_park(until);
	}
}

/* ---- the storm ------------------------------------------------------------------------------------------------ */

static int
import(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	flags = (flags & (M_NOWAIT | M_WAITOK | M_NOVM | M_USE_RESERVE)) | M_BESTFIT;
	return (vmem_xalloc(arg, size, 0, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX, flags, addrp));
}

static void
release(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	vmem_xfree(arg, addr, size);
}

static void
make_everything(void)
{
	zones[ORDINARY] = uma_zcreate("ordinary", 120, NULL, NULL, NULL, NULL, 7, 0);
	zones[LIMITED] = uma_zcreate("limited", 500, NULL, NULL, NULL, NULL, 7, 0);
	uma_zone_set_max(zones[LIMITED], 40);
	zones[SECOND] = uma_zsecond_create("second", NULL, NULL, NULL, NULL, zones[ORDINARY]);
	zones[LARGE] = uma_zcreate("large", 9000, NULL, NULL, NULL, NULL, 7, 0);
	zones[READERS] = uma_zcreate("readers", 64, NULL, NULL, NULL, NULL, 7, UMA_ZONE_SMR);
	above = vmem_create("above", 16, 32768, 16, 0, M_WAITOK | M_FIRSTFIT);
	below = vmem_create("below", 0, 0, 16, 128, M_WAITOK | M_FIRSTFIT);
	vmem_set_import(below, import, release, above, 1024);
}

static void
end_everything(void)
{
	struct uma_zone_stat st;

	for (int i = NZONES; i-- > 0;) {
		uma_zone_reclaim(zones[i], UMA_RECLAIM_DRAIN_CPU);
		uma_zone_get_stat(zones[i], &st);
		TEST_MUST(st.used == 0);
		TEST_MUST(st.limit_items == 0);
	}
	uma_zdestroy(zones[SECOND]);
	zones[SECOND] = NULL;
	for (int i = 0; i < NZONES; i++)
		if (zones[i] != NULL)
			uma_zdestroy(zones[i]);
	vmem_destroy(below);
	TEST_MUST(vmem_size(above, VMEM_ALLOC) == 0);
	vmem_destroy(above);
}

static void
storm(void)
{
	const char *soak = getenv("COOPER_STORM");
	unsigned seconds = soak != NULL ? (unsigned)atoi(soak) : 1;
	unsigned n = MAX(3, MIN(WORKERS, 2 * cooper_shape()->ncpus));
	struct picture before, after;
	struct side_thread *side, *dog;

	warm_up();
	picture_take(&before);
	make_everything();
	end_time = machine_now() + seconds * 1000000000ull;
	dog = side_start(watchdog, &n, -1);
	side = side_start(comings_and_goings, NULL, -1);
	run_threads(n, worker, NULL);
	side_join(side);
	__atomic_store_n(&joined, true, __ATOMIC_RELAXED);
	side_join(dog);
	end_everything();
	tags_check("storm");
	settle();
	picture_take(&after);
	TEST_MUST(after.free_pages + 16 >= before.free_pages);
}

static void
storm_over_everything(void **state)
{
	(void)state;
	on_shape(4 << 20, 8 << 20, storm);
}

TEST_MAIN(cmocka_unit_test(storm_over_everything))
