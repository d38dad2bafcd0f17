/*
 * Fibers, choices, locks, parking, time: the machine without the core above it.
 */
#include "sim_test.h"

static struct machine_lock a, b;
static char order[64];
static unsigned norder;

static void
mark(char c)
{
	order[norder++] = c;
	order[norder] = '\0';
}

static enum sim_end
fresh_run(void (*fn)(void *))
{
	a.word = b.word = 0;
	norder = 0;
	order[0] = '\0';
	return (run(&mapped, fn));
}

/* ---- choices -------------------------------------------------------------------------------------- */

static void
letter(void *arg)
{
	mark(*(const char *)arg);
	sim_note("between");
	mark(*(const char *)arg);
}

static void
three_letters(void *arg)
{
	(void)arg;
	sim_start("x", -1, letter, "x");
	sim_start("y", 0, letter, "y");
	mark('m');
}

static void
default_is_go_on_then_the_next(void **state)
{
	(void)state;
	assert_int_equal(fresh_run(three_letters), SIM_FINISHED);
	assert_string_equal(order, "mxxyy");
	assert_int_equal(count_of(SIM_START), 2);
	assert_int_equal(count_of(SIM_END), 3);
	assert_int_equal(count_of(SIM_SWITCH), 2);
	assert_int_equal(count_of(SIM_MIGRATE), 0);
	assert_int_equal(sim_fibers(), 3);
	/* start, start, m's end, then note and end of each; who goes on after m and x is asked, too */
	assert_int_equal(sim_steps(), 9);
	assert_int_equal(sim_now(), SIM_START_NS + 9 * SIM_POINT_NS);
}

/* Step 2 is the start of y: x goes first. Step 4 is x's end, after which y is not yet there. */
static void
deviations_are_answers_by_step(void **state)
{
	static const struct sim_deviation early[] = { { 2, SIM_CHOOSE_FIBER, 1 } }, back[] = {
		{ 2, SIM_CHOOSE_FIBER, 1 }, { 3, SIM_CHOOSE_FIBER, 0 }, { 4, SIM_CHOOSE_FIBER, 2 }
	};

	(void)state;
	script(early, 1);
	assert_int_equal(fresh_run(three_letters), SIM_FINISHED);
	assert_string_equal(order, "xxmyy");
	script(back, 3);
	assert_int_equal(fresh_run(three_letters), SIM_FINISHED);
	assert_string_equal(order, "xmyyx");
}

static unsigned cpu_seen[2];

static void
where(void *arg)
{
	(void)arg;
	cpu_seen[0] = machine_cpu();
	sim_note("here");
	cpu_seen[1] = machine_cpu();
}

static void
start_where(void *arg)
{
	(void)arg;
	sim_start("where", norder == 0 ? -1 : 1, where, NULL);
	sim_note("main");
	sim_note("main");
}

static void
bound_starts(void *arg)
{
	norder = 1;
	start_where(arg);
}

/* Step 2: where() begins on CPU 1; step 3: main again; step 4: where() goes on, on CPU 0. */
static void
unbound_fibers_move_only_when_switched_to(void **state)
{
	static const struct sim_deviation moves[] = { { 2, SIM_CHOOSE_FIBER, 1 },
		{ 3, SIM_CHOOSE_FIBER, 0 }, { 4, SIM_CHOOSE_FIBER, 1 }, { 4, SIM_CHOOSE_CPU, 0 } };

	(void)state;
	script(moves, 4);
	assert_int_equal(fresh_run(start_where), SIM_FINISHED);
	assert_int_equal(cpu_seen[0], 1);
	assert_int_equal(cpu_seen[1], 0);
	assert_int_equal(count_of(SIM_MIGRATE), 1);
	assert_int_equal(nth(SIM_MIGRATE, 0)->fiber, 1);
	script(moves, 4); /* bound to CPU 1: nobody asks where */
	assert_int_equal(fresh_run(bound_starts), SIM_FINISHED);
	assert_int_equal(cpu_seen[1], 1);
	assert_int_equal(count_of(SIM_MIGRATE), 0);
	assert_int_equal(seen.asked[SIM_CHOOSE_CPU], 0);
}

static unsigned
never_a_candidate(void *arg, enum sim_choice what, uint64_t candidates, unsigned dflt)
{
	(void)arg;
	(void)what;
	(void)candidates;
	(void)dflt;
	return (63);
}

static void
wrong_answers_end_the_run(void **state)
{
	struct sim_driver driver = { .choose = never_a_candidate, .max_steps = 100 };

	(void)state;
	sim_ask_at = 0;
	norder = 0;
	assert_int_equal(sim_run(&mapped, &driver, three_letters, NULL), SIM_STOPPED);
	assert_non_null(strstr(sim_end_line(), "63"));
}

static void
not_asked_before_its_time(void **state)
{
	struct sim_driver driver = { .choose = never_a_candidate, .max_steps = 100 };

	(void)state;
	sim_ask_at = UINT64_MAX;
	norder = 0;
	/* The main fiber's end leaves two candidates: that is asked, always. */
	assert_int_equal(sim_run(&mapped, &driver, three_letters, NULL), SIM_STOPPED);
	assert_string_equal(order, "m");
}

/* ---- locks ---------------------------------------------------------------------------------------- */

static void
take_both(struct machine_lock *first, struct machine_lock *second, char c)
{
	machine_lock(first);
	machine_lock(second);
	mark(c);
	machine_unlock(second);
	machine_unlock(first);
}

static void
b_then_a(void *arg)
{
	(void)arg;
	take_both(&b, &a, '2');
}

static void
crossed_locks(void *arg)
{
	(void)arg;
	sim_start("other", -1, b_then_a, NULL);
	take_both(&a, &b, '1');
}

static void
crossed_locks_deadlock_in_one_order(void **state)
{
	static const struct sim_deviation between[] = { { 3, SIM_CHOOSE_FIBER, 1 } };
	struct sim_fiber_info info;

	(void)state;
	assert_int_equal(fresh_run(crossed_locks), SIM_FINISHED);
	assert_string_equal(order, "12");
	assert_int_equal(count_of(SIM_BLOCK), 0);
	script(between, 1);
	assert_int_equal(fresh_run(crossed_locks), SIM_DEADLOCK);
	assert_string_equal(order, "");
	assert_int_equal(count_of(SIM_BLOCK), 2);
	sim_fiber(0, &info);
	assert_int_equal(info.state, SIM_BLOCKED);
	assert_ptr_equal(info.on, &b);
	sim_fiber(1, &info);
	assert_ptr_equal(info.on, &a);
	assert_string_equal(info.name, "other");
}

static void
contender(void *arg)
{
	machine_lock(&a);
	mark(*(const char *)arg);
	machine_unlock(&a);
}

static void
holder(void *arg)
{
	(void)arg;
	sim_start("x", -1, contender, "x");
	sim_start("y", -1, contender, "y");
	machine_lock(&a);
	sim_note("held");
	mark('m');
	machine_unlock(&a);
	sim_note("after");
	mark('n');
}

/* Both wait for the lock; whoever gets it first, the other waits on, and is no candidate. */
static void
waiters_for_a_lock_come_in_any_order(void **state)
{
	static const struct sim_deviation y_first[] = { { 4, SIM_CHOOSE_FIBER, 1 },
		{ 10, SIM_CHOOSE_FIBER, 2 } };

	(void)state;
	script(y_first, 2);
	assert_int_equal(fresh_run(holder), SIM_FINISHED);
	assert_int_equal(count_of(SIM_BLOCK), 2);
	assert_int_equal(count_of(SIM_LOCK), 3);
	assert_string_equal(order, "mynx");
	for (uint64_t seed = 1; seed < 200; seed++) {
		script_random(seed);
		assert_int_equal(fresh_run(holder), SIM_FINISHED);
		assert_int_equal(strlen(order), 4);
	}
}

static void
itself(void *arg)
{
	(void)arg;
	assert_true(machine_trylock(&a));
	assert_false(machine_trylock(&a));
	machine_lock(&a);
}

static void
a_lock_of_ones_own_is_a_deadlock(void **state)
{
	(void)state;
	assert_int_equal(fresh_run(itself), SIM_DEADLOCK);
	assert_int_equal(nth(SIM_TRYLOCK, 0)->value, 1);
	assert_int_equal(nth(SIM_TRYLOCK, 1)->value, 0);
}

/* ---- parking and time ------------------------------------------------------------------------------ */

static struct thread_state *sleeper;

static void
sleeps(void *arg)
{
	(void)arg;
	sleeper = machine_thread_state();
	machine_park(0);
	mark('s');
}

static void
wakes(void *arg)
{
	(void)arg;
	sim_start("sleeper", -1, sleeps, NULL);
	sim_note("before");
	if (sleeper != NULL)
		machine_unpark(sleeper);
	mark('w');
}

static void
a_permit_is_kept_and_a_sleeper_without_one_is_a_deadlock(void **state)
{
	/* The sleeper runs up to its park, which has not happened yet; the permit comes first. */
	static const struct sim_deviation first[] = { { 2, SIM_CHOOSE_FIBER, 1 },
		{ 3, SIM_CHOOSE_FIBER, 0 } };
	/* It is parked when the permit comes. */
	static const struct sim_deviation later[] = { { 2, SIM_CHOOSE_FIBER, 1 } };
	struct sim_fiber_info info;

	(void)state;
	sleeper = NULL;
	script(first, 2);
	assert_int_equal(fresh_run(wakes), SIM_FINISHED);
	assert_int_equal(count_of(SIM_PARK), 0);
	assert_int_equal(nth(SIM_WAKE, 0)->value, 1);
	sleeper = NULL;
	script(later, 1);
	assert_int_equal(fresh_run(wakes), SIM_FINISHED);
	assert_int_equal(count_of(SIM_PARK), 1);
	assert_int_equal(nth(SIM_WAKE, 0)->value, 1);
	sleeper = NULL; /* by default it starts after the waker has gone */
	assert_int_equal(fresh_run(wakes), SIM_DEADLOCK);
	sim_fiber(1, &info);
	assert_int_equal(info.state, SIM_PARKED);
	assert_int_equal(info.deadline, 0);
}

static void
sleeps_long(void *arg)
{
	uint64_t until = *(const uint64_t *)arg;

	machine_park(until);
	assert_true(sim_now() >= until);
	mark(until == 15000000000 ? '5' : '9');
}

static void
two_sleepers(void *arg)
{
	static const uint64_t at[] = { 19000000000, 15000000000, 19000000000 };

	(void)arg;
	for (unsigned i = 0; i < 3; i++)
		sim_start("sleeper", -1, sleeps_long, (void *)&at[i]);
}

static void
time_jumps_to_the_next_deadline(void **state)
{
	(void)state;
	assert_int_equal(fresh_run(two_sleepers), SIM_FINISHED);
	assert_string_equal(order, "599");
	assert_true(sim_now() >= 19000000000 && sim_now() < 19000100000);
	assert_true(sim_steps() < 20);
	assert_int_equal(seen.asked[SIM_CHOOSE_WAKE], 1);
	assert_int_equal(nth(SIM_WAKE, 0)->value, 0);
}

static void
short_sleeper(void *arg)
{
	(void)arg;
	machine_park(machine_now() + 10 * SIM_POINT_NS);
	mark('s');
}

static void
busy(void *arg)
{
	(void)arg;
	sim_start("sleeper", -1, short_sleeper, NULL);
	for (unsigned i = 0; i < 30; i++) {
		sim_note("busy");
		if (i == 12)
			mark('b');
	}
	mark('e');
}

/* The deadline passes while another runs: from then on the sleeper is a candidate, not before. */
static void
deadlines_pass_while_others_run(void **state)
{
	static const struct sim_deviation start[] = { { 2, SIM_CHOOSE_FIBER, 1 },
		{ 18, SIM_CHOOSE_FIBER, 1 } };

	(void)state;
	script(start, 2);
	assert_int_equal(fresh_run(busy), SIM_FINISHED);
	assert_string_equal(order, "bse");
	script(start, 1);
	assert_int_equal(fresh_run(busy), SIM_FINISHED);
	assert_string_equal(order, "bes");
}

/* A deadline of one who was woken before it is no time to jump to. */
static void
woken_early(void *arg)
{
	(void)arg;
	machine_park(SIM_START_NS + 1000000000);
	mark('s');
	machine_park(machine_now() + 1000);
}

static void
wakes_early(void *arg)
{
	(void)arg;
	sleeper = NULL;
	sim_start("sleeper", -1, woken_early, NULL);
	machine_park(machine_now() + 500);
	for (unsigned i = 0; i < sim_fibers(); i++) {
		struct sim_fiber_info info;

		sim_fiber(i, &info);
		if (i == 1)
			machine_unpark(info.thread);
	}
	machine_park(machine_now() + 100000);
}

static void
stale_deadlines_do_not_move_time(void **state)
{
	(void)state;
	assert_int_equal(fresh_run(wakes_early), SIM_FINISHED);
	assert_true(sim_now() < SIM_START_NS + 200000);
}

/* ---- held fibers ---------------------------------------------------------------------------------- */

static void
holds(void *arg)
{
	(void)arg;
	sim_hold(20);
	mark('h');
	assert_int_equal(sim_steps(), 20);
}

static void
busy_with_held(void *arg)
{
	(void)arg;
	machine_thread_start("held", holds, NULL);
	machine_park(machine_now() + 1000);
	for (unsigned i = 0; i < 30; i++)
		sim_note("busy");
	mark('e');
}

static void
idle_with_held(void *arg)
{
	(void)arg;
	machine_thread_start("held", holds, NULL);
	machine_park(0);
}

static void
a_held_fiber_goes_on_at_its_step(void **state)
{
	(void)state;
	assert_int_equal(fresh_run(busy_with_held), SIM_FINISHED);
	assert_string_equal(order, "he");
	assert_int_equal(fresh_run(idle_with_held), SIM_DEADLOCK);
}

/* ---- ends ------------------------------------------------------------------------------------------ */

static void
forever(void *arg)
{
	(void)arg;
	for (;;)
		sim_note("again");
}

static void
daemon_forever(void *arg)
{
	(void)arg;
	machine_thread_start("daemon", forever, NULL);
	mark('m');
}

static void
breeds(void *arg)
{
	sim_start("child", -1, breeds, arg);
	machine_park(0);
}

static void
panics(void *arg)
{
	(void)arg;
	core_warn("a warning of %u", 1u);
	core_warn("another");
	core_panic("a reason: %u", 7u);
}

static void
stops(void *arg)
{
	(void)arg;
	sim_stop("enough of %s", "this");
	mark('!');
}

static void
ends_are_told_apart(void **state)
{
	(void)state;
	assert_int_equal(fresh_run(forever), SIM_STEPS);
	assert_int_equal(fresh_run(daemon_forever), SIM_FINISHED);
	assert_int_equal(fresh_run(breeds), SIM_STOPPED);
	assert_non_null(strstr(sim_end_line(), "64"));
	assert_int_equal(fresh_run(panics), SIM_PANIC);
	assert_string_equal(sim_end_line(), "a reason: 7");
	assert_non_null(strstr(sim_printed(), "a warning of 1"));
	assert_int_equal(fresh_run(stops), SIM_STOPPED);
	assert_string_equal(sim_end_line(), "enough of this");
	assert_string_equal(order, "");
	assert_string_equal(sim_printed(), "");
}

static void
stop_at_park(void *arg, const struct sim_event *ev)
{
	(void)arg;
	if (ev->kind == SIM_PARK)
		sim_stop("an oracle's finding at step %llu", (unsigned long long)ev->step);
}

static unsigned
dflt_only(void *arg, enum sim_choice what, uint64_t candidates, unsigned dflt)
{
	(void)arg;
	(void)what;
	(void)candidates;
	return (dflt);
}

static void
an_event_may_end_the_run(void **state)
{
	struct sim_driver driver = { dflt_only, stop_at_park, NULL, 1000 };

	(void)state;
	norder = 0;
	sim_ask_at = UINT64_MAX;
	assert_int_equal(sim_run(&mapped, &driver, two_sleepers, NULL), SIM_STOPPED);
	assert_non_null(strstr(sim_end_line(), "at step 6"));
}

/* ---- call paths ------------------------------------------------------------------------------------ */

static uintptr_t inner_caller, main_at;

static NOINLINE void
inner(void)
{
	inner_caller = (uintptr_t)__builtin_return_address(0);
	machine_park(0);
	__asm__ volatile(""); /* no tail call */
}

static void
outer(void *arg)
{
	(void)arg;
	inner();
	mark('!');
}

static bool
on_path(unsigned fiber, uintptr_t place)
{
	uintptr_t pc[16];
	unsigned n = sim_stack(fiber, pc, 16);

	for (unsigned i = 0; i < n; i++)
		if (pc[i] == place)
			return (true);
	return (false);
}

static NOINLINE void
middle(void)
{
	main_at = (uintptr_t)__builtin_return_address(0);
	assert_true(on_path(0, main_at));
	machine_park(0);
	__asm__ volatile("");
}

static void
starts_outer(void *arg)
{
	(void)arg;
	sim_start("outer", -1, outer, NULL);
	middle();
	mark('!');
}

static void
call_paths_of_all_fibers_are_known(void **state)
{
	(void)state;
	assert_int_equal(fresh_run(starts_outer), SIM_DEADLOCK);
	assert_true(on_path(0, main_at));
	assert_true(on_path(1, inner_caller));
	assert_false(on_path(1, main_at));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_is_go_on_then_the_next),
		cmocka_unit_test(deviations_are_answers_by_step),
		cmocka_unit_test(unbound_fibers_move_only_when_switched_to),
		cmocka_unit_test(wrong_answers_end_the_run),
		cmocka_unit_test(not_asked_before_its_time),
		cmocka_unit_test(crossed_locks_deadlock_in_one_order),
		cmocka_unit_test(waiters_for_a_lock_come_in_any_order),
		cmocka_unit_test(a_lock_of_ones_own_is_a_deadlock),
		cmocka_unit_test(a_permit_is_kept_and_a_sleeper_without_one_is_a_deadlock),
		cmocka_unit_test(time_jumps_to_the_next_deadline),
		cmocka_unit_test(deadlines_pass_while_others_run),
		cmocka_unit_test(stale_deadlines_do_not_move_time),
		cmocka_unit_test(a_held_fiber_goes_on_at_its_step),
		cmocka_unit_test(ends_are_told_apart),
		cmocka_unit_test(an_event_may_end_the_run),
		cmocka_unit_test(call_paths_of_all_fibers_are_known),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
