/*
 * Large blocks: whole pages straight from kmem. The first page carries the block's length in its
 * owner word (pages << 2 | cookie) and its kind in the page map; the pages after it carry nothing,
 * so that an address in the middle of a block is not taken for one.
 *
 * No lock: a block's words belong to whoever allocates or frees it.
 */
#include <cooper/kmem.h>
#include "kmem/kmem_int.h"
#include "malloc/malloc_int.h"

static void *
stamp(void *p, vm_size_t bytes, unsigned code)
{
	uintptr_t cookie = code == MALLOC_CODE_CONTIG ? PAGE_OWNER_CONTIG : PAGE_OWNER_LARGE;

	if (p == NULL)
		return (NULL);
	page_of_va((vm_offset_t)p)->owner = (uintptr_t)atop(bytes) << 2 | cookie;
	*malloc_map_at((vm_offset_t)p) = (uint8_t)code;
	return (p);
}

/* The request in pages' bytes; 0: larger than all addresses there are. */
static vm_size_t
large_bytes(size_t size)
{
	return (size <= cooper_shape()->kva_size ? round_page(MAX(size, (size_t)1)) : 0);
}

/* kmem hands out page-aligned ranges; for more, the range and its pages are taken separately. */
static void *
alloc_aligned(vm_size_t bytes, size_t align, struct domainset *ds, int flags)
{
	vm_offset_t va =
	    (flags & M_WAITOK) != 0 ? kmem_kva_wait(bytes, align) : kva_alloc_aligned(bytes, align);

	if (va == 0)
		return (NULL);
	if (kmem_back_domainset(va, bytes, ds, flags) != 0) {
		kva_free(va, bytes);
		return (NULL);
	}
	return ((void *)va);
}

void *
malloc_large_alloc(size_t size, size_t align, struct domainset *ds, int flags)
{
	vm_size_t bytes = large_bytes(size);

	if (bytes == 0)
		return (NULL);
	if (align > PAGE_SIZE) {
		if (align > cooper_shape()->kva_size)
			return (NULL);
		return (stamp(alloc_aligned(bytes, align, ds, flags), bytes, MALLOC_CODE_ALIGNED));
	}
	return (
	    stamp(ds != NULL ? kmem_malloc_domainset(ds, bytes, flags) : kmem_malloc(bytes, flags),
		bytes, MALLOC_CODE_LARGE));
}

void *
malloc_large_contig(size_t size, struct domainset *ds, int flags, const struct malloc_demand *dm)
{
	vm_size_t bytes = large_bytes(size);

	if (bytes == 0)
		return (NULL);
	return (stamp(kmem_alloc_contig_domainset(ds, bytes, flags, dm->low, dm->high, dm->align,
			  dm->boundary, VM_MEMATTR_DEFAULT),
	    bytes, MALLOC_CODE_CONTIG));
}

size_t
malloc_large_size(const void *p)
{
	return (ptoa(page_of_va((vm_offset_t)p)->owner >> 2));
}

void
malloc_large_free(void *p, unsigned code)
{
	vm_size_t bytes = malloc_large_size(p);

	*malloc_map_at((vm_offset_t)p) = MALLOC_CODE_NONE;
	page_of_va((vm_offset_t)p)->owner = 0;
	if (code == MALLOC_CODE_ALIGNED) {
		kmem_unback((vm_offset_t)p, bytes);
		kva_free((vm_offset_t)p, bytes);
	} else {
		kmem_free(p, bytes);
	}
}
