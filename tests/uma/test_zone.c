/*
 * Zones as their users see them: allocate, free, callbacks, kinds of zones, destruction.
 */
#include <stdlib.h>
#include <string.h>
#include "zones.h"

#define N 1000

static int
compare(const void *a, const void *b)
{
	return (memcmp(a, b, sizeof(void *)));
}

static void
distinct(void **item, unsigned n)
{
	qsort(item, n, sizeof(item[0]), compare);
	for (unsigned i = 1; i < n; i++)
		assert_ptr_not_equal(item[i], item[i - 1]);
}

static void
alloc_write_read(uma_zone_t z, size_t size, unsigned n)
{
	static void *item[N];
	struct uma_zone_stat st;

	for (unsigned i = 0; i < n; i++) {
		item[i] = uma_zalloc(z, M_WAITOK);
		assert_non_null(item[i]);
		assert_int_equal((uintptr_t)item[i] & UMA_ALIGN_PTR, 0);
		memset(item[i], (int)(i & 255), size);
	}
	for (unsigned i = 0; i < n; i++)
		for (size_t b = 0; b < size; b += 7)
			assert_int_equal(((uint8_t *)item[i])[b], i & 255);
	st = stat_of(z);
	assert_int_equal(st.used, n);
	assert_int_equal(st.used + st.free, st.keg_pages / st.ppera * st.ipers);
	distinct(item, n);
	for (unsigned i = 0; i < n; i++)
		uma_zfree(z, item[i]);
	st = stat_of(z);
	assert_int_equal(st.used, 0);
	assert_int_equal(st.free, st.keg_pages / st.ppera * st.ipers);
}

static void
items_are_distinct(void **state)
{
	static const size_t sizes[] = { 1, 8, 24, 56, 100, 256, 384, 1000, 1500, 2048, 3000, 4096,
		5000, 20000 };

	(void)state;
	for (unsigned s = 0; s < nitems(sizes); s++) {
		uma_zone_t z =
		    uma_zcreate("test", sizes[s], NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
		unsigned n = sizes[s] > 2048 ? 100 : N;

		alloc_write_read(z, sizes[s], n);
		assert_int_equal(stat_of(z).req, n);
		alloc_write_read(z, sizes[s], n);
		assert_int_equal(stat_of(z).req, 2 * n);
		uma_zdestroy(z);
	}
}

/* Each kind of zone that a flag makes holds items like any other. */
static void
every_kind_of_zone_works(void **state)
{
	static const struct {
		uint32_t flags;
		size_t size;
	} kinds[] = {
		{ UMA_ZONE_NOBUCKET, 100 },
		{ UMA_ZONE_MAXBUCKET, 100 },
		{ UMA_ZONE_VM, 56 },
		{ UMA_ZONE_MALLOC, 512 },
		{ UMA_ZONE_NOTOUCH, 128 },
		{ UMA_ZONE_NOTPAGE, 128 },
		{ UMA_ZONE_NOTPAGE, 3000 },
		{ UMA_ZONE_CONTIG, 6000 },
		{ UMA_ZONE_CACHESPREAD, 200 },
		{ UMA_ZONE_ROUNDROBIN, 200 },
		{ UMA_ZONE_FIRSTTOUCH, 200 },
		{ UMA_ZONE_ZINIT, 200 },
		{ UMA_ZONE_UNMANAGED | UMA_ZONE_NODUMP | UMA_ZONE_NOTRIM, 200 },
	};

	(void)state;
	for (unsigned k = 0; k < nitems(kinds); k++) {
		uma_zone_t z = uma_zcreate("kind", kinds[k].size, NULL, NULL, NULL, NULL,
		    (kinds[k].flags & UMA_ZONE_CACHESPREAD) != 0 ? UMA_ALIGN_CACHE : UMA_ALIGN_PTR,
		    kinds[k].flags);

		alloc_write_read(z, kinds[k].size, 300);
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		alloc_write_read(z, kinds[k].size, 300);
		if ((kinds[k].flags & UMA_ZONE_NOBUCKET) != 0)
			assert_int_equal(stat_of(z).cached_cpu + stat_of(z).cached_depot, 0);
		uma_timeout();
		uma_zdestroy(z);
	}
}

/* Zones that are not drained stay as they are, until they are told to by name. */
static void
unmanaged_zones_are_left_alone(void **state)
{
	uma_zone_t z = uma_zcreate("unmanaged", 500, NULL, NULL, NULL, NULL, 7, UMA_ZONE_UNMANAGED);
	uma_zone_t t = uma_zcreate("notrim", 500, NULL, NULL, NULL, NULL, 7, UMA_ZONE_NOTRIM);

	(void)state;
	alloc_write_read(z, 500, 100);
	alloc_write_read(t, 500, 100);
	uma_reclaim(UMA_RECLAIM_TRIM);
	assert_true(stat_of(z).keg_pages > 0);
	assert_true(stat_of(t).keg_pages > 0);
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	assert_true(stat_of(z).keg_pages > 0);
	assert_int_equal(stat_of(t).keg_pages, 0);
	uma_zone_reclaim(z, UMA_RECLAIM_DRAIN_CPU);
	assert_int_equal(stat_of(z).keg_pages, 0);
	uma_zdestroy(z);
	uma_zdestroy(t);
}

/* Everything a zone took goes back when it is destroyed. */
static void
R15_destroy_returns_all(void **state)
{
	unsigned long pages = 0;
	void *item[N];

	(void)state;
	for (int round = 0; round < 3; round++) {
		uma_zone_t z;

		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		if (round > 0)
			assert_int_equal(pages_out(), pages);
		pages = pages_out();
		z = uma_zcreate("test", 300, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
		for (unsigned i = 0; i < N; i++)
			item[i] = uma_zalloc(z, M_WAITOK);
		for (unsigned i = 0; i < N; i++)
			uma_zfree(z, item[i]);
		uma_timeout();
		uma_zdestroy(z);
	}
}

/* ---- callbacks ------------------------------------------------------------------------------- */

static int inits, finis, ctors, dtors, refuse;
static void *last_arg;

static int
count_init(void *mem, int size, int flags)
{
	(void)flags;
	memset(mem, 0x11, (size_t)size);
	inits++;
	return (0);
}

static void
count_fini(void *mem, int size)
{
	(void)size;
	assert_int_equal(*(uint8_t *)mem, 0x11);
	finis++;
}

static int
count_ctor(void *mem, int size, void *arg, int flags)
{
	(void)size;
	(void)flags;
	last_arg = arg;
	if (refuse != 0)
		return (COOPER_EAGAIN);
	ctors++;
	assert_int_equal(*(uint8_t *)mem, 0x11);
	*(uint8_t *)mem = 0x22;
	return (0);
}

static void
count_dtor(void *mem, int size, void *arg)
{
	(void)size;
	last_arg = arg;
	dtors++;
	assert_int_equal(*(uint8_t *)mem, 0x22);
	*(uint8_t *)mem = 0x11;
}

static void
reset_counts(void)
{
	inits = finis = ctors = dtors = refuse = 0;
}

static void
callbacks_pair_up(void **state)
{
	uma_zone_t z = uma_zcreate(
	    "callbacks", 64, count_ctor, count_dtor, count_init, count_fini, UMA_ALIGN_PTR, 0);
	void *item[N];
	int mark;

	(void)state;
	reset_counts();
	for (unsigned i = 0; i < N; i++)
		item[i] = uma_zalloc_arg(z, &mark, M_WAITOK);
	assert_ptr_equal(last_arg, &mark);
	assert_int_equal(ctors, N);
	assert_true(inits >= N);
	for (unsigned i = 0; i < N; i++)
		uma_zfree_arg(z, item[i], &reset_counts);
	assert_ptr_equal(last_arg, &reset_counts);
	assert_int_equal(dtors, N);
	for (unsigned i = 0; i < 10; i++)
		uma_zfree(z, uma_zalloc(z, M_WAITOK));
	assert_int_equal(ctors, N + 10);
	assert_int_equal(dtors, N + 10);
	uma_zdestroy(z);
	assert_int_equal(inits, finis);
}

/* A ctor that fails: no item, one failure, no dtor, nothing used. */
static void
R34_ctor_failure_unwinds(void **state)
{
	uma_zone_t z =
	    uma_zcreate("ctor", 64, count_ctor, count_dtor, count_init, count_fini, 7, 0);
	void *item;

	(void)state;
	reset_counts();
	uma_zone_set_max(z, 100000);
	for (int flags = M_NOWAIT; flags <= M_WAITOK; flags++)
		for (int warm = 0; warm < 2; warm++) {
			struct uma_zone_stat before, after;

			before = stat_of(z);
			refuse = 1;
			dtors = 0;
			assert_null(uma_zalloc(z, flags));
			after = stat_of(z);
			assert_int_equal(dtors, 0);
			assert_int_equal(after.fail, before.fail + 1);
			assert_int_equal(after.used, 0);
			assert_int_equal(after.limit_items, after.cached_cpu + after.cached_depot);
			refuse = 0;
			item = uma_zalloc(z, flags);
			assert_non_null(item);
			uma_zfree(z, item);
		}
	uma_zone_reclaim(z, UMA_RECLAIM_DRAIN_CPU);
	assert_int_equal(stat_of(z).limit_items, 0);
	uma_zdestroy(z);
}

/* ---- zeroes ------------------------------------------------------------------------------------ */

static bool
all_zero(const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (((const uint8_t *)p)[i] != 0)
			return (false);
	return (true);
}

static void
m_zero_zeroes(void **state)
{
	uma_zone_t z = uma_zcreate("zero", 100, NULL, NULL, NULL, NULL, 7, 0);
	void *item[100];

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 100; i++) {
			item[i] = uma_zalloc(z, M_WAITOK | M_ZERO);
			assert_true(all_zero(item[i], 100));
			memset(item[i], 0x5a, 100);
		}
		for (unsigned i = 0; i < 100; i++)
			uma_zfree(z, item[i]);
	}
	uma_zdestroy(z);
}

/* ZINIT: zero when the item enters the zone; its users keep it so. */
static void
zinit_zeroes_once(void **state)
{
	uma_zone_t z = uma_zcreate("zinit", 100, NULL, NULL, NULL, NULL, 7, UMA_ZONE_ZINIT);
	void *item[100];

	(void)state;
	/* Leave dirt in the pages that the zone will get. */
	uma_zone_t dirt = uma_zcreate("dirt", 100, NULL, NULL, NULL, NULL, 7, 0);
	alloc_write_read(dirt, 100, 500);
	uma_zdestroy(dirt);
	for (unsigned i = 0; i < 100; i++) {
		item[i] = uma_zalloc(z, M_WAITOK);
		assert_true(all_zero(item[i], 100));
	}
	for (unsigned i = 0; i < 100; i++)
		uma_zfree(z, item[i]);
	uma_zdestroy(z);
}

/* ---- secondary and cache zones -------------------------------------------------------------------- */

static void
secondary_zones_share_the_keg(void **state)
{
	uma_zone_t a = uma_zcreate("primary", 64, NULL, NULL, NULL, NULL, 7, 0);
	uma_zone_t b =
	    uma_zsecond_create("secondary", count_ctor, count_dtor, count_init, count_fini, a);
	void *x[100], *y[100];

	(void)state;
	reset_counts();
	for (unsigned i = 0; i < 100; i++) {
		x[i] = uma_zalloc(a, M_WAITOK);
		memset(x[i], 0x77, 64);
		y[i] = uma_zalloc(b, M_WAITOK);
		assert_int_equal(*(uint8_t *)y[i], 0x22);
	}
	assert_int_equal(stat_of(a).used, 100);
	assert_int_equal(stat_of(b).used, 100);
	assert_int_equal(stat_of(a).keg_pages, stat_of(b).keg_pages);
	for (unsigned i = 0; i < 100; i++) {
		uma_zfree(a, x[i]);
		uma_zfree(b, y[i]);
	}
	uma_zdestroy(b);
	assert_int_equal(inits, finis);
	assert_int_equal(ctors, dtors);
	alloc_write_read(a, 64, 100);
	uma_zdestroy(a);
}

#define TICKETS 500
static bool ticket_out[TICKETS + 1];
static int tickets_out, import_most = TICKETS;

static int
ticket_import(void *arg, void **store, int count, int domain, int flags)
{
	int n = 0;

	(void)domain;
	(void)flags;
	assert_ptr_equal(arg, ticket_out);
	for (uintptr_t t = 1; t <= TICKETS && n < count && tickets_out < import_most; t++)
		if (!ticket_out[t]) {
			ticket_out[t] = true;
			tickets_out++;
			store[n++] = (void *)t;
		}
	return (n);
}

static void
ticket_release(void *arg, void **store, int count)
{
	assert_ptr_equal(arg, ticket_out);
	for (int i = 0; i < count; i++) {
		assert_true(ticket_out[(uintptr_t)store[i]]);
		ticket_out[(uintptr_t)store[i]] = false;
		tickets_out--;
	}
}

/* Cache zones hold anything that is not NULL, and reclaim sees them (R17). */
static void
R17_cache_zones_are_reclaimed(void **state)
{
	uma_zone_t z = uma_zcache_create(
	    "tickets", 0, NULL, NULL, NULL, NULL, ticket_import, ticket_release, ticket_out, 0);
	void *t[TICKETS];

	(void)state;
	for (unsigned i = 0; i < TICKETS; i++) {
		t[i] = uma_zalloc(z, M_NOWAIT);
		assert_non_null(t[i]);
	}
	assert_null(uma_zalloc(z, M_NOWAIT));
	assert_int_equal(stat_of(z).used, TICKETS);
	distinct(t, TICKETS);
	for (unsigned i = 0; i < TICKETS; i++)
		uma_zfree(z, t[i]);
	assert_true(tickets_out > 0);
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	assert_int_equal(tickets_out, 0);
	uma_zfree(z, uma_zalloc(z, M_NOWAIT));
	uma_zdestroy(z);
	assert_int_equal(tickets_out, 0);
}

/* ---- PCPU ---------------------------------------------------------------------------------------------- */

static void
pcpu_items_have_a_copy_a_cpu(void **state)
{
	uma_zone_t z = uma_zcreate("pcpu", 64, NULL, NULL, NULL, NULL, 63, UMA_ZONE_PCPU);
	unsigned ncpus = cooper_shape()->ncpus;
	uint64_t *item[100];

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 100; i++) {
			item[i] = uma_zalloc_pcpu(z, M_WAITOK | M_ZERO);
			for (unsigned c = 0; c < ncpus; c++) {
				uint64_t *copy = uma_pcpu_item(item[i], c);

				for (unsigned w = 0; w < 8; w++) {
					assert_true(copy[w] == 0);
					copy[w] = (uint64_t)i * 1000 + c;
				}
			}
		}
		for (unsigned i = 0; i < 100; i++)
			for (unsigned c = 0; c < ncpus; c++)
				assert_true(((uint64_t *)uma_pcpu_item(item[i], c))[7] ==
					    (uint64_t)i * 1000 + c);
		for (unsigned i = 0; i < 100; i++)
			uma_zfree_pcpu(z, item[i]);
	}
	/* Each copy is in its CPU's domain. */
	item[0] = uma_zalloc_pcpu(z, M_WAITOK);
	for (unsigned c = 0; c < ncpus; c++)
		assert_int_equal(page_of_va((vm_offset_t)uma_pcpu_item(item[0], c))->domain,
		    machine_cpu_domain(c));
	uma_zfree_pcpu(z, item[0]);
	uma_zdestroy(z);
}

/* ---- addresses reserved ----------------------------------------------------------------------------- */

static void
reserve_kva_bounds_and_returns(void **state)
{
	uma_zone_t z = uma_zcreate("reskva", 3000, NULL, NULL, NULL, NULL, 7, 0);
	unsigned long pages;
	void *item[200];
	int n = 0, max;

	(void)state;
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	pages = pages_out();
	assert_int_equal(uma_zone_reserve_kva(z, 100), 1);
	max = uma_zone_get_max(z);
	assert_in_range(max, 100, 110);
	while (n < 200 && (item[n] = uma_zalloc(z, M_NOWAIT)) != NULL)
		memset(item[n++], 0x3c, 3000);
	assert_int_equal(n, max);
	for (int i = 0; i < n; i++)
		uma_zfree(z, item[i]);
	uma_zone_reclaim(z, UMA_RECLAIM_DRAIN_CPU);
	assert_true(stat_of(z).keg_pages > 0); /* kept */
	uma_zdestroy(z);
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	assert_true(pages_out() <= pages);
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

static void
zwait_and_null(void **state)
{
	uma_zone_t z = uma_zcreate("zwait", 40, NULL, NULL, NULL, NULL, 7, 0);

	(void)state;
	uma_zwait(z);
	uma_zfree(z, NULL);
	assert_int_equal(stat_of(z).used, 0);
	assert_int_equal(uma_zone_get_cur(z), 0);
	assert_true(uma_zone_memory(z) >= PAGE_SIZE);
	uma_zdestroy(z);
}

static void
lost_items_are_reported(void *arg)
{
	uma_zone_t z = uma_zcreate("leaky", 100, NULL, NULL, NULL, NULL, 7, 0);
	void *item = uma_zalloc(z, M_WAITOK);

	(void)arg;
	TEST_MUST(item != NULL);
	uma_zdestroy(z);
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU); /* walks on */
	uma_zfree(z, item);                 /* and a late free is named */
}

static void
late_free_is_named(void **state)
{
	(void)state;
	expect_stop(lost_items_are_reported, NULL, "zone leaky is destroyed");
}

static void
prealloc_makes_slabs(void **state)
{
	uma_zone_t z = uma_zcreate("prealloc", 500, NULL, NULL, NULL, NULL, 7, 0);
	struct uma_zone_stat st;

	(void)state;
	uma_prealloc(z, 100);
	st = stat_of(z);
	assert_true(st.keg_free_items >= 100);
	assert_int_equal(st.keg_free_slabs, howmany(100, st.ipers));
	assert_int_equal(st.used, 0);
	uma_zdestroy(z);
}

/* After the end has begun, destroying costs nothing unless somebody wants to hear of it (R16). */
static void
shut_down(void *arg)
{
	uma_zone_t z = uma_zcreate("plain", 100, NULL, NULL, NULL, NULL, 7, 0);
	uma_zone_t f = uma_zcreate("fini", 100, NULL, NULL, count_init, count_fini, 7, 0);
	unsigned long pages;

	(void)arg;
	uma_zfree(z, uma_zalloc(z, M_WAITOK));
	uma_zfree(f, uma_zalloc(f, M_WAITOK));
	uma_shutdown();
	pages = pages_out();
	uma_zdestroy(z);
	TEST_MUST(pages_out() == pages);
	finis = 0;
	uma_zdestroy(f);
	TEST_MUST(finis > 0);
}

static void
R16_destroy_at_shutdown(void **state)
{
	(void)state;
	in_child(shut_down, NULL);
}

TEST_MAIN(cmocka_unit_test(items_are_distinct), cmocka_unit_test(every_kind_of_zone_works),
    cmocka_unit_test(unmanaged_zones_are_left_alone), cmocka_unit_test(R15_destroy_returns_all),
    cmocka_unit_test(callbacks_pair_up), cmocka_unit_test(R34_ctor_failure_unwinds),
    cmocka_unit_test(m_zero_zeroes), cmocka_unit_test(zinit_zeroes_once),
    cmocka_unit_test(secondary_zones_share_the_keg),
    cmocka_unit_test(R17_cache_zones_are_reclaimed), cmocka_unit_test(pcpu_items_have_a_copy_a_cpu),
    cmocka_unit_test(reserve_kva_bounds_and_returns), cmocka_unit_test(zwait_and_null),
    cmocka_unit_test(late_free_is_named), cmocka_unit_test(prealloc_makes_slabs),
    cmocka_unit_test(R16_destroy_at_shutdown))
