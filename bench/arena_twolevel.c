/*
 * A reference for the arena benchmark: ranges by two-level bitmaps with external nodes.
 *
 * After the published description of offset allocators for graphics memory (Aaltonen 2023): a
 * free range's bin is its size as a floating point number of 5 bits of exponent and 3 of mantissa,
 * rounded down; a request takes the top of the first non-empty bin at or above its own, rounded up, so
 * whatever it finds fits. 32 words of 8 bits say which bins are not empty and one word which of those.
 * Nodes are 28 bytes in one array, with the numbers of their neighbours in the bin and by address. The
 * caller frees by the node's number.
 */
#include <stdlib.h>

#include "arena_ops.h"

#define NONE     UINT32_MAX
#define MANTISSA 3
#define SUBS     (1u << MANTISSA)
#define TOPS     32u

struct node {
	uint32_t start, size;
	uint32_t bin_next, bin_prev;
	uint32_t above, below; /* by address */
	bool used;
};

struct twolevel {
	uint32_t tops;
	uint8_t subs[TOPS];
	uint32_t head[TOPS * SUBS];
	struct node *node;
	uint32_t *unused; /* a stack of numbers of nodes */
	uint32_t nunused, nnodes;
	uint64_t base;
	struct spin lock;
};

/* ---- sizes and bins -------------------------------------------------------------------------------- */

static inline uint32_t
bin_below(uint32_t size)
{
	uint32_t e;

	if (size < SUBS)
		return (size);
	e = 31u - (uint32_t)__builtin_clz(size) - MANTISSA;
	return ((e + 1) << MANTISSA | (size >> e & (SUBS - 1)));
}

static inline uint32_t
bin_above(uint32_t size)
{
	uint32_t e;

	if (size < SUBS)
		return (size);
	e = 31u - (uint32_t)__builtin_clz(size) - MANTISSA;
	/* The carry of a mantissa goes into the exponent by itself. */
	return (bin_below(size) + ((size & ((1u << e) - 1)) != 0));
}

static inline void
bin_push(struct twolevel *t, uint32_t n)
{
	struct node *node = &t->node[n];
	uint32_t bin = bin_below(node->size);

	node->bin_prev = NONE;
	node->bin_next = t->head[bin];
	if (node->bin_next != NONE)
		t->node[node->bin_next].bin_prev = n;
	else {
		t->subs[bin / SUBS] |= (uint8_t)(1u << bin % SUBS);
		t->tops |= 1u << bin / SUBS;
	}
	t->head[bin] = n;
}

static inline void
bin_remove(struct twolevel *t, uint32_t n)
{
	struct node *node = &t->node[n];
	uint32_t bin;

	if (node->bin_next != NONE)
		t->node[node->bin_next].bin_prev = node->bin_prev;
	if (node->bin_prev != NONE) {
		t->node[node->bin_prev].bin_next = node->bin_next;
		return;
	}
	bin = bin_below(node->size);
	t->head[bin] = node->bin_next;
	if (node->bin_next != NONE)
		return;
	t->subs[bin / SUBS] &= (uint8_t) ~(1u << bin % SUBS);
	if (t->subs[bin / SUBS] == 0)
		t->tops &= ~(1u << bin / SUBS);
}

/* The first bin at or above `bin` that is not empty, or NONE. */
static inline uint32_t
bin_find(const struct twolevel *t, uint32_t bin)
{
	uint32_t top = bin / SUBS, subs, tops;

	if (top >= TOPS)
		return (NONE);
	subs = t->subs[top] & ~0u << bin % SUBS;
	if (subs == 0) {
		tops = top + 1 < TOPS ? t->tops & ~0u << (top + 1) : 0;
		if (tops == 0)
			return (NONE);
		top = (uint32_t)__builtin_ctz(tops);
		subs = t->subs[top];
	}
	return (top * SUBS + (uint32_t)__builtin_ctz(subs));
}

/* ---- nodes -------------------------------------------------------------------------------------------- */

static inline uint32_t
node_new(struct twolevel *t, uint32_t start, uint32_t size)
{
	uint32_t n = t->unused[--t->nunused];
	struct node *node = &t->node[n];

	node->start = start;
	node->size = size;
	node->used = false;
	return (n);
}

static void *
create(uint64_t base, uint64_t units, unsigned live)
{
	struct twolevel *t = calloc(1, sizeof(*t));
	uint32_t n;

	t->base = base;
	t->nnodes = 2 * live + 16;
	t->node = malloc(t->nnodes * sizeof(t->node[0]));
	t->unused = malloc(t->nnodes * sizeof(t->unused[0]));
	if (t->node == NULL || t->unused == NULL)
		abort();
	for (n = 0; n < TOPS * SUBS; n++)
		t->head[n] = NONE;
	for (n = 0; n < t->nnodes; n++)
		t->unused[t->nunused++] = t->nnodes - 1 - n;
	n = node_new(t, 0, (uint32_t)units);
	t->node[n].above = t->node[n].below = NONE;
	bin_push(t, n);
	return (t);
}

static void
destroy(void *arena)
{
	struct twolevel *t = arena;

	free(t->node);
	free(t->unused);
	free(t);
}

/* ---- allocate and free ------------------------------------------------------------------------------------ */

static inline bool
take(struct twolevel *t, uint32_t size, struct range *out)
{
	uint32_t bin = bin_find(t, bin_above(size)), n, r;
	struct node *node, *rest;

	if (bin == NONE || t->nunused == 0)
		return (false);
	n = t->head[bin];
	node = &t->node[n];
	bin_remove(t, n);
	if (node->size > size) {
		r = node_new(t, node->start + size, node->size - size);
		rest = &t->node[r];
		rest->below = n;
		rest->above = node->above;
		if (node->above != NONE)
			t->node[node->above].below = r;
		node->above = r;
		node->size = size;
		bin_push(t, r);
	}
	node->used = true;
	*out = (struct range){ t->base + node->start, size, n };
	return (true);
}

/* The free neighbour g of n becomes part of n. */
static inline void
absorb(struct twolevel *t, uint32_t n, uint32_t g)
{
	struct node *node = &t->node[n], *gone = &t->node[g];

	bin_remove(t, g);
	node->size += gone->size;
	if (gone->start < node->start) {
		node->start = gone->start;
		node->below = gone->below;
		if (node->below != NONE)
			t->node[node->below].above = n;
	} else {
		node->above = gone->above;
		if (node->above != NONE)
			t->node[node->above].below = n;
	}
	t->unused[t->nunused++] = g;
}

static inline void
give(struct twolevel *t, uint32_t n)
{
	struct node *node = &t->node[n];

	if (node->below != NONE && !t->node[node->below].used)
		absorb(t, n, node->below);
	if (node->above != NONE && !t->node[node->above].used)
		absorb(t, n, node->above);
	node->used = false;
	bin_push(t, n);
}

static bool
alloc_one(void *arena, uint32_t size, enum arena_policy policy, struct range *out)
{
	(void)policy;
	return (take(arena, size, out));
}

static void
free_one(void *arena, const struct range *range)
{
	give(arena, range->handle);
}

static bool
alloc_locked(void *arena, uint32_t size, enum arena_policy policy, struct range *out)
{
	struct twolevel *t = arena;
	bool ok;

	(void)policy;
	spin_lock(&t->lock);
	ok = take(t, size, out);
	spin_unlock(&t->lock);
	return (ok);
}

static void
free_locked(void *arena, const struct range *range)
{
	struct twolevel *t = arena;

	spin_lock(&t->lock);
	give(t, range->handle);
	spin_unlock(&t->lock);
}

/* The nodes in use with their places on the stack; the caller's 4 bytes a number are his. */
static size_t
metadata(void *arena)
{
	struct twolevel *t = arena;

	return (sizeof(*t) + (t->nnodes - t->nunused) * (sizeof(struct node) + sizeof(uint32_t)));
}

const struct arena_ops arena_twolevel = { "twolevel", create, destroy, alloc_one, NULL, free_one,
	metadata, 1u << ARENA_FIRST };
const struct arena_ops arena_twolevel_locked = { "twolevel_locked", create, destroy, alloc_locked,
	NULL, free_locked, metadata, 1u << ARENA_FIRST };
