/*
 * Arenas and their tags. The books of an arena are read at once; its segments are walked, tag by
 * tag, only if there are no more than the caller has patience for: what comes of that is the
 * histogram and the exact size of what is imported.
 */
#include "kmem/kmem_int.h"
#include "stats/collect.h"
#include "vmem/vmem_int.h"

/* All of an arena but its table and bins, which are large and told elsewhere. */
#define VMEM_BOOKS offsetof(struct vmem, table)

union arena_books {
	char bytes[VMEM_BOOKS];
	uint64_t align;
};

static bool
read_tag(struct stats_collector *c, const struct vmem *vm, btref ref, struct vmem_btag *bt)
{
	return (ref != 0 && PEEK(c, vm->base + ((uintptr_t)ref << BT_SHIFT), bt));
}

/* The largest free segment is on the list of the highest bin. */
static uint64_t
largest_free(struct stats_collector *c, uintptr_t arena, const struct vmem *vm)
{
	uintptr_t bins = arena + offsetof(struct vmem, bins);
	uint64_t tops, most = 0;
	uint16_t subs;
	unsigned top, sub;
	btref ref;
	struct vmem_btag bt, next;

	if (!PEEK(c, bins + offsetof(struct bins, tops), &tops) || tops == 0)
		return (0);
	top = 63 - (unsigned)__builtin_clzll(tops);
	if (!PEEK(c, bins + offsetof(struct bins, subs[top]), &subs) || subs == 0)
		return (0);
	sub = 31 - (unsigned)__builtin_clz(subs);
	if (!PEEK(c, bins + offsetof(struct bins, head[top][sub]), &ref))
		return (0);
	for (unsigned n = 0; n <= vm->nfree && read_tag(c, vm, ref, &bt); n++, ref = bt.bin_next)
		if (read_tag(c, vm, bt.next, &next))
			most = MAX(most, (uint64_t)(next.start - bt.start));
	return (most);
}

static void
count_segment(const struct vmem *vm, struct stats_arena *r, bool busy, vmem_size_t size)
{
	unsigned class = fls_size(size >> vm->quantum_shift);

	class = class == 0 ? 0 : MIN(class - 1, (unsigned)STATS_CLASSES - 1);
	if (busy)
		r->histogram[class].busy++;
	else
		r->histogram[class].free++;
}

/* Leave out the rows that are empty, and say where each begins. */
static void
finish_histogram(const struct vmem *vm, struct stats_arena *r)
{
	for (unsigned i = 0; i < STATS_CLASSES; i++) {
		struct stats_class row = r->histogram[i];

		row.size = (uint64_t)1 << (i + vm->quantum_shift);
		if (row.free + row.busy != 0)
			r->histogram[r->nclasses++] = row;
	}
}

/* Segments in the order of addresses; a span ends with a tag of its own, at its first free address. */
static void
walk_segments(struct stats_collector *c, const struct vmem *vm, struct stats_arena *r)
{
	uint32_t most = vm->nbusy + vm->nfree + vm->nspan, n = 0;
	struct vmem_btag bt, next;
	vmem_addr_t span = 0;
	bool in_span = false, got;

	r->imported = 0;
	got = read_tag(c, vm, vm->first, &bt);
	for (; got && n <= most; bt = next, n++) {
		got = read_tag(c, vm, bt.next, &next);
		if (!in_span)
			span = bt.start;
		in_span = !bt_is_span(&bt);
		if (in_span && got)
			count_segment(vm, r, bt.type == BT_BUSY, next.start - bt.start);
		else if (bt.type == BT_SPAN)
			r->imported += bt.start - span;
	}
	if (n != most)
		stats_damaged(c, STATS_ARENAS, "%s: %u of %u tags were found", r->name, n, most);
	finish_histogram(vm, r);
}

/* The kernel's arenas import through records of their own, which know the parent. */
static uintptr_t
kernel_parent(struct stats_collector *c, uintptr_t arena)
{
	struct stats_walk w;

	stats_walk_start(&w, c, STATS_ARENAS, c->head.kmem_arenas);
	while (stats_walk_next(&w)) {
		struct kmem_arena ka, parent;

		if (!PEEK(c, list_entry((struct list *)w.at, struct kmem_arena, link), &ka))
			break;
		if ((uintptr_t)ka.vm == arena)
			return (PEEK(c, ka.parent, &parent) ? (uintptr_t)parent.vm : 0);
	}
	return (0);
}

/* The name of the arena that feeds this one. */
static void
find_parent(
    struct stats_collector *c, uintptr_t arena, const struct vmem *vm, struct stats_arena *r)
{
	uintptr_t parent = kernel_parent(c, arena);
	struct stats_walk w;

	stats_walk_start(&w, c, STATS_ARENAS, c->head.arenas);
	while (parent == 0 && stats_walk_next(&w))
		if ((uintptr_t)list_entry((struct list *)w.at, struct vmem, link) ==
		    (uintptr_t)vm->import_arg)
			parent = (uintptr_t)vm->import_arg;
	if (parent != 0)
		stats_peek_name(c, r->parent, parent + offsetof(struct vmem, name));
	else
		stats_set_name(r->parent, "(function)");
}

static NOINLINE void
collect_arena(struct stats_collector *c, uintptr_t addr, const struct vmem *vm)
{
	struct stats_arena *r = &c->record.arena;

	*r = (struct stats_arena){ .quantum = (uint64_t)vm->quantum_mask + 1,
		.qcache_max = vm->qcache_max,
		.import_quantum = vm->import_quantum,
		.size = vm->size,
		.inuse = vm->inuse,
		.free = stats_less(vm->size, vm->inuse),
		.imported = vm->import == NULL ? 0 : vm->size,
		.limit = vm->limit,
		.tags_busy = vm->nbusy,
		.tags_free = vm->nfree,
		.tags_span = vm->nspan,
		.tags_spare = vm->nspare,
		.waiters = vm->wait.nwaiters,
		.allocs = vm->counts.allocs,
		.frees = vm->counts.frees,
		.fails = vm->counts.fails,
		.sleeps = vm->counts.sleeps,
		.imports = vm->counts.imports };
	stats_peek_name(c, r->name, addr + offsetof(struct vmem, name));
	r->largest = largest_free(c, addr, vm);
	if (vm->import != NULL)
		find_parent(c, addr, vm, r);
	if ((uint64_t)vm->nbusy + vm->nfree + vm->nspan <= c->max_tags)
		walk_segments(c, vm, r);
	stats_emit(c, STATS_ARENAS, r);
}

void
stats_collect_arenas(struct stats_collector *c)
{
	struct stats_walk w;

	stats_walk_start(&w, c, STATS_ARENAS, c->head.arenas);
	while (stats_walk_next(&w)) {
		uintptr_t arena = (uintptr_t)list_entry((struct list *)w.at, struct vmem, link);
		union arena_books books;

		if (!PEEK(c, arena, &books)) {
			stats_damaged(
			    c, STATS_ARENAS, "an arena at %p cannot be read", (void *)arena);
			break;
		}
		collect_arena(c, arena, (const struct vmem *)(const void *)&books);
	}
}
