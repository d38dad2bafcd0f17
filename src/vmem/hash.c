/*
 * Busy segments by their start: a linear hash, which grows and shrinks by one slot at a time.
 *
 * With N slots, a key's hash is taken modulo the power of two at or above N, and if that slot does not
 * exist yet, modulo the one below. Slot N comes into being by parting what is in slot N - half, so an
 * insertion moves the members of one slot and never a whole table, and one that cannot have more
 * memory goes on with longer chains. Chains are 1.5 tags long when the table has the room it wants.
 *
 * Slots lie in chunks that double by quarters: four of a page, then four quarters of each power of
 * two. A small arena has its 64 slots inside itself. Chunks are fetched and returned with no lock
 * held, one at a time; everything else is guarded by the arena's lock.
 */
#include "vmem/vmem_int.h"

#define PAGES_END (4 * TABLE_PAGE) /* slots in the four chunks of a page */

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
	return (chunk < 4 ? TABLE_PAGE : TABLE_PAGE << ((chunk - 4) / 4));
}

static inline btref *
slot_at(vmem_t *vm, uint32_t i)
{
	unsigned e;

	if (i < PAGES_END)
		return (&vm->table.chunk[i / TABLE_PAGE][i % TABLE_PAGE]);
	e = fls_size(i) - 3; /* a quarter has 1 << e slots */
	return (&vm->table.chunk[4 * (e - 9) + (i >> e & 3)][i & (((uint32_t)1 << e) - 1)]);
}

static inline uint32_t
slot_of(const vmem_t *vm, vmem_addr_t addr)
{
	uint64_t key = (uint64_t)(addr >> vm->quantum_shift) * 0x9e3779b97f4a7c15u;
	uint32_t hash = (uint32_t)(key >> 32), half = vm->table.half;
	uint32_t i = hash & (2 * half - 1);

	return (i < vm->table.slots ? i : i & (half - 1));
}

void
hash_init(vmem_t *vm)
{
	vm->table.chunk[0] = vm->table.first;
	vm->table.slots = vm->table.half = vm->table.room = TABLE_FIRST;
}

/* ---- growing and shrinking by a slot ---------------------------------------------------------------- */

static inline bool
crowded(const vmem_t *vm)
{
	return (vm->nbusy > vm->table.slots + vm->table.slots / 2);
}

static NOINLINE void
grow(vmem_t *vm)
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

static NOINLINE void
shrink(vmem_t *vm)
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

/* ---- members ------------------------------------------------------------------------------------------ */

void
hash_insert(vmem_t *vm, struct vmem_btag *bt)
{
	btref *slot;

	vm->nbusy++;
	/* Twice: a table that had to wait for room catches up, as one that shrinks does. */
	for (int i = 0; i < 2 && crowded(vm) && vm->table.slots < vm->table.room; i++)
		grow(vm);
	slot = slot_at(vm, slot_of(vm, bt->start));
	bt->hash_next = *slot;
	*slot = bt_ref(vm, bt);
}

/* The link that leads to the segment at addr, or to nothing. */
static btref *
find(vmem_t *vm, vmem_addr_t addr)
{
	btref *link = slot_at(vm, slot_of(vm, addr));

	for (; *link != 0; link = &bt_at(vm, *link)->hash_next) {
		vm->counts.looks++;
		if (bt_at(vm, *link)->start == addr)
			break;
	}
	return (link);
}

struct vmem_btag *
hash_lookup(vmem_t *vm, vmem_addr_t addr)
{
	return (bt_get(vm, *find(vm, addr)));
}

struct vmem_btag *
hash_remove(vmem_t *vm, vmem_addr_t addr)
{
	btref *link = find(vm, addr);
	struct vmem_btag *bt = bt_get(vm, *link);

	if (bt == NULL)
		return (NULL);
	*link = bt->hash_next;
	vm->nbusy--;
	for (int i = 0; i < 2 && vm->nbusy < vm->table.slots / 2 && vm->table.slots > TABLE_FIRST;
	     i++)
		shrink(vm);
	return (bt);
}

/* ---- chunks --------------------------------------------------------------------------------------------- */

bool
hash_wants(const vmem_t *vm)
{
	return (crowded(vm) && vm->table.slots == vm->table.room && !vm->table.busy &&
		vm->table.chunks < TABLE_CHUNKS && table_memory != NULL && !vm->own_tags);
}

/* The last chunk is idle when it and half of the one before are not in use. */
bool
hash_idle(const vmem_t *vm)
{
	uint32_t last;

	if (vm->table.chunks == 0 || vm->table.busy || vm->own_tags)
		return (false);
	last = chunk_slots(vm->table.chunks - 1u);
	return (vm->table.slots <= TABLE_FIRST ||
		(vm->table.chunks > 1 && vm->table.slots + last + last / 2 < vm->table.room));
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
		shrink(vm);
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
