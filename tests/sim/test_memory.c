/*
 * Frames, the window and the direct map; touches of what is not mapped; the parts of CPUs.
 */
#include <cooper/uma.h>

#include "sim_test.h"

static vm_offset_t window;
static vm_size_t window_size;
static vm_paddr_t frame0;

static void
start_machine(void)
{
	struct machine_segment seg;
	struct machine_shape shape;
	const char *why;

	assert_int_equal(machine_default_shape(&shape, &why), 0);
	assert_int_equal(machine_start(&shape, &why), 0);
	machine_kva(&window, &window_size);
	assert_int_equal(machine_segments(&seg, 1), 1);
	frame0 = seg.start;
}

static volatile char *
at(vm_offset_t offset)
{
	return ((volatile char *)(window + offset));
}

static void
map(vm_offset_t offset, unsigned frame)
{
	vm_paddr_t pa = frame0 + ptoa(frame);

	machine_map(window + offset, &pa, 1, false);
}

/* ---- mappings -------------------------------------------------------------------------------------- */

static void
maps(void *arg)
{
	vm_paddr_t pa[3], there;

	(void)arg;
	start_machine();
	pa[0] = frame0 + ptoa(7);
	pa[1] = frame0 + ptoa(8);
	pa[2] = frame0 + ptoa(3);
	assert_false(sim_mapped(window, &there));
	assert_true(machine_extract(window) == MACHINE_NOPAGE);
	machine_map(window + ptoa(4), pa, 3, false);
	*at(ptoa(4)) = 'a';
	*at(ptoa(6)) = 'c';
	assert_true(machine_extract(window + ptoa(5) + 9) == pa[1] + 9);
	map(ptoa(9), 3); /* the same frame, elsewhere */
	assert_int_equal(*at(ptoa(9)), 'c');
	*at(ptoa(9)) = 'd';
	assert_int_equal(*at(ptoa(6)), 'd');
	machine_unmap(window + ptoa(4), 3);
	assert_true(machine_extract(window + ptoa(4)) == MACHINE_NOPAGE);
	map(0, 7);
	assert_int_equal(*at(0), 'a'); /* a frame keeps what is in it */
	assert_true(sim_mapped(window + 1, &there) && there == pa[0] + 1);
	if (cooper_shape()->direct_map) {
		assert_int_equal(*(char *)machine_direct(pa[0]), 'a');
		assert_false(machine_discard(pa[0], 1));
		assert_true(machine_extract((vm_offset_t)machine_direct(pa[1])) == pa[1]);
	} else
		assert_null(machine_direct(pa[0]));
}

static void
a_frame_is_seen_wherever_it_is_mapped(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		if (run(i == 0 ? &mapped : &direct, maps) != SIM_FINISHED)
			fail_msg("%s", sim_end_line());
		assert_int_equal(count_of(SIM_MAP), 3);
		assert_int_equal(nth(SIM_MAP, 0)->value, 3);
		assert_int_equal(count_of(SIM_UNMAP), 1);
	}
}

/* ---- touches --------------------------------------------------------------------------------------- */

static void
touch_never_mapped(void *arg)
{
	(void)arg;
	start_machine();
	map(ptoa(1), 0);
	*at(ptoa(1) + PAGE_MASK) = 1;
	*at(ptoa(2)) = 1;
}

static void
touch_after_unmap(void *arg)
{
	(void)arg;
	start_machine();
	map(ptoa(1), 0);
	*at(ptoa(1)) = 1;
	machine_unmap(window + ptoa(1), 1);
	(void)*at(ptoa(1));
}

static void
touch_by_another(void *arg)
{
	(void)arg;
	(void)*at(ptoa(1));
}

static void
start_toucher(void *arg)
{
	(void)arg;
	start_machine();
	map(ptoa(1), 0);
	sim_start("toucher", 1, touch_by_another, NULL);
	machine_unmap(window + ptoa(1), 1);
}

static void
touch_beyond_frames(void *arg)
{
	(void)arg;
	start_machine();
	*((volatile char *)machine_direct(frame0) + cooper_shape()->physmem) = 1;
}

static void
touch_null(void *arg)
{
	volatile char *null = NULL;

	(void)arg;
	__asm__("" : "+r"(null));
	*null = 1;
}

static unsigned deep;

static NOINLINE unsigned
recurse(volatile char *above)
{
	volatile char here[512];

	here[0] = above[0];
	return (deep++ == UINT32_MAX ? 0 : recurse(here) + (unsigned)here[0]);
}

static void
touch_stack_end(void *arg)
{
	(void)arg;
	(void)recurse("");
}

static void
expect_touch(const struct machine_shape *shape, void (*fn)(void *), const char *text)
{
	uintptr_t pc[8];

	assert_int_equal(run(shape, fn), SIM_BAD_TOUCH);
	if (strstr(sim_end_line(), text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, sim_end_line());
	assert_true(sim_stack(sim_self(), pc, 8) >= 1);
}

static void
touches_of_unmapped_memory_say_who_and_where(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		const struct machine_shape *shape = i == 0 ? &mapped : &direct;

		expect_touch(shape, touch_never_mapped,
		    "fiber 0 (main) on CPU 0 touched window + 0x2000, which was never mapped");
		expect_touch(shape, touch_after_unmap,
		    "window + 0x1000, which fiber 0 (main) unmapped at step 2");
		expect_touch(shape, start_toucher,
		    "fiber 1 (toucher) on CPU 1 touched window + 0x1000, which fiber 0");
		expect_touch(shape, touch_null, "which is none of the run's");
		expect_touch(shape, touch_stack_end, "the end of the stack of fiber 0 (main)");
	}
	expect_touch(&direct, touch_beyond_frames, "direct map + 0x200000, beyond the last frame");
}

static void
map_twice(void *arg)
{
	(void)arg;
	start_machine();
	map(0, 0);
	map(0, 1);
}

static void
unmap_nothing(void *arg)
{
	(void)arg;
	start_machine();
	machine_unmap(window, 1);
}

static void
map_no_frame(void *arg)
{
	(void)arg;
	start_machine();
	map(0, 512);
}

static void
map_no_window(void *arg)
{
	(void)arg;
	start_machine();
	map(window_size, 0);
}

static void
wrong_mappings_stop_the_run(void **state)
{
	(void)state;
	assert_int_equal(run(&mapped, map_twice), SIM_PANIC);
	assert_int_equal(run(&mapped, unmap_nothing), SIM_PANIC);
	assert_int_equal(run(&mapped, map_no_frame), SIM_PANIC);
	assert_int_equal(run(&mapped, map_no_window), SIM_PANIC);
}

/* ---- a run leaves nothing behind -------------------------------------------------------------------- */

static void
start_only(void *arg)
{
	(void)arg;
	start_machine();
}

static void
dirties(void *arg)
{
	char *boot = machine_boot_alloc(3 * PAGE_SIZE, 64);

	(void)arg;
	start_machine();
	for (unsigned i = 0; i < 3 * PAGE_SIZE; i++)
		assert_int_equal(boot[i], 0);
	memset(boot, 0xa5, 3 * PAGE_SIZE);
	for (unsigned i = 0; i < 5; i++) {
		map(ptoa(3 * i), 100 + i);
		assert_int_equal(*at(ptoa(3 * i)), 0);
		*at(ptoa(3 * i)) = 'x';
	}
	if (cooper_shape()->direct_map) {
		char *page = machine_direct(frame0 + ptoa(511));

		assert_int_equal(*page, 0);
		*page = 'x';
	}
}

/* The frames that the first run has dirtied, the second one does not have. */
static void
a_run_with_less_memory_follows_one_with_more(void **state)
{
	struct machine_shape less = direct;

	(void)state;
	less.physmem /= 2;
	assert_int_equal(run(&direct, dirties), SIM_FINISHED);
	assert_int_equal(run(&less, start_only), SIM_FINISHED);
	assert_int_equal(run(&direct, dirties), SIM_FINISHED);
}

static void
a_run_begins_with_clean_memory(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(run(i % 3 == 0 ? &mapped : &direct, dirties), SIM_FINISHED);
	expect_touch(&mapped, touch_never_mapped, "window + 0x2000, which was never mapped");
}

static char *left; /* in the last frame */

static void
leaves_something(void *arg)
{
	(void)arg;
	start_machine();
	left = machine_direct(frame0 + ptoa(511));
	assert_int_equal(*left, 0);
	memset(left, 'x', PAGE_SIZE);
	map(0, 7);
	assert_int_equal(*at(0), 0);
	*at(0) = 'y';
}

/* Searches fork: what a child's runs do to their frames is not seen in the parent, nor the reverse. */
static void
a_forked_driver_has_frames_of_its_own(void **state)
{
	(void)state;
	assert_int_equal(run(&direct, leaves_something), SIM_FINISHED);
	assert_true(hash_in_child(&direct, leaves_something, 1) ==
		    hash_in_child(&direct, leaves_something, 1));
	assert_true(hash_in_child(&direct, maps, 1) != 0); /* which clears them */
	assert_int_equal(left[0], 'x');
	assert_int_equal(left[PAGE_SIZE - 1], 'x');
	assert_int_equal(*at(0), 'y');
}

static void
impossible_shapes_are_refused(void **state)
{
	struct machine_shape shape = mapped;

	(void)state;
	shape.physmem = (uint64_t)1 << 50;
	assert_int_equal(run(&shape, dirties), SIM_STOPPED);
	assert_non_null(strstr(sim_end_line(), "at most"));
	shape = mapped;
	shape.ncpus = 0;
	assert_int_equal(run(&shape, dirties), SIM_STOPPED);
	assert_int_equal(run(&mapped, dirties), SIM_FINISHED);
}

/* ---- the parts of CPUs ------------------------------------------------------------------------------- */

static struct percpu cache[2];
static void *slots[4];
static int item[4];

static void
fill_part(void)
{
	unsigned cpu;
	struct percpu *part;

	memset(cache, 0, sizeof(cache));
	assert_null(percpu_pop(cache));
	assert_false(percpu_push(cache, item));
	part = percpu_enter(cache, &cpu);
	assert_int_equal(cpu, 0);
	assert_ptr_equal(part, &cache[0]);
	assert_true(percpu_entered());
	part->alloc.items = slots;
	part->alloc.max = 3;
	slots[0] = &item[0];
	slots[1] = &item[1];
	part->alloc.count = 2;
	part->alloc.open = true;
	assert_null(percpu_pop(cache)); /* entered: closed */
	percpu_exit(cache, cpu);
	assert_false(percpu_entered());
}

static void
part_fast(void *arg)
{
	struct percpu *part;

	(void)arg;
	start_machine();
	fill_part();
	assert_ptr_equal(percpu_pop(cache), &item[1]);
	assert_true(percpu_push(cache, &item[2]));
	assert_true(percpu_push(cache, &item[3]));
	assert_false(percpu_push(cache, &item[1]));
	assert_ptr_equal(percpu_pop(cache), &item[3]);
	machine_bind(1);
	assert_null(percpu_pop(cache)); /* another CPU's part */
	part = percpu_enter_cpu(cache, 0);
	assert_int_equal(part->pops, 2);
	assert_int_equal(part->pushes, 2);
	assert_int_equal(part->alloc.count, 2);
	part->alloc.open = false;
	percpu_exit(cache, 0);
	machine_bind(0);
	assert_null(percpu_pop(cache));
	assert_false(percpu_push_free(cache, item));
}

static void
part_closed(void *arg)
{
	(void)arg;
	start_machine();
	fill_part();
	assert_null(percpu_pop(cache));
	assert_false(percpu_push(cache, item));
}

static void
parts_are_open_unless_entered_or_debugged(void **state)
{
	(void)state;
	assert_int_equal(run(&direct, part_fast), SIM_FINISHED);
	assert_int_equal(count_of(SIM_ENTER), 2);
	assert_int_equal(count_of(SIM_EXIT), 2);
	assert_int_equal(nth(SIM_POP, 2)->value, 1);
	assert_int_equal(run(&mapped, part_closed), SIM_FINISHED);
}

static unsigned inside, popped;

static void
enters(void *arg)
{
	unsigned cpu;

	(void)arg;
	for (unsigned i = 0; i < 5; i++) {
		struct percpu *part = percpu_enter(cache, &cpu);
		uint16_t count = part->alloc.count;

		assert_int_equal(inside++, 0);
		sim_note("inside");
		assert_int_equal(part->alloc.count, count);
		inside--;
		percpu_exit(cache, cpu);
	}
}

static void
pops(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 5; i++) {
		int *got = percpu_pop(cache);

		if (got == NULL)
			continue;
		popped++;
		assert_int_equal(inside, 0);
		assert_int_equal(++*got, 1); /* nobody else has it */
		sim_note("with an item");
		--*got;
		while (!percpu_push(cache, got))
			sim_note("closed");
	}
}

static void
mixed(void *arg)
{
	(void)arg;
	start_machine();
	fill_part();
	inside = 0;
	memset(item, 0, sizeof(item));
	sim_start("enter", 0, enters, NULL);
	sim_start("pop", 0, pops, NULL);
	sim_start("enter", 0, enters, NULL);
	sim_start("pop", 0, pops, NULL);
}

static void
fast_and_slow_path_interleave(void **state)
{
	(void)state;
	popped = 0;
	for (uint64_t seed = 1; seed < 300; seed++) {
		script_random(seed);
		if (run(&direct, mixed) != SIM_FINISHED)
			fail_msg("seed %u: %s", (unsigned)seed, sim_end_line());
	}
	assert_true(popped > 300);
}

/* ---- the core ---------------------------------------------------------------------------------------- */

static uma_zone_t zone;

static void
allocates(void *arg)
{
	void *some[6];

	(void)arg;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 6; i++)
			assert_non_null(some[i] = uma_zalloc(zone, M_WAITOK));
		for (unsigned i = 0; i < 6; i++)
			uma_zfree(zone, some[i]);
	}
}

static void
core_run(void *arg)
{
	struct machine_shape shape;
	const char *why;

	(void)arg;
	assert_int_equal(machine_default_shape(&shape, &why), 0);
	assert_int_equal(cooper_start(&shape), 0);
	zone = uma_zcreate("test", 700, NULL, NULL, NULL, NULL, 7, 0);
	for (unsigned i = 0; i < 3; i++)
		sim_start("allocates", -1, allocates, NULL);
}

/*
 * The same answers give the same run, also after others, of other shapes, and in another process;
 * other answers give another.
 */
static void
two_runs_are_the_same_step_for_step(void **state)
{
	uint64_t hash[2][4], steps[2][4];

	(void)state;
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 4; i++) {
			script_random(i / 2 + 1);
			assert_int_equal(
			    run(i % 2 == 0 ? &mapped : &direct, core_run), SIM_FINISHED);
			hash[round][i] = sim_hash();
			steps[round][i] = sim_steps();
		}
	for (unsigned i = 0; i < 4; i++) {
		assert_true(hash[0][i] == hash[1][i]);
		assert_true(steps[0][i] == steps[1][i]);
		assert_true(hash[0][i] != hash[0][(i + 1) % 4]);
	}
}

static void
a_run_is_the_same_in_a_fresh_process(void **state)
{
	uint64_t fresh[2], *expected = *state;

	for (unsigned i = 0; i < 2; i++) {
		script_random(9);
		assert_int_equal(run(i == 0 ? &mapped : &direct, core_run), SIM_FINISHED);
		fresh[i] = sim_hash();
		assert_true(fresh[i] == expected[i]);
	}
}

/* Before the first run of this process. */
static int
in_children(void **state)
{
	static uint64_t hash[2];

	hash[0] = hash_in_child(&mapped, core_run, 9);
	hash[1] = hash_in_child(&direct, core_run, 9);
	*state = hash;
	return (0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_seen_wherever_it_is_mapped),
		cmocka_unit_test(touches_of_unmapped_memory_say_who_and_where),
		cmocka_unit_test(wrong_mappings_stop_the_run),
		cmocka_unit_test(a_run_begins_with_clean_memory),
		cmocka_unit_test(a_run_with_less_memory_follows_one_with_more),
		cmocka_unit_test(a_forked_driver_has_frames_of_its_own),
		cmocka_unit_test(impossible_shapes_are_refused),
		cmocka_unit_test(parts_are_open_unless_entered_or_debugged),
		cmocka_unit_test(fast_and_slow_path_interleave),
		cmocka_unit_test(two_runs_are_the_same_step_for_step),
		cmocka_unit_test(a_run_is_the_same_in_a_fresh_process),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return (cmocka_run_group_tests(tests, in_children, NULL));
}
