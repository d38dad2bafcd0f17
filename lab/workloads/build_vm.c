/*
 * The kernel build's address spaces: map entries in the order of addresses, and page-table pages for
 * where they begin and end, which is where a program touches them first.
 *
 * An address space belongs to the one process of its job whose turn it is; no lock.
 */
#include "build_int.h"

/* ---- page tables ------------------------------------------------------------------------------------ */

/* As a pmap does: try without sleeping, since it holds its lock, then let go of that and wait. */
static struct page_table *
table_alloc(struct build *b)
{
	struct page_table *t = object_alloc(b, KIND_TABLE, M_NOWAIT);

	return (t != NULL ? t : object_alloc(b, KIND_TABLE, M_WAITOK));
}

static void
table_touch(struct build *b, struct vmspace *vm, uint32_t page)
{
	struct page_table *t;

	for (t = vm->tables; t != NULL; t = t->next)
		if (t->region == page / TABLE_PAGES)
			return;
	t = table_alloc(b);
	t->region = page / TABLE_PAGES;
	t->next = vm->tables;
	vm->tables = t;
}

static bool
region_used(const struct vmspace *vm, uint32_t region)
{
	for (const struct map_entry *e = vm->entries; e != NULL; e = e->next)
		if (e->start / TABLE_PAGES <= region && region <= (e->end - 1) / TABLE_PAGES)
			return (true);
	return (false);
}

static void
tables_trim(struct build *b, struct vmspace *vm)
{
	for (struct page_table **p = &vm->tables; *p != NULL;) {
		struct page_table *t = *p;

		if (region_used(vm, t->region)) {
			p = &t->next;
			continue;
		}
		*p = t->next;
		object_free(b, t);
	}
}

/* ---- entries ---------------------------------------------------------------------------------------- */

static struct map_entry *
entry_create(struct build *b, uint32_t start, uint32_t end)
{
	struct map_entry *e = object_alloc(b, KIND_MAP_ENTRY, M_WAITOK);

	e->start = start;
	e->end = end;
	return (e);
}

static struct vm_object *
object_create(struct build *b)
{
	struct vm_object *o = object_alloc(b, KIND_OBJECT, M_WAITOK);

	o->refs = 1;
	return (o);
}

static void
entry_destroy(struct build *b, struct map_entry *e)
{
	if (e->vnode != NULL)
		vnode_put(b, e->vnode);
	else if (--e->object->refs == 0)
		object_free(b, e->object);
	object_free(b, e);
}

/* Cut the entry that goes across `page`, if there is one. */
static void
map_clip(struct build *b, struct vmspace *vm, uint32_t page)
{
	for (struct map_entry *e = vm->entries; e != NULL && e->start < page; e = e->next) {
		struct map_entry *rest;

		if (e->end <= page)
			continue;
		rest = entry_create(b, page, e->end);
		rest->object = e->object;
		rest->vnode = e->vnode;
		if (rest->vnode != NULL)
			vnode_ref(b, rest->vnode);
		else
			rest->object->refs++;
		rest->next = e->next;
		e->next = rest;
		e->end = page;
		return;
	}
}

/* Where an entry that starts at `page` belongs. */
static struct map_entry **
map_place(struct vmspace *vm, uint32_t page)
{
	struct map_entry **p = &vm->entries;

	while (*p != NULL && (*p)->start < page)
		p = &(*p)->next;
	return (p);
}

void
map_protect(struct build *b, struct vmspace *vm, uint32_t start, uint32_t n)
{
	map_clip(b, vm, start);
	map_clip(b, vm, start + n);
}

static void
remove_entries(struct build *b, struct vmspace *vm, uint32_t start, uint32_t n)
{
	struct map_entry **p;

	map_protect(b, vm, start, n);
	p = map_place(vm, start);
	while (*p != NULL && (*p)->start < start + n) {
		struct map_entry *e = *p;

		*p = e->next;
		entry_destroy(b, e);
	}
}

void
map_remove(struct build *b, struct vmspace *vm, uint32_t start, uint32_t n)
{
	remove_entries(b, vm, start, n);
	tables_trim(b, vm);
}

void
map_enter(struct build *b, struct vmspace *vm, uint32_t start, uint32_t n, uint16_t path)
{
	struct map_entry *e, **p;

	remove_entries(b, vm, start, n);
	e = entry_create(b, start, start + n);
	if (path != BUILD_NO_PATH)
		e->vnode = vnode_get(b, path);
	else
		e->object = object_create(b);
	p = map_place(vm, start);
	e->next = *p;
	*p = e;
	table_touch(b, vm, start);
	table_touch(b, vm, start + n - 1);
	build_count(&b->counts.maps);
}

/* ---- address spaces --------------------------------------------------------------------------------- */

struct vmspace *
vmspace_create(struct build *b)
{
	struct vmspace *vm = object_alloc(b, KIND_VMSPACE, M_WAITOK);

	vm->refs = 1;
	for (unsigned i = 0; i < UPPER_TABLES; i++)
		vm->upper[i] = table_alloc(b);
	return (vm);
}

/* What fork makes: an entry for each, private memory behind an object of its own (copy on write). */
struct vmspace *
vmspace_copy(struct build *b, const struct vmspace *from)
{
	struct vmspace *vm = vmspace_create(b);
	struct map_entry **last = &vm->entries;

	for (const struct map_entry *e = from->entries; e != NULL; e = e->next) {
		struct map_entry *copy = entry_create(b, e->start, e->end);

		copy->vnode = e->vnode;
		if (copy->vnode != NULL)
			vnode_ref(b, copy->vnode);
		else
			copy->object = object_create(b);
		*last = copy;
		last = &copy->next;
		table_touch(b, vm, e->start);
	}
	return (vm);
}

void
vmspace_release(struct build *b, struct vmspace *vm)
{
	if (--vm->refs > 0)
		return;
	while (vm->entries != NULL) {
		struct map_entry *e = vm->entries;

		vm->entries = e->next;
		entry_destroy(b, e);
	}
	tables_trim(b, vm);
	for (unsigned i = 0; i < UPPER_TABLES; i++)
		object_free(b, vm->upper[i]);
	object_free(b, vm);
}
