/*
 * SMR by the rules: who holds up which goal, wrapped and expired sequences, misuse.
 */
#include <stdlib.h>

#include "harness.h"
#include "smr/smr_int.h"

static void
without_readers_every_goal_is_reached(void **state)
{
	smr_t smr = smr_create("plain", 0, 0);
	smr_seq_t last = smr->wr;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		smr_seq_t goal = smr_advance(smr);

		assert_int_equal(goal & 1, 1);
		assert_true(smr_delta(goal, last) > 0);
		assert_true(smr_poll(smr, goal, false));
		last = goal;
	}
	smr_synchronize(smr);
	smr_destroy(smr);
}

static void
a_reader_holds_up_the_goals_after_it(void **state)
{
	smr_t smr = smr_create("reader", 0, 0);
	smr_seq_t before = smr_advance(smr), after;

	(void)state;
	assert_true(smr_poll(smr, before, false));
	smr_enter(smr);
	assert_true(smr_poll(smr, before, false));
	smr_exit(smr);
	assert_true(smr_poll(smr, before, false));
	after = smr_advance(smr);
	smr_enter(smr); /* it may see nothing that was unlinked, yet nobody knows before a poll */
	smr_exit(smr);
	assert_true(smr_poll(smr, after, false));
	smr_destroy(smr);
}

/* ---- other threads ------------------------------------------------------------------------------ */

/* A reader that does what it is told. */
struct reader {
	smr_t smr;
	struct mtx lock;
	struct waitq queue;
	bool in, want;
	struct side_thread *thread;
	int leave_on; /* CPU to go to before leaving; -1: stay */
};

static void
reader_main(void *arg)
{
	struct reader *r = arg;

	smr_enter(r->smr);
	mtx_lock(&r->lock);
	r->in = true;
	waitq_wake_all(&r->queue);
	mtx_unlock(&r->lock);
	for (bool want = true; want; machine_park(machine_now() + 100000)) {
		mtx_lock(&r->lock);
		want = r->want; /* a section must not sleep in the core's queues */
		mtx_unlock(&r->lock);
	}
	if (r->leave_on >= 0)
		machine_bind(r->leave_on);
	smr_exit(r->smr);
}

static void
reader_start(struct reader *r, smr_t smr, int cpu, int leave_on)
{
	r->smr = smr;
	r->in = false;
	r->want = true;
	r->leave_on = leave_on;
	mtx_init(&r->lock, "reader", RANK_KEG);
	waitq_init(&r->queue, "reader");
	r->thread = side_start(reader_main, r, cpu);
	mtx_lock(&r->lock);
	while (!r->in)
		waitq_sleep(&r->queue, &r->lock, 1, 0);
	mtx_unlock(&r->lock);
}

static void
reader_stop(struct reader *r)
{
	mtx_lock(&r->lock);
	r->want = false;
	mtx_unlock(&r->lock);
	side_join(r->thread);
	mtx_destroy(&r->lock);
}

static int
cpu_of(unsigned cpu)
{
	return (cooper_shape()->pin ? (int)(cpu % cooper_shape()->ncpus) : -1);
}

static void
two_readers_on_one_cpu(void **state)
{
	smr_t smr = smr_create("two", 0, 0);
	struct reader a, b;
	smr_seq_t goal;

	(void)state;
	reader_start(&a, smr, cpu_of(0), -1);
	reader_start(&b, smr, cpu_of(0), -1);
	goal = smr_advance(smr);
	assert_false(smr_poll(smr, goal, false));
	reader_stop(&a);
	assert_false(smr_poll(smr, goal, false)); /* its CPU is not idle: b is still in */
	reader_stop(&b);
	assert_true(smr_poll(smr, goal, false));
	smr_destroy(smr);
}

static void
a_reader_may_leave_on_another_cpu(void **state)
{
	smr_t smr = smr_create("migrant", 0, 0);
	struct reader a, b;
	smr_seq_t goal;

	(void)state;
	reader_start(&a, smr, cpu_of(0), cpu_of(1));
	reader_start(&b, smr, cpu_of(1), cpu_of(0));
	goal = smr_advance(smr);
	reader_stop(&a);
	assert_false(smr_poll(smr, goal, false));
	reader_stop(&b);
	assert_true(smr_poll(smr, goal, false));
	for (unsigned i = 0; i < smr->ncpus; i++)
		assert_int_equal(smr->cpu[i].in[0] | smr->cpu[i].in[1], 0);
	smr_destroy(smr);
}

/* A later reader, which cannot have seen the item, does not hold the goal up for ever. */
static void
later_readers_do_not_starve_a_goal(void **state)
{
	smr_t smr = smr_create("overlap", 0, 0);
	struct reader r[2];
	smr_seq_t goal;

	(void)state;
	reader_start(&r[0], smr, -1, -1);
	goal = smr_advance(smr);
	assert_false(smr_poll(smr, goal, false));
	for (unsigned i = 0; i < 4; i++) { /* there is always one in */
		reader_start(&r[(i + 1) % 2], smr, -1, -1);
		reader_stop(&r[i % 2]);
		assert_true(smr_poll(smr, goal, false));
	}
	reader_stop(&r[0]);
	smr_destroy(smr);
}

struct waiting {
	smr_t smr;
	smr_seq_t goal;
};

static void
wait_main(void *arg)
{
	struct waiting *w = arg;

	smr_wait(w->smr, w->goal);
	TEST_MUST(smr_poll(w->smr, w->goal, false));
}

static void
the_last_reader_wakes_who_waits(void **state)
{
	smr_t smr = smr_create("wake", 0, 0);
	struct side_thread *t[3];
	struct waiting w = { .smr = smr };
	struct reader a, b;

	(void)state;
	reader_start(&a, smr, cpu_of(0), -1);
	reader_start(&b, smr, cpu_of(1), -1);
	w.goal = smr_advance(smr);
	for (unsigned i = 0; i < 3; i++)
		t[i] = side_start(wait_main, &w, -1);
	wait_for_sleepers("smr", 3);
	reader_stop(&a);
	wait_for_sleepers("smr", 3);
	reader_stop(&b);
	for (unsigned i = 0; i < 3; i++)
		side_join(t[i]);
	assert_int_equal(smr->sleepers, 0);
	smr_destroy(smr);
}

static void
sections_of_several_contexts_nest(void **state)
{
	smr_t a = smr_create("a", 0, 0), b = smr_create("b", 0, 0);
	smr_seq_t goal_a, goal_b;

	(void)state;
	smr_enter(a);
	smr_enter(b);
	smr_exit(a); /* in any order */
	goal_a = smr_advance(a);
	assert_true(smr_poll(a, goal_a, false));
	smr_exit(b);
	goal_b = smr_advance(b);
	assert_true(smr_poll(b, goal_b, false));
	assert_int_equal(machine_thread_state()->smr_nest, 0);
	smr_destroy(a);
	smr_destroy(b);
}

/* ---- goals that are put off ------------------------------------------------------------------------ */

static void
deferred_goals_come_together(void **state)
{
	smr_t smr = smr_create("deferred", 4, SMR_DEFERRED);
	smr_seq_t start = smr->wr, goal[4];

	(void)state;
	machine_bind(cpu_of(0));
	NEED(cooper_shape()->pin);
	for (unsigned i = 0; i < 3; i++) {
		goal[i] = smr_advance(smr);
		assert_int_equal(smr->wr, start);
		assert_false(smr_poll(smr, goal[i], false));
	}
	goal[3] = smr_advance(smr);
	assert_int_equal(smr->wr, start + smr_step());
	for (unsigned i = 0; i < 4; i++)
		assert_true(smr_poll(smr, goal[i], false));
	goal[0] = smr_advance(smr);
	assert_false(smr_poll(smr, goal[0], false));
	smr_wait(smr, goal[0]); /* publishes it */
	assert_true(smr_poll(smr, goal[0], false));
	machine_bind(-1);
	smr_destroy(smr);
}

static void
lazy_goals_come_with_time(void **state)
{
	smr_t smr = smr_create("lazy", 0, SMR_LAZY);
	uint64_t end = machine_now() + 5000000000ull;
	uint32_t start = smr->wr;
	smr_seq_t goal = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		goal = smr_advance(smr);
	/* A thousand at once published a few goals at most, one a tick. */
	assert_true((smr->wr - start) / smr_step() < 500);
	smr_lazy_enter(smr);
	smr_lazy_exit(smr);
	while (!smr_poll(smr, goal, false))
		assert_true(machine_now() < end);
	smr_destroy(smr);
}

/* ---- R30 --------------------------------------------------------------------------------------------- */

static void
R30_goals_wrap(void **state)
{
	smr_t smr = smr_create("wrap", 0, 0);

	(void)state;
	smr->wr = smr->rd = UINT32_MAX - 20; /* odd */
	for (unsigned i = 0; i < 100; i++) {
		struct reader r;
		smr_seq_t goal;

		if (i % 10 == 0)
			reader_start(&r, smr, -1, -1);
		goal = smr_advance(smr);
		assert_int_not_equal(goal, 0);
		assert_int_equal(smr_poll(smr, goal, false), i % 10 != 0);
		if (i % 10 == 0)
			reader_stop(&r);
		assert_true(smr_poll(smr, goal, false));
	}
	smr_destroy(smr);
}

static void
R30_an_expired_goal_is_reached(void **state)
{
	smr_t smr = smr_create("expired", 0, 0);
	smr_seq_t old = smr_advance(smr);
	struct reader r;

	(void)state;
	/* 2^31 goals later nobody remembers it; a reader of today must not hold it up. */
	smr->wr = smr->rd = old + (1u << 31) + 1000;
	reader_start(&r, smr, -1, -1);
	assert_true(smr_poll(smr, old, false));
	smr_wait(smr, old);
	reader_stop(&r);
	smr_destroy(smr);
}

/* A reader that stays for ever so long: goals pile up, never wrap past it, and nobody waits. */
static void
R30_a_stale_reader_pins_its_goals(void **state)
{
	smr_t smr = smr_create("stale", 0, 0);
	smr_seq_t first, goal = 0;
	struct reader r;
	unsigned steps;

	(void)state;
	smr_synchronize(smr);
	reader_start(&r, smr, -1, -1);
	first = smr_advance(smr);
	if (!core_debug)
		smr->wr += SMR_MAX_DELTA - 1000; /* as if that many had been published */
	steps = SMR_MAX_DELTA / smr_step() + 100;
	for (unsigned i = 0; i < MIN(steps, 10000u); i++) {
		goal = smr_advance(smr);
		if (i % 64 == 0) {
			assert_false(smr_poll(smr, first, false));
			assert_false(smr_poll(smr, goal, false));
		}
	}
	assert_true(smr->wr - smr->rd <= SMR_MAX_DELTA + 2 * smr_step());
	assert_false(smr_poll(smr, first, false));
	assert_false(smr_poll(smr, goal, false));
	reader_stop(&r);
	assert_true(smr_poll(smr, first, false));
	smr_wait(smr, goal);
	assert_true(smr_poll(smr, goal, false));
	assert_true(smr_poll(smr, smr_advance(smr), false));
	smr_destroy(smr);
}

/* ---- misuse and failure ------------------------------------------------------------------------------ */

static smr_t misused;

static void
enter_twice(void *arg)
{
	(void)arg;
	smr_enter(misused);
	smr_enter(misused);
}

static void
exit_without_enter(void *arg)
{
	(void)arg;
	smr_exit(misused);
}

static void
wait_within(void *arg)
{
	(void)arg;
	smr_seq_t goal = smr_advance(misused);

	smr_enter(misused);
	smr_wait(misused, goal);
}

static void
advance_within(void *arg)
{
	(void)arg;
	smr_enter(misused);
	smr_advance(misused);
}

static void
sleep_within(void *arg)
{
	(void)arg;
	smr_enter(misused);
	sync_assert_may_sleep("a test");
}

static void
too_deep(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i <= THREAD_SMR_NEST; i++)
		smr_enter(smr_create("deep", 0, 0));
}

static void
lazily(void *arg)
{
	(void)arg;
	smr_lazy_enter(misused);
}

static int
bad_limit(void *arg)
{
	(void)arg;
	return (smr_create("limitless", 0, SMR_DEFERRED) != NULL);
}

static void
misuse_is_named(void **state)
{
	(void)state;
	misused = smr_create("misused", 0, 0);
	expect_stop(exit_without_enter, NULL, "smr_exit: misused: not in a read section");
	expect_stop(wait_within, NULL, "smr_wait: misused: in a read section");
	expect_stop(too_deep, NULL, "smr_enter: deep: 4 read sections are open");
	assert_int_equal(expect_misuse(bad_limit, NULL, "smr_create: limitless: limit 0"), 0);
	if (core_debug) {
		expect_stop(enter_twice, NULL, "smr_enter: misused: already in a read section");
		expect_stop(advance_within, NULL, "smr_advance: misused: in a read section");
		expect_stop(sleep_within, NULL, "a test: may sleep, but 1 SMR read sections");
		expect_stop(lazily, NULL, "smr_lazy_enter: misused is not lazy");
	}
	smr_destroy(misused);
}

static void
contexts_are_used_again(void **state)
{
	smr_t first = smr_create("first", 0, 0), again;

	(void)state;
	smr_destroy(first);
	for (unsigned i = 0; i < 1000; i++) {
		again = smr_create("again", 0, 0);
		assert_ptr_equal(again, first);
		smr_destroy(again);
	}
	cooper_inject_failure(1);
	assert_null(smr_create("none", 0, 0));
	cooper_inject_failure(0);
	again = smr_create("again", 0, 0);
	assert_ptr_equal(again, first);
	smr_destroy(again);
}

static void
child(void *arg)
{
	smr_t smr = arg;

	smr_fork_child();
	smr_exit(smr);        /* ours, from before the fork */
	smr_synchronize(smr); /* the other thread's reader is not here */
}

static void
a_forked_child_forgets_other_threads_readers(void **state)
{
	smr_t smr = smr_create("fork", 0, 0);
	struct reader r;

	(void)state;
	reader_start(&r, smr, -1, -1);
	smr_enter(smr);
	in_child(child, smr);
	smr_exit(smr);
	reader_stop(&r);
	smr_destroy(smr);
}

TEST_MAIN(cmocka_unit_test(without_readers_every_goal_is_reached),
    cmocka_unit_test(a_reader_holds_up_the_goals_after_it),
    cmocka_unit_test(two_readers_on_one_cpu), cmocka_unit_test(a_reader_may_leave_on_another_cpu),
    cmocka_unit_test(later_readers_do_not_starve_a_goal),
    cmocka_unit_test(the_last_reader_wakes_who_waits),
    cmocka_unit_test(sections_of_several_contexts_nest),
    cmocka_unit_test(deferred_goals_come_together), cmocka_unit_test(lazy_goals_come_with_time),
    cmocka_unit_test(R30_goals_wrap), cmocka_unit_test(R30_an_expired_goal_is_reached),
    cmocka_unit_test(R30_a_stale_reader_pins_its_goals), cmocka_unit_test(misuse_is_named),
    cmocka_unit_test(contexts_are_used_again),
    cmocka_unit_test(a_forked_child_forgets_other_threads_readers))
