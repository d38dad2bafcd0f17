/*
 * Waiting: in order, woken by the event, visible while it lasts and counted afterwards.
 */
#include <string.h>

#include "harness.h"
#include "base/atomic.h"

#define SLEEPERS 6

/* A pot of tokens with a queue: what every wait in the core looks like. */
struct pot {
	struct mtx lock;
	struct waitq queue;
	unsigned tokens;
	unsigned order[SLEEPERS], served;
};

static void
pot_init(struct pot *pot, const char *name)
{
	memset(pot, 0, sizeof(*pot));
	mtx_init(&pot->lock, name, RANK_ARENA);
	waitq_init(&pot->queue, name);
}

static void
pot_end(struct pot *pot)
{
	waitq_destroy(&pot->queue);
	mtx_destroy(&pot->lock);
}

struct customer {
	struct pot *pot;
	unsigned number;
};

/* First come, first served: who is woken takes its token under the lock that it is woken with. */
static void
take_token(void *arg)
{
	struct customer *c = arg;
	struct pot *pot = c->pot;

	mtx_lock(&pot->lock);
	while (pot->tokens == 0)
		TEST_MUST(waitq_sleep(&pot->queue, &pot->lock, 100 + c->number, 0) == 0);
	pot->tokens--;
	pot->order[pot->served++] = c->number;
	mtx_unlock(&pot->lock);
}

static const struct channel *found_channel;

static void
find_channel(const struct channel *ch, void *name)
{
	if (strcmp(ch->name, name) == 0)
		found_channel = ch;
}

static const struct channel *
channel(const char *name)
{
	found_channel = NULL;
	sync_each_channel(find_channel, (void *)(uintptr_t)name);
	return (found_channel);
}

struct seen {
	unsigned n;
	uint64_t need[SLEEPERS];
};

static void
see(const struct wait_info *info, void *arg)
{
	struct seen *seen = arg;

	TEST_MUST(strcmp(info->channel, "tokens") == 0);
	TEST_MUST(info->thread != 0 && info->thread != machine_thread_id());
	TEST_MUST(info->since <= machine_now());
	seen->need[seen->n++] = info->need;
}

static void
sleepers_are_seen_and_served_in_order(void **state)
{
	struct pot pot;
	struct customer customers[SLEEPERS];
	struct side_thread *side[SLEEPERS];
	struct seen seen = { 0 };

	(void)state;
	pot_init(&pot, "tokens");
	for (unsigned i = 0; i < SLEEPERS; i++) {
		customers[i] = (struct customer){ &pot, i };
		side[i] = side_start(take_token, &customers[i], -1);
		wait_for_sleepers("tokens", i + 1);
	}
	sync_each_wait(see, &seen);
	assert_int_equal(seen.n, SLEEPERS);
	for (unsigned i = 0; i < SLEEPERS; i++)
		assert_int_equal(seen.need[i], 100 + i);

	for (unsigned i = 0; i < SLEEPERS; i++) {
		mtx_lock(&pot.lock);
		pot.tokens++;
		assert_int_equal(waitq_wake_one(&pot.queue), 1);
		assert_int_equal(pot.queue.nwaiters, SLEEPERS - 1 - i);
		mtx_unlock(&pot.lock);
		side_join(side[i]); /* it is that one that was woken */
		assert_int_equal(pot.order[i], i);
	}
	memset(&seen, 0, sizeof(seen));
	sync_each_wait(see, &seen);
	assert_int_equal(seen.n, 0);
	assert_true(channel("tokens")->sleeps >= SLEEPERS);
	assert_int_equal(channel("tokens")->timeouts, 0);
	assert_true(channel("tokens")->total_ns >= channel("tokens")->max_ns);
	assert_true(channel("tokens")->max_ns > 0);
	mtx_lock(&pot.lock);
	assert_int_equal(waitq_wake_one(&pot.queue), 0);
	assert_int_equal(waitq_wake_all(&pot.queue), 0);
	mtx_unlock(&pot.lock);
	pot_end(&pot);
}

static void
wake_all_wakes_all(void **state)
{
	struct pot pot;
	struct customer customers[SLEEPERS];
	struct side_thread *side[SLEEPERS];

	(void)state;
	pot_init(&pot, "everybody");
	for (unsigned i = 0; i < SLEEPERS; i++) {
		customers[i] = (struct customer){ &pot, i };
		side[i] = side_start(take_token, &customers[i], -1);
	}
	wait_for_sleepers("everybody", SLEEPERS);
	mtx_lock(&pot.lock);
	pot.tokens = SLEEPERS;
	assert_int_equal(waitq_wake_all(&pot.queue), SLEEPERS);
	mtx_unlock(&pot.lock);
	for (unsigned i = 0; i < SLEEPERS; i++)
		side_join(side[i]);
	assert_int_equal(pot.tokens, 0);
	pot_end(&pot);
}

static void
deadline_ends_sleep(void **state)
{
	struct pot pot;
	uint64_t start = machine_now();

	(void)state;
	pot_init(&pot, "patience");
	mtx_lock(&pot.lock);
	assert_int_equal(waitq_sleep(&pot.queue, &pot.lock, 1, start + 1000000), COOPER_ETIMEDOUT);
	assert_true(mtx_owned(&pot.lock));
	assert_int_equal(pot.queue.nwaiters, 0);
	mtx_unlock(&pot.lock);
	assert_true(machine_now() >= start + 1000000);
	assert_int_equal(channel("patience")->sleeps, 1);
	assert_int_equal(channel("patience")->timeouts, 1);
	pot_end(&pot);
}

/* Channels with one name share their counters, and outlive the queues. */
static void
channels_outlive_queues(void **state)
{
	const struct channel *first;
	struct pot pot;
	char name[16] = "shared";

	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		strcpy(name, "shared");
		pot_init(&pot, name);
		mtx_lock(&pot.lock);
		waitq_sleep(&pot.queue, &pot.lock, 1, 1);
		mtx_unlock(&pot.lock);
		pot_end(&pot);
		memset(name, 0, sizeof(name));
		assert_non_null(first = channel("shared"));
		assert_int_equal(first->sleeps, i);
	}
}

/* A storm of sleepers, wakers and deadlines: every token is taken once, nobody stays asleep. */
#define STORM 4000

static void
storm(struct test_thread *t)
{
	struct pot *pot = t->arg;
	uint64_t seed = t->index;

	thread_barrier(t);
	for (unsigned i = 0; i < STORM; i++) {
		mtx_lock(&pot->lock);
		if (t->index % 2 == 0) {
			pot->tokens++;
			waitq_wake_one(&pot->queue);
		} else {
			while (pot->tokens == 0)
				waitq_sleep(&pot->queue, &pot->lock, 1,
				    test_random(&seed) % 4 != 0 ? 0 : machine_now() + 20000);
			pot->tokens--;
		}
		mtx_unlock(&pot->lock);
	}
}

static void
nobody_stays_asleep(void **state)
{
	struct pot pot;

	(void)state;
	pot_init(&pot, "storm");
	run_threads(8, storm, &pot);
	assert_int_equal(pot.tokens, 0);
	assert_int_equal(pot.queue.nwaiters, 0);
	pot_end(&pot);
}

static void
sleep_without_lock(void *arg)
{
	struct pot *pot = arg;

	waitq_sleep(&pot->queue, &pot->lock, 1, 0);
}

static void
sleep_with_another_lock(void *arg)
{
	struct pot *pot = arg;
	struct mtx list;

	mtx_init(&list, "list of zones", RANK_ZONES);
	mtx_lock(&list);
	mtx_lock(&pot->lock);
	waitq_sleep(&pot->queue, &pot->lock, 1, 0);
}

static void
misuse_is_named(void **state)
{
	struct pot pot;

	(void)state;
	NEED(cooper_shape()->debug);
	pot_init(&pot, "misused");
	expect_stop(sleep_without_lock, &pot, "waitq_sleep: misused: misused is not held");
	expect_stop(
	    sleep_with_another_lock, &pot, "misused: may sleep, but list of zones (ZONES) is held");
	pot_end(&pot);
}

TEST_MAIN(cmocka_unit_test(sleepers_are_seen_and_served_in_order),
    cmocka_unit_test(wake_all_wakes_all), cmocka_unit_test(deadline_ends_sleep),
    cmocka_unit_test(channels_outlive_queues), cmocka_unit_test(nobody_stays_asleep),
    cmocka_unit_test(misuse_is_named))
