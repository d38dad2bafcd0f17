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
items_are_distinct(void **state)
{
	static const size_t sizes[] = { 1, 8, 24, 56, 100, 256, 384, 1000, 1500, 2048, 3000, 4096,
		5000, 20000 };
	static void *item[N];

	(void)state;
	for (unsigned s = 0; s < nitems(sizes); s++) {
		uma_zone_t z =
		    uma_zcreate("test", sizes[s], NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
		unsigned n = sizes[s] > 2048 ? 100 : N;
		struct uma_zone_stat st;

		for (unsigned i = 0; i < n; i++) {
			item[i] = uma_zalloc(z, M_WAITOK);
			assert_non_null(item[i]);
			assert_int_equal((uintptr_t)item[i] & UMA_ALIGN_PTR, 0);
			memset(item[i], (int)(i & 255), sizes[s]);
		}
		for (unsigned i = 0; i < n; i++)
			for (size_t b = 0; b < sizes[s]; b += 7)
				assert_int_equal(((uint8_t *)item[i])[b], i & 255);
		st = stat_of(z);
		assert_int_equal(st.used, n);
		assert_int_equal(st.req, n);
		assert_int_equal(st.used + st.free, st.keg_pages / st.ppera * st.ipers);
		qsort(item, n, sizeof(item[0]), compare);
		for (unsigned i = 1; i < n; i++)
			assert_ptr_not_equal(item[i], item[i - 1]);
		for (unsigned i = 0; i < n; i++)
			uma_zfree(z, item[i]);
		st = stat_of(z);
		assert_int_equal(st.used, 0);
		assert_int_equal(st.free, st.keg_pages / st.ppera * st.ipers);
		uma_zdestroy(z);
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	}
}

/* Everything a zone took goes back when it is destroyed. */
static void
destroy_returns_all(void **state)
{
	unsigned long pages;
	void *item[N];

	(void)state;
	for (int round = 0; round < 3; round++) {
		uma_zone_t z;

		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		pages = pages_out();
		z = uma_zcreate("test", 300, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
		for (unsigned i = 0; i < N; i++)
			item[i] = uma_zalloc(z, M_WAITOK);
		for (unsigned i = 0; i < N; i++)
			uma_zfree(z, item[i]);
		uma_zdestroy(z);
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		if (round > 0)
			assert_int_equal(pages_out(), pages);
	}
}

TEST_MAIN(cmocka_unit_test(items_are_distinct), cmocka_unit_test(destroy_returns_all))
