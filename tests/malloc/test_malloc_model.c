/*
 * malloc(9) against a model: random operations on a table of blocks, each filled with a pattern of
 * its own that is checked whenever the block is touched, on several CPUs with blocks changing hands;
 * and running out of memory in all ways.
 */
#include <string.h>

#include <cooper/malloc.h>
#include "harness.h"
#include "malloc/malloc_int.h"

MALLOC_DEFINE(M_MODEL, "model", "blocks of the model test");

#define SLOTS 512

struct block {
	uint8_t *p;
	size_t size;
	uint8_t seed;
};

static struct block table[SLOTS];
static struct machine_lock slot_lock[SLOTS];

static void
write_pattern(const struct block *b)
{
	for (size_t i = 0; i < b->size; i++)
		b->p[i] = (uint8_t)(b->seed ^ (i * 31));
}

static void
check_pattern(const struct block *b, size_t size)
{
	for (size_t i = 0; i < size; i++)
		TEST_MUST(b->p[i] == (uint8_t)(b->seed ^ (i * 31)));
}

static size_t
random_size(uint64_t *seed)
{
	uint64_t r = test_random(seed);

	switch (r % 16) {
	case 0:
		return ((size_t)(r >> 8) % 150000);
	case 1:
	case 2:
		return ((size_t)(r >> 8) % 9000);
	default:
		return ((size_t)(r >> 8) % 700);
	}
}

static void
step(struct block *b, uint64_t *seed)
{
	unsigned what = (unsigned)(test_random(seed) % 8);
	size_t size = random_size(seed), old = b->size;
	uint8_t *p;

	if (b->p != NULL)
		check_pattern(b, b->size);
	if (b->p != NULL && what < 3) {
		cooper_free(b->p, M_MODEL);
		b->p = NULL;
		return;
	}
	if (b->p != NULL && what >= 6)
		return;
	if (b->p != NULL) {
		if ((p = cooper_realloc(b->p, size, M_MODEL, M_NOWAIT)) == NULL)
			return;
		b->p = p;
		b->size = MIN(size, old);
		check_pattern(b, b->size);
	} else if (what < 6) {
		b->p = cooper_malloc(size, M_MODEL, M_NOWAIT | (what == 5 ? M_ZERO : 0));
	} else {
		size_t align = (size_t)1 << test_random(seed) % 14;

		b->p = cooper_malloc_aligned(size, align, M_MODEL, M_NOWAIT);
		TEST_MUST(((uintptr_t)b->p & (align - 1)) == 0);
	}
	if (b->p == NULL)
		return;
	b->size = size;
	b->seed = (uint8_t)test_random(seed);
	TEST_MUST(cooper_malloc_usable_size(b->p) >= size);
	write_pattern(b);
}

static void
wander(struct test_thread *t)
{
	uint64_t seed = 1000 + t->index;

	for (unsigned i = 0; i < *(unsigned *)t->arg; i++) {
		unsigned slot = (unsigned)(test_random(&seed) % SLOTS);

		if (i % 256 == 0)
			machine_bind((int)(test_random(&seed) % cooper_shape()->ncpus));
		machine_lock(&slot_lock[slot]);
		step(&table[slot], &seed);
		machine_unlock(&slot_lock[slot]);
	}
}

static void
random_blocks_keep_their_contents(void **state)
{
	unsigned steps = TEST_STEPS(cooper_shape()->debug ? 3000 : 10000);
	struct malloc_type_stats sum;

	(void)state;
	cooper_malloc_prepare();
	run_threads(3, wander, &steps);
	for (unsigned i = 0; i < SLOTS; i++) {
		if (table[i].p != NULL)
			check_pattern(&table[i], table[i].size);
		cooper_free(table[i].p, M_MODEL);
		table[i].p = NULL;
	}
	malloc_type_sum(M_MODEL, &sum);
	assert_int_equal(sum.numallocs, sum.numfrees);
	assert_int_equal(sum.memalloced, sum.memfreed);
}

/* ---- shortage ------------------------------------------------------------------------------------------ */

/* Take blocks of a size, each linked to the last, until there are none. */
static unsigned long
exhaust(size_t size, void **list)
{
	unsigned long n = 0;
	void **p;

	while ((p = cooper_malloc(size, M_MODEL, M_NOWAIT)) != NULL) {
		*p = *list;
		*list = p;
		n++;
	}
	return (n);
}

static void
release(void **list)
{
	void *p;

	while ((p = *list) != NULL) {
		*list = *(void **)p;
		cooper_free(p, M_MODEL);
	}
}

static void
nowait_runs_out_and_recovers(void **state)
{
	static const size_t sizes[] = { 240, 4096, 20000, 100000 };
	unsigned long first, second;
	void *list = NULL;

	(void)state;
	for (unsigned i = 0; i < nitems(sizes); i++) {
		first = exhaust(sizes[i], &list);
		assert_true(first > 0);
		assert_null(cooper_malloc(1 << 20, M_MODEL, M_NOWAIT));
		release(&list);
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		second = exhaust(sizes[i], &list);
		release(&list);
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		assert_true(second >= first - first / 16);
	}
}

static void
free_some(void *arg)
{
	wait_for_sleepers("vmwait", 1);
	release(arg);
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
}

static void
waitok_sleeps_until_memory_is_freed(void **state)
{
	struct side_thread *t;
	void *list = NULL, *p;

	(void)state;
	assert_true(exhaust(65536, &list) > 0);
	t = side_start(free_some, &list, 0);
	p = cooper_malloc(1 << 20, M_MODEL, M_WAITOK);
	assert_non_null(p);
	side_join(t);
	cooper_free(p, M_MODEL);
	assert_null(list);
}

/* ---- injected failures ------------------------------------------------------------------------------------- */

struct attempt {
	size_t size;
	void *p;
};

static bool
attempt(void *arg)
{
	struct attempt *a = arg;

	a->p = cooper_malloc(a->size, M_MODEL, M_NOWAIT);
	return (a->p != NULL);
}

static void
undo(void *arg)
{
	cooper_free(((struct attempt *)arg)->p, M_MODEL);
}

static void
snapshot(void *out, void *arg)
{
	struct malloc_type_stats sum;
	size_t *used = out;

	(void)arg;
	malloc_type_sum(M_MODEL, &sum);
	used[0] = sum.numallocs - sum.numfrees;
	used[1] = sum.memalloced - sum.memfreed;
	for (unsigned class = 0; class < MALLOC_CLASSES; class ++)
		if (malloc_zones[class] != NULL)
			used[2] += (size_t)uma_zone_get_cur(malloc_zones[class]);
}

static void
failures_leave_no_trace(void **state)
{
	static const size_t sizes[] = { 64, 3000, 40000, 70000, 1 << 20 };

	(void)state;
	for (unsigned i = 0; i < nitems(sizes); i++) {
		struct attempt a = { sizes[i], NULL };
		struct inject_case c = { attempt, undo, snapshot, 3 * sizeof(size_t), &a };

		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		assert_true(inject_each(&c) > 0 || sizes[i] <= MALLOC_SMALL_MAX);
	}
}

TEST_MAIN(cmocka_unit_test(random_blocks_keep_their_contents),
    cmocka_unit_test(failures_leave_no_trace), cmocka_unit_test(nowait_runs_out_and_recovers),
    cmocka_unit_test(waitok_sleeps_until_memory_is_freed))
