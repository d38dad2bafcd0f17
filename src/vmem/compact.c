/*
 * Reclaim of an arena's metadata, so that a storm leaves nothing behind: tables shrink to what is busy,
 * spare tags go back to their sources, and tags in use move to where their source would rather have
 * them, so that few slabs are pinned by live ones.
 *
 * A tag may move whenever its arena is locked: other tags refer to it only through the list, the
 * index, a bin and the table, and nobody keeps a tag across an unlock. What is to go back is gathered
 * under the locks and given back without.
 */
#include "vmem/bins.h"
#include "vmem/hash.h"

struct idle { /* a tag, or a chunk of a table, between its arena and its source */
	struct idle *next;
	struct tag_source *from; /* NULL: a chunk */
	size_t bytes;
};
_Static_assert(sizeof(struct idle) <= sizeof(struct vmem_btag), "a tag holds it");

static void
gather(struct idle **idle, void *memory, struct tag_source *from, size_t bytes)
{
	struct idle *one = memory;

	*one = (struct idle){ *idle, from, bytes };
	*idle = one;
}

static void
give_back(struct idle *idle)
{
	while (idle != NULL) {
		struct idle one = *idle;

		if (one.from == NULL)
			hash_give_back((btref *)idle, one.bytes);
		else
			one.from->free(one.from, (struct vmem_btag *)idle);
		idle = one.next;
	}
}

/* Call fn for each arena that has its tags from a source; it is locked. Then give back. */
static void
each_arena(void (*fn)(vmem_t *vm, struct idle **idle))
{
	struct idle *idle = NULL;

	mtx_lock(&vmem_arenas_lock);
	LIST_EACH (l, &vmem_arenas) {
		vmem_t *vm = list_entry(l, vmem_t, link);

		mtx_lock(&vm->lock);
		if (vm->tags != NULL && !vm->own_tags)
			fn(vm, &idle);
		mtx_unlock(&vm->lock);
	}
	mtx_unlock(&vmem_arenas_lock);
	give_back(idle);
}

static void
trim_arena(vmem_t *vm, struct idle **idle)
{
	size_t bytes;
	btref *chunk;

	while ((chunk = hash_reclaim(vm, &bytes)) != NULL)
		gather(idle, chunk, NULL, bytes);
	while (vm->nspare > 0)
		gather(idle, spare_take(vm), vm->tags, 0);
}

void
vmem_trim(void)
{
	each_arena(trim_arena);
}

/* ---- moving --------------------------------------------------------------------------------------------- */

/* `to`, which is unused, takes the place of `from`, which is free to go afterwards. */
static void
move_tag(vmem_t *vm, struct vmem_btag *from, struct vmem_btag *to)
{
	btref r = bt_ref(vm, to);

	if (index_inside(from))
		index_leave(vm, from);
	if (from->type == BT_BUSY)
		(void)hash_remove(vm, from->start);
	if (from->type == BT_FREE)
		bins_remove(vm, from, bt_size(vm, from));
	*to = *from;
	*(to->prev == 0 ? &vm->first : &bt_at(vm, to->prev)->next) = r;
	*(to->next == 0 ? &vm->last : &bt_at(vm, to->next)->prev) = r;
	if (vm->near == bt_ref(vm, from))
		vm->near = r;
	if (to->type == BT_FREE)
		bins_insert(vm, to, bt_size(vm, to));
	if (to->type == BT_BUSY)
		hash_insert(vm, to);
	if (bt_is_span(to) || (to->type == BT_BUSY && vm->indexed))
		index_enter(vm, to);
}

/* A small arena only: where live tags are many they pin the slabs anyhow. */
static void
compact_arena(vmem_t *vm, struct idle **idle)
{
	struct vmem_btag *bt, *next, *to = NULL;

	if (vm->tags->prefer == NULL || vm->nbusy + vm->nfree + vm->nspan > VMEM_COMPACT_MAX)
		return;
	for (bt = bt_get(vm, vm->first); bt != NULL; bt = next) {
		next = bt_get(vm, bt->next);
		if (to == NULL && (to = vm->tags->alloc(vm->tags, M_NOWAIT | M_NOVM)) == NULL)
			break;
		if (!vm->tags->prefer(to, bt) || (uintptr_t)to - vm->base > BT_REACH)
			continue;
		move_tag(vm, bt, to);
		gather(idle, bt, vm->tags, 0);
		to = NULL;
	}
	if (to != NULL)
		gather(idle, to, vm->tags, 0);
}

void
vmem_compact(void)
{
	each_arena(compact_arena);
}
