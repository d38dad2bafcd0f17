/*
 * The words every room shares: address types, allocation flags, errno values.
 *
 * Flag names, meanings and values are those of FreeBSD's malloc(9), uma(9) and vmem(9), so that
 * code ports by changing an include path. This header needs nothing but a freestanding compiler.
 */
#ifndef COOPER_TYPES_H
#define COOPER_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Around the declarations of every public header: C linkage for C++, and the only symbols that the
 * shared library exports.
 */
#ifdef __cplusplus
#define COOPER_EXTERN_C   extern "C" {
#define COOPER_EXTERN_END }
#else
#define COOPER_EXTERN_C
#define COOPER_EXTERN_END
#endif
#define COOPER_BEGIN_DECLS _Pragma("GCC visibility push(default)") COOPER_EXTERN_C
#define COOPER_END_DECLS   COOPER_EXTERN_END _Pragma("GCC visibility pop")

typedef uintptr_t vm_offset_t; /* a virtual address */
typedef size_t vm_size_t;      /* a length in bytes */
typedef uint64_t vm_paddr_t;   /* a physical address; 64 bits on every machine */
typedef uintptr_t vmem_addr_t; /* a point of an arena's resource, whatever its unit */
typedef size_t vmem_size_t;

/* ---- flags common to every layer ------------------------------------------------------------ */
#define M_NOWAIT      0x0001  /* never sleep; the request may fail */
#define M_WAITOK      0x0002  /* may sleep; fails only if a ctor or init fails */
#define M_NORECLAIM   0x0080  /* do not reclaim to build a contiguous run */
#define M_ZERO        0x0100  /* memory is zero on return */
#define M_NOVM        0x0200  /* only what is cached or in slabs already; never new pages */
#define M_USE_RESERVE 0x0400  /* may go below the reserve; goes with M_NOWAIT */
#define M_NODUMP      0x0800  /* leave these pages out of dumps */
#define M_FIRSTFIT    0x1000  /* arenas: any segment that fits, fast */
#define M_BESTFIT     0x2000  /* arenas: the tightest segment that fits */
#define M_EXEC        0x4000  /* kmem: executable mapping */
#define M_NEXTFIT     0x8000  /* arenas: the first fit past the last allocation */
#define M_NEVERFREED  0x10000 /* kmem: the range will never be freed; packed with its like */
#define M_TOPDOWN     0x20000 /* arenas: the highest address that fits (Cooper's own) */

#define M_VMEM_POLICY (M_FIRSTFIT | M_BESTFIT | M_NEXTFIT | M_TOPDOWN)

/* ---- errors: the values are Linux's and FreeBSD's common ones --------------------------------- */
#define COOPER_EAGAIN    11
#define COOPER_ENOMEM    12
#define COOPER_EBUSY     16
#define COOPER_EINVAL    22
#define COOPER_ENOSPC    28
#define COOPER_ERANGE    34
#define COOPER_ETIMEDOUT 110

#define COOPER_MAXCPU    256 /* most CPUs a shape may have */
#define COOPER_MAXDOMAIN 8   /* most memory domains */

#endif
