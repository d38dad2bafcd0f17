/*
 * Looking at an arena: sizes, segments, the segment of an address, tables for people. Everything is
 * seen under the arena's lock, so it is one moment's truth; a walk holds it for as long as the
 * arena is long.
 */
#include "vmem/vmem_int.h"

vmem_size_t
vmem_size(vmem_t *vm, int mask)
{
	vmem_size_t size = 0;

	mtx_lock(&vm->lock);
	if (mask & VMEM_ALLOC)
		size += vm->inuse;
	if (mask & VMEM_FREE)
		size += vm->size - vm->inuse;
	if (mask == VMEM_MAXFREE)
		size = index_largest(vm);
	mtx_unlock(&vm->lock);
	return (size);
}

static enum vmem_segment_type
segment_type(const struct vmem_btag *bt)
{
	static const enum vmem_segment_type type[] = {
		[BT_SPAN] = VMEM_SEG_SPAN,
		[BT_SPAN_STATIC] = VMEM_SEG_SPAN_STATIC,
		[BT_FREE] = VMEM_SEG_FREE,
		[BT_BUSY] = VMEM_SEG_BUSY,
	};

	return (type[bt->type]);
}

void
vmem_walk(vmem_t *vm,
    bool (*fn)(enum vmem_segment_type type, vmem_addr_t addr, vmem_size_t size, void *arg),
    void *arg)
{
	struct vmem_btag *bt, *end;
	bool more = true;

	mtx_lock(&vm->lock);
	for (bt = bt_get(vm, vm->first); bt != NULL && more; bt = bt_get(vm, end->next)) {
		for (end = bt; !bt_is_span(end); end = bt_at(vm, end->next))
			;
		more = fn(segment_type(end), bt->start, end->start - bt->start, arg);
		for (; bt != end && more; bt = bt_at(vm, bt->next))
			more = fn(segment_type(bt), bt->start, bt_size(vm, bt), arg);
	}
	mtx_unlock(&vm->lock);
}

bool
vmem_whatis(vmem_t *vm, vmem_addr_t addr, enum vmem_segment_type *type, vmem_addr_t *start,
    vmem_size_t *size)
{
	struct vmem_btag *bt;
	bool found = false;

	mtx_lock(&vm->lock);
	if ((bt = index_floor(vm, addr)) == NULL)
		bt = bt_get(vm, vm->first);
	for (; bt != NULL && !found; bt = bt_get(vm, bt->next)) {
		if (bt->start > addr)
			break;
		if (bt_is_span(bt) || addr - bt->start >= bt_size(vm, bt))
			continue;
		*type = segment_type(bt);
		*start = bt->start;
		*size = bt_size(vm, bt);
		found = true;
	}
	mtx_unlock(&vm->lock);
	return (found);
}

/* ---- for people ------------------------------------------------------------------------------------- */

#define CLASSES (8 * sizeof(vmem_size_t))

/* What vmem_print() writes, gathered under the lock. */
struct picture {
	vmem_size_t size, inuse, largest;
	uint32_t busy, free, spans, spare;
	struct vmem_counts counts;
	uint32_t free_of[CLASSES], busy_of[CLASSES]; /* segments of [2^i, 2^(i+1)) quanta */
};

static void
picture_take(vmem_t *vm, struct picture *p)
{
	memset(p, 0, sizeof(*p));
	mtx_lock(&vm->lock);
	p->size = vm->size;
	p->inuse = vm->inuse;
	p->largest = index_largest(vm);
	p->busy = vm->nbusy;
	p->free = vm->nfree;
	p->spans = vm->nspan;
	p->spare = vm->nspare;
	p->counts = vm->counts;
	for (struct vmem_btag *bt = bt_get(vm, vm->first); bt != NULL; bt = bt_get(vm, bt->next)) {
		if (bt_is_span(bt))
			continue;
		unsigned class = fls_size(bt_size(vm, bt) >> vm->quantum_shift) - 1;

		(bt->type == BT_FREE ? p->free_of : p->busy_of)[class]++;
	}
	mtx_unlock(&vm->lock);
}

void
vmem_print(vmem_t *vm, void (*print)(const char *line, void *arg), void *arg)
{
	struct picture p;
	char line[160];

	picture_take(vm, &p);
	core_snprintf(line, sizeof(line),
	    "arena \"%s\": quantum %zu, size %zu, in use %zu, largest free %zu", vm->name,
	    (size_t)vm->quantum_mask + 1, (size_t)p.size, (size_t)p.inuse, (size_t)p.largest);
	print(line, arg);
	core_snprintf(line, sizeof(line), "  tags: %u busy, %u free, %u spans, %u spare", p.busy,
	    p.free, p.spans, p.spare);
	print(line, arg);
	core_snprintf(line, sizeof(line),
	    "  %llu allocated, %llu freed, %llu failed, %llu imported, %llu released, %llu slept",
	    (unsigned long long)p.counts.allocs, (unsigned long long)p.counts.frees,
	    (unsigned long long)p.counts.fails, (unsigned long long)p.counts.imports,
	    (unsigned long long)p.counts.releases, (unsigned long long)p.counts.sleeps);
	print(line, arg);
	for (unsigned i = 0; i < CLASSES; i++) {
		if (p.free_of[i] == 0 && p.busy_of[i] == 0)
			continue;
		core_snprintf(line, sizeof(line), "  from %zu: %u busy, %u free",
		    ((size_t)vm->quantum_mask + 1) << i, p.busy_of[i], p.free_of[i]);
		print(line, arg);
	}
}

void
vmem_printall(void (*print)(const char *line, void *arg), void *arg)
{
	mtx_lock(&vmem_arenas_lock);
	LIST_EACH (l, &vmem_arenas)
		vmem_print(list_entry(l, vmem_t, link), print, arg);
	mtx_unlock(&vmem_arenas_lock);
}
