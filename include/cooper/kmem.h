/*
 * The kernel address space: address ranges, pages, and both together.
 * Semantics: FreeBSD's kva_alloc(9), kmem_malloc(9), contigmalloc(9).
 */
#ifndef COOPER_KMEM_H
#define COOPER_KMEM_H

#include <cooper/domainset.h>

COOPER_BEGIN_DECLS

/* Pure address space; page units; never sleep; 0 on failure. */
vm_offset_t kva_alloc(vm_size_t size);
vm_offset_t kva_alloc_aligned(vm_size_t size, vm_size_t align);
void kva_free(vm_offset_t addr, vm_size_t size);

/* Address space with pages. size in bytes, rounded up to pages. NULL only for M_NOWAIT. */
void *kmem_malloc(vm_size_t size, int flags);
void *kmem_malloc_domainset(struct domainset *ds, vm_size_t size, int flags);
void *kmem_alloc_attr(vm_size_t size, int flags, vm_paddr_t low, vm_paddr_t high, int memattr);
void *kmem_alloc_contig(vm_size_t size, int flags, vm_paddr_t low, vm_paddr_t high,
    vm_size_t align, vm_paddr_t boundary, int memattr);
void kmem_free(void *addr, vm_size_t size);

/* Pages under an existing range / away from it. */
int kmem_back(vm_offset_t addr, vm_size_t size, int flags);
void kmem_unback(vm_offset_t addr, vm_size_t size);

COOPER_END_DECLS

#endif
