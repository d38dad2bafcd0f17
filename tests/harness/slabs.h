/*
 * A slab source for tests that run below kmem: pages from the page room, addresses from a bitmap of
 * the kernel window. It never waits by itself: for M_WAITOK it calls vm_wait_domain() once.
 */
#ifndef HARNESS_SLABS_H
#define HARNESS_SLABS_H

#include "uma/backend.h"

/* harness_start() with zones over this source; arenas_start: between the first zones and the others. */
struct machine_shape;
int slabs_start_zones(
    const struct machine_shape *shape, const char **why, void (*arenas_start)(void));
extern const struct uma_backend slabs_backend;
unsigned long slabs_kva_used(void); /* pages of the window in use */

#endif
