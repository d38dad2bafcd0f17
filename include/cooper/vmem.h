/*
 * Arenas: ranges of any resource (addresses, ids, ports, blocks), with import from other arenas.
 * Semantics: FreeBSD's vmem(9) manual; Bonwick & Adams 2001.
 */
#ifndef COOPER_VMEM_H
#define COOPER_VMEM_H

#include <cooper/types.h>

COOPER_BEGIN_DECLS

typedef struct vmem vmem_t;

#define VMEM_ADDR_MIN       ((vmem_addr_t)0)
#define VMEM_ADDR_QCACHE_MIN ((vmem_addr_t)1)
#define VMEM_ADDR_MAX       (~(vmem_addr_t)0)

typedef int vmem_import_t(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp);
typedef void vmem_release_t(void *arg, vmem_addr_t addr, vmem_size_t size);
typedef void vmem_reclaim_t(vmem_t *vm, int flags);

/* vmem_size() masks */
#define VMEM_ALLOC   0x01
#define VMEM_FREE    0x02
#define VMEM_MAXFREE 0x10

vmem_t *vmem_create(const char *name, vmem_addr_t base, vmem_size_t size, vmem_size_t quantum,
    vmem_size_t qcache_max, int flags);
/* On the caller's storage: VMEM_STORAGE bytes, aligned to VMEM_STORAGE_ALIGN. */
#define VMEM_STORAGE       8192
#define VMEM_STORAGE_ALIGN 128
vmem_t *vmem_init(vmem_t *vm, const char *name, vmem_addr_t base, vmem_size_t size,
    vmem_size_t quantum, vmem_size_t qcache_max, int flags);
void vmem_destroy(vmem_t *vm);
int vmem_add(vmem_t *vm, vmem_addr_t addr, vmem_size_t size, int flags);
void vmem_set_import(vmem_t *vm, vmem_import_t *import, vmem_release_t *release, void *arg,
    vmem_size_t import_quantum);
void vmem_set_limit(vmem_t *vm, vmem_size_t max);
void vmem_set_reclaim(vmem_t *vm, vmem_reclaim_t *reclaim);

int vmem_alloc(vmem_t *vm, vmem_size_t size, int flags, vmem_addr_t *addrp);
void vmem_free(vmem_t *vm, vmem_addr_t addr, vmem_size_t size);
int vmem_xalloc(vmem_t *vm, vmem_size_t size, vmem_size_t align, vmem_size_t phase,
    vmem_size_t nocross, vmem_addr_t min, vmem_addr_t max, int flags, vmem_addr_t *addrp);
void vmem_xfree(vmem_t *vm, vmem_addr_t addr, vmem_size_t size);

vmem_size_t vmem_size(vmem_t *vm, int mask);
vmem_size_t vmem_roundup_size(vmem_t *vm, vmem_size_t size);

/* Walk all segments in address order; fn returns false to stop. */
enum vmem_segment_type { VMEM_SEG_SPAN, VMEM_SEG_SPAN_STATIC, VMEM_SEG_FREE, VMEM_SEG_BUSY };
void vmem_walk(vmem_t *vm,
    bool (*fn)(enum vmem_segment_type type, vmem_addr_t addr, vmem_size_t size, void *arg),
    void *arg);
/* The segment that holds addr: true and its type, start and size, or false. */
bool vmem_whatis(vmem_t *vm, vmem_addr_t addr, enum vmem_segment_type *type, vmem_addr_t *start,
    vmem_size_t *size);
void vmem_print(vmem_t *vm, void (*print)(const char *line, void *arg), void *arg);
void vmem_printall(void (*print)(const char *line, void *arg), void *arg);

/*
 * Boundary tags on the caller's storage, for use without zones: give a block of memory before the
 * first vmem_add; the arena then never asks for tags elsewhere and M_WAITOK waits for one to come back.
 */
int vmem_add_tags(vmem_t *vm, void *storage, size_t bytes);

COOPER_END_DECLS

#endif
