/*
 * Where slabs come from. UMA knows nothing of arenas: kmem fills this in. Until it has
 * (uma_startup1..2) slabs come from machine_boot_alloc() and carry UMA_SLAB_BOOT.
 *
 * alloc: `bytes` of page-aligned memory of `domain` (-1: any), zeroed if M_ZERO; sets *sflag, which
 * comes back in free. It may return NULL for M_WAITOK too (the keg looks again and retries): it has
 * then waited for what it lacked. Called with no keg lock held.
 */
#ifndef UMA_BACKEND_H
#define UMA_BACKEND_H

#include <cooper/uma.h>
#include "base/base.h"

struct slab_source {
	uma_alloc alloc;
	uma_free free;
};

struct uma_backend {
	struct slab_source small;  /* one page: direct map, if the shape has one; else as `page` */
	struct slab_source page;   /* whole pages, mapped */
	struct slab_source contig; /* physically contiguous */
	struct slab_source pcpu;   /* one run for each CPU, from its domain */
	/* address space only, for uma_zone_reserve_kva: 0 on failure; and its filling with a page */
	vm_offset_t (*kva)(vm_size_t bytes);
	void (*kva_free)(vm_offset_t va, vm_size_t bytes);
	int (*back)(vm_offset_t va, vm_size_t bytes, int domain, int flags);
	void (*unback)(vm_offset_t va, vm_size_t bytes);
	/* Could a slab of that size ever be had of that domain (-1: any)? If not nobody waits for it. */
	bool (*possible)(int domain, vm_size_t bytes);
};

/* Stages of start-up, in the order cooper_start() runs them (src/start/start.c). */
void uma_startup1(void);                             /* zones of zones, from boot memory */
void uma_startup2(const struct uma_backend *source); /* real slabs, buckets on */
void uma_startup3(void);                             /* counters, the timer, reclaim hook */

void uma_fork_child(void); /* after sync_fork_child() */

/* To be called now and then (the daemon's timer, or slow paths that notice the time): WSS update. */
void uma_timeout(void);

#endif
