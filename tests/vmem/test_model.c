/*
 * Random operations against a reference that is too simple to be wrong: an array of units.
 *
 * Each result must be a place that the reference has free and that meets every constraint; ENOMEM must
 * come only if the reference finds no place at all; the policies that promise one certain place must
 * give that one; and the largest free segment is exact after each operation.
 */
#include <string.h>

#include "arena.h"

#define OPERATIONS 250000 /* of one program; it runs in each shape: over a million in all */
#define UNITS      768
#define CHECK_EACH 128 /* operations between two checks of the arena's inside */

/* ---- the reference ------------------------------------------------------------------------------- */

struct model {
	vmem_t *vm;
	vmem_addr_t base;
	vmem_size_t quantum;
	uint8_t
	    span[UNITS]; /* 0: not in the arena; segments do not reach from one span into another */
	uint16_t busy[UNITS]; /* 0: free, else 1 + index of the first unit of its segment */
	uint16_t size[UNITS]; /* at the first unit of a busy segment: units */
	uint16_t live[UNITS]; /* first units of busy segments */
	unsigned nlive;
	vmem_addr_t cursor;
	uint64_t random, failures;
};

struct ask {
	unsigned size;                     /* units */
	vmem_size_t align, phase, nocross; /* 0: none */
	vmem_addr_t min, max;
	int policy;
	bool constrained;
};

static bool
model_place(const struct model *m, const struct ask *a, unsigned unit)
{
	vmem_addr_t start = m->base + unit * m->quantum, last = start + a->size * m->quantum - 1;

	if (unit + a->size > UNITS || start < a->min || last > a->max)
		return (false);
	if (a->align != 0 && ((start - a->phase) & (a->align - 1)) != 0)
		return (false);
	if (a->nocross != 0 && ((start ^ last) & -a->nocross) != 0)
		return (false);
	for (unsigned i = 0; i < a->size; i++)
		if (m->busy[unit + i] != 0 || m->span[unit + i] == 0 ||
		    m->span[unit + i] != m->span[unit])
			return (false);
	return (true);
}

/* The lowest place at or above `from`, the highest one; UNITS: none. */
static unsigned
model_lowest(const struct model *m, const struct ask *a, unsigned from)
{
	unsigned unit = from;

	while (unit < UNITS && !model_place(m, a, unit))
		unit++;
	return (unit);
}

static unsigned
model_highest(const struct model *m, const struct ask *a)
{
	for (unsigned unit = UNITS; unit-- > 0;)
		if (model_place(m, a, unit))
			return (unit);
	return (UNITS);
}

static vmem_size_t
model_largest(const struct model *m)
{
	unsigned run = 0, largest = 0;

	for (unsigned i = 0; i < UNITS; i++) {
		run = m->busy[i] != 0 || m->span[i] == 0      ? 0
		      : i > 0 && m->span[i - 1] == m->span[i] ? run + 1
							      : 1;
		largest = MAX(largest, run);
	}
	return (largest * m->quantum);
}

static void
model_take(struct model *m, unsigned unit, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		m->busy[unit + i] = (uint16_t)(unit + 1);
	m->size[unit] = (uint16_t)size;
	m->live[m->nlive++] = (uint16_t)unit;
}

/* ---- one operation ---------------------------------------------------------------------------------- */

static unsigned
pick(struct model *m, unsigned n)
{
	return ((unsigned)(test_random(&m->random) % n));
}

static struct ask
make_ask(struct model *m, int policy)
{
	struct ask a = { .max = VMEM_ADDR_MAX, .policy = policy };
	unsigned kinds = pick(m, 16);

	a.size = 1 + pick(m, pick(m, 4) == 0 ? 80 : 12);
	if (kinds & 1)
		a.align = m->quantum << pick(m, 7);
	if ((kinds & 3) == 3)
		a.phase = pick(m, (unsigned)(a.align / m->quantum)) * m->quantum;
	if (kinds & 4) {
		a.nocross = m->quantum << pick(m, 8);
		while (a.nocross < a.size * m->quantum ||
		       ((a.phase ^ (a.phase + a.size * m->quantum - 1)) & -a.nocross) != 0)
			a.nocross <<= 1;
	}
	if ((kinds & 8) && policy != M_NEXTFIT) {
		vmem_size_t units = 1 + pick(m, pick(m, 2) ? 24 : UNITS);

		a.min = m->base + pick(m, UNITS) * m->quantum;
		if (pick(m, 4) == 0)
			a.min += pick(m, (unsigned)m->quantum); /* not on a quantum */
		a.max = a.min + units * m->quantum - 1;
	}
	a.constrained = kinds != 0;
	return (a);
}

/* The segment that holds a unit: how long is it? */
static unsigned
run_around(const struct model *m, unsigned unit)
{
	unsigned lo = unit, hi = unit;

	while (lo > 0 && m->busy[lo - 1] == 0 && m->span[lo - 1] == m->span[unit])
		lo--;
	while (hi < UNITS && m->busy[hi] == 0 && m->span[hi] == m->span[unit])
		hi++;
	return (hi - lo);
}

/* Was it the segment that its policy promises? */
static void
check_policy(struct model *m, const struct ask *a, unsigned unit)
{
	bool window = a->min != 0 || a->max != VMEM_ADDR_MAX;
	unsigned want, least = UNITS;

	switch (a->policy) {
	case M_TOPDOWN:
		TEST_MUST(unit == model_highest(m, a));
		break;
	case M_NEXTFIT:
		want = m->cursor <= m->base ? 0 : (unsigned)((m->cursor - m->base) / m->quantum);
		want = model_lowest(m, a, want);
		TEST_MUST(unit == (want != UNITS ? want : model_lowest(m, a, 0)));
		m->cursor = m->base + (unit + a->size) * m->quantum;
		break;
	case M_BESTFIT:
		/* Exact where a bin holds one size. */
		if (a->constrained || run_around(m, unit) >= 32)
			break;
		for (unsigned i = 0; i < UNITS; i++)
			if (model_place(m, a, i))
				least = MIN(least, run_around(m, i));
		TEST_MUST(run_around(m, unit) == least);
		break;
	case M_FIRSTFIT:
		if (window && a->min > m->base)
			TEST_MUST(unit == model_lowest(m, a, 0));
		break;
	}
}

static void
allocate(struct model *m, int policy)
{
	struct ask a = make_ask(m, policy);
	vmem_size_t size = a.size * m->quantum;
	vmem_addr_t addr;
	unsigned unit;
	int error;

	if (m->quantum > 1)
		size -= pick(m, (unsigned)m->quantum); /* rounded up by the arena (H2) */
	error = a.constrained ? vmem_xalloc(m->vm, size, a.align, a.phase, a.nocross, a.min, a.max,
				    M_NOWAIT | policy, &addr)
			      : vmem_alloc(m->vm, size, M_NOWAIT | policy, &addr);
	if (error != 0) {
		TEST_MUST(error == COOPER_ENOMEM && addr == 0);
		TEST_MUST(model_lowest(m, &a, 0) == UNITS);
		m->failures++;
		return;
	}
	TEST_MUST(addr >= m->base && (addr - m->base) % m->quantum == 0);
	unit = (unsigned)((addr - m->base) / m->quantum);
	TEST_MUST(model_place(m, &a, unit));
	check_policy(m, &a, unit);
	model_take(m, unit, a.size);
}

static void
release(struct model *m)
{
	unsigned i = pick(m, m->nlive), unit = m->live[i], size = m->size[unit];

	vmem_xfree(m->vm, m->base + unit * m->quantum, size * m->quantum);
	memset(&m->busy[unit], 0, size * sizeof(m->busy[0]));
	m->live[i] = m->live[--m->nlive];
}

/* ---- runs -------------------------------------------------------------------------------------------- */

static void
operate(struct model *m, int policy, unsigned operations)
{
	static const int all[] = { M_FIRSTFIT, M_BESTFIT, M_NEXTFIT, M_TOPDOWN };
	unsigned full = 70;

	for (unsigned n = 0; n < TEST_STEPS(operations); n++) {
		if (n % 512 == 0)
			full = 20 + pick(m, 75); /* in percent: how full it is to be for a while */
		if (m->nlive > 0 && (vmem_size(m->vm, VMEM_ALLOC) * 100 >
						full * vmem_size(m->vm, VMEM_ALLOC | VMEM_FREE)
					    ? pick(m, 4) != 0
					    : pick(m, 4) == 0))
			release(m);
		else
			allocate(m, policy != 0 ? policy : all[pick(m, 4)]);
		/* In some runs of operations only: the query settles the index. */
		if (n / 1000 % 2 == 0)
			TEST_MUST(vmem_size(m->vm, VMEM_MAXFREE) == model_largest(m));
		if (n % CHECK_EACH == 0)
			arena_check(m->vm);
	}
	while (m->nlive > 0)
		release(m);
	arena_check(m->vm);
	TEST_MUST(vmem_size(m->vm, VMEM_ALLOC) == 0);
}

/* Spans of the arena as the reference has them: adjacent ones are one. */
static void
add_span(struct model *m, unsigned unit, unsigned units, unsigned name)
{
	TEST_MUST(vmem_add(m->vm, m->base + unit * m->quantum, units * m->quantum, M_WAITOK) == 0);
	memset(&m->span[unit], (int)name, units);
}

static void
run(int policy, vmem_size_t quantum, vmem_addr_t base, bool holes)
{
	struct pool *p = pool_new(2 * UNITS);
	struct model m = {
		.base = base, .quantum = quantum, .random = 0x636f6f70 + (unsigned)policy
	};

	m.vm = arena_new(p, "model", 0, 0, quantum);
	if (holes) {
		add_span(&m, 512, 100, 2);
		add_span(&m, 0, 200, 1);
		add_span(&m, 300, 212, 2); /* joins the one above */
		add_span(&m, 700, 60, 3);
		add_span(&m, 200, 90, 1); /* joins the one below */
		add_span(&m, 290, 10, 1); /* closes the gap */
		memset(&m.span[0], 1, 612);
	} else
		add_span(&m, 0, UNITS, 1);
	arena_check(m.vm);
	operate(&m, policy, OPERATIONS / 20);
	vmem_destroy(m.vm);
	pool_delete(p);
	TEST_MUST(m.failures > 0);
}

static void
with_policy(int policy)
{
	tables_start();
	run(policy, 1, 1, false);
	run(policy, 1, 0, true);
	run(policy, 4096, (vmem_addr_t)16 << 20, false);
	run(policy, 16, 4096 + 16, true);
	assert_int_equal(tables_out, 0);
}

static void
first_fit(void **state)
{
	(void)state;
	with_policy(M_FIRSTFIT);
}

static void
best_fit(void **state)
{
	(void)state;
	with_policy(M_BESTFIT);
}

static void
next_fit(void **state)
{
	(void)state;
	with_policy(M_NEXTFIT);
}

static void
top_down(void **state)
{
	(void)state;
	with_policy(M_TOPDOWN);
}

static void
all_policies_mixed(void **state)
{
	(void)state;
	with_policy(0);
}

TEST_MAIN(cmocka_unit_test(first_fit), cmocka_unit_test(best_fit), cmocka_unit_test(next_fit),
    cmocka_unit_test(top_down), cmocka_unit_test(all_policies_mixed))
