/*
 * The per-CPU primitive: nothing is lost or doubled, whatever threads, signals, migrations and
 * drains of other CPUs do at the same time; the counts are exact.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "harness.h"
#include "posix.h"
#include "base/atomic.h"

#define SLOTS 16

static bool
fast_mode(void)
{
	return (posix_real_cpus());
}

/* A zone's cache for tests: a part a CPU, each with a bucket for alloc and one for free. */
static struct percpu *
new_cache(void)
{
	unsigned ncpus = cooper_shape()->ncpus;
	struct percpu *cache = aligned_alloc(PERCPU_STRIDE, ncpus * sizeof(struct percpu));

	TEST_MUST(cache != NULL);
	memset(cache, 0, ncpus * sizeof(struct percpu));
	for (unsigned cpu = 0; cpu < ncpus; cpu++) {
		struct percpu *part = percpu_enter_cpu(cache, cpu);
		struct percpu_stack *stacks[] = { &part->alloc, &part->free };

		for (unsigned i = 0; i < 2; i++) {
			stacks[i]->items = calloc(SLOTS, sizeof(void *));
			stacks[i]->max = SLOTS;
			stacks[i]->open = true;
		}
		percpu_exit(cache, cpu);
	}
	return (cache);
}

static void
drop_cache(struct percpu *cache)
{
	for (unsigned cpu = 0; cpu < cooper_shape()->ncpus; cpu++) {
		free(cache[cpu].alloc.items);
		free(cache[cpu].free.items);
	}
	free(cache);
}

static void *
token(uintptr_t n)
{
	return ((void *)(n * 16 + 16));
}

/* ---- one thread --------------------------------------------------------------------------------------- */

static void
zeroed_cache_serves_nothing(void **state)
{
	struct percpu *cache = aligned_alloc(PERCPU_STRIDE, cooper_shape()->ncpus * sizeof(*cache));
	unsigned cpu;

	(void)state;
	memset(cache, 0, cooper_shape()->ncpus * sizeof(*cache));
	assert_null(percpu_pop(cache));
	assert_false(percpu_push(cache, token(0)));
	assert_false(percpu_push_free(cache, token(0)));
	assert_int_equal(percpu_enter(cache, &cpu)->alloc.count, 0);
	assert_true(percpu_entered());
	percpu_exit(cache, cpu);
	assert_false(percpu_entered());
	free(cache);
}

static void
stacks_are_lifo_and_counted(void **state)
{
	struct percpu *cache, *part;
	int cpu;

	(void)state;
	NEED_MACHINE(fast_mode(), "no restartable sequences");
	cache = new_cache();
	cpu = (int)machine_cpu();
	machine_bind(cpu);
	for (unsigned i = 0; i < SLOTS; i++)
		assert_true(percpu_push(cache, token(i)));
	assert_false(percpu_push(cache, token(99)));
	for (unsigned i = 0; i < 6; i++)
		assert_ptr_equal(percpu_pop(cache), token(SLOTS - 1 - i));
	assert_true(percpu_push_free(cache, token(50)));
	assert_true(percpu_push_free(cache, token(51)));

	part = percpu_enter_cpu(cache, (unsigned)cpu);
	assert_int_equal(part->alloc.count, SLOTS - 6);
	assert_int_equal(part->free.count, 2);
	assert_ptr_equal(part->free.items[1], token(51));
	assert_int_equal(part->pops, 6);
	assert_int_equal(part->pushes, SLOTS + 2);
	assert_null(percpu_pop(cache)); /* closed while entered */
	assert_false(percpu_push(cache, token(1)));
	part->alloc.open = false;
	percpu_exit(cache, (unsigned)cpu);

	assert_null(percpu_pop(cache)); /* stays closed */
	assert_true(percpu_push_free(cache, token(52)));
	part = percpu_enter_cpu(cache, (unsigned)cpu);
	assert_int_equal(part->pops, 6);
	assert_int_equal(part->pushes, SLOTS + 3);
	part->alloc.open = true;
	percpu_exit(cache, (unsigned)cpu);
	while (percpu_pop(cache) != NULL)
		;
	assert_null(percpu_pop(cache));
	part = percpu_enter_cpu(cache, (unsigned)cpu);
	assert_int_equal(part->alloc.count, 0);
	assert_int_equal(part->pops, SLOTS);
	assert_int_equal(part->pushes, SLOTS + 3);
	percpu_exit(cache, (unsigned)cpu);
	machine_bind(-1);
	drop_cache(cache);
}

static void
lock_mode_stays_closed(void **state)
{
	struct percpu *cache;
	unsigned cpu;

	(void)state;
	NEED(!fast_mode());
	cache = new_cache();
	for (unsigned i = 0; i < cooper_shape()->ncpus; i++) {
		struct percpu *part = percpu_enter_cpu(cache, i);

		part->alloc.items[part->alloc.count++] = token(i);
		percpu_exit(cache, i);
	}
	assert_null(percpu_pop(cache));
	assert_false(percpu_push(cache, token(1)));
	assert_false(percpu_push_free(cache, token(1)));
	for (unsigned i = 0; i < cooper_shape()->ncpus; i++) {
		machine_bind((int)i);
		assert_int_equal(machine_cpu(), i);
		assert_ptr_equal(percpu_enter(cache, &cpu)->alloc.items[0], token(i));
		assert_int_equal(cpu, i);
		percpu_exit(cache, cpu);
	}
	drop_cache(cache);
}

/* A debugger, an old kernel or rseq=0 are the same to the cache: closed stacks. */
static void
domains_are_runs_of_cpus(void **state)
{
	const struct machine_shape *shape = cooper_shape();

	(void)state;
	for (unsigned cpu = 0, last = 0; cpu < shape->ncpus; cpu++) {
		unsigned domain = machine_cpu_domain(cpu);

		assert_in_range(domain, last, shape->ndomains - 1);
		last = domain;
	}
	assert_int_equal(machine_cpu_domain(0), 0);
	assert_int_equal(machine_cpu_domain(shape->ncpus - 1), shape->ndomains - 1);
}

/* ---- misuse -------------------------------------------------------------------------------------------- */

static void
enter_twice(void *arg)
{
	unsigned cpu;

	percpu_enter(arg, &cpu);
	percpu_enter(arg, &cpu);
}

static void
exit_without_enter(void *arg)
{
	percpu_exit(arg, 0);
}

static void
enter_no_such_cpu(void *arg)
{
	percpu_enter_cpu(arg, cooper_shape()->ncpus);
}

static void
lock_while_entered(void *arg)
{
	static struct mtx m;
	unsigned cpu;

	mtx_init(&m, "some keg", RANK_KEG);
	percpu_enter(arg, &cpu);
	mtx_lock(&m);
}

static void
inline_of_another_version(void *arg)
{
	(void)arg;
	cooper_inline_begin(COOPER_ZONE_PARTS + PERCPU_STRIDE);
}

static void
inline_after_the_start(void *arg)
{
	(void)arg;
	cooper_inline_begin(COOPER_ZONE_PARTS);
}

static void
misuse_is_named(void **state)
{
	struct percpu *cache = new_cache();

	(void)state;
	expect_stop(enter_no_such_cpu, cache, "percpu_enter_cpu: CPU ");
#ifdef PERCPU_FRAMED
	expect_stop(inline_of_another_version, NULL, "<cooper/inline.h> is of another version");
	if (percpu_parts() < posix_cpu_bound())
		expect_stop(
		    inline_after_the_start, NULL, "COOPER_INLINE was loaded after the start");
	else
		inline_after_the_start(NULL);
#else
	(void)inline_of_another_version, (void)inline_after_the_start;
#endif
	if (cooper_shape()->debug) {
		expect_stop(enter_twice, cache, "is entered already");
		expect_stop(exit_without_enter, cache, "percpu_exit: CPU 0 was not entered");
		expect_stop(lock_while_entered, cache, "mtx_lock: some keg (KEG) taken while CPU");
	}
	drop_cache(cache);
}

/* ---- tokens under fire ----------------------------------------------------------------------------------- */

#define TOKENS  200
#define THREADS 8

struct arena {
	struct percpu *cache;
	pthread_mutex_t lock;
	void *pool[TOKENS + 1]; /* tokens in no CPU's bucket and no thread's hand */
	unsigned npool;
	uint64_t slow_pops, slow_pushes, fast_pops, fast_pushes;
	uint32_t stop;
	unsigned iterations;
};

static void
to_pool(struct arena *a, void **items, unsigned n)
{
	pthread_mutex_lock(&a->lock);
	TEST_MUST(a->npool + n <= TOKENS);
	memcpy(a->pool + a->npool, items, n * sizeof(*items));
	a->npool += n;
	pthread_mutex_unlock(&a->lock);
}

static unsigned
from_pool(struct arena *a, void **items, unsigned n)
{
	pthread_mutex_lock(&a->lock);
	n = MIN(n, a->npool);
	a->npool -= n;
	memcpy(items, a->pool + a->npool, n * sizeof(*items));
	pthread_mutex_unlock(&a->lock);
	return (n);
}

/* The slow path in UMA's manner: look while entered, do the rest outside, look again. */
static void *
take(struct arena *a, uint64_t *fast)
{
	void *item = percpu_pop(a->cache), *got[SLOTS / 2], *more[SLOTS];
	struct percpu *part;
	unsigned cpu, n, extra = 0;

	if (item != NULL) {
		++*fast;
		return (item);
	}
	n = from_pool(a, got, SLOTS / 2);
	part = percpu_enter(a->cache, &cpu);
	/* Alloc is empty and free is not: swap them. */
	if (part->alloc.count == 0 && part->free.count > 0) {
		void **items = part->alloc.items;

		part->alloc.items = part->free.items;
		part->free.items = items;
		part->alloc.count = part->free.count;
		part->free.count = 0;
	}
	while (n > 0 && part->alloc.count < part->alloc.max)
		part->alloc.items[part->alloc.count++] = got[--n];
	while (n > 0)
		more[extra++] = got[--n];
	if (part->alloc.count > 0)
		item = part->alloc.items[--part->alloc.count];
	percpu_exit(a->cache, cpu);
	to_pool(a, more, extra);
	if (item != NULL)
		atomic_add_relaxed(&a->slow_pops, 1);
	return (item);
}

static void
give(struct arena *a, void *item, bool smr, uint64_t *fast)
{
	void *out[SLOTS];
	struct percpu *part;
	unsigned cpu, n = 0;

	if (smr ? percpu_push_free(a->cache, item) : percpu_push(a->cache, item)) {
		++*fast;
		return;
	}
	part = percpu_enter(a->cache, &cpu);
	while (part->alloc.count > SLOTS / 2)
		out[n++] = part->alloc.items[--part->alloc.count];
	part->alloc.items[part->alloc.count++] = item;
	percpu_exit(a->cache, cpu);
	to_pool(a, out, n);
	atomic_add_relaxed(&a->slow_pushes, 1);
}

static void
drain(struct arena *a, unsigned cpu)
{
	void *out[2 * SLOTS];
	struct percpu *part = percpu_enter_cpu(a->cache, cpu);
	unsigned n = 0;

	while (part->alloc.count > 0)
		out[n++] = part->alloc.items[--part->alloc.count];
	while (part->free.count > 0)
		out[n++] = part->free.items[--part->free.count];
	percpu_exit(a->cache, cpu);
	to_pool(a, out, n);
}

static void
worker(struct test_thread *t)
{
	struct arena *a = t->arg;
	uint64_t seed = t->index, fast_pops = 0, fast_pushes = 0;
	void *hand[8];
	unsigned held = 0;

	thread_barrier(t);
	for (unsigned i = 0; i < a->iterations; i++) {
		uint64_t r = test_random(&seed);

		if (held < 8 && (held == 0 || (r & 1))) {
			hand[held] = take(a, &fast_pops);
			held += hand[held] != NULL;
		} else
			give(a, hand[--held], (r & 14) == 0, &fast_pushes);
	}
	while (held > 0)
		give(a, hand[--held], false, &fast_pushes);
	atomic_add_relaxed(&a->fast_pops, fast_pops);
	atomic_add_relaxed(&a->fast_pushes, fast_pushes);
}

/* A bystander that drains each CPU in turn until told to stop. */
static void
drainer(void *arg)
{
	struct arena *a = arg;

	for (unsigned cpu = 0; !atomic_load_relaxed(&a->stop); cpu++) {
		drain(a, cpu % cooper_shape()->ncpus);
		sched_yield();
	}
}

static void
on_alarm(int sig)
{
	(void)sig;
}

static void
count_tokens(struct arena *a)
{
	bool seen[TOKENS] = { false };

	for (unsigned cpu = 0; cpu < cooper_shape()->ncpus; cpu++)
		drain(a, cpu);
	assert_int_equal(a->npool, TOKENS);
	for (unsigned i = 0; i < TOKENS; i++) {
		uintptr_t n = ((uintptr_t)a->pool[i] - 16) / 16;

		assert_in_range(n, 0, TOKENS - 1);
		assert_false(seen[n]);
		seen[n] = true;
	}
}

static void
count_operations(struct arena *a)
{
	uint64_t pops = 0, pushes = 0;

	for (unsigned cpu = 0; cpu < cooper_shape()->ncpus; cpu++) {
		pops += a->cache[cpu].pops;
		pushes += a->cache[cpu].pushes;
	}
	assert_int_equal(pops, a->fast_pops);
	assert_int_equal(pushes, a->fast_pushes);
	assert_int_equal(a->fast_pops + a->slow_pops, a->fast_pushes + a->slow_pushes);
	if (fast_mode())
		assert_true(a->fast_pops > a->slow_pops);
	else
		assert_int_equal(a->fast_pops, 0);
}

static void
tokens_survive(bool with_drains)
{
	struct arena a = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct itimerval every = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction act = { .sa_handler = on_alarm, .sa_flags = SA_RESTART }, old;
	struct side_thread *side = NULL;

	a.cache = new_cache();
	a.iterations = test_many(fast_mode() ? 1500000 : 30000);
	for (unsigned i = 0; i < TOKENS; i++)
		a.pool[a.npool++] = token(i);
	sigaction(SIGPROF, &act, &old);
	setitimer(ITIMER_PROF, &every, NULL);
	if (with_drains)
		side = side_start(drainer, &a, -1);
	run_threads(THREADS, worker, &a);
	atomic_store_relaxed(&a.stop, 1);
	if (with_drains)
		side_join(side);
	setitimer(ITIMER_PROF, &never, NULL);
	sigaction(SIGPROF, &old, NULL);
	count_tokens(&a);
	count_operations(&a);
	drop_cache(a.cache);
}

static void
tokens_survive_signals(void **state)
{
	(void)state;
	tokens_survive(false);
}

static void
tokens_survive_drains(void **state)
{
	(void)state;
	tokens_survive(true);
}

/* ---- fork -------------------------------------------------------------------------------------------------- */

/* The child has each CPU's items, open stacks and all, and may drain and use them. */
static void
child_counts_tokens(void *arg)
{
	struct arena *a = arg;
	uint64_t fast = 0;

	for (unsigned i = 0; i < 1000; i++)
		give(a, take(a, &fast), i % 4 == 0, &fast);
	count_tokens(a);
}

static void
child_drains_all_cpus(void **state)
{
	struct arena a = { .lock = PTHREAD_MUTEX_INITIALIZER };

	(void)state;
	a.cache = new_cache();
	for (unsigned i = 0; i < TOKENS; i++)
		a.pool[a.npool++] = token(i);
	for (unsigned cpu = 0; cpu < cooper_shape()->ncpus; cpu++) {
		struct percpu *part = percpu_enter_cpu(a.cache, cpu);

		part->alloc.count = (uint16_t)from_pool(&a, part->alloc.items, SLOTS);
		percpu_exit(a.cache, cpu);
	}
	in_child(child_counts_tokens, &a);
	count_tokens(&a);
	drop_cache(a.cache);
}

TEST_MAIN(cmocka_unit_test(zeroed_cache_serves_nothing),
    cmocka_unit_test(stacks_are_lifo_and_counted), cmocka_unit_test(lock_mode_stays_closed),
    cmocka_unit_test(domains_are_runs_of_cpus), cmocka_unit_test(misuse_is_named),
    cmocka_unit_test(tokens_survive_signals), cmocka_unit_test(tokens_survive_drains),
    cmocka_unit_test(child_drains_all_cpus))
