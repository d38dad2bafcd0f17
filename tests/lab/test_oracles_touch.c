/*
 * What a scenario reads or writes after it has given it back is found at the touch. These cases are
 * compiled as scenarios are: see lab/oracles/touch.c.
 */
#include <cooper/malloc.h>

#include "oracle_test.h"

#define READ    "was read after it was freed"
#define WRITTEN "was written after it was freed"

LAB_STATE static MALLOC_DEFINE(M_TOUCH, "touch", "for the test");

#ifdef __clang__ /* calls memcpy() for them, past what touch.h puts in the place of that */
#define COPIES_ARE_TOLD false
#else
#define COPIES_ARE_TOLD true
#endif
struct big {
	char bytes[48];
};
LAB_STATE static struct big other;
LAB_STATE static volatile char seen;

/* ---- items -------------------------------------------------------------------------------------------- */

static void
take_four_and_free_three(void)
{
	make_zone();
	for (unsigned i = 0; i < 4; i++)
		kept[i] = uma_zalloc(zone, M_WAITOK);
	for (unsigned i = 0; i < 3; i++)
		uma_zfree(zone, kept[i]);
}

static void
free_the_fourth(void)
{
	uma_zfree(zone, kept[3]);
	uma_zdestroy(zone);
}

static void
read_item(void)
{
	take_four_and_free_three();
	seen = ((char *)kept[2])[40];
}

static void
write_item(void)
{
	take_four_and_free_three();
	((char *)kept[2])[40] = 1;
}

static void
read_neighbour(void)
{
	take_four_and_free_three();
	((char *)kept[3])[0] = 1;
	((char *)kept[3])[63] = 1;
	seen = ((char *)kept[3])[0];
}

static void
copy_item(void)
{
	take_four_and_free_three();
	other = *(struct big *)kept[2];
}

static void
call_memcpy(void)
{
	volatile size_t size = 16;

	take_four_and_free_three();
	memcpy(&other, (char *)kept[2] + 24, size);
}

static void
call_memset(void)
{
	volatile size_t size = 16;

	take_four_and_free_three();
	memset(kept[2], 0, size);
}

static void
read_in_its_second_life(void)
{
	take_four_and_free_three();
	for (unsigned i = 0; i < 3; i++)
		kept[i] = uma_zalloc(zone, M_WAITOK | M_ZERO);
	for (unsigned i = 0; i < 3; i++) {
		seen = ((char *)kept[i])[40];
		uma_zfree(zone, kept[i]);
	}
}

static void
test_item(void **state)
{
	(void)state;
	for (unsigned how = 0; how <= (DEBUG | DIRECT); how++) {
		expect(take_four_and_free_three, free_the_fourth, how, LAB_HELD, "");
		expect(read_neighbour, free_the_fourth, how, LAB_HELD, "");
		expect(read_in_its_second_life, free_the_fourth, how, LAB_HELD, "");
		expect(read_item, free_the_fourth, how, LAB_FREED, READ);
		expect(read_item, free_the_fourth, how, LAB_FREED, "zone \"items\"");
		expect(read_item, free_the_fourth, how, LAB_FREED, "at offset 40");
		expect(write_item, free_the_fourth, how, LAB_FREED, WRITTEN);
		if (COPIES_ARE_TOLD)
			expect(copy_item, free_the_fourth, how, LAB_FREED, READ);
		expect(call_memcpy, free_the_fourth, how, LAB_FREED, READ);
		expect(call_memset, free_the_fourth, how, LAB_FREED, WRITTEN);
	}
}

/* ---- other ways to have one ------------------------------------------------------------------------------ */

static void
take_many(void)
{
	lab_must(uma_zalloc_bulk(zone, kept, 8, M_WAITOK) == 8, "not all eight");
	for (unsigned i = 0; i < 8; i++)
		((char *)kept[i])[0] = 1;
}

static void
many_twice(void)
{
	make_zone();
	for (unsigned round = 0; round < 2; round++) {
		take_many();
		uma_zfree_bulk(zone, kept, 8);
	}
}

static void
read_of_many(void)
{
	void *one;

	make_zone();
	take_many();
	one = kept[5];
	uma_zfree_bulk(zone, kept, 8);
	seen = *(char *)one;
}

static void
use_malloc(void)
{
	char *p = cooper_malloc(100, M_TOUCH, M_WAITOK);

	p[50] = 1;
	seen = p[50];
	cooper_free(p, M_TOUCH);
	malloc_uninit(M_TOUCH);
}

static void
read_malloc(void)
{
	char *p = cooper_malloc(100, M_TOUCH, M_WAITOK);

	p[50] = 1;
	cooper_free(p, M_TOUCH);
	seen = p[50];
}

/* A page that nobody has is there to be seen, in a direct map. */
static void
read_page(void)
{
	struct vm_page *m = vm_page_alloc(0, M_NOWAIT);
	char *at = machine_direct(page_paddr(m));

	at[100] = 1;
	vm_page_free(m);
	seen = at[100];
}

static void
test_other_ways(void **state)
{
	(void)state;
	expect(many_twice, end_zone, 0, LAB_HELD, "");
	expect(many_twice, end_zone, DEBUG, LAB_HELD, "");
	expect(read_of_many, end_zone, 0, LAB_FREED, READ);
	expect(use_malloc, NULL, DEBUG, LAB_HELD, "");
	expect(read_malloc, NULL, 0, LAB_FREED, READ);
	expect(read_malloc, NULL, DIRECT, LAB_FREED, "at offset 50");
	expect(read_page, NULL, DIRECT, LAB_FREED, "page");
	expect(read_page, NULL, DIRECT, LAB_FREED, READ);
}

/* ---- what may be done ------------------------------------------------------------------------------------- */

/* On the item's way back: it is not free yet. */
static void
look_inside(void *item, int size, void *arg)
{
	(void)arg;
	for (int i = 0; i < size; i++)
		seen = ((char *)item)[i];
}

static void
with_dtor(void)
{
	zone = uma_zcreate("looks", 64, NULL, look_inside, NULL, NULL, UMA_ALIGN_PTR, 0);
	uma_zfree(zone, uma_zalloc(zone, M_WAITOK));
}

/* What lies there stays of its kind for ever. */
static void
never_freed(void)
{
	char *p;

	zone = uma_zcreate("stays", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, UMA_ZONE_NOFREE);
	p = uma_zalloc(zone, M_WAITOK);
	uma_zfree(zone, p);
	seen = *p;
}

static char *
free_smr(void)
{
	char *p;

	zone = uma_zcreate("smr", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, UMA_ZONE_SMR);
	p = uma_zalloc_smr(zone, M_WAITOK);
	uma_zfree_smr(zone, p);
	return (p);
}

static void
read_in_section(void)
{
	char *p = free_smr();

	smr_enter(uma_zone_get_smr(zone));
	seen = *p;
	smr_exit(uma_zone_get_smr(zone));
}

static void
write_in_section(void)
{
	char *p = free_smr();

	smr_enter(uma_zone_get_smr(zone));
	*p = 1;
	smr_exit(uma_zone_get_smr(zone));
}

static void
read_outside(void)
{
	char *p = free_smr();

	smr_enter(uma_zone_get_smr(zone));
	smr_exit(uma_zone_get_smr(zone));
	seen = *p;
}

/* Items that share words with their neighbours: those that they share are not looked at. */
static void
odd_neighbours(void)
{
	zone = uma_zcreate("odd", 20, NULL, NULL, NULL, NULL, 0, 0);
	for (unsigned i = 0; i < 16; i++)
		kept[i] = uma_zalloc(zone, M_WAITOK);
	for (unsigned i = 0; i < 16; i += 2)
		uma_zfree(zone, kept[i]);
	for (unsigned i = 1; i < 16; i += 2)
		for (unsigned k = 0; k < 20; k++)
			seen = ((char *)kept[i])[k];
	for (unsigned i = 1; i < 16; i += 2)
		uma_zfree(zone, kept[i]);
}

static void
read_odd(void)
{
	odd_neighbours();
	seen = ((char *)kept[4])[8];
}

static void
test_what_may_be_done(void **state)
{
	(void)state;
	expect(with_dtor, end_zone, 0, LAB_HELD, "");
	expect(never_freed, end_zone, 0, LAB_HELD, "");
	expect(read_in_section, end_zone, 0, LAB_HELD, "");
	expect(odd_neighbours, end_zone, 0, LAB_HELD, "");
	expect(read_odd, end_zone, 0, LAB_FREED, "zone \"odd\"");
	expect(write_in_section, end_zone, 0, LAB_FREED, WRITTEN);
	expect(read_outside, end_zone, 0, LAB_FREED, READ);
}

/* ---- a race that only a read gives away ------------------------------------------------------------------- */

LAB_STATE static char *shared = NULL;

static void
reader(void *arg)
{
	char *p;

	(void)arg;
	for (unsigned i = 0; i < 30; i++) {
		if ((p = __atomic_load_n(&shared, __ATOMIC_ACQUIRE)) == NULL)
			return;
		lab_note("has found it");
		seen = *p;
	}
}

static void
owner(void *arg)
{
	char *p = shared;

	(void)arg;
	for (unsigned i = 0; i < 10; i++)
		lab_note("not yet");
	__atomic_store_n(&shared, NULL, __ATOMIC_RELEASE);
	uma_zfree(zone, p);
}

static void
race(void)
{
	make_zone();
	shared = uma_zalloc(zone, M_WAITOK);
	*shared = 1;
	lab_thread("reader", 0, reader, NULL);
	lab_thread("owner", 1, owner, NULL);
}

static void
test_race(void **state)
{
	struct lab_scenario scenario = {
		.name = "case", .about = "case", .setup = race, .finish = end_zone
	};
	unsigned held = 0, found = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct lab_result r = run_once(&scenario, 0, 0, seed);

		held += r.verdict == LAB_HELD;
		found += r.verdict == LAB_FREED && strstr(r.line, "by reader") != NULL;
	}
	assert_true(held > 0 && found > 0);
	assert_int_equal(held + found, 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_item),
		cmocka_unit_test(test_other_ways),
		cmocka_unit_test(test_what_may_be_done),
		cmocka_unit_test(test_race),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
