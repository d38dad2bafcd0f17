/*
 * Busy segments by their start: a linear hash, which grows and shrinks by one slot at a time.
 *
 * With N slots, a key's hash is taken modulo the power of two at or above N, and if that slot does not
 * exist yet, modulo the one below. Slot N comes into being by parting what is in slot N - half, so an
 * insertion moves the members of one slot and never a whole table, and one that cannot have more
 * memory goes on with longer chains. A slot has seven eighths of a tag when the table has the room it
 * wants, so that most of the way from an address to its tag is one slot and that tag: each tag beside it
 * on the way is a line of memory, and a slot is four bytes.
 *
 * Slots lie in chunks of a page, four of them, then four of twice that, and so on. A small arena has its 64 slots inside itself. Chunks are fetched and returned with no lock
 * held, one at a time; everything else is guarded by the arena's lock.
 */
#include "vmem/hash.h"

CORE_STATE static const struct table_memory *table_memory;

void
vmem_set_table_memory(const struct table_memory *memory)
{
	table_memory = memory;
}

/* ---- slots ---------------------------------------------------------------------------------------- */

static uint32_t
chunk_slots(unsigned chunk)
{
	return (TABLE_PAGE << chunk / 4);
}

void
hash_init(vmem_t *vm)
{
	vm->table.chunk[0] = vm->table.first;
	vm->table.slots = vm->table.half = vm->table.room = TABLE_FIRST;
}

/* ---- growing and shrinking by a slot ---------------------------------------------------------------- */

void
hash_grow(vmem_t *vm)
{
	uint32_t n = vm->table.slots;
	btref *from = slot_at(vm, n - vm->table.half), *to = slot_at(vm, n), r;

	if (++vm->table.slots == 2 * vm->table.half)
		vm->table.half *= 2;
	*to = 0;
	while ((r = *from) != 0) {
		struct vmem_btag *bt = bt_at(vm, r);

		if (slot_of(vm, bt->start) == n) {
			*from = bt->hash_next;
			bt->hash_next = *to;
			*to = r;
		} else
			from = &bt->hash_next;
	}
}

void
hash_shrink(vmem_t *vm)
{
	uint32_t n = --vm->table.slots;
	btref *to, *from = slot_at(vm, n);

	if (n < vm->table.half)
		vm->table.half /= 2;
	to = slot_at(vm, n - vm->table.half);
	while (*to != 0)
		to = &bt_at(vm, *to)->hash_next;
	*to = *from;
	*from = 0;
}

/* ---- chunks --------------------------------------------------------------------------------------------- */

bool
hash_wants(const vmem_t *vm)
{
	return (hash_crowded(vm) && vm->table.slots == vm->table.room && !vm->table.busy &&
		vm->table.chunks < TABLE_CHUNKS && table_memory != NULL && !vm->own_tags);
}

bool
hash_idle(const vmem_t *vm)
{
	return (vm->table.slots <= vm->table.idle && !vm->table.busy && !vm->own_tags);
}

/* The last chunk is idle when it and half of its size before it are not in use. */
static void
set_idle(struct table *t)
{
	uint32_t last;

	t->idle = t->chunks == 0 ? 0 : TABLE_FIRST;
	if (t->chunks > 1) {
		last = chunk_slots(t->chunks - 1u);
		t->idle = MAX(t->idle, t->room - last - last / 2 - 1);
	}
}

static void
add_chunk(vmem_t *vm, btref *memory)
{
	struct table *t = &vm->table;

	if (t->chunks == 0)
		memcpy(memory, t->first, sizeof(t->first));
	t->chunk[t->chunks] = memory;
	t->room = t->chunks == 0 ? TABLE_PAGE : t->room + chunk_slots(t->chunks);
	t->chunks++;
	set_idle(t);
}

static btref *
drop_chunk(vmem_t *vm)
{
	struct table *t = &vm->table;
	btref *memory = t->chunk[--t->chunks];

	t->chunk[t->chunks] = NULL;
	t->room -= chunk_slots(t->chunks);
	if (t->chunks == 0) {
		memcpy(t->first, memory, sizeof(t->first));
		t->chunk[0] = t->first;
		t->room = TABLE_FIRST;
	}
	set_idle(t);
	return (memory);
}

void
hash_adjust(vmem_t *vm)
{
	btref *memory = NULL;
	size_t bytes = 0;
	bool grows;

	mtx_lock(&vm->lock);
	grows = hash_wants(vm);
	if (grows || hash_idle(vm)) {
		vm->table.busy = true;
		bytes =
		    sizeof(btref) * chunk_slots(grows ? vm->table.chunks : vm->table.chunks - 1u);
		if (!grows)
			memory = drop_chunk(vm);
	}
	mtx_unlock(&vm->lock);
	if (bytes == 0)
		return;
	if (grows) /* while the flag is up nobody else adds or drops one, and nothing comes back here */
		memory = inject_failure() ? NULL : table_memory->alloc(bytes);
	else
		table_memory->free(memory, bytes);
	mtx_lock(&vm->lock);
	if (grows && memory != NULL)
		add_chunk(vm, memory);
	vm->table.busy = false;
	mtx_unlock(&vm->lock);
}

/*
 * Use the front of the caller's storage for chunks, as many as its tags can ask for. Returns what
 * is left.
 */
void *
hash_from_storage(vmem_t *vm, void *storage, size_t *bytes)
{
	size_t tags = *bytes / sizeof(struct vmem_btag);

	while (vm->table.room < tags && vm->table.chunks < TABLE_CHUNKS) {
		size_t chunk = sizeof(btref) * chunk_slots(vm->table.chunks);

		if (chunk > *bytes / 8)
			break;
		add_chunk(vm, storage);
		storage = (char *)storage + chunk;
		*bytes -= chunk;
	}
	return (storage);
}

/* For reclaim, under the lock: a chunk that the table can do without at once, or NULL. */
btref *
hash_reclaim(vmem_t *vm, size_t *bytes)
{
	while (vm->nbusy < vm->table.slots / 2 && vm->table.slots > TABLE_FIRST)
		hash_shrink(vm);
	if (!hash_idle(vm))
		return (NULL);
	*bytes = sizeof(btref) * chunk_slots(vm->table.chunks - 1u);
	return (drop_chunk(vm));
}

void
hash_give_back(btref *memory, size_t bytes)
{
	table_memory->free(memory, bytes);
}

void
hash_destroy(vmem_t *vm)
{
	if (vm->own_tags)
		return;
	while (vm->table.chunks > 0) {
		size_t bytes = sizeof(btref) * chunk_slots(vm->table.chunks - 1u);

		table_memory->free(drop_chunk(vm), bytes);
	}
}
