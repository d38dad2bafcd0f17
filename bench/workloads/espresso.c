/*
 * In the style of espresso, the logic minimiser whose traces much of the literature on allocation
 * uses: one thread, a great many short-lived small blocks (cubes), lists of them that grow (covers),
 * and a recursion that makes and drops covers at each level. Written from the published method, the
 * unate recursive paradigm: a cover is complemented by Shannon's expansion about its most bound
 * variable, and the halves are merged.
 *
 * usage: espresso [ROUNDS]     prints a checksum that no allocator may change
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLES 48
#define CUBES     8

/* A product: for each variable 1 (negated), 2 (plain) or 3 (both, so not bound). */
struct cube {
	unsigned bound;
	uint8_t literal[VARIABLES];
};

/* A sum of products. */
struct cover {
	unsigned count, room;
	struct cube **cube;
};

static uint64_t seed = 88172645463325252u;

static unsigned
draw(unsigned below)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return ((unsigned)((seed >> 11) % below));
}

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return (p);
}

static struct cover *
cover_new(void)
{
	return (must(calloc(1, sizeof(struct cover))));
}

static void
cover_free(struct cover *c)
{
	for (unsigned i = 0; i < c->count; i++)
		free(c->cube[i]);
	free(c->cube);
	free(c);
}

static void
cover_add(struct cover *c, struct cube *cube)
{
	if (c->count == c->room) {
		c->room = c->room == 0 ? 4 : 2 * c->room;
		c->cube = must(realloc(c->cube, c->room * sizeof(c->cube[0])));
	}
	c->cube[c->count++] = cube;
}

static struct cube *
cube_copy(const struct cube *from)
{
	return (memcpy(must(malloc(sizeof(*from))), from, sizeof(*from)));
}

static struct cube *
cube_all(void)
{
	struct cube *c = must(malloc(sizeof(*c)));

	c->bound = 0;
	memset(c->literal, 3, sizeof(c->literal));
	return (c);
}

static int
covers(const struct cube *a, const struct cube *b)
{
	for (unsigned v = 0; v < VARIABLES; v++)
		if ((b->literal[v] & ~a->literal[v]) != 0)
			return (0);
	return (1);
}

/* The cubes that meet the half-space v = value, without v. */
static struct cover *
cofactor(const struct cover *c, unsigned v, unsigned value)
{
	struct cover *half = cover_new();

	for (unsigned i = 0; i < c->count; i++) {
		struct cube *copy;

		if ((c->cube[i]->literal[v] & value) == 0)
			continue;
		copy = cube_copy(c->cube[i]);
		copy->bound -= copy->literal[v] != 3;
		copy->literal[v] = 3;
		cover_add(half, copy);
	}
	return (half);
}

/* The variable that most cubes bind. */
static unsigned
most_bound(const struct cover *c)
{
	unsigned best = 0, most = 0;

	for (unsigned v = 0; v < VARIABLES; v++) {
		unsigned n = 0;

		for (unsigned i = 0; i < c->count; i++)
			n += c->cube[i]->literal[v] != 3;
		if (n > most)
			most = n, best = v;
	}
	return (best);
}

/* Moves the half's cubes into `to`, bound to v = value; drops those that one there covers. */
static void
merge(struct cover *to, struct cover *half, unsigned v, unsigned value)
{
	for (unsigned i = 0; i < half->count; i++) {
		struct cube *cube = half->cube[i];
		unsigned k = 0;

		cube->literal[v] = (uint8_t)value;
		cube->bound++;
		while (k < to->count && !covers(to->cube[k], cube))
			k++;
		if (k < to->count)
			free(cube);
		else
			cover_add(to, cube);
	}
	half->count = 0;
	cover_free(half);
}

/* All that no cube of c holds. */
static struct cover *
complement(const struct cover *c)
{
	struct cover *result, *half;
	unsigned v;

	for (unsigned i = 0; i < c->count; i++)
		if (c->cube[i]->bound == 0)
			return (cover_new());
	result = cover_new();
	if (c->count == 0) {
		cover_add(result, cube_all());
		return (result);
	}
	v = most_bound(c);
	for (unsigned value = 1; value <= 2; value++) {
		struct cover *part = cofactor(c, v, value);

		half = complement(part);
		cover_free(part);
		merge(result, half, v, value);
	}
	return (result);
}

static struct cover *
random_cover(void)
{
	struct cover *c = cover_new();

	for (unsigned i = 0; i < CUBES; i++) {
		struct cube *cube = cube_all();

		for (unsigned n = 3 + draw(3); n > 0; n--) {
			unsigned v = draw(VARIABLES);

			cube->bound += cube->literal[v] == 3;
			cube->literal[v] = (uint8_t)(1 + draw(2));
		}
		cover_add(c, cube);
	}
	return (c);
}

static int
holds(const struct cover *c, const uint8_t *point)
{
	for (unsigned i = 0; i < c->count; i++) {
		unsigned v = 0;

		while (v < VARIABLES && (c->cube[i]->literal[v] & point[v]) != 0)
			v++;
		if (v == VARIABLES)
			return (1);
	}
	return (0);
}

int
main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 16, sum = 0;

	for (unsigned long r = 0; r < rounds; r++) {
		struct cover *on = random_cover(), *off = complement(on);

		/* Each point is in exactly one of the two. */
		for (unsigned i = 0; i < 200; i++) {
			uint8_t point[VARIABLES];

			for (unsigned v = 0; v < VARIABLES; v++)
				point[v] = (uint8_t)(1 + draw(2));
			if (holds(on, point) == holds(off, point))
				return (puts("espresso: a complement is wrong"), 1);
		}
		sum = sum * 31 + off->count;
		cover_free(on);
		cover_free(off);
	}
	printf("%lu\n", sum);
	return (0);
}
