/*
 * What malloc(9), the libc front and the statistics share: size classes, the page map, large
 * blocks, the records of types.
 *
 *	request --malloc_class()--> class --malloc_zones[]--> zone --> item
 *	address --malloc_map------> code  --(code - 1)------> zone     (free)
 *
 * The page map has a byte for each page that an allocation can lie in: which class's slab the page
 * belongs to, or that a large block begins there. It is what makes free() one load away from the
 * zone. Bytes are written only when a slab or a large block comes or goes, by the thread that has
 * the pages for itself; whoever holds an allocated block may read its page's byte without a lock.
 *
 * malloc_types_lock (rank TYPES) guards the list of types. The counters of a type are per CPU and
 * changed with relaxed atomics, so that a thread that moves between CPUs loses nothing.
 */
#ifndef MALLOC_MALLOC_INT_H
#define MALLOC_MALLOC_INT_H

#include <cooper/malloc.h>
#include <cooper/uma.h>
#include "base/atomic.h"
#include "page/page.h"
#include "sync/sync.h"

/* ---- size classes ----------------------------------------------------------------------------
 * 16-byte steps to 256, then eight a doubling to 64 KiB: a block above 128 bytes is at most an
 * eighth larger than the request. A class's blocks are aligned to the largest power of two that
 * divides its size, up to a page.
 */
#define MALLOC_CLASSES 80

/* The class of a request of 1 .. MALLOC_SMALL_MAX bytes. */
static ALWAYS_INLINE unsigned
malloc_class(size_t size)
{
	size_t last = size - 1;
	unsigned top =
	    fls_size(last | 128) - 1; /* the highest bit; below 256 one step serves all */

	return (((top - 7) << 3) + (unsigned)(last >> (top - 3)));
}

static inline size_t
malloc_class_size(unsigned class)
{
	if (class < 16)
		return ((size_t)(class + 1) << 4);
	return ((size_t)((class & 7) + 9) << ((class >> 3) + 3));
}

/* The smallest class whose blocks hold `size` bytes and are aligned to `align`; MALLOC_CLASSES: none. */
unsigned malloc_class_aligned(size_t size, size_t align);

/* A class's zone; NULL until the class is first used. Never goes away. */
extern uma_zone_t malloc_zones[MALLOC_CLASSES];

/* The zone of a class, made if need be. May sleep. */
uma_zone_t malloc_zone_make(unsigned class);

/*
 * Without sleeping: the zone of the class, or of the next larger one that has a zone and the same
 * alignment; NULL if there is none.
 */
uma_zone_t malloc_zone_near(unsigned class);

/* ---- the page map ------------------------------------------------------------------------------ */
enum {
	MALLOC_CODE_NONE = 0,  /* nothing of malloc's, or the middle of a large block */
	MALLOC_CODE_CLASS = 1, /* .. + MALLOC_CLASSES - 1: a slab of class code - 1 */
	MALLOC_CODE_GROWN =
	    252, /* the first page of a large block that the front's realloc moved */
	MALLOC_CODE_CONTIG = 253,  /* ... of a contiguous block */
	MALLOC_CODE_ALIGNED = 254, /* ... of a large block aligned to more than a page */
	MALLOC_CODE_LARGE = 255    /* ... of a large block */
};

/*
 * Two ranges: everything on machines whose direct map and kernel window are neighbours (the second
 * is then empty), or the window and the direct map.
 */
struct malloc_map {
	vm_offset_t base;
	size_t pages;
	uint8_t *code;
};
extern struct malloc_map malloc_map[2];

static inline uint8_t *
malloc_map_at(vm_offset_t va) /* NULL: outside of all that malloc can hand out */
{
	for (unsigned i = 0; i < nitems(malloc_map); i++) {
		size_t page = atop(va - malloc_map[i].base);

		if (likely(page < malloc_map[i].pages))
			return (&malloc_map[i].code[page]);
	}
	return (NULL);
}

static inline unsigned
malloc_code(const void *p)
{
	const uint8_t *code = malloc_map_at((vm_offset_t)p);

	return (code != NULL ? *code : MALLOC_CODE_NONE);
}

static inline bool
malloc_code_is_class(unsigned code)
{
	return (code - MALLOC_CODE_CLASS < MALLOC_CLASSES);
}

/* ---- large blocks: whole pages; the size is in the first page's owner word ---------------------- */

/* `align` is a power of two; a page or less means any. NULL: see malloc. */
void *malloc_large_alloc(size_t size, size_t align, struct domainset *ds, int flags);
/* What contigmalloc() asks of the physical addresses. */
struct malloc_demand {
	vm_paddr_t low, high;
	size_t align;        /* bytes; 0: a page */
	vm_paddr_t boundary; /* bytes; 0: none */
};
void *malloc_large_contig(
    size_t size, struct domainset *ds, int flags, const struct malloc_demand *dm);
void malloc_large_free(void *p, unsigned code);
size_t malloc_large_size(const void *p);

/* Bytes of the block at p with this code; `func` names the caller if the code says "nothing here". */
size_t malloc_block_size(const char *func, const void *p, unsigned code);

/* ---- types --------------------------------------------------------------------------------------- */

/*
 * One CPU's counters of a type; sums over the CPUs are exact when nobody allocates meanwhile.
 * Machine words: on 32 bits they wrap, and differences stay right.
 */
struct malloc_type_stats {
	unsigned long memalloced, memfreed; /* bytes, of the block, not of the request */
	unsigned long numallocs, numfrees;
	unsigned long failed;     /* requests answered with NULL */
	unsigned long overflowed; /* mallocarray products that do not exist */
	uint32_t sizes;           /* bit n: some block was over 2^(n-1) and up to 2^n bytes */
} ALIGNED(CACHE_LINE);
#define MALLOC_SIZES_LARGE 31 /* the bit of whole pages */

/*
 * ks_flags. MALLOC_TYPE_FRONT: the libc front's type. Its small blocks are not counted one by one:
 * they are what the malloc zones have served less what other types have counted.
 */
#define MALLOC_TYPE_FRONT  0x1
#define MALLOC_TYPE_LISTED 0x2 /* on malloc_types */

extern struct malloc_type *malloc_types; /* newest first; walkable without the lock */

/* Make the type's counters if it has none; false: no memory for them (M_NOWAIT). */
bool malloc_type_ready(struct malloc_type *type, int flags);

/* The same for a type that brings its own, one zeroed record a CPU, at start-up. */
void malloc_type_adopt(struct malloc_type *type, struct malloc_type_stats *stats);

/* The sum over all CPUs; zero for a type that was never used. */
void malloc_type_sum(const struct malloc_type *type, struct malloc_type_stats *sum);

void malloc_count_alloc(struct malloc_type *type, size_t bytes, bool large);
void malloc_count_free(struct malloc_type *type, size_t bytes);
void malloc_count_failure(struct malloc_type *type, bool overflow);

/* ---- start ------------------------------------------------------------------------------------------ */
void malloc_types_start(void);
void malloc_start(void); /* the last room to be started */

#endif
