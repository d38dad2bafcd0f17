/*
 * Public calls, seen by the linker's --wrap: `__wrap_f' stands wherever another file says f, and
 * `__real_f' is f. meson.build lists them.
 *
 * The outermost call of a fiber is an *operation*: it makes SIM_CALL and SIM_RETURN events and is
 * what progress and starvation are counted in. Calls inside of it only feed the shadow and tell what
 * the fiber is about to those who ask why it sleeps.
 *
 * The shadow learns of a thing that is given back before the core does, and of one that is handed
 * out after the core has: in between it belongs to this fiber either way, so there is no moment at
 * which another one could rightly have it.
 */
#include "lab/oracles/oracles_int.h"
#include <cooper/malloc.h>

/* ---- entering and leaving ---------------------------------------------------------------------- */

void
call_enter(struct call *c)
{
	struct fiber_state *me = oracle_me();
	struct sim_fiber_info info;

	c->up = me->call;
	me->call = c;
	if (c->up != NULL || !oracles_watching)
		return;
	if (!me->known) {
		sim_fiber(sim_self(), &info);
		me->known = true;
		me->daemon = info.daemon;
	}
	c->operation = !me->daemon;
	progress_operation(c, false);
	sim_event(SIM_CALL, c->name, c->want);
}

void
call_leave(struct call *c, uint64_t result)
{
	oracle_me()->call = c->up;
	oracle_me()->excused &= c->up != NULL;
	if (c->up != NULL || !oracles_watching)
		return;
	progress_operation(c, true);
	sim_event(SIM_RETURN, c->name, result);
}

const struct call *
call_of(unsigned f, enum call_kind kind)
{
	const struct call *c = oracle_fibers[f].call;

	while (c != NULL && c->kind != kind)
		c = c->up;
	return (c);
}

/* A function that `call' says all about; `result' is what it returns, of value `value'. */
#define WRAP(ret, fn, params, args, value, ...)       \
	ret __real_##fn params;                       \
	ret __wrap_##fn params;                       \
	ret __wrap_##fn params                        \
	{                                             \
		struct call call = { __VA_ARGS__ };   \
		ret result;                           \
                                                      \
		call_enter(&call);                    \
		result = __real_##fn args;            \
		call_leave(&call, (uint64_t)(value)); \
		return (result);                      \
	}
#define WRAP_VOID(fn, params, args, ...)            \
	void __real_##fn params;                    \
	void __wrap_##fn params;                    \
	void __wrap_##fn params                     \
	{                                           \
		struct call call = { __VA_ARGS__ }; \
                                                    \
		call_enter(&call);                  \
		__real_##fn args;                   \
		call_leave(&call, 0);               \
	}
#define REAL(ret, fn, ...)            \
	ret __real_##fn(__VA_ARGS__); \
	ret __wrap_##fn(__VA_ARGS__)

/* Domains of a set; 0: all. */
static uint32_t
domains_of(const struct domainset *ds)
{
	if (ds == NULL)
		return (0);
	return (ds->policy == DOMAINSET_FIXED ? 1u << ds->prefer : ds->mask);
}

/* ---- items --------------------------------------------------------------------------------------- */

static struct call
zone_call(const char *name, uma_zone_t zone, int domain, int flags)
{
	return ((struct call){ .name = name,
	    .kind = CALL_ZONE,
	    .object = zone,
	    .want = zone->size,
	    .domain = domain,
	    .flags = flags });
}

REAL(void *, uma_zalloc_arg, uma_zone_t zone, void *arg, int flags)
{
	struct call call = zone_call("uma_zalloc", zone, -1, flags);
	void *item;

	call_enter(&call);
	item = __real_uma_zalloc_arg(zone, arg, flags);
	if (item != NULL)
		shadow_item_out(zone, item, flags);
	call_leave(&call, item != NULL);
	return (item);
}

REAL(void *, uma_zalloc_domain, uma_zone_t zone, void *arg, int domain, int flags)
{
	struct call call = zone_call("uma_zalloc_domain", zone, domain, flags);
	void *item;

	call_enter(&call);
	item = __real_uma_zalloc_domain(zone, arg, domain, flags);
	if (item != NULL && uma_ndomains > 1) /* on one domain it is uma_zalloc_arg() */
		shadow_item_out(zone, item, flags);
	call_leave(&call, item != NULL);
	return (item);
}

REAL(void *, uma_zalloc_smr, uma_zone_t zone, int flags)
{
	struct call call = zone_call("uma_zalloc_smr", zone, -1, flags);
	void *item;

	call_enter(&call);
	item = __real_uma_zalloc_smr(zone, flags);
	if (item != NULL)
		shadow_item_out(zone, item, flags);
	call_leave(&call, item != NULL);
	return (item);
}

REAL(void, uma_zfree_arg, uma_zone_t zone, void *item, void *arg)
{
	struct call call = { .name = "uma_zfree", .object = zone, .want = zone->size };

	call_enter(&call);
	if (item != NULL)
		shadow_item_in(zone, item);
	__real_uma_zfree_arg(zone, item, arg);
	call_leave(&call, 0);
}

REAL(void, uma_zfree_smr, uma_zone_t zone, void *item)
{
	struct call call = { .name = "uma_zfree_smr", .object = zone, .want = zone->size };

	call_enter(&call);
	if (item != NULL)
		shadow_item_in(zone, item);
	__real_uma_zfree_smr(zone, item);
	call_leave(&call, 0);
}

REAL(int, uma_zalloc_bulk, uma_zone_t zone, void **list, int count, int flags)
{
	struct call call = zone_call("uma_zalloc_bulk", zone, -1, flags);
	int n;

	call_enter(&call);
	n = __real_uma_zalloc_bulk(zone, list, count, flags);
	for (int i = 0; i < n; i++)
		shadow_item_out(zone, list[i], flags);
	call_leave(&call, (uint64_t)n);
	return (n);
}

REAL(void, uma_zfree_bulk, uma_zone_t zone, void **list, int count)
{
	struct call call = { .name = "uma_zfree_bulk", .object = zone, .want = zone->size };

	call_enter(&call);
	for (int i = 0; i < count; i++)
		if (list[i] != NULL)
			shadow_item_in(zone, list[i]);
	__real_uma_zfree_bulk(zone, list, count);
	call_leave(&call, 0);
}

/* Not public, but the way by which a refill of tags puts back what it took with uma_zalloc(). */
REAL(void, zone_free_item, struct uma_zone *zone, void *item, void *udata, int skip)
{
	shadow_item_home(zone, item);
	__real_zone_free_item(zone, item, udata, skip);
}

WRAP(void *, uma_zalloc_pcpu_arg, (uma_zone_t zone, void *arg, int flags), (zone, arg, flags),
    result != NULL, .name = "uma_zalloc_pcpu", .object = zone, .want = zone->size)
WRAP_VOID(uma_zfree_pcpu_arg, (uma_zone_t zone, void *item, void *arg), (zone, item, arg),
    .name = "uma_zfree_pcpu", .object = zone, .want = zone->size)
WRAP_VOID(uma_zwait, (uma_zone_t zone), (zone), .name = "uma_zwait", .object = zone)

/* ---- zones --------------------------------------------------------------------------------------- */

/* Is the scenario itself the caller? */
static bool
is_operation(const struct call *c)
{
	return (c->up == NULL && oracles_watching);
}

#define WRAP_ZONE(fn, text, params, args)                             \
	REAL(uma_zone_t, fn, UNPAREN params)                          \
	{                                                             \
		struct call call = { .name = text };                  \
		uma_zone_t zone;                                      \
                                                                      \
		call_enter(&call);                                    \
		zone = __real_##fn args;                              \
		if (zone != NULL)                                     \
			shadow_zone_comes(zone, is_operation(&call)); \
		call_leave(&call, zone != NULL);                      \
		return (zone);                                        \
	}
#define UNPAREN(...) __VA_ARGS__

WRAP_ZONE(uma_zcreate, "uma_zcreate",
    (const char *name, size_t size, uma_ctor ctor, uma_dtor dtor, uma_init init, uma_fini fini,
	int align, uint32_t flags),
    (name, size, ctor, dtor, init, fini, align, flags))
WRAP_ZONE(uma_zsecond_create, "uma_zsecond_create",
    (const char *name, uma_ctor ctor, uma_dtor dtor, uma_init zinit, uma_fini zfini,
	uma_zone_t primary),
    (name, ctor, dtor, zinit, zfini, primary))
WRAP_ZONE(uma_zcache_create, "uma_zcache_create",
    (const char *name, int size, uma_ctor ctor, uma_dtor dtor, uma_init zinit, uma_fini zfini,
	uma_import import, uma_release release, void *arg, int flags),
    (name, size, ctor, dtor, zinit, zfini, import, release, arg, flags))
WRAP_VOID(uma_prealloc, (uma_zone_t zone, int nitems), (zone, nitems), .name = "uma_prealloc",
    .object = zone, .want = (uint64_t)nitems)
WRAP(int, uma_zone_set_max, (uma_zone_t zone, int nitems), (zone, nitems), result,
    .name = "uma_zone_set_max", .object = zone, .want = (uint64_t)nitems)
WRAP(int, uma_zone_reserve_kva, (uma_zone_t zone, int nitems), (zone, nitems), result,
    .name = "uma_zone_reserve_kva", .object = zone, .want = (uint64_t)nitems)
WRAP_VOID(uma_reclaim, (int req), (req), .name = "uma_reclaim", .want = (uint64_t)req)
WRAP_VOID(uma_reclaim_domain, (int req, int domain), (req, domain), .name = "uma_reclaim_domain",
    .want = (uint64_t)req)
WRAP_VOID(uma_zone_reclaim, (uma_zone_t zone, int req), (zone, req), .name = "uma_zone_reclaim",
    .object = zone, .want = (uint64_t)req)
WRAP_VOID(uma_zone_reclaim_domain, (uma_zone_t zone, int req, int domain), (zone, req, domain),
    .name = "uma_zone_reclaim_domain", .object = zone, .want = (uint64_t)req)

REAL(void, uma_zdestroy, uma_zone_t zone)
{
	struct call call = { .name = "uma_zdestroy", .object = zone };
	struct uma_keg *keg = zone->keg != NULL && zone->keg->primary == zone ? zone->keg : NULL;

	call_enter(&call);
	accounts_zone_ends(zone);
	shadow_zone_gone(zone);
	if (keg != NULL)
		reserves_keg_gone(keg);
	__real_uma_zdestroy(zone);
	call_leave(&call, 0);
}

REAL(void, uma_zone_reserve, uma_zone_t zone, int nitems)
{
	__real_uma_zone_reserve(zone, nitems);
	if (zone->keg != NULL && zone->keg->reserve > 0)
		reserves_watch(zone->keg);
}

/* ---- ranges -------------------------------------------------------------------------------------- */

static struct call
arena_call(const char *name, vmem_t *vm, vmem_size_t size, int flags)
{
	return ((struct call){ .name = name,
	    .kind = CALL_ARENA,
	    .object = vm,
	    .want = size,
	    .flags = flags,
	    .request = { .size = vmem_roundup_size(vm, size),
		.shape = { vm->quantum_mask + 1, 0, 0 },
		.max = VMEM_ADDR_MAX,
		.policy = (unsigned)flags & M_VMEM_POLICY } });
}

/* An arena's import function asks another arena: that one is its parent. */
static void
note_parent(const struct call *c)
{
	for (const struct call *up = c->up; up != NULL; up = up->up)
		if (up->kind == CALL_ARENA) {
			vmem_t *child = up->object;

			if (child->import != NULL && child != c->object &&
			    machine_thread_state()->importing != 0)
				sleepers_import(child, c->object, &c->request);
			return;
		}
}

REAL(int, vmem_xalloc, vmem_t *vm, vmem_size_t size, vmem_size_t align, vmem_size_t phase,
    vmem_size_t nocross, vmem_addr_t min, vmem_addr_t max, int flags, vmem_addr_t *addrp)
{
	struct call call = arena_call("vmem_xalloc", vm, size, flags);
	int error;

	call.request.shape =
	    (struct shape){ align == 0 ? vm->quantum_mask + 1 : align, phase, nocross };
	call.request.min = min;
	call.request.max = max;
	call_enter(&call);
	note_parent(&call);
	error = __real_vmem_xalloc(vm, size, align, phase, nocross, min, max, flags, addrp);
	if (error == 0)
		shadow_range_out(vm, *addrp, call.request.size);
	call_leave(&call, (uint64_t)error);
	return (error);
}

REAL(int, vmem_alloc, vmem_t *vm, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	struct call call = arena_call("vmem_alloc", vm, size, flags);
	int error;

	call_enter(&call);
	note_parent(&call);
	error = __real_vmem_alloc(vm, size, flags, addrp);
	if (error == 0)
		shadow_range_out(vm, *addrp, call.request.size);
	call_leave(&call, (uint64_t)error);
	return (error);
}

REAL(void, vmem_xfree, vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	struct call call = { .name = "vmem_xfree", .object = vm, .want = size };

	call_enter(&call);
	shadow_range_in(vm, addr, vmem_roundup_size(vm, size));
	__real_vmem_xfree(vm, addr, size);
	call_leave(&call, 0);
}

REAL(void, vmem_free, vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	struct call call = { .name = "vmem_free", .object = vm, .want = size };

	call_enter(&call);
	shadow_range_in(vm, addr, vmem_roundup_size(vm, size));
	__real_vmem_free(vm, addr, size);
	call_leave(&call, 0);
}

WRAP(int, vmem_add, (vmem_t * vm, vmem_addr_t addr, vmem_size_t size, int flags),
    (vm, addr, size, flags), result, .name = "vmem_add", .object = vm, .want = size)
WRAP(int, vmem_add_tags, (vmem_t * vm, void *storage, size_t bytes), (vm, storage, bytes), result,
    .name = "vmem_add_tags", .object = vm, .want = bytes)
WRAP_VOID(vmem_set_limit, (vmem_t * vm, vmem_size_t max), (vm, max), .name = "vmem_set_limit",
    .object = vm, .want = max)
WRAP(vmem_t *, vmem_create,
    (const char *name, vmem_addr_t base, vmem_size_t size, vmem_size_t quantum,
	vmem_size_t qcache_max, int flags),
    (name, base, size, quantum, qcache_max, flags), result != NULL, .name = "vmem_create",
    .want = size)
WRAP(vmem_t *, vmem_init,
    (vmem_t * vm, const char *name, vmem_addr_t base, vmem_size_t size, vmem_size_t quantum,
	vmem_size_t qcache_max, int flags),
    (vm, name, base, size, quantum, qcache_max, flags), result != NULL, .name = "vmem_init",
    .want = size)

REAL(void, vmem_destroy, vmem_t *vm)
{
	struct call call = { .name = "vmem_destroy", .object = vm };

	call_enter(&call);
	shadow_arena_gone(vm);
	sleepers_arena_gone(vm);
	__real_vmem_destroy(vm);
	call_leave(&call, 0);
}

/* ---- address space and pages under it -------------------------------------------------------------- */

WRAP(vm_offset_t, kva_alloc, (vm_size_t size), (size), result != 0, .name = "kva_alloc",
    .kind = CALL_KVA, .want = size)
WRAP(vm_offset_t, kva_alloc_aligned, (vm_size_t size, vm_size_t align), (size, align), result != 0,
    .name = "kva_alloc_aligned", .kind = CALL_KVA, .want = size, .request.shape.align = align)
WRAP(vm_offset_t, kmem_kva_wait, (vm_size_t size, vm_size_t align), (size, align), result != 0,
    .name = "kmem_kva_wait", .kind = CALL_KVA, .want = size, .request.shape.align = align)
WRAP_VOID(
    kva_free, (vm_offset_t addr, vm_size_t size), (addr, size), .name = "kva_free", .want = size)
WRAP(void *, kmem_malloc, (vm_size_t size, int flags), (size, flags), result != NULL,
    .name = "kmem_malloc", .kind = CALL_KMEM, .want = size, .flags = flags)
WRAP(void *, kmem_malloc_domainset, (struct domainset * ds, vm_size_t size, int flags),
    (ds, size, flags), result != NULL, .name = "kmem_malloc_domainset", .kind = CALL_KMEM,
    .want = size, .flags = flags, .domains = domains_of(ds))
WRAP(void *, kmem_malloc_rounds,
    (struct domainset * ds, vm_size_t size, int flags, unsigned rounds), (ds, size, flags, rounds),
    result != NULL, .name = "kmem_malloc_rounds", .kind = CALL_KMEM, .want = size, .flags = flags,
    .domains = domains_of(ds))
WRAP_VOID(kmem_free, (void *addr, vm_size_t size), (addr, size), .name = "kmem_free", .want = size)
WRAP(int, kmem_back, (vm_offset_t addr, vm_size_t size, int flags), (addr, size, flags), result,
    .name = "kmem_back", .kind = CALL_KMEM, .want = size, .flags = flags)
WRAP(int, kmem_back_domain, (int domain, vm_offset_t addr, vm_size_t size, int flags),
    (domain, addr, size, flags), result, .name = "kmem_back_domain", .kind = CALL_KMEM,
    .want = size, .flags = flags, .domains = 1u << domain)
WRAP(int, kmem_back_domainset, (vm_offset_t addr, vm_size_t size, struct domainset *ds, int flags),
    (addr, size, ds, flags), result, .name = "kmem_back_domainset", .kind = CALL_KMEM, .want = size,
    .flags = flags, .domains = domains_of(ds))
WRAP_VOID(kmem_unback, (vm_offset_t addr, vm_size_t size), (addr, size), .name = "kmem_unback",
    .want = size)
/* Contiguous ones never sleep for pages: what they wait for is addresses. */
WRAP(void *, kmem_alloc_contig,
    (vm_size_t size, int flags, vm_paddr_t low, vm_paddr_t high, vm_size_t align,
	vm_paddr_t boundary, int memattr),
    (size, flags, low, high, align, boundary, memattr), result != NULL, .name = "kmem_alloc_contig",
    .kind = CALL_KVA, .want = size, .flags = flags)
WRAP(void *, kmem_alloc_contig_domainset,
    (struct domainset * ds, vm_size_t size, int flags, vm_paddr_t low, vm_paddr_t high,
	vm_size_t align, vm_paddr_t boundary, int memattr),
    (ds, size, flags, low, high, align, boundary, memattr), result != NULL,
    .name = "kmem_alloc_contig_domainset", .kind = CALL_KVA, .want = size, .flags = flags)
WRAP(void *, kmem_alloc_attr,
    (vm_size_t size, int flags, vm_paddr_t low, vm_paddr_t high, int memattr),
    (size, flags, low, high, memattr), result != NULL, .name = "kmem_alloc_attr", .kind = CALL_KVA,
    .want = size, .flags = flags)
WRAP(void *, kmem_alloc_attr_domainset,
    (struct domainset * ds, vm_size_t size, int flags, vm_paddr_t low, vm_paddr_t high,
	int memattr),
    (ds, size, flags, low, high, memattr), result != NULL, .name = "kmem_alloc_attr_domainset",
    .kind = CALL_KVA, .want = size, .flags = flags)

/* ---- malloc(9): what it does is done by the functions above ------------------------------------------- */

WRAP_VOID(malloc_init, (struct malloc_type * type), (type), .name = "malloc_init")
WRAP_VOID(malloc_uninit, (struct malloc_type * type), (type), .name = "malloc_uninit")
WRAP(void *, cooper_malloc, (size_t size, struct malloc_type *type, int flags), (size, type, flags),
    result != NULL, .name = "malloc", .want = size)
WRAP(void *, cooper_mallocarray, (size_t n, size_t size, struct malloc_type *type, int flags),
    (n, size, type, flags), result != NULL, .name = "mallocarray", .want = n * size)
WRAP(void *, cooper_malloc_domainset,
    (size_t size, struct malloc_type *type, struct domainset *ds, int flags),
    (size, type, ds, flags), result != NULL, .name = "malloc_domainset", .want = size)
WRAP(void *, cooper_malloc_aligned,
    (size_t size, size_t align, struct malloc_type *type, int flags), (size, align, type, flags),
    result != NULL, .name = "malloc_aligned", .want = size)
WRAP(void *, cooper_malloc_exec, (size_t size, struct malloc_type *type, int flags),
    (size, type, flags), result != NULL, .name = "malloc_exec", .want = size)
WRAP(void *, cooper_mallocarray_domainset,
    (size_t n, size_t size, struct malloc_type *type, struct domainset *ds, int flags),
    (n, size, type, ds, flags), result != NULL, .name = "mallocarray_domainset", .want = n * size)
WRAP(void *, cooper_malloc_domainset_aligned,
    (size_t size, size_t align, struct malloc_type *type, struct domainset *ds, int flags),
    (size, align, type, ds, flags), result != NULL, .name = "malloc_domainset_aligned",
    .want = size)
WRAP(void *, cooper_malloc_domainset_exec,
    (size_t size, struct malloc_type *type, struct domainset *ds, int flags),
    (size, type, ds, flags), result != NULL, .name = "malloc_domainset_exec", .want = size)
WRAP(void *, cooper_contigmalloc_domainset,
    (size_t size, struct malloc_type *type, struct domainset *ds, int flags, vm_paddr_t low,
	vm_paddr_t high, size_t align, vm_paddr_t boundary),
    (size, type, ds, flags, low, high, align, boundary), result != NULL,
    .name = "contigmalloc_domainset", .want = size)
WRAP(void *, cooper_contigmalloc,
    (size_t size, struct malloc_type *type, int flags, vm_paddr_t low, vm_paddr_t high,
	size_t align, vm_paddr_t boundary),
    (size, type, flags, low, high, align, boundary), result != NULL, .name = "contigmalloc",
    .want = size)
WRAP(void *, cooper_realloc, (void *p, size_t size, struct malloc_type *type, int flags),
    (p, size, type, flags), result != NULL, .name = "realloc", .want = size)
WRAP(void *, cooper_reallocf, (void *p, size_t size, struct malloc_type *type, int flags),
    (p, size, type, flags), result != NULL, .name = "reallocf", .want = size)
WRAP_VOID(cooper_free, (void *p, struct malloc_type *type), (p, type), .name = "free")
WRAP_VOID(cooper_zfree, (void *p, struct malloc_type *type), (p, type), .name = "zfree")

/* ---- smr(9) ---------------------------------------------------------------------------------------------- */

REAL(void, smr_enter, smr_t smr)
{
	__real_smr_enter(smr);
	shadow_section();
}

REAL(void, smr_lazy_enter, smr_t smr)
{
	__real_smr_lazy_enter(smr);
	shadow_section();
}

WRAP(bool, smr_poll, (smr_t smr, smr_seq_t goal, bool wait), (smr, goal, wait), result,
    .name = "smr_poll", .object = smr, .want = wait)
WRAP_VOID(smr_wait, (smr_t smr, smr_seq_t goal), (smr, goal), .name = "smr_wait", .object = smr)
WRAP_VOID(smr_synchronize, (smr_t smr), (smr), .name = "smr_synchronize", .object = smr)
WRAP_VOID(smr_destroy, (smr_t smr), (smr), .name = "smr_destroy", .object = smr)
