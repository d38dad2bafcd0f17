/*
 * The table of busy segments, inline: in, out, and the way to one. hash.c says how it is made, and makes
 * it larger and smaller. The arena's lock guards it.
 */
#ifndef VMEM_HASH_H
#define VMEM_HASH_H

#include "vmem/vmem_int.h"

void hash_grow(vmem_t *vm);
void hash_shrink(vmem_t *vm);

/* Without a branch: the first four chunks are as the next would be, were there four pages before them. */
static inline btref *
slot_at(vmem_t *vm, uint32_t i)
{
	uint32_t j = i + 4 * TABLE_PAGE;
	unsigned e = fls_size(j) - 3; /* a quarter has 1 << e slots */

	return (&vm->table.chunk[4 * (e - TABLE_PAGE_SHIFT) + (j >> e & 3)]
				[j & (((uint32_t)1 << e) - 1)]);
}

static inline uint32_t
slot_of(const vmem_t *vm, vmem_addr_t addr)
{
	uint64_t key = (uint64_t)(addr >> vm->quantum_shift) * 0x9e3779b97f4a7c15u;
	uint32_t hash = (uint32_t)(key >> 32), half = vm->table.half;
	uint32_t i = hash & (2 * half - 1);

	return (i < vm->table.slots ? i : i & (half - 1));
}

/* A page is a lot for what fits in the slots inside: these may have one and a half. */
static inline bool
hash_crowded(const vmem_t *vm)
{
	return (
	    vm->nbusy > MAX(vm->table.slots - vm->table.slots / 8, TABLE_FIRST + TABLE_FIRST / 2));
}

static inline void
hash_insert(vmem_t *vm, struct vmem_btag *bt)
{
	btref *slot;

	vm->nbusy++;
	/* Twice: a table that had to wait for room catches up, as one that shrinks does. */
	for (int i = 0; i < 2 && unlikely(hash_crowded(vm)) && vm->table.slots < vm->table.room;
	     i++)
		hash_grow(vm);
	slot = slot_at(vm, slot_of(vm, bt->start));
	bt->hash_next = *slot;
	*slot = bt_ref(vm, bt);
}

/* The link that leads to the segment at addr, or to nothing. */
static inline btref *
hash_find(vmem_t *vm, vmem_addr_t addr)
{
	btref *link = slot_at(vm, slot_of(vm, addr));
	uint64_t looks = 0;

	for (; *link != 0; link = &bt_at(vm, *link)->hash_next) {
		looks++;
		if (likely(bt_at(vm, *link)->start == addr))
			break;
	}
	vm->counts.looks += looks;
	return (link);
}

static inline struct vmem_btag *
hash_lookup(vmem_t *vm, vmem_addr_t addr)
{
	return (bt_get(vm, *hash_find(vm, addr)));
}

/* NULL: no such busy segment. */
static inline struct vmem_btag *
hash_remove(vmem_t *vm, vmem_addr_t addr)
{
	btref *link = hash_find(vm, addr);
	struct vmem_btag *bt = bt_get(vm, *link);

	if (unlikely(bt == NULL))
		return (NULL);
	*link = bt->hash_next;
	vm->nbusy--;
	for (int i = 0;
	     i < 2 && unlikely(vm->nbusy < vm->table.slots / 2) && vm->table.slots > TABLE_FIRST;
	     i++)
		hash_shrink(vm);
	return (bt);
}

#endif
