/*
 * The life of an arena: create, add, configure, destroy; and where tags come from when nobody says.
 *
 * vmem_arenas_lock guards the list of arenas. The first arena that is made with no default tag source
 * makes a plain zone of tags; kmem sets its own before that.
 */
#include "base/atomic.h"
#include "vmem/vmem_int.h"

CORE_STATE struct list vmem_arenas;
CORE_STATE struct mtx vmem_arenas_lock;
CORE_STATE static struct tag_source *default_tags;
CORE_STATE static uma_zone_t arena_zone; /* of vmem_create() */
CORE_STATE static uma_zone_t plain_zone; /* of tags, if nobody set a source */

const size_t vmem_btag_size = sizeof(struct vmem_btag);
const size_t vmem_btag_align = (size_t)1 << BT_SHIFT;

/* ---- tag sources ---------------------------------------------------------------------------------- */

/* Make *zone if it is not there yet; of two that try at once one wins. */
static uma_zone_t
zone_once(uma_zone_t *zone, const char *name, size_t size, int align)
{
	uma_zone_t none = NULL, mine = atomic_load_acquire(zone);

	if (mine != NULL)
		return (mine);
	mine = uma_zcreate(name, size, NULL, NULL, NULL, NULL, align, 0);
	if (mine == NULL || atomic_cas(zone, &none, mine))
		return (mine);
	uma_zdestroy(mine);
	return (none);
}

static struct vmem_btag *
plain_alloc(struct tag_source *ts, int flags)
{
	(void)ts;
	return ((flags & M_WAITOK) == 0 && inject_failure() ? NULL : uma_zalloc(plain_zone, flags));
}

static void
plain_free(struct tag_source *ts, struct vmem_btag *bt)
{
	(void)ts;
	uma_zfree(plain_zone, bt);
}

/* See that an arena which is going to want tags has a source. */
static void
need_tags(vmem_t *vm)
{
	CORE_STATE static struct tag_source plain;
	int align = (int)vmem_btag_align - 1;

	if (vm->tags != NULL || vm->own_tags)
		return;
	if (default_tags != NULL)
		vm->tags = default_tags;
	else if (zone_once(&plain_zone, "vmem btag", vmem_btag_size, align) != NULL) {
		plain.alloc = plain_alloc;
		plain.free = plain_free;
		vm->tags = &plain;
	}
}

void
vmem_set_default_tags(struct tag_source *ts)
{
	default_tags = ts;
}

void
vmem_set_tags(vmem_t *vm, struct tag_source *ts)
{
	CHECK(vm->first == 0 && vm->nspare == 0, "vmem_set_tags: arena \"%s\" has tags", vm->name);
	vm->tags = ts;
}

int
vmem_add_tags(vmem_t *vm, void *storage, size_t bytes)
{
	vmem_addr_t at = round_up((uintptr_t)storage, vmem_btag_align);
	struct vmem_btag *bt;
	int error = 0;

	if (bytes < at - (uintptr_t)storage + sizeof(*bt))
		return (COOPER_EINVAL);
	bytes -= at - (uintptr_t)storage;
	mtx_lock(&vm->lock);
	if (!vm->own_tags && (vm->first != 0 || vm->nspare != 0)) {
		error = COOPER_EINVAL;
	} else if (vm->base != 0 &&
		   (at - vm->base >= BT_REACH || at + bytes - vm->base >= BT_REACH)) {
		error = COOPER_EINVAL;
	} else {
		vm->own_tags = true;
		vm->tags = NULL;
		bt = hash_from_storage(vm, (void *)at, &bytes);
		for (; bytes >= sizeof(*bt); bt++, bytes -= sizeof(*bt))
			spare_adopt(vm, bt);
	}
	mtx_unlock(&vm->lock);
	if (error == 0 && !FAULT(added_tags_wake_nobody))
		arena_wait_event(vm);
	return (error);
}

/* ---- create ------------------------------------------------------------------------------------------ */

/* Everything but the first span; vm reads as zero. */
static void
arena_setup(vmem_t *vm, const char *name, vmem_size_t quantum, vmem_size_t qcache_max)
{
	core_snprintf(vm->name, sizeof(vm->name), "%s", name);
	vm->quantum_mask = quantum - 1;
	vm->quantum_shift = (uint8_t)(fls_size(quantum) - 1);
	mtx_init(&vm->lock, vm->name, RANK_ARENA);
	arena_wait_init(vm);
	hash_init(vm);
	vm->tags = default_tags;
	mtx_lock(&vmem_arenas_lock);
	list_append(&vmem_arenas, &vm->link);
	mtx_unlock(&vmem_arenas_lock);
	qcache_create(vm, qcache_max);
}

static void
arena_teardown(vmem_t *vm)
{
	qcache_destroy(vm);
	mtx_lock(&vmem_arenas_lock);
	list_remove(&vm->link);
	mtx_unlock(&vmem_arenas_lock);
	while (vm->nspare > 0 && !vm->own_tags)
		vm->tags->free(vm->tags, spare_take(vm));
	hash_destroy(vm);
	arena_wait_destroy(vm);
	mtx_destroy(&vm->lock);
}

static bool
arena_accepts(const char *func, const char *name, vmem_size_t quantum)
{
	CHECK(name != NULL, "%s: an arena needs a name", func);
	CHECK(is_pow2(quantum), "%s: arena \"%s\": quantum %zx is no power of two", func, name,
	    (size_t)quantum);
	return (name != NULL && is_pow2(quantum));
}

vmem_t *
vmem_init(vmem_t *vm, const char *name, vmem_addr_t base, vmem_size_t size, vmem_size_t quantum,
    vmem_size_t qcache_max, int flags)
{
	if (!arena_accepts("vmem_init", name, quantum))
		return (NULL);
	memset(vm, 0, sizeof(*vm));
	arena_setup(vm, name, quantum, qcache_max);
	if (size == 0 || vmem_add(vm, base, size, flags) == 0)
		return (vm);
	arena_teardown(vm); /* the storage stays the caller's (H3) */
	return (NULL);
}

vmem_t *
vmem_create(const char *name, vmem_addr_t base, vmem_size_t size, vmem_size_t quantum,
    vmem_size_t qcache_max, int flags)
{
	uma_zone_t zone = zone_once(&arena_zone, "vmem", sizeof(vmem_t), (int)UMA_ALIGN_CACHE);
	vmem_t *vm;

	if (!arena_accepts("vmem_create", name, quantum) || zone == NULL)
		return (NULL);
	vm = uma_zalloc(zone, flags & (M_NOWAIT | M_WAITOK));
	if (vm == NULL)
		return (NULL);
	if (vmem_init(vm, name, base, size, quantum, qcache_max, flags) == NULL) {
		uma_zfree(zone, vm);
		return (NULL);
	}
	vm->allocated = true;
	return (vm);
}

vmem_t *
vmem_boot(const char *name, vmem_size_t quantum, vmem_size_t qcache_max)
{
	vmem_t *vm = machine_boot_alloc(sizeof(*vm), CACHE_LINE);

	if (vm != NULL)
		arena_setup(vm, name, quantum, qcache_max);
	return (vm);
}

/* 0, ENOMEM (for want of tags) or EINVAL (no place for it); nothing is changed then. */
static int
try_add(vmem_t *vm, vmem_addr_t addr, vmem_size_t size, int flags)
{
	struct purse purse = { 0, 0, 0 };
	int error;

	mtx_lock(&vm->lock);
	error = spare_fill(vm, &purse, BT_IMPORT, flags);
	if (error == 0 && !span_add(vm, addr, size, BT_SPAN_STATIC))
		error = COOPER_EINVAL;
	if (error != 0)
		spare_unfill(vm, &purse);
	mtx_unlock(&vm->lock);
	spare_return(vm, &purse);
	return (error);
}

static int
add_with_tags(vmem_t *vm, vmem_addr_t addr, vmem_size_t size, int flags)
{
	struct spare_wait w = spare_wait_none();
	int error;

	do
		error = try_add(vm, addr, size, flags);
	while (spare_again(&w, error));
	return (error);
}

int
vmem_add(vmem_t *vm, vmem_addr_t addr, vmem_size_t size, int flags)
{
	int error;

	if (((addr | size) & vm->quantum_mask) != 0 || size == 0) {
		CHECK(false, "vmem_add: arena \"%s\": %zx + %zx is no multiple of the quantum",
		    vm->name, (size_t)addr, (size_t)size);
		return (COOPER_EINVAL);
	}
	if ((flags & (M_NOWAIT | M_WAITOK)) == (M_NOWAIT | M_WAITOK)) {
		CHECK(false, "vmem_add: arena \"%s\": both M_NOWAIT and M_WAITOK", vm->name);
		return (COOPER_EINVAL);
	}
	need_tags(vm);
	error = add_with_tags(vm, addr, size, flags);
	CHECK(error != COOPER_EINVAL,
	    "vmem_add: arena \"%s\": %zx + %zx overlaps what is there, or wraps", vm->name,
	    (size_t)addr, (size_t)size);
	if (error != 0)
		return (error);
	if (!FAULT(add_without_wakeup))
		arena_wait_event(vm); /* H4 */
	spare_tell(vm);
	return (0);
}

void
vmem_set_import(vmem_t *vm, vmem_import_t *import, vmem_release_t *release, void *arg,
    vmem_size_t import_quantum)
{
	need_tags(vm);
	if (MISUSE(import_quantum == 0 || (import_quantum & vm->quantum_mask) != 0,
		"vmem_set_import: arena \"%s\": import quantum %zx is no multiple of the quantum",
		vm->name, (size_t)import_quantum))
		return;
	mtx_lock(&vm->lock);
	if (MISUSE(vm->size != 0, "vmem_set_import: arena \"%s\" has %zx already", vm->name,
		(size_t)vm->size)) {
		mtx_unlock(&vm->lock);
		return;
	}
	vm->import = import;
	vm->release = release;
	vm->import_arg = arg;
	vm->import_quantum = import_quantum;
	mtx_unlock(&vm->lock);
	arena_wait_event(vm);
}

void
vmem_set_limit(vmem_t *vm, vmem_size_t max)
{
	mtx_lock(&vm->lock);
	vm->limit = max;
	mtx_unlock(&vm->lock);
	if (!FAULT(limit_never_rechecked))
		arena_wait_event(vm); /* a raised one may let an import through (R26) */
}

void
vmem_set_reclaim(vmem_t *vm, vmem_reclaim_t *reclaim)
{
	mtx_lock(&vm->lock);
	vm->reclaim = reclaim;
	mtx_unlock(&vm->lock);
}

/* ---- destroy ----------------------------------------------------------------------------------------------- */

/* Imported spans that are free as a whole go back where they came from. */
static void
release_all(vmem_t *vm)
{
	struct purse purse = { 0, 0, 0 };
	struct vmem_btag *bt, *end;
	btref next;

	for (bt = bt_get(vm, vm->first); bt != NULL; bt = bt_get(vm, next)) {
		next = bt->next;
		if (bt->type != BT_FREE || (end = span_of_free(vm, bt)) == NULL)
			continue;
		next = end->next;
		import_release(vm, &purse, bt, end);
	}
}

void
vmem_destroy(vmem_t *vm)
{
	bool allocated = vm->allocated;
	struct vmem_btag *bt;
	btref next;

	qcache_destroy(vm);
	mtx_lock(&vm->lock);
	if (vm->nbusy != 0)
		core_warn("vmem_destroy: arena \"%s\": %u segments, %zu in all, were never freed",
		    vm->name, vm->nbusy, (size_t)vm->inuse);
	release_all(vm);
	for (bt = bt_get(vm, vm->first); bt != NULL; bt = bt_get(vm, next)) {
		next = bt->next;
		spare_put(vm, bt);
	}
	vm->first = vm->last = vm->root = vm->near = 0;
	mtx_unlock(&vm->lock);
	arena_teardown(vm);
	if (allocated)
		uma_zfree(arena_zone, vm);
}

/* ---- start-up ------------------------------------------------------------------------------------------------ */

void
vmem_startup(void)
{
	list_init(&vmem_arenas);
	mtx_init(&vmem_arenas_lock, "vmem arenas", RANK_ARENAS);
	arena_wait_start();
}
