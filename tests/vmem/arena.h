/*
 * What the arena tests share: a tag source and table memory of their own that can be counted and can
 * run dry, and a check of everything that must be true inside an arena.
 */
#ifndef TESTS_VMEM_ARENA_H
#define TESTS_VMEM_ARENA_H

#include "harness.h"
#include "vmem/vmem_int.h"

/* ---- tags off one array ---------------------------------------------------------------------------- */

struct pool {
	struct tag_source source; /* first: the callbacks cast */
	void *memory;
	struct vmem_btag *array; /* in it, aligned */
	unsigned size;
	unsigned used;     /* of the array, ever */
	unsigned out;      /* with arenas now */
	unsigned left;     /* how many more it gives; counts down */
	unsigned asked;    /* alloc calls since it was last set to 0 */
	unsigned reserved; /* asked for with M_USE_RESERVE */
	bool no_slab;      /* M_NOVM requests get nothing: the slow path each time */
	struct vmem_btag *free;
	struct machine_lock lock;
};

struct pool *pool_new(unsigned size);
struct vmem_btag *pool_alloc(struct tag_source *ts, int flags); /* its source's */
/*
 * Who lacks tags of p waits for his turn (vmem/tag_source.h). Without, several that may wait and have a
 * part each of the last tags would wait for each other.
 */
void pool_take_turns(struct pool *p);
void pool_delete(struct pool *p); /* all tags must be back */

/* An arena with tags from p. */
vmem_t *arena_new(
    struct pool *p, const char *name, vmem_addr_t base, vmem_size_t size, vmem_size_t quantum);

/* Table memory from malloc(); table_dry: it gives none. Returns how many chunks are out. */
void tables_start(void);
extern bool table_dry;
extern int tables_out;

/* Stop the test unless list, bins, index, table and counts agree with each other. */
void arena_check(vmem_t *vm);

/* What must be the same after a failure: every segment, the sizes, the spare tags. */
struct arena_picture {
	uint64_t walk; /* a hash of all segments */
	vmem_size_t size, inuse, largest;
	uint32_t busy, free, spans, spare, out;
};
void arena_picture(struct arena_picture *out, vmem_t *vm, struct pool *p);

/* Allocate with the policy and nothing else; the address, which must have been got. */
vmem_addr_t arena_get(vmem_t *vm, vmem_size_t size, int policy);

#define ANYWHERE VMEM_ADDR_MIN, VMEM_ADDR_MAX

#endif
