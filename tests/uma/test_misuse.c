/*
 * Misuse: the debug shape stops with a line that names function, zone and value; the release shape
 * refuses, or stops, and corrupts nothing.
 */
#include <string.h>
#include "zones.h"

static uma_zone_t zone;

static void
make_zone(uint32_t flags)
{
	zone = uma_zcreate("victim", 100, NULL, NULL, NULL, NULL, 7, flags);
}

/* ---- frees ------------------------------------------------------------------------------------------- */

static int
double_free(void *arg)
{
	void *item = uma_zalloc(zone, M_WAITOK);

	(void)arg;
	uma_zfree(zone, item);
	uma_zfree(zone, item);
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU); /* the slab sees the second one */
	for (unsigned i = 0; i < stat_of(zone).ipers; i++)
		TEST_MUST(uma_zalloc(zone, M_WAITOK) != NULL);
	return (1);
}

static void
double_free_is_found(void **state)
{
	(void)state;
	make_zone(0);
	assert_int_equal(expect_misuse(double_free, NULL, "double free of"), core_debug ? 0 : 1);
	uma_zdestroy(zone);
	make_zone(UMA_ZONE_NOBUCKET);
	assert_int_equal(expect_misuse(double_free, NULL, "double free of"), core_debug ? 0 : 1);
	uma_zdestroy(zone);
}

static int
free_elsewhere(void *arg)
{
	uma_zone_t other = arg;

	uma_zfree(other, uma_zalloc(zone, M_WAITOK));
	uma_zone_reclaim(other, UMA_RECLAIM_DRAIN_CPU);
	TEST_MUST(stat_of(other).keg_free_items == 0);
	return (1);
}

static void
free_to_the_wrong_zone_is_found(void **state)
{
	uma_zone_t other = uma_zcreate("other", 100, NULL, NULL, NULL, NULL, 7, 0);

	(void)state;
	make_zone(0);
	assert_int_equal(
	    expect_misuse(free_elsewhere, other, "is not an item of this zone but of victim"),
	    core_debug ? 0 : 1);
	uma_zdestroy(zone);
	uma_zdestroy(other);
}

static int
free_inside(void *arg)
{
	char *item = uma_zalloc(zone, M_WAITOK);

	uma_zfree(zone, item + *(int *)arg);
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	return (1);
}

static void
free_of_a_pointer_into_an_item_is_found(void **state)
{
	int off = 8;

	(void)state;
	make_zone(0);
	assert_int_equal(
	    expect_misuse(free_inside, &off, "points into an item"), core_debug ? 0 : 1);
	uma_zdestroy(zone);
}

/* ---- the pattern -------------------------------------------------------------------------------------- */

static void
write_after_free(void *arg)
{
	char *item = uma_zalloc(zone, M_WAITOK);

	uma_zfree(zone, item);
	item[40] = 'x';
	if (arg != NULL)
		uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	else
		while (uma_zalloc(zone, M_NOWAIT) != item)
			;
}

static void
write_after_free_is_found(void **state)
{
	int reclaim;

	(void)state;
	NEED(core_debug);
	make_zone(0);
	expect_stop(write_after_free, NULL, "allocation: zone victim");
	expect_stop(write_after_free, &reclaim, "slab release: zone victim");
	uma_zdestroy(zone);
}

/* ---- requests ------------------------------------------------------------------------------------------- */

static int
alloc_with(void *arg)
{
	return (uma_zalloc(zone, *(int *)arg) == NULL);
}

static void
contradicting_flags_are_refused(void **state)
{
	static int flags[] = { M_WAITOK | M_NOWAIT, M_WAITOK | M_USE_RESERVE, M_WAITOK | M_NOVM,
		M_NOWAIT | M_EXEC };

	(void)state;
	make_zone(UMA_ZONE_NOBUCKET);
	for (unsigned i = 0; i < nitems(flags); i++)
		assert_int_equal(expect_misuse(alloc_with, &flags[i], "contradict each other"),
		    core_debug ? 0 : 1);
	uma_zdestroy(zone);
}

static int
late_setter(void *arg)
{
	switch (*(int *)arg) {
	case 0:
		uma_zone_reserve(zone, 5);
		return (zone->keg->reserve == 0);
	case 1:
		return (uma_zone_reserve_kva(zone, 5) == 0);
	case 2:
		return (uma_zone_set_max(zone, 5) == 0);
	case 3:
		uma_zone_set_allocf(zone, NULL);
		return (zone->keg->allocf != NULL);
	case 4:
		uma_zone_set_freef(zone, NULL);
		return (zone->keg->freef != NULL);
	case 5:
		uma_zone_set_zinit(zone, init_nothing);
		return (zone->zinit == NULL);
	default:
		uma_zone_set_init(zone, init_nothing);
		return (zone->keg->init == NULL);
	}
}

static void
setters_come_before_allocation(void **state)
{
	(void)state;
	make_zone(0);
	uma_zfree(zone, uma_zalloc(zone, M_WAITOK));
	for (int i = 0; i < 7; i++)
		assert_int_equal(expect_misuse(late_setter, &i, "has allocated items already"),
		    core_debug ? 0 : 1);
	uma_zdestroy(zone);
}

static int
create_badly(void *arg)
{
	switch (*(int *)arg) {
	case 0:
		return (uma_zcreate("bad", 0, NULL, NULL, NULL, NULL, 7, 0) == NULL);
	case 1:
		return (uma_zcreate("bad", 64, NULL, NULL, NULL, NULL, 8, 0) == NULL);
	case 2:
		return (uma_zcreate("bad", PAGE_SIZE + 1, NULL, NULL, NULL, NULL, 7,
			    UMA_ZONE_PCPU) == NULL);
	default:
		return (uma_zcreate("bad", 64, NULL, NULL, NULL, NULL, 7,
			    UMA_ZONE_FIRSTTOUCH | UMA_ZONE_ROUNDROBIN) == NULL);
	}
}

static void
impossible_zones_are_refused(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    expect_misuse(create_badly, &i, "uma_zcreate: zone bad"), core_debug ? 0 : 1);
}

static void
destroy_twice(void *arg)
{
	(void)arg;
	(void)uma_zalloc(zone, M_WAITOK);
	uma_zdestroy(zone);
	uma_zdestroy(zone);
}

static void
destroy_primary(void *arg)
{
	uma_zdestroy(arg);
}

static void
destroying_wrongly_is_found(void **state)
{
	uma_zone_t second;

	(void)state;
	make_zone(0);
	expect_stop(destroy_twice, NULL, "is destroyed already");
	second = uma_zsecond_create("second", NULL, NULL, NULL, NULL, zone);
	expect_stop(destroy_primary, zone, "has 1 secondary zones");
	uma_zdestroy(second);
	uma_zdestroy(zone);
}

static int
wrong_kind(void *arg)
{
	switch (*(int *)arg) {
	case 0:
		return (uma_zalloc_pcpu(zone, M_NOWAIT) == NULL);
	case 1:
		return (uma_zalloc_smr(zone, M_NOWAIT) == NULL);
	default:
		return (uma_zalloc_domain(zone, NULL, 99, M_NOWAIT) == NULL);
	}
}

static void
zones_of_another_kind(void **state)
{
	static const char *const text[] = { "is not a PCPU zone", "is not an SMR zone",
		"domain 99" };

	(void)state;
	make_zone(0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(expect_misuse(wrong_kind, &i, text[i]), core_debug ? 0 : 1);
	uma_zdestroy(zone);
}

TEST_MAIN(cmocka_unit_test(double_free_is_found), cmocka_unit_test(free_to_the_wrong_zone_is_found),
    cmocka_unit_test(free_of_a_pointer_into_an_item_is_found),
    cmocka_unit_test(write_after_free_is_found), cmocka_unit_test(contradicting_flags_are_refused),
    cmocka_unit_test(setters_come_before_allocation),
    cmocka_unit_test(impossible_zones_are_refused), cmocka_unit_test(destroying_wrongly_is_found),
    cmocka_unit_test(zones_of_another_kind))
