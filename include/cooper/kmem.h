/*
 * The kernel address space: address ranges, pages, and both together.
 *
 * Semantics: FreeBSD's kva_alloc(9), kmem_malloc(9), contigmalloc(9). The differences: kmem_free()
 * finds the arena and the length by itself and stops a caller who got them wrong; a request for more
 * than the machine has returns NULL, even with M_WAITOK, instead of waiting for ever.
 *
 * Sizes are in bytes and are rounded up to pages. Flags: exactly one of M_NOWAIT and M_WAITOK; M_ZERO;
 * M_EXEC (executable mapping); M_NEVERFREED (packed with its like; not to be freed); M_USE_RESERVE
 * (with M_NOWAIT: the last pages too); M_NODUMP. M_WAITOK functions may sleep, on channels "kva" and
 * "vmwait", and are called with no lock held that a reclaim callback takes; nothing else sleeps.
 * Misuse stops the debug shape with a line; the release shape returns NULL or COOPER_EINVAL.
 */
#ifndef COOPER_KMEM_H
#define COOPER_KMEM_H

#include <cooper/domainset.h>

COOPER_BEGIN_DECLS

/*
 * Pure address space: no page behind it. align: a power of two, bytes; 0 or less than a page means a
 * page. Never sleep. 0 on failure. What kva_alloc gave goes back whole.
 */
vm_offset_t kva_alloc(vm_size_t size);
vm_offset_t kva_alloc_aligned(vm_size_t size, vm_size_t align);
void kva_free(vm_offset_t addr, vm_size_t size);

/*
 * Address space with pages. ds: whose pages are preferred, NULL is first touch; a request that no one
 * of its domains has enough pages for gets some of each. NULL: M_NOWAIT and no memory, or misuse, or
 * a size that the machine could never give. On failure everything is as it was before.
 */
void *kmem_malloc(vm_size_t size, int flags);
void *kmem_malloc_domainset(struct domainset *ds, vm_size_t size, int flags);

/*
 * The same with demands on the physical addresses: pages within [low, high) (alloc_attr), or one run
 * of them, its start aligned to `align` bytes and not crossing a multiple of `boundary` bytes (powers
 * of two; 0: no such demand). M_WAITOK makes four tries with a reclaim pass between them and may
 * return NULL; M_NORECLAIM makes one. A domain that has no such addresses is not waited for.
 */
#define VM_MEMATTR_DEFAULT 0 /* the only memory attribute there is */
void *kmem_alloc_attr(vm_size_t size, int flags, vm_paddr_t low, vm_paddr_t high, int memattr);
void *kmem_alloc_attr_domainset(
    struct domainset *ds, vm_size_t size, int flags, vm_paddr_t low, vm_paddr_t high, int memattr);
void *kmem_alloc_contig(vm_size_t size, int flags, vm_paddr_t low, vm_paddr_t high, vm_size_t align,
    vm_paddr_t boundary, int memattr);
void *kmem_alloc_contig_domainset(struct domainset *ds, vm_size_t size, int flags, vm_paddr_t low,
    vm_paddr_t high, vm_size_t align, vm_paddr_t boundary, int memattr);

/* Free what any of the functions above gave; size as it was asked for. Does not sleep. */
void kmem_free(void *addr, vm_size_t size);

/*
 * Pages under a range that kva_alloc() gave, all or none, and away from it again. addr: page aligned.
 * kmem_back returns 0, COOPER_ENOMEM (M_NOWAIT, or more than the machine has) or COOPER_EINVAL (no
 * such range, or a page is there already). Addresses go back after their pages. kmem_back_domain takes
 * pages of that domain only, waits for those alone, and returns COOPER_ENOMEM for more than the domain
 * has, COOPER_EINVAL for a domain that no machine could have.
 */
int kmem_back(vm_offset_t addr, vm_size_t size, int flags);
int kmem_back_domain(int domain, vm_offset_t addr, vm_size_t size, int flags);
void kmem_unback(vm_offset_t addr, vm_size_t size);

COOPER_END_DECLS

#endif
