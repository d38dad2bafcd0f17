/*
 * The references of the arena benchmark, and Cooper's arena through the same window, against an array
 * of units that is too simple to be wrong: what they give is free, large enough and as the constraints
 * say; "no" to a request with constraints comes only when there is no place; and whatever is given back
 * is one piece again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cooper/cooper.h>

#include "arena_ops.h"

#define BASE       4096u
#define UNITS      2048u
#define OPERATIONS 200000

static const struct arena_ops *ops;
static uint8_t busy[UNITS];
static struct range live[UNITS];
static unsigned nlive;
static uint64_t state = 88172645463325252u;

#define MUST_BE(cond)                                                                     \
	do {                                                                              \
		if (!(cond)) {                                                            \
			fprintf(stderr, "%s: %s, line %d\n", ops->name, #cond, __LINE__); \
			exit(1);                                                          \
		}                                                                         \
	} while (0)

static uint32_t
pick(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return ((uint32_t)(state >> 32) % n);
}

static bool
place(uint64_t start, uint32_t size, const struct constraint *c)
{
	if (start < BASE || start + size > BASE + UNITS || start < c->min ||
	    start + size - 1 > c->max)
		return (false);
	if (c->align != 0 && start % c->align != 0)
		return (false);
	if (c->nocross != 0 && start / c->nocross != (start + size - 1) / c->nocross)
		return (false);
	for (uint32_t i = 0; i < size; i++)
		if (busy[start - BASE + i])
			return (false);
	return (true);
}

static bool
any_place(uint32_t size, const struct constraint *c)
{
	for (uint32_t i = 0; i < UNITS; i++)
		if (place(BASE + i, size, c))
			return (true);
	return (false);
}

static void
allocate(void *arena, bool constrained, enum arena_policy policy)
{
	struct constraint c = { .max = UINT64_MAX };
	uint32_t size = 1 + pick(64);
	struct range range;
	bool ok;

	if (constrained) {
		if (pick(2))
			c.align = 1u << pick(8);
		if (pick(2))
			c.nocross = 64u << pick(3);
		if (policy != ARENA_NEXT && pick(2)) {
			c.min = BASE + pick(UNITS);
			c.max = c.min + pick(256);
		}
		ok = ops->xalloc(arena, size, policy, &c, &range);
	} else
		ok = ops->alloc(arena, size, policy, &range);
	if (!ok) {
		/* Bins that round up may pass over a place; nobody else may. */
		MUST_BE(ops->xalloc == NULL || !any_place(size, &c));
		return;
	}
	MUST_BE(range.size == size && place(range.start, size, &c));
	memset(&busy[range.start - BASE], 1, size);
	live[nlive++] = range;
}

static void
release(void *arena)
{
	unsigned i = pick(nlive);

	memset(&busy[live[i].start - BASE], 0, live[i].size);
	ops->free(arena, &live[i]);
	live[i] = live[--nlive];
}

static void
check(enum arena_policy policy)
{
	void *arena = ops->create(BASE, UNITS, UNITS);
	size_t empty = ops->metadata(arena);
	unsigned full = 50;
	struct range all;

	for (unsigned n = 0; n < OPERATIONS; n++) {
		if (n % 1000 == 0)
			full = 10 + pick(80);
		if (nlive > 0 && pick(100) >= full)
			release(arena);
		else
			allocate(arena, ops->xalloc != NULL && pick(2) == 0, policy);
	}
	MUST_BE(ops->metadata(arena) >= empty);
	while (nlive > 0)
		release(arena);
	MUST_BE(ops->alloc(arena, UNITS, policy, &all) && all.start == BASE);
	MUST_BE(!ops->alloc(arena, 1, policy, &live[0]));
	ops->free(arena, &all);
	ops->destroy(arena);
}

int
main(void)
{
	static const struct arena_ops *const everybody[] = { &arena_cooper, &arena_list,
		&arena_twolevel, &arena_twolevel_locked };
	struct machine_shape shape = { .ncpus = 2,
		.ndomains = 1,
		.direct_map = true,
		.physmem = 64 << 20,
		.kva_size = 64 << 20 };

	if (cooper_start(&shape) != 0) {
		fprintf(stderr, "arena_check: %s\n", cooper_start_error());
		return (1);
	}
	for (unsigned i = 0; i < sizeof(everybody) / sizeof(everybody[0]); i++) {
		ops = everybody[i];
		for (unsigned p = 0; p < ARENA_POLICIES; p++)
			if (ops->policies >> p & 1)
				check((enum arena_policy)p);
	}
	return (0);
}
