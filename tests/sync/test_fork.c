/*
 * Fork from a process with busy threads: the child finds every lock free and everything they guard
 * whole, and can go on.
 */
#define _GNU_SOURCE
#include <string.h>

#include "harness.h"
#include "machine/percpu.h"
#include "base/atomic.h"

#define WORKERS 4
#define LOCKS   6
#define FORKS   60

/* Each lock guards a pair that is equal whenever the lock is free. */
static struct guarded {
	struct mtx lock;
	uint64_t a, b;
} guarded[LOCKS];
static struct waitq queue;
static struct percpu *cache;
static uint32_t stop;

/* Long enough for a fork to fall into. */
static void
linger(void)
{
	for (volatile unsigned i = 0; i < 2000; i++)
		;
}

static void
work(uint64_t *seed)
{
	static const enum lock_rank ranks[] = { RANK_ARENA, RANK_KEG, RANK_PAGE };
	struct guarded *g = &guarded[test_random(seed) % LOCKS];
	struct percpu *part;
	struct mtx fresh;
	unsigned cpu;

	if (test_random(seed) % 4 == 0) {
		linger();
		mtx_lock(&g->lock);
		g->a++;
		mtx_init(&fresh, "fresh", ranks[test_random(seed) % 3]); /* while holding another */
		mtx_destroy(&fresh);
		g->b++;
		mtx_unlock(&g->lock);
	} else {
		mtx_lock(&g->lock);
		g->a++;
		linger();
		g->b++;
		mtx_unlock(&g->lock);
	}
	part = percpu_enter(cache, &cpu);
	part->pops++;
	linger();
	part->pushes++;
	percpu_exit(cache, cpu);
}

static void
worker(void *arg)
{
	uint64_t seed = (uintptr_t)arg;

	while (!atomic_load_relaxed(&stop))
		work(&seed);
}

static void
sleeper(void *arg)
{
	(void)arg;
	mtx_lock(&guarded[0].lock);
	waitq_sleep(&queue, &guarded[0].lock, 1, 0);
	mtx_unlock(&guarded[0].lock);
}

static void
setup(void)
{
	static const enum lock_rank ranks[LOCKS] = { RANK_ARENAS, RANK_ARENA, RANK_KEG, RANK_KEG,
		RANK_PAGE, RANK_WAIT };
	static bool done;

	if (done)
		return;
	done = true;
	for (unsigned i = 0; i < LOCKS; i++)
		mtx_init(&guarded[i].lock, "guarded", ranks[i]);
	waitq_init(&queue, "sleepers");
	cache = machine_boot_alloc(cooper_shape()->ncpus * sizeof(*cache), PERCPU_STRIDE);
}

static void
fork_alone(void *arg)
{
	uint64_t seed = 3;

	(void)arg;
	for (unsigned i = 0; i < 100; i++)
		work(&seed);
}

static void
check_child(void *arg)
{
	uint64_t seed = 1;

	(void)arg;
	for (unsigned i = 0; i < LOCKS; i++) {
		TEST_MUST(guarded[i].lock.lock.word == 0);
		TEST_MUST(guarded[i].a == guarded[i].b);
	}
	for (unsigned cpu = 0; cpu < cooper_shape()->ncpus; cpu++) {
		struct percpu *part = percpu_enter_cpu(cache, cpu);

		TEST_MUST(part->pops == part->pushes);
		percpu_exit(cache, cpu);
	}
	TEST_MUST(queue.nwaiters == 0 && list_empty(&queue.waiters));
	TEST_MUST(list_empty(&sync_waiting));
	for (unsigned i = 0; i < 1000; i++)
		work(&seed);
	/* The queue of the sleepers that are gone works. */
	mtx_lock(&guarded[0].lock);
	TEST_MUST(
	    waitq_sleep(&queue, &guarded[0].lock, 1, machine_now() + 1000) == COOPER_ETIMEDOUT);
	mtx_unlock(&guarded[0].lock);
	in_child(fork_alone, NULL); /* and a child's child */
}

static void
child_is_whole(void **state)
{
	struct side_thread *side[WORKERS], *asleep;

	(void)state;
	setup();
	stop = 0;
	asleep = side_start(sleeper, NULL, -1);
	wait_for_sleepers("sleepers", 1);
	for (uintptr_t i = 0; i < WORKERS; i++)
		side[i] = side_start(worker, (void *)i, (int)(i % cooper_shape()->ncpus));
	for (unsigned i = 0; i < FORKS; i++)
		in_child(check_child, NULL);
	atomic_store_relaxed(&stop, 1);
	for (unsigned i = 0; i < WORKERS; i++)
		side_join(side[i]);
	/* The parent's sleeper is still there and is woken as ever. */
	mtx_lock(&guarded[0].lock);
	assert_int_equal(waitq_wake_all(&queue), 1);
	mtx_unlock(&guarded[0].lock);
	side_join(asleep);
	for (unsigned i = 0; i < LOCKS; i++)
		assert_int_equal(guarded[i].a, guarded[i].b);
}

/* Before any second thread: nothing is taken, and the child works all the same. */
static void
lone_fork_takes_nothing(void **state)
{
	(void)state;
	NEED(machine_alone());
	setup();
	sync_fork_prepare();
	for (unsigned i = 0; i < LOCKS; i++)
		assert_int_equal(guarded[i].lock.lock.word, 0);
	sync_fork_parent();
	in_child(fork_alone, NULL);
}

TEST_MAIN(cmocka_unit_test(lone_fork_takes_nothing), cmocka_unit_test(child_is_whole))
