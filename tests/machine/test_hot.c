/*
 * The zones' fast path under fire, as calls and inline in a program's own code: threads that are moved from
 * CPU to CPU, caches that are drained from afar, signal handlers that allocate, fork. No item is ever
 * two owners', and the zone's books are exact.
 */
#define _GNU_SOURCE
#define COOPER_INLINE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "posix.h"
#include "uma/uma_int.h"

#define WORKERS 4
#define HAND    40

static uma_zone_t zone;
static uint64_t allocations; /* all threads' */
static uint32_t running;
static int tids[WORKERS]; /* 0: not yet running */
static uint32_t moving;

/* An item's first word is its owner: 0 while it is the zone's. */
static void *
take(unsigned me, bool inlined)
{
	uint32_t *item =
	    inlined ? uma_zalloc(zone, M_NOWAIT) : uma_zalloc_arg(zone, NULL, M_NOWAIT);

	TEST_MUST(item != NULL);
	TEST_MUST(atomic_exchange(item, me + 1) == 0);
	return (item);
}

static void
give(void *item, unsigned me, bool inlined)
{
	TEST_MUST(atomic_exchange((uint32_t *)item, 0) == me + 1);
	if (inlined)
		uma_zfree(zone, item);
	else
		uma_zfree_arg(zone, item, NULL);
}

/* Items keep their owner word between users; the debug shape fills them, so there init does nothing. */
static int
owned_by_nobody(void *mem, int size, int flags)
{
	(void)flags;
	memset(mem, 0, (size_t)size);
	return (0);
}

static void
new_zone(void)
{
	zone = uma_zcreate("hot", 64, NULL, NULL, owned_by_nobody, NULL, UMA_ALIGN_PTR, 0);
	allocations = 0;
}

static void
books_are_exact(void)
{
	struct uma_zone_stat st;

	uma_zone_get_stat(zone, &st);
	assert_int_equal(st.used, 0);
	assert_int_equal(st.req, allocations);
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	uma_zone_get_stat(zone, &st);
	assert_int_equal(st.cached_cpu + st.cached_depot, 0);
	uma_zdestroy(zone);
}

/* ---- forced migration ----------------------------------------------------------------------------------- */

static void
take_and_give(struct test_thread *t)
{
	uint64_t seed = t->index, made = 0;
	void *hand[HAND];

	atomic_store_relaxed(&tids[t->index], (int)syscall(SYS_gettid));
	thread_barrier(t);
	while (atomic_load_relaxed(&moving)) {
		unsigned n = (unsigned)(test_random(&seed) % HAND);

		for (unsigned i = 0; i < n; i++)
			hand[i] = take(t->index, i % 2 == 0);
		for (unsigned i = 0; i < n; i++)
			give(hand[i], t->index, i % 3 == 0);
		made += n;
	}
	atomic_add_relaxed(&allocations, made);
}

/* Moves workers to CPUs of its choice, thousands of times; now and then drains all caches. */
static void
mover(void *arg)
{
	unsigned *moves = arg, ncpus = posix_possible_cpus(),
		 wanted = test_many(posix_real_cpus() ? 3000 : 50);
	uint64_t seed = 1;
	cpu_set_t set;

	while (*moves < wanted) {
		int tid = atomic_load_relaxed(&tids[test_random(&seed) % WORKERS]);

		CPU_ZERO(&set);
		CPU_SET(test_random(&seed) % ncpus, &set);
		if (tid == 0 || sched_setaffinity(tid, sizeof(set), &set) != 0)
			sched_yield();
		else if (++*moves % 64 == 0)
			uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	}
	atomic_store_relaxed(&moving, 0);
}

static void
forced_migration(void **state)
{
	unsigned moves = 0;
	struct side_thread *side;

	(void)state;
	NEED_MACHINE(posix_possible_cpus() > 1, "one CPU");
	new_zone();
	memset(tids, 0, sizeof(tids));
	moving = 1;
	side = side_start(mover, &moves, -1);
	run_threads(WORKERS, take_and_give, NULL);
	side_join(side);
	books_are_exact();
}

/* ---- signals that allocate -------------------------------------------------------------------------------- */

#define HANDLED 12

static volatile sig_atomic_t handled;
static unsigned in_handler;

static void
allocating_handler(int sig)
{
	void *item[HANDLED];

	(void)sig;
	for (unsigned i = 0; i < HANDLED; i++)
		item[i] = take(7, i % 2 == 0);
	for (unsigned i = 0; i < HANDLED; i++)
		give(item[i], 7, i % 3 == 0);
	in_handler += HANDLED;
	handled = handled + 1;
}

static void
stay_here(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

/*
 * What percpu.h promises: a handler may allocate if what it interrupts is no slow operation. The thread
 * stays on a CPU whose cache has what both want, so there is none.
 */
static void
handlers_that_allocate(void **state)
{
	struct sigaction act = { .sa_handler = allocating_handler, .sa_flags = SA_RESTART }, old;
	struct itimerspec every = { { 0, 100000 }, { 0, 100000 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	void *warm[HANDLED + 2];
	uint64_t made = 0;
	cpu_set_t home;
	timer_t timer;

	(void)state;
	NEED_MACHINE(posix_real_cpus(), "no restartable sequences");
	new_zone();
	sched_getaffinity(0, sizeof(home), &home);
	stay_here();
	for (unsigned i = 0; i < HANDLED + 2; i++)
		warm[i] = take(1, true);
	for (unsigned i = 0; i < HANDLED + 2; i++)
		give(warm[i], 1, true);
	made += HANDLED + 2;
	handled = 0;
	in_handler = 0;
	sigaction(SIGUSR1, &act, &old);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	timer_settime(timer, 0, &every, NULL);
	while (handled < (int)test_many(2000)) {
		for (unsigned i = 0; i < 1000; i++)
			give(take(1, i % 2 == 0), 1, i % 3 == 0);
		made += 1000;
	}
	timer_delete(timer);
	sigaction(SIGUSR1, &old, NULL);
	allocations = made + in_handler;
	sched_setaffinity(0, sizeof(home), &home);
	books_are_exact();
}

/* ---- fork ---------------------------------------------------------------------------------------------------- */

static void
pairs_in_the_child(void *arg)
{
	struct uma_zone_stat st;

	(void)arg;
	for (unsigned i = 0; i < test_many(20000); i++)
		give(take(2, i % 2 == 0), 2, i % 3 == 0);
	uma_reclaim(
	    UMA_RECLAIM_DRAIN_CPU); /* the parts of all CPUs, those the parent's threads used too */
	uma_zone_get_stat(zone, &st);
	/* Each of the threads that are gone kept one, and may have been in the middle of a pair. */
	TEST_MUST(st.used >= WORKERS && st.used <= 2 * WORKERS);
	TEST_MUST(st.cached_cpu + st.cached_depot == 0);
}

static void
pairs_until_told(void *arg)
{
	void *kept = take(3, true);
	uint64_t made = 1;

	atomic_fetch_add(&running, 1);
	for (; atomic_load_relaxed((uint32_t *)arg) == 0; made++)
		give(take(3, made % 2 == 0), 3, made % 3 == 0);
	give(kept, 3, true);
	atomic_add_relaxed(&allocations, made);
}

/* A child of a process whose threads are in the middle of pairs goes on with them. */
static void
fork_amid_pairs(void **state)
{
	struct side_thread *side[WORKERS];
	uint32_t stop = 0;

	(void)state;
	new_zone();
	running = 0;
	for (unsigned i = 0; i < WORKERS; i++)
		side[i] = side_start(pairs_until_told, &stop, -1);
	for (unsigned i = 0; i < 10; i++) {
		while (atomic_load_relaxed(&running) < WORKERS)
			sched_yield();
		in_child(pairs_in_the_child, NULL);
	}
	atomic_store_relaxed(&stop, 1);
	for (unsigned i = 0; i < WORKERS; i++)
		side_join(side[i]);
	books_are_exact();
}

/* ---- which zones ------------------------------------------------------------------------------------------------ */

static int
count_ctor(void *mem, int size, void *arg, int flags)
{
	(void)mem, (void)size, (void)flags;
	++*(unsigned *)arg;
	return (0);
}

static void
count_dtor(void *mem, int size, void *arg)
{
	(void)mem, (void)size;
	++*(unsigned *)arg;
}

/* Zones whose items need more than to be moved have no stack open to programs. */
static void
callbacks_are_never_left_out(void **state)
{
	unsigned ctors = 0, dtors = 0;
	uma_zone_t plain = uma_zcreate("plain", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	uma_zone_t busy =
	    uma_zcreate("busy", 64, count_ctor, count_dtor, NULL, NULL, UMA_ALIGN_PTR, 0);
	uma_zone_t smr =
	    uma_zcreate("smr", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, UMA_ZONE_SMR);
	void *item;
	uma_zone_t bare =
	    uma_zcreate("bare", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, UMA_ZONE_NOBUCKET);

	(void)state;
	for (unsigned i = 1; i <= 100; i++) {
		item = uma_zalloc_arg(busy, &ctors, M_NOWAIT);
		assert_int_equal(ctors, i);
		uma_zfree_arg(busy, item, &dtors);
		assert_int_equal(dtors, i);
		uma_zfree(plain, uma_zalloc(plain, M_NOWAIT));
		uma_zfree(plain, NULL);
	}
#ifdef COOPER_INLINE_RSEQ
	assert_null(cooper_inline_zalloc(busy));
	assert_null(cooper_inline_zalloc(smr));
	assert_null(cooper_inline_zalloc(bare));
	assert_int_equal(cooper_inline_zfree(busy, &ctors), 0);
	assert_int_equal(cooper_inline_zfree(smr, &ctors), 0);
	item = cooper_inline_zalloc(plain);
	assert_int_equal(item != NULL, posix_real_cpus());
	uma_zfree(plain, item);
#endif
	uma_zdestroy(plain);
	uma_zdestroy(busy);
	uma_zdestroy(smr);
	uma_zdestroy(bare);
}

TEST_MAIN(cmocka_unit_test(forced_migration), cmocka_unit_test(handlers_that_allocate),
    cmocka_unit_test(fork_amid_pairs), cmocka_unit_test(callbacks_are_never_left_out))
