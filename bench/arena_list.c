/*
 * A reference for the arena benchmark: a vmem as the field has it.
 *
 * After the published descriptions (Bonwick & Adams 2001; the vmem(9) manuals): a boundary tag for
 * each segment on a list by address, a free list for each power of two, a hash of busy segments that
 * doubles when it is crowded, one lock. Instant fit takes the head of the first list all of whose members
 * fit; if there is none, and for best fit, lists are searched from the request's own upwards, member
 * by member. Next fit goes round the list by address. Constraints are tried on each segment that is
 * large enough.
 */
#include <stdlib.h>

#include "arena_ops.h"

#define LISTS 64

enum kind { END, FREE, BUSY };

struct tag {
	struct tag *next, *prev;   /* by address, a ring through the arena's end */
	struct tag *fnext, *fprev; /* FREE: its list; BUSY: its chain of the hash, or unused */
	uint64_t start, size;
	enum kind kind;
};

struct list_arena {
	struct spin lock;
	struct tag end, *cursor;
	struct tag head[LISTS];
	uint64_t lists; /* bit i: head[i] is not empty */
	struct tag **hash;
	size_t slots, busy, tags;
	struct tag *unused;
};

/* ---- lists and hash ---------------------------------------------------------------------------------- */

static inline unsigned
log2_below(uint64_t size)
{
	return (63u - (unsigned)__builtin_clzll(size));
}

static void
list_push(struct list_arena *a, struct tag *t)
{
	unsigned i = log2_below(t->size);
	struct tag *head = &a->head[i];

	t->kind = FREE;
	t->fnext = head->fnext;
	t->fprev = head;
	t->fnext->fprev = t;
	head->fnext = t;
	a->lists |= (uint64_t)1 << i;
}

static void
list_drop(struct list_arena *a, struct tag *t)
{
	unsigned i = log2_below(t->size);

	t->fprev->fnext = t->fnext;
	t->fnext->fprev = t->fprev;
	if (a->head[i].fnext == &a->head[i])
		a->lists &= ~((uint64_t)1 << i);
}

static inline struct tag **
slot_of(struct list_arena *a, uint64_t start)
{
	uint64_t h = start * 0x9e3779b97f4a7c15u;

	return (&a->hash[(h >> 32) & (a->slots - 1)]);
}

static void
hash_push(struct list_arena *a, struct tag *t)
{
	struct tag **slot = slot_of(a, t->start);

	t->fnext = *slot;
	*slot = t;
}

static void
rehash(struct list_arena *a, size_t slots)
{
	free(a->hash);
	a->hash = calloc(slots, sizeof(a->hash[0]));
	if (a->hash == NULL)
		abort();
	a->slots = slots;
	for (struct tag *t = a->end.next; t != &a->end; t = t->next)
		if (t->kind == BUSY)
			hash_push(a, t);
}

/* ---- tags ------------------------------------------------------------------------------------------------ */

static struct tag *
tag_after(struct list_arena *a, struct tag *before, uint64_t start, uint64_t size)
{
	struct tag *t = a->unused;

	if (t != NULL)
		a->unused = t->fnext;
	else if ((t = malloc(sizeof(*t))) == NULL)
		abort();
	a->tags++;
	t->start = start;
	t->size = size;
	t->prev = before;
	t->next = before->next;
	t->next->prev = t;
	before->next = t;
	return (t);
}

static void
tag_drop(struct list_arena *a, struct tag *t)
{
	if (a->cursor == t)
		a->cursor = t->prev;
	t->prev->next = t->next;
	t->next->prev = t->prev;
	t->fnext = a->unused;
	a->unused = t;
	a->tags--;
}

static void *
create(uint64_t base, uint64_t units, unsigned live)
{
	struct list_arena *a = calloc(1, sizeof(*a));

	(void)live;
	if (a == NULL)
		abort();
	for (unsigned i = 0; i < LISTS; i++)
		a->head[i].fnext = a->head[i].fprev = &a->head[i];
	a->end.next = a->end.prev = &a->end;
	a->cursor = &a->end;
	rehash(a, 64);
	list_push(a, tag_after(a, &a->end, base, units));
	return (a);
}

static void
destroy(void *arena)
{
	struct list_arena *a = arena;
	struct tag *t;

	while (a->end.next != &a->end)
		tag_drop(a, a->end.next);
	while ((t = a->unused) != NULL) {
		a->unused = t->fnext;
		free(t);
	}
	free(a->hash);
	free(a);
}

/* ---- where it fits ------------------------------------------------------------------------------------------ */

static bool
fits(const struct tag *t, uint64_t size, const struct constraint *c, uint64_t *start)
{
	uint64_t lo = t->start, last = t->start + t->size - 1, align;

	if (t->size < size)
		return (false);
	if (c == NULL) {
		*start = lo;
		return (true);
	}
	align = c->align == 0 ? 1 : c->align;
	lo = lo > c->min ? lo : c->min;
	last = last < c->max ? last : c->max;
	lo = (lo + align - 1) & ~(align - 1);
	if (c->nocross != 0 && ((lo ^ (lo + size - 1)) & ~(c->nocross - 1)) != 0)
		lo = ((lo + size - 1) & ~(c->nocross - 1)) + align - 1;
	lo &= ~(align - 1);
	if (lo > last || last - lo < size - 1)
		return (false);
	*start = lo;
	return (true);
}

static struct tag *
search(struct list_arena *a, unsigned from, uint64_t size, const struct constraint *c, bool instant,
    uint64_t *start)
{
	uint64_t lists = from < LISTS ? a->lists & ~(uint64_t)0 << from : 0;

	for (; lists != 0; lists &= lists - 1) {
		struct tag *head = &a->head[__builtin_ctzll(lists)];

		for (struct tag *t = head->fnext; t != head; t = t->fnext) {
			if (fits(t, size, c, start))
				return (t);
			if (instant)
				break;
		}
	}
	return (NULL);
}

static struct tag *
next_place(struct list_arena *a, uint64_t size, const struct constraint *c, uint64_t *start)
{
	struct tag *t = a->cursor;

	do {
		if (t->kind == FREE && fits(t, size, c, start)) {
			a->cursor = t;
			return (t);
		}
		t = t->next;
	} while (t != a->cursor);
	return (NULL);
}

static struct tag *
place(struct list_arena *a, uint64_t size, enum arena_policy policy, const struct constraint *c,
    uint64_t *start)
{
	unsigned list = log2_below(size);
	struct tag *t = NULL;

	if (policy == ARENA_NEXT)
		return (next_place(a, size, c, start));
	if (policy == ARENA_FIRST)
		t = search(a, list + ((size & (size - 1)) != 0), size, c, true, start);
	return (t != NULL ? t : search(a, list, size, c, false, start));
}

/* ---- allocate and free ------------------------------------------------------------------------------------------ */

static bool
xalloc(void *arena, uint32_t size, enum arena_policy policy, const struct constraint *c,
    struct range *out)
{
	struct list_arena *a = arena;
	uint64_t start, end;
	struct tag *t;

	spin_lock(&a->lock);
	t = place(a, size, policy, c, &start);
	if (t == NULL) {
		spin_unlock(&a->lock);
		return (false);
	}
	list_drop(a, t);
	end = t->start + t->size;
	if (start > t->start) {
		uint64_t lo = t->start;

		t->size = start - lo;
		list_push(a, t);
		t = tag_after(a, t, start, end - start);
	}
	if (start + size < end) {
		list_push(a, tag_after(a, t, start + size, end - start - size));
		t->size = size;
	}
	t->kind = BUSY;
	if (policy == ARENA_NEXT)
		a->cursor = t->next;
	if (++a->busy > a->slots)
		rehash(a, 2 * a->slots);
	else
		hash_push(a, t);
	spin_unlock(&a->lock);
	*out = (struct range){ start, size, 0 };
	return (true);
}

static bool
alloc_one(void *arena, uint32_t size, enum arena_policy policy, struct range *out)
{
	return (xalloc(arena, size, policy, NULL, out));
}

static void
free_one(void *arena, const struct range *range)
{
	struct list_arena *a = arena;
	struct tag **link, *t, *other;

	spin_lock(&a->lock);
	for (link = slot_of(a, range->start); (t = *link) != NULL; link = &t->fnext)
		if (t->start == range->start)
			break;
	if (t == NULL || t->size != range->size)
		abort();
	*link = t->fnext;
	a->busy--;
	if ((other = t->next)->kind == FREE) {
		list_drop(a, other);
		t->size += other->size;
		tag_drop(a, other);
	}
	if ((other = t->prev)->kind == FREE) {
		list_drop(a, other);
		other->size += t->size;
		tag_drop(a, t);
		t = other;
	}
	list_push(a, t);
	spin_unlock(&a->lock);
}

static size_t
metadata(void *arena)
{
	struct list_arena *a = arena;

	return (sizeof(*a) + a->tags * sizeof(struct tag) + a->slots * sizeof(a->hash[0]));
}

const struct arena_ops arena_list = { "list", create, destroy, alloc_one, xalloc, free_one,
	metadata, 1u << ARENA_FIRST | 1u << ARENA_BEST | 1u << ARENA_NEXT };
