/*
 * The graph of kernel arenas and taking address space from it.
 *
 * kmem_arenas and the arenas on it are fixed once start-up is over; each vmem arena locks itself,
 * and none of these functions holds a lock while it calls one. A request tries, in this order, its
 * domain's arena (which imports whole quanta, so that a domain's addresses stay together and superpages
 * can form), the root itself, and what the other domains' arenas have left over: a request fails for
 * want of address space only if no arena has a segment that it fits in.
 *
 * Every arena but the root and the one of what is never freed releases: a span that is free as a
 * whole goes back to the root at once, where it merges with its neighbours and serves any domain.
 * That is safe anywhere, since freeing needs no tag and vmem holds no lock across a release.
 */
#include "kmem/kmem_int.h"

#define QUANTA_MIN      64 /* quanta that the window should have, at least */
#define KVA_QUANTUM_MIN ((vm_size_t)64 << 10)
#define KVA_QUANTUM_MAX ((vm_size_t)2 << 20)

CORE_STATE struct list kmem_arenas;
CORE_STATE vm_size_t kva_quantum;

CORE_STATE static struct kmem_arena root, exec, nofree, domains[COOPER_MAXDOMAIN];
CORE_STATE static struct kmem_arena *by_source[SOURCE_COUNT];

struct kmem_arena *
kmem_arena_of(unsigned source)
{
	return (source < SOURCE_COUNT ? by_source[source] : NULL);
}

struct kmem_arena *
kmem_domain_arena(int domain)
{
	return (&domains[domain]);
}

/* ---- import and release ------------------------------------------------------------------------ */

CORE_STATE static vm_offset_t
    near_end; /* of a window larger than BT_APART: its first BT_APART; or 0 */
#define NEAR_KEPT ((vm_size_t)1 << 30) /* and so much before it is kept for tags */

/*
 * From the root. Tags of a window larger than BT_APART must lie in its first BT_APART, so the last
 * bytes of that go to others only when nothing else is left.
 */
static int
from_root(vm_size_t size, vm_size_t align, int flags, vmem_addr_t *addrp)
{
	if (near_end != 0 && (vmem_xalloc(root.vm, size, align, 0, 0, VMEM_ADDR_MIN,
				  near_end - NEAR_KEPT - 1, flags, addrp) == 0 ||
				 vmem_xalloc(root.vm, size, align, 0, 0, near_end, VMEM_ADDR_MAX,
				     flags, addrp) == 0))
		return (0);
	return (
	    vmem_xalloc(root.vm, size, align, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX, flags, addrp));
}

/* vmem's import: whole quanta from the parent, aligned so that superpages can form. */
static int
import_from_parent(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	struct kmem_arena *parent = ((struct kmem_arena *)arg)->parent;
	vm_size_t align = (size & (kva_quantum - 1)) == 0 ? kva_quantum : 0;

	flags = (flags & (M_NOWAIT | M_WAITOK | M_NOVM | M_USE_RESERVE)) | M_BESTFIT;
	if (parent == &root)
		return (from_root(size, align, flags, addrp));
	return (
	    vmem_xalloc(parent->vm, size, align, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX, flags, addrp));
}

static void
release_to_parent(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	struct kmem_arena *ka = arg;

	vmem_xfree(ka->parent->vm, addr, size);
}

/* ---- taking and giving back ----------------------------------------------------------------------- */

static vm_offset_t
take(struct kmem_arena *ka, vm_size_t size, int flags)
{
	vmem_addr_t addr;
	int error;

	flags = (flags & (M_NOVM | M_USE_RESERVE)) | M_NOWAIT | M_BESTFIT;
	if (ka == &root)
		error = from_root(size, 0, flags, &addr);
	else
		error =
		    vmem_xalloc(ka->vm, size, 0, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX, flags, &addr);
	return (error == 0 ? addr : 0);
}

vm_offset_t
kmem_kva(struct kmem_arena *first, vm_size_t size, int flags, struct kmem_arena **from)
{
	vm_offset_t va;

	if (inject_failure())
		return (0);
	*from = first;
	if ((va = take(first, size, flags)) != 0)
		return (va);
	if (first != &root) {
		*from = &root;
		if ((va = take(&root, size, flags)) != 0)
			return (va);
	}
	for (unsigned d = 0; d < cooper_shape()->ndomains; d++) {
		*from = &domains[d];
		if (*from != first && (va = take(*from, size, flags)) != 0)
			return (va);
	}
	return (0);
}

vm_offset_t
kmem_kva_near(struct kmem_arena *first, vm_size_t size, int flags, struct kmem_arena **from)
{
	vmem_addr_t addr;

	if (near_end == 0)
		return (kmem_kva(first, size, flags, from));
	*from = &root;
	flags = (flags & (M_NOVM | M_USE_RESERVE)) | M_NOWAIT | M_BESTFIT;
	if (inject_failure() ||
	    vmem_xalloc(root.vm, size, 0, 0, 0, VMEM_ADDR_MIN, near_end - 1, flags, &addr) != 0)
		return (0);
	return (addr);
}

void
kmem_kva_free(struct kmem_arena *ka, vm_offset_t va, vm_size_t size)
{
	if (FAULT(tag_slabs_to_quantum_cache))
		vmem_free(ka->vm, va, size);
	else
		vmem_xfree(ka->vm, va, size);
}

bool
kmem_kva_available(struct kmem_arena *first, vm_size_t size)
{
	if (vmem_size(root.vm, VMEM_MAXFREE) >= size || vmem_size(first->vm, VMEM_MAXFREE) >= size)
		return (true);
	for (unsigned d = 0; d < cooper_shape()->ndomains; d++)
		if (vmem_size(domains[d].vm, VMEM_MAXFREE) >= size)
			return (true);
	return (false);
}

vm_offset_t
kva_alloc_aligned(vm_size_t size, vm_size_t align)
{
	vmem_addr_t addr;
	vm_size_t len = round_page(size);

	CHECK(size != 0 && len >= size, "kva_alloc: size %zu", size);
	CHECK(
	    align == 0 || is_pow2(align), "kva_alloc_aligned: align %zu is no power of two", align);
	if (len < size || size == 0 || (align & (align - 1)) != 0 || inject_failure())
		return (0);
	if (from_root(len, align > PAGE_SIZE ? align : 0, M_NOWAIT | M_BESTFIT, &addr) != 0)
		return (0);
	return (addr);
}

vm_offset_t
kva_alloc(vm_size_t size)
{
	return (kva_alloc_aligned(size, 0));
}

/* Is there an aligned place for it in the window, leaving out what the first slab of tags has? */
static bool
window_has(vm_size_t size, vm_size_t align)
{
	vm_offset_t base, first;
	vm_size_t window;

	machine_kva(&base, &window);
	first = round_up(base + (tags_are_mapped() ? PAGE_SIZE : 0), MAX(align, PAGE_SIZE));
	return (first >= base && first - base <= window && window - (first - base) >= size);
}

vm_offset_t
kmem_kva_wait(vm_size_t size, vm_size_t align)
{
	vm_offset_t va = kva_alloc_aligned(size, align);
	struct kmem_waiter w;

	if (va != 0 || !window_has(size, align))
		return (va);
	kmem_wait_begin(&w, KMEM_WAIT_KVA);
	while (kmem_wait_look(&w), (va = kva_alloc_aligned(size, align)) == 0)
		kmem_wait(&w, size);
	kmem_wait_end(&w);
	return (va);
}

void
kva_free(vm_offset_t addr, vm_size_t size)
{
	CHECK(page_of_va(addr) == NULL, "kva_free: 0x%lx, %zu bytes: pages are still there",
	    (unsigned long)addr, size);
	vmem_xfree(root.vm, addr, round_page(size));
}

/* ---- the graph -------------------------------------------------------------------------------------- */

static unsigned
layers_to_root(const struct kmem_arena *ka)
{
	unsigned n = 0;

	for (; ka != NULL; ka = ka->parent)
		n++;
	return (n);
}

int
kmem_arena_create(struct kmem_arena *ka, const char *name, struct kmem_arena *parent,
    unsigned source, bool feeds_tags)
{
	unsigned layers = 1 + layers_to_root(parent);
	vm_size_t qcache_max = FAULT(tag_slabs_to_quantum_cache) ? PAGE_SIZE : 0;

	if (feeds_tags && !tags_can_serve(layers))
		return (start_refuse(COOPER_EINVAL,
		    "arena \"%s\": %u arenas deep, a tag slab may need %u tags, but %u are in "
		    "reserve",
		    name, layers, layers * BT_MAXALLOC, tags_bound()));
	core_snprintf(ka->name, sizeof(ka->name), "%s", name);
	ka->parent = parent;
	ka->source = (uint8_t)source;
	ka->feeds_tags = feeds_tags;
	tags_source_init(&ka->tags, true);
	/* Those of the start are there for ever: in boot memory, densely, and not zeroed again. */
	if (tag_zone == NULL)
		ka->vm = vmem_boot(ka->name, PAGE_SIZE, qcache_max);
	else
		ka->vm = vmem_create(ka->name, 0, 0, PAGE_SIZE, qcache_max, M_NOWAIT | M_BESTFIT);
	if (ka->vm == NULL)
		return (start_refuse(COOPER_ENOMEM, "arena \"%s\": no memory", name));
	vmem_set_tags(ka->vm, &ka->tags);
	if (parent != NULL)
		vmem_set_import(ka->vm, import_from_parent,
		    source == SOURCE_NOFREE ? NULL : release_to_parent, ka, kva_quantum);
	if (source != SOURCE_NONE)
		by_source[source] = ka;
	list_append(&kmem_arenas, &ka->link);
	return (0);
}

void
kmem_arena_destroy(struct kmem_arena *ka)
{
	list_remove(&ka->link);
	if (ka->source != SOURCE_NONE)
		by_source[ka->source] = NULL;
	vmem_destroy(ka->vm);
	ka->vm = NULL;
}

/* A power of two that leaves enough quanta for the domains to share a small window. */
static vm_size_t
quantum_for(vm_size_t window, unsigned ndomains)
{
	vm_size_t quantum = KVA_QUANTUM_MAX;

	while (quantum > KVA_QUANTUM_MIN && window / quantum < QUANTA_MIN * ndomains)
		quantum /= 2;
	return (quantum);
}

int
kmem_arenas_start(void)
{
	unsigned ndomains = cooper_shape()->ndomains;
	vm_offset_t base;
	vm_size_t size;
	char name[24];
	int error;

	list_init(&kmem_arenas);
	machine_kva(&base, &size);
	MUST(base != 0, "kernel window at address 0");
	kva_quantum = quantum_for(size, ndomains);
	error = kmem_arena_create(&root, "kernel arena", NULL, SOURCE_ROOT, true);
	for (unsigned d = 0; error == 0 && d < ndomains; d++) {
		core_snprintf(name, sizeof(name), "kernel arena %u", d);
		error = kmem_arena_create(&domains[d], name, &root, SOURCE_DOMAIN + d, true);
	}
	if (error == 0)
		error = kmem_arena_create(&exec, "kernel exec arena", &root, SOURCE_EXEC, false);
	if (error == 0)
		error =
		    kmem_arena_create(&nofree, "kernel nofree arena", &root, SOURCE_NOFREE, false);
	/* The graph is known: so is its bound. Only then may an arena ask for its first tag. */
	if (error != 0 || (error = tags_start()) != 0)
		return (error);
	near_end = size > BT_APART ? base + BT_APART : 0;
	if (tags_are_mapped()) {
		base += PAGE_SIZE;
		size -= PAGE_SIZE;
	}
	if (vmem_add(root.vm, base, size, M_NOWAIT) != 0)
		return (start_refuse(COOPER_ENOMEM, "no boundary tags for the kernel arena"));
	return (0);
}
