/*
 * What an address in an event stands for: a lock with its zone or arena, a CPU's part of a zone's
 * cache, a word inside of one of them, or a variable of the program.
 *
 * Found by walking the lists of zones and arenas, without locks (nobody else runs), and kept in a
 * table until names_forget(): locks are made and destroyed with what they belong to, so whoever sees
 * the registry of locks change calls it.
 */
#include <stdlib.h>
#include <string.h>
#include "lab/report/names.h"
#include "sync/sync_int.h"
#include "uma/uma_int.h"
#include "vmem/vmem_int.h"

#define SLOTS 4096 /* at most half of them are used */

struct names {
	struct recording *r;
	struct symbols *symbols;
	struct known {
		const void *object;
		uint32_t name;
		uint8_t kind;
	} known[SLOTS];
	unsigned used;
};

struct names *
names_new(struct recording *r, struct symbols *symbols)
{
	struct names *n = rec_alloc(sizeof(*n));

	n->r = r;
	n->symbols = symbols;
	return (n);
}

void
names_free(struct names *n)
{
	free(n);
}

void
names_forget(struct names *n)
{
	if (n->used > 0)
		memset(n->known, 0, sizeof(n->known));
	n->used = 0;
}

/* ---- what is there --------------------------------------------------------------------------------- */

static bool
inside(const void *address, const void *start, size_t size)
{
	return ((uintptr_t)address - (uintptr_t)start < size);
}

static const struct uma_zone *
zone_around(const void *address)
{
	if (uma_zones.next == NULL) /* before the start */
		return (NULL);
	LIST_EACH (l, &uma_zones) {
		const struct uma_zone *zone = list_entry(l, struct uma_zone, link);
		const struct uma_keg *keg = zone->keg;

		if (inside(address, zone, zone_struct_size()) ||
		    (zone_is_cached(zone) &&
			inside(address, zone->cache, uma_ncpus * sizeof(*zone->cache))) ||
		    (keg != NULL && keg->primary == zone &&
			inside(address, keg, keg_struct_size())))
			return (zone);
	}
	return (NULL);
}

static const struct vmem *
arena_around(const void *address)
{
	if (vmem_arenas.next == NULL)
		return (NULL);
	LIST_EACH (l, &vmem_arenas) {
		const struct vmem *vm = list_entry(l, struct vmem, link);

		if (inside(address, vm, sizeof(*vm)))
			return (vm);
	}
	return (NULL);
}

static const struct mtx *
mtx_of(const void *lock)
{
	for (unsigned rank = 0; rank < RANK_COUNT; rank++) {
		if (mtx_registry[rank].next == NULL)
			continue;
		LIST_EACH (l, &mtx_registry[rank]) {
			const struct mtx *m = list_entry(l, struct mtx, registry);

			if ((const void *)&m->lock == lock)
				return (m);
		}
	}
	return (NULL);
}

uint32_t
names_owner(struct names *n, const void *address)
{
	const struct uma_zone *zone = zone_around(address);
	const struct vmem *vm = zone == NULL ? arena_around(address) : NULL;

	return (rec_text(n->r, "%s", zone != NULL ? zone->name : vm != NULL ? vm->name : ""));
}

/* ---- names by the kind of event ----------------------------------------------------------------------- */

static uint32_t
variable(struct names *n, const void *address)
{
	unsigned offset;
	const char *symbol = symbols_object(n->symbols, (uintptr_t)address, &offset);

	if (symbol == NULL)
		return (0);
	return (
	    offset == 0 ? rec_text(n->r, "%s", symbol) : rec_text(n->r, "%s+%u", symbol, offset));
}

/* "keg of btag": what it is, and whose. */
static uint32_t
belonging(struct names *n, const char *what, const void *address)
{
	const struct uma_zone *zone = zone_around(address);
	const struct vmem *vm;

	if (zone != NULL)
		return (rec_text(n->r, "%s \"%s\"", what, zone->name));
	vm = arena_around(address);
	if (vm != NULL)
		return (rec_text(n->r, "%s \"%s\"", what, vm->name));
	return (0);
}

static uint32_t
lock_name(struct names *n, const void *lock)
{
	const struct mtx *m = mtx_of(lock);
	uint32_t name;

	if (m == NULL)
		return (variable(n, lock));
	if (m->rank == RANK_ARENA)
		return (belonging(n, "arena", lock));
	name = belonging(n, m->name, lock);
	return (name != 0 ? name : rec_text(n->r, "%s", m->name));
}

static uint32_t
find(struct names *n, const struct sim_event *event)
{
	uint32_t name;

	switch (event->kind) {
	case SIM_LOCK:
	case SIM_BLOCK:
	case SIM_TRYLOCK:
	case SIM_UNLOCK:
		return (lock_name(n, event->object));
	case SIM_ENTER:
	case SIM_EXIT:
	case SIM_POP:
	case SIM_PUSH:
		return (belonging(n, "cache", event->object));
	case SIM_ATOMIC:
		name = variable(n, event->object);
		return (name != 0 ? name : belonging(n, "word of", event->object));
	default:
		return (0);
	}
}

uint32_t
names_of(struct names *n, const struct sim_event *event)
{
	uintptr_t hash = ((uintptr_t)event->object >> 2) * (uintptr_t)0x9e3779b97f4a7c15ull;
	struct known *k;

	if (event->object == NULL)
		return (0);
	if (event->kind == SIM_NOTE || event->kind == SIM_CALL || event->kind == SIM_RETURN)
		return (rec_text(n->r, "%s", (const char *)event->object));
	if (2 * n->used >= SLOTS)
		names_forget(n);
	for (unsigned i = (unsigned)(hash >> 12) % SLOTS;; i = (i + 1) % SLOTS) {
		k = &n->known[i];
		if (k->object == event->object && k->kind == event->kind)
			return (k->name);
		if (k->object == NULL)
			break;
	}
	*k = (struct known){ event->object, find(n, event), event->kind };
	n->used++;
	return (k->name);
}
