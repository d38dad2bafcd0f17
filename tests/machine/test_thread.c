/*
 * Threads of the posix machine: locks exclude, permits are not lost, clocks go forward.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "harness.h"
#include "posix.h"
#include "base/atomic.h"

#define THREADS 8

/* ---- locks ------------------------------------------------------------------------------------------------ */

struct counter {
	struct machine_lock lock;
	uint64_t n; /* under the lock, and not atomic */
};

static void
count_up(struct test_thread *t)
{
	struct counter *c = t->arg;

	thread_barrier(t);
	for (unsigned i = 0; i < 20000; i++) {
		if (i % 3 != 0 || !machine_trylock(&c->lock))
			machine_lock(&c->lock);
		c->n++;
		machine_unlock(&c->lock);
	}
}

static void
locks_exclude(void **state)
{
	struct counter c = { { 0 }, 0 };

	(void)state;
	run_threads(THREADS, count_up, &c);
	assert_int_equal(c.n, THREADS * 20000);
	assert_int_equal(c.lock.word, 0);
	assert_true(machine_trylock(&c.lock));
	assert_false(machine_trylock(&c.lock));
	machine_unlock(&c.lock);
}

/* ---- parking ------------------------------------------------------------------------------------------------ */

static void
permit_comes_first(void **state)
{
	(void)state;
	machine_unpark(machine_thread_state());
	machine_unpark(machine_thread_state()); /* one permit, not two */
	machine_park(0);
	assert_int_equal(machine_thread_state()->park_word, 0);
}

static void
park_ends_at_deadline(void **state)
{
	uint64_t start = machine_now(), deadline = start + 2000000;
	unsigned parks = 0;

	(void)state;
	errno = 77;
	while (machine_now() < deadline) {
		machine_park(deadline);
		parks++;
	}
	assert_int_equal(errno, 77);
	assert_true(machine_now() - start < 5000000000ull);
	assert_in_range(parks, 1, 10); /* it slept; it did not spin */
	machine_park(1);               /* long past */
}

/* Two threads hand a turn to each other: a lost wakeup would leave both asleep. */
struct turns {
	struct thread_state *thread[2];
	uint32_t turn;
};

#define ROUNDS 20000

static void
take_turns(struct test_thread *t)
{
	struct turns *turns = t->arg;

	atomic_store_release(&turns->thread[t->index], machine_thread_state());
	thread_barrier(t);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		while (atomic_load_acquire(&turns->turn) != 2 * i + t->index)
			machine_park(0);
		atomic_store_release(&turns->turn, 2 * i + t->index + 1);
		machine_unpark(turns->thread[!t->index]);
	}
}

static void
no_wakeup_is_lost(void **state)
{
	struct turns turns = { { NULL, NULL }, 0 };

	(void)state;
	run_threads(2, take_turns, &turns);
	assert_int_equal(turns.turn, 2 * ROUNDS);
}

/* Many give permits to one, which counts what it was sent. */
struct mailbox {
	struct thread_state *owner;
	uint32_t mail;
};

static void
send_mail(struct test_thread *t)
{
	struct mailbox *box = t->arg;
	uint32_t seen = 0;

	if (t->index == 0)
		atomic_store_release(&box->owner, machine_thread_state());
	thread_barrier(t);
	if (t->index > 0) {
		for (unsigned i = 0; i < 2000; i++) {
			atomic_add_fetch(&box->mail, 1);
			machine_unpark(box->owner);
		}
		return;
	}
	while (seen < (t->count - 1) * 2000) {
		uint32_t got = atomic_exchange(&box->mail, 0);

		seen += got;
		if (got == 0)
			machine_park(0);
	}
}

static void
many_unparkers(void **state)
{
	struct mailbox box = { NULL, 0 };

	(void)state;
	run_threads(THREADS, send_mail, &box);
}

/* ---- identity ------------------------------------------------------------------------------------------------ */

struct identity {
	uint64_t id[THREADS];
	struct thread_state *state[THREADS];
	unsigned cpu[THREADS];
};

static void
who_am_i(struct test_thread *t)
{
	struct identity *who = t->arg;

	who->id[t->index] = machine_thread_id();
	who->state[t->index] = machine_thread_state();
	TEST_MUST(who->state[t->index]->held[1] == 0);
	who->cpu[t->index] = machine_cpu();
	thread_barrier(t);
}

static void
threads_are_told_apart(void **state)
{
	struct identity who;

	(void)state;
	run_threads(THREADS, who_am_i, &who);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_in_range(who.cpu[i], 0, cooper_shape()->ncpus - 1);
		if (cooper_shape()->pin)
			assert_int_equal(who.cpu[i], i % cooper_shape()->ncpus);
		for (unsigned k = 0; k < i; k++) {
			assert_true(who.id[i] != who.id[k]);
			assert_ptr_not_equal(who.state[i], who.state[k]);
		}
	}
}

static void
bind_to_all(struct test_thread *t)
{
	unsigned allowed = 0;

	(void)t;
	for (unsigned cpu = 0; cpu < cooper_shape()->ncpus; cpu++) {
		machine_bind((int)cpu);
		if (machine_thread_state()->bound_cpu == (int)cpu + 1) {
			TEST_MUST(machine_cpu() == cpu);
			allowed++;
		}
	}
	TEST_MUST(allowed > 0);
	machine_bind(-1);
	TEST_MUST(machine_thread_state()->bound_cpu == 0);
}

static void
binding_is_obeyed(void **state)
{
	(void)state;
	run_threads(3, bind_to_all, NULL);
}

static void
bind_nowhere(void *arg)
{
	(void)arg;
	machine_bind((int)cooper_shape()->ncpus);
}

static void
no_such_cpu_is_named(void **state)
{
	(void)state;
	expect_stop(bind_nowhere, NULL, "machine_bind: CPU ");
}

static void
child_has_its_own_id(void *arg)
{
	TEST_MUST(machine_thread_id() != *(uint64_t *)arg);
}

static void
forked_thread_is_another(void **state)
{
	uint64_t id = machine_thread_id();

	(void)state;
	in_child(child_has_its_own_id, &id);
}

/* ---- a thread of the core's own --------------------------------------------------------------------------------- */

static void
answer(void *arg)
{
	struct mailbox *box = arg;

	atomic_store_release(&box->mail, 42);
	machine_unpark(box->owner);
	for (;;)
		machine_park(0);
}

static void
core_thread_runs(void **state)
{
	static struct mailbox box;

	(void)state;
	box.owner = machine_thread_state();
	assert_true(machine_thread_start("cooper-test", answer, &box));
	while (atomic_load_acquire(&box.mail) == 0)
		machine_park(0);
	assert_int_equal(box.mail, 42);
	assert_false(machine_alone());
}

static void
time_goes_forward(void **state)
{
	uint64_t last = machine_now();

	(void)state;
	assert_true(last > 0);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t now = machine_now();

		assert_true(now >= last);
		last = now;
	}
}

TEST_MAIN(cmocka_unit_test(locks_exclude), cmocka_unit_test(permit_comes_first),
    cmocka_unit_test(park_ends_at_deadline), cmocka_unit_test(no_wakeup_is_lost),
    cmocka_unit_test(many_unparkers), cmocka_unit_test(threads_are_told_apart),
    cmocka_unit_test(binding_is_obeyed), cmocka_unit_test(no_such_cpu_is_named),
    cmocka_unit_test(forked_thread_is_another), cmocka_unit_test(core_thread_runs),
    cmocka_unit_test(time_goes_forward))
