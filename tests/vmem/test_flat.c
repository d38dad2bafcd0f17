/*
 * What an operation costs, counted in tags and bins looked at (which does not depend on the machine),
 * stays what it is as an arena grows: plain or constrained, when the answer is yes and when it is no.
 * And what a segment costs in memory.
 */
#include <stdlib.h>

#include "arena.h"

#define SMALL    3000
#define LARGE    TEST_STEPS(30000)
#define MEASURED TEST_STEPS(3000) /* operations of each kind */

struct field {
	struct pool *pool;
	vmem_t *vm;
	struct {
		vmem_addr_t addr;
		vmem_size_t size;
	} * live;
	unsigned nlive;
	vmem_size_t units;
	uint64_t random;
};

static unsigned
pick(struct field *f, unsigned n)
{
	return ((unsigned)(test_random(&f->random) % n));
}

static void
drop_one(struct field *f)
{
	unsigned i = pick(f, f->nlive);

	vmem_xfree(f->vm, f->live[i].addr, f->live[i].size);
	f->live[i] = f->live[--f->nlive];
}

static void
keep(struct field *f, vmem_addr_t addr, vmem_size_t size)
{
	f->live[f->nlive].addr = addr;
	f->live[f->nlive++].size = size;
}

/* Sizes 1..64, 80 % full, n segments, after every unit has changed hands several times. */
static void
field_new(struct field *f, unsigned n, int policy)
{
	*f = (struct field){ .random = 7, .units = (vmem_size_t)n * 325 / 10 * 10 / 8 };
	f->pool = pool_new(4 * n);
	f->vm = arena_new(f->pool, "field", 1 << 12, f->units, 1);
	f->live = calloc(2 * n, sizeof(f->live[0]));
	for (unsigned i = 0; i < 4 * n; i++) {
		vmem_size_t size = 1 + pick(f, 64);

		while (vmem_size(f->vm, VMEM_ALLOC) + size > f->units / 10 * 8)
			drop_one(f);
		keep(f, arena_get(f->vm, size, policy), size);
	}
}

static void
field_delete(struct field *f)
{
	arena_check(f->vm);
	while (f->nlive > 0)
		drop_one(f);
	vmem_destroy(f->vm);
	pool_delete(f->pool);
	free(f->live);
}

/* ---- kinds of operations -------------------------------------------------------------------------- */

enum kind {
	PLAIN,
	ALIGN,
	NOCROSS,
	WINDOW,
	ALIGN_WINDOW,
	LOW_WINDOW,
	TOO_LARGE,
	FULL_WINDOW,
	FULL_ALIGN,
	KINDS
};
static const char *kind_name[] = { "plain", "align 64", "nocross 64", "window", "align + window",
	"low window", "too large", "full window", "no aligned place" };

static void
one(struct field *f, enum kind kind, int policy, vmem_size_t largest)
{
	vmem_size_t size = 1 + pick(f, 64), align = 0, nocross = 0;
	vmem_addr_t min = VMEM_ADDR_MIN, max = VMEM_ADDR_MAX, base = 1 << 12, addr;
	int error;

	if (kind == ALIGN || kind == ALIGN_WINDOW)
		align = 64;
	if (kind == NOCROSS)
		nocross = 64;
	if (kind == WINDOW || kind == ALIGN_WINDOW) {
		size = 1 + pick(f, 16);
		min = base + pick(f, (unsigned)f->units - 64);
		max = min + (kind == WINDOW ? 16 : 127);
	}
	if (kind == LOW_WINDOW)
		max = base + f->units / 2;
	if (kind == TOO_LARGE)
		size = largest + 1;
	if (kind ==
	    FULL_WINDOW) { /* half of the arena, where nothing is so large, though elsewhere */
		min = base + f->units / 4;
		max = base + f->units / 4 * 3;
		size = largest + 1;
	}
	if (kind == FULL_ALIGN) {
		align = (vmem_size_t)1 << (8 * sizeof(align) - 1);
		size = 1;
	}
	if (policy == M_NEXTFIT && (min != VMEM_ADDR_MIN || max != VMEM_ADDR_MAX))
		return;
	error = vmem_xalloc(f->vm, size, align, 0, nocross, min, max, M_NOWAIT | policy, &addr);
	if (error == 0) {
		keep(f, addr, size);
		drop_one(f);
	} else
		TEST_MUST(kind > PLAIN);
	TEST_MUST(error != 0 || kind < TOO_LARGE);
}

/* The largest free piece within the window of FULL_WINDOW. */
static bool
largest_in_window(enum vmem_segment_type type, vmem_addr_t addr, vmem_size_t size, void *arg)
{
	struct {
		vmem_addr_t min, max;
		vmem_size_t largest;
	} *w = arg;
	vmem_addr_t lo = MAX(addr, w->min), last = MIN(addr + size - 1, w->max);

	if (type == VMEM_SEG_FREE && lo <= last)
		w->largest = MAX(w->largest, last - lo + 1);
	return (true);
}

static vmem_size_t
largest_for(struct field *f, enum kind kind)
{
	struct {
		vmem_addr_t min, max;
		vmem_size_t largest;
	} w = { (1 << 12) + f->units / 4, (1 << 12) + f->units / 4 * 3, 0 };

	if (kind != FULL_WINDOW)
		return (vmem_size(f->vm, VMEM_MAXFREE));
	vmem_walk(f->vm, largest_in_window, &w);
	return (w.largest);
}

/* Looks at segments for a request, in tenths. */
static uint64_t
cost(struct field *f, enum kind kind, int policy)
{
	vmem_size_t largest = largest_for(f, kind);
	uint64_t before = 0;

	/* Twice: the index learns a new shape in the first half. */
	for (unsigned i = 0; i < 2 * MEASURED; i++) {
		if (i == MEASURED)
			before = f->vm->counts.looks;
		one(f, kind, policy, largest);
	}
	return ((f->vm->counts.looks - before) * 10 / MEASURED);
}

/* Building the index after quiet times: no more insertions than frees since the one before. */
static void
index_was_paid_for(const struct field *f)
{
	uint64_t insertions = f->vm->counts.frees / 4 + f->vm->nfree;

	assert_true(f->vm->counts.built <= insertions * 6 * fls_size(f->nlive));
}

/* Over several fields at once, in different places: a path's depth in a treap is random. */
static uint64_t
plain_cost(unsigned n, int policy)
{
	struct field f[4];
	uint64_t sum = 0;

	for (unsigned i = 0; i < nitems(f); i++)
		field_new(&f[i], n, policy);
	for (unsigned i = 0; i < nitems(f); i++) {
		sum += cost(&f[i], PLAIN, policy);
		field_delete(&f[i]);
	}
	return (sum);
}

static void
flat(int policy, const char *name)
{
	struct field small, large;

	tables_start();
	field_new(&small, SMALL, policy);
	field_new(&large, LARGE, policy);
	for (enum kind kind = 0; kind < KINDS; kind++) {
		uint64_t a = cost(&small, kind, policy), b = cost(&large, kind, policy);

		print_message("# %s, %s: %u.%u looks at %u segments, %u.%u at %u\n", name,
		    kind_name[kind], (unsigned)(a / 10), (unsigned)(a % 10), small.nlive,
		    (unsigned)(b / 10), (unsigned)(b % 10), large.nlive);
		/* Sixteen steps to a power of two, whatever is asked: a treap is 1.4 of them deep. */
		assert_true(a <= 160 * fls_size(SMALL));
		assert_true(b <= 160 * fls_size(LARGE));
	}
	assert_true(2 * plain_cost(LARGE, policy) <= 3 * plain_cost(SMALL, policy));
	index_was_paid_for(&small);
	index_was_paid_for(&large);
	field_delete(&small);
	field_delete(&large);
}

static void
first_fit(void **state)
{
	(void)state;
	flat(M_FIRSTFIT, "first");
}

static void
best_fit(void **state)
{
	(void)state;
	flat(M_BESTFIT, "best");
}

static void
next_fit(void **state)
{
	(void)state;
	flat(M_NEXTFIT, "next");
}

static void
top_down(void **state)
{
	(void)state;
	flat(M_TOPDOWN, "top-down");
}

/* ---- bytes ------------------------------------------------------------------------------------------- */

static void
metadata_of_a_segment(void **state)
{
	struct field f;
	size_t bytes;

	(void)state;
	tables_start();
	field_new(&f, 100000, M_FIRSTFIT);
	bytes = f.pool->out * sizeof(struct vmem_btag) + f.vm->table.room * sizeof(btref) +
		sizeof(*f.vm);
	print_message("# %u segments: %u bytes each (%u free, %u spare tags)\n", f.nlive,
	    (unsigned)(bytes / f.nlive), f.vm->nfree, f.vm->nspare);
	assert_true(bytes <= (size_t)48 * f.nlive);
	field_delete(&f);
}

/* Arenas with many segments go to the source of tags seldom, and for several at a time. */
static void
tags_are_at_hand(void **state)
{
	unsigned asked, visits = 0, most;
	struct field f;

	(void)state;
	tables_start();
	field_new(&f, 30000, M_FIRSTFIT);
	most = BT_MAXFREE + f.nlive / 16;
	for (unsigned i = 0; i < 10 * MEASURED; i++) {
		asked = f.pool->asked;
		one(&f, PLAIN, M_FIRSTFIT, 0);
		visits += f.pool->asked != asked;
		TEST_MUST(f.vm->nspare <= most);
	}
	print_message("# %u of %u allocations ask for tags\n", visits, 10 * MEASURED);
	assert_true(visits <= 10 * MEASURED / 1000);
	field_delete(&f);
}

TEST_MAIN(cmocka_unit_test(metadata_of_a_segment), cmocka_unit_test(tags_are_at_hand),
    cmocka_unit_test(first_fit), cmocka_unit_test(best_fit), cmocka_unit_test(next_fit),
    cmocka_unit_test(top_down))
