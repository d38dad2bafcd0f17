/*
 * The front's large blocks: whole pages of the kernel window.
 *
 *	up to KEEP_BLOCK   sizes in eight steps a doubling; freed ones are kept for a while, pages and
 *	                   all, since mapping, faulting and discarding cost more than most uses
 *	above              straight from kmem, and back
 *	grown by realloc   moved by mremap(2), not copied, to a range of addresses with room behind it,
 *	                   in which the next growth stays where it is. A move makes two mappings more, so
 *	                   there are at most GROWN_MAX such blocks at a time.
 *
 * Room for what is kept is KEEP_LEAST; where blocks are asked for again that were given back for want of
 * room, it doubles, up to KEEP_TOP and to a sixteenth of what is in use or KEEP_SMALL. The oldest goes
 * first, and goes when it has not been asked for in KEEP_TIME. Memory pressure and malloc_trim() take
 * all of it.
 *
 * A kept block is nobody's: its page's code says so, so that freeing it twice is found. keep_lock
 * (rank TYPES) guards the list alone; kmem is called without it.
 */
#include <string.h>

#include "front.h"
#include "kmem/kmem_int.h"
#include "machine/posix/posix.h"

#define KEEP_MOST  32
#define KEEP_LEAST ((size_t)128 << 10)
#define KEEP_SMALL ((size_t)2 << 20)
#define KEEP_TOP   ((size_t)16 << 20)
#define KEEP_BLOCK ((size_t)1 << 20)
#define KEEP_TIME  (1000ull * 1000 * 1000) /* ns */
#define GROW_LEAST ((size_t)128 << 10)     /* smaller ones are copied as fast as they are moved */
#define GROWN_MAX  8192

struct kept {
	void *p;
	size_t bytes;
	uint64_t since; /* machine_now() */
};

static struct mtx keep_lock;
static struct kept kept[KEEP_MOST]; /* oldest first */
static unsigned nkept;
static size_t kept_bytes;
static size_t keep_room = KEEP_LEAST; /* bytes that may be kept */
static uint64_t missed; /* bit: a block of that step was given back for want of room */
static size_t live;     /* bytes of large blocks in use: atomic */
static uint32_t grown;  /* blocks that were moved: atomic */

/* ---- what is kept ------------------------------------------------------------------------------------ */

static struct kept
keep_take(unsigned i)
{
	struct kept k = kept[i];

	nkept--;
	atomic_store_relaxed(&kept_bytes, kept_bytes - k.bytes);
	memmove(&kept[i], &kept[i + 1], (nkept - i) * sizeof(k));
	return (k);
}

/* Eight steps a doubling, so that what is freed fits what is asked for next. */
static size_t
stepped(size_t size)
{
	size_t step = (size_t)1 << (fls_size(size - 1) - 4);

	return (size > KEEP_BLOCK ? size : round_up(size, MAX(step, PAGE_SIZE)));
}

/* A step's bit in `missed`: any two steps up to KEEP_BLOCK that differ have different ones. */
static uint64_t
step_bit(size_t bytes)
{
	unsigned top = fls_size(bytes - 1);

	return ((uint64_t)1 << (((top << 3) + ((bytes - 1) >> (top - 4) & 7)) & 63));
}

/* Nothing is kept for a request that could have had it: room for two of those from now on. */
static void
keep_missed(size_t bytes)
{
	if ((missed & step_bit(bytes)) == 0)
		return;
	missed &= ~step_bit(bytes);
	atomic_store_relaxed(&keep_room, MIN(MAX(2 * keep_room, 2 * bytes), KEEP_TOP));
}

/* A kept block of this size or at most an eighth more; the warmest. */
static struct kept
keep_find(size_t bytes)
{
	struct kept found = { NULL, 0, 0 };

	mtx_lock(&keep_lock);
	for (unsigned i = nkept; i-- > 0 && found.p == NULL;)
		if (kept[i].bytes - bytes <= bytes / 8)
			found = keep_take(i);
	if (found.p == NULL)
		keep_missed(bytes);
	mtx_unlock(&keep_lock);
	return (found);
}

/* The next that must go: the oldest, if it is too old or there is too much; p NULL: none. */
static struct kept
keep_next(uint64_t now, size_t room)
{
	struct kept next = { NULL, 0, 0 };
	bool full, old;

	mtx_lock(&keep_lock);
	full = nkept > 0 && (kept_bytes > room || nkept == KEEP_MOST);
	old = nkept > 0 && now - kept[0].since >= KEEP_TIME;
	if (full || old)
		next = keep_take(0);
	if (full)
		missed |= step_bit(next.bytes);
	mtx_unlock(&keep_lock);
	return (next);
}

/* Keep a block that nobody can reach any more; false: it is too much. */
static bool
keep(void *p, size_t bytes)
{
	size_t most =
	    MIN(atomic_load_relaxed(&keep_room), MAX(atomic_load_relaxed(&live) / 16, KEEP_SMALL));
	uint64_t now = machine_now();
	struct kept k;
	bool done;

	while ((k = keep_next(now, most - MIN(bytes, most))).p != NULL)
		kmem_free(k.p, k.bytes);
	mtx_lock(&keep_lock);
	done = nkept < KEEP_MOST && kept_bytes + bytes <= most;
	if (done) {
		kept[nkept++] = (struct kept){ p, bytes, now };
		atomic_store_relaxed(&kept_bytes, kept_bytes + bytes);
	} else {
		missed |= step_bit(bytes);
	}
	mtx_unlock(&keep_lock);
	return (done);
}

size_t
front_large_kept(void)
{
	return (atomic_load_relaxed(&kept_bytes));
}

size_t
front_large_purge(void)
{
	struct kept k;
	size_t bytes = 0;

	for (;;) {
		mtx_lock(&keep_lock);
		k = nkept > 0 ? keep_take(nkept - 1) : (struct kept){ NULL, 0, 0 };
		atomic_store_relaxed(&keep_room, KEEP_LEAST);
		mtx_unlock(&keep_lock);
		if (k.p == NULL)
			return (bytes);
		kmem_free(k.p, k.bytes);
		bytes += k.bytes;
	}
}

static void
on_pressure(enum page_pressure level, int domain, void *arg)
{
	(void)level;
	(void)domain;
	(void)arg;
	(void)front_large_purge();
}

void
front_large_start(void)
{
	static struct lowmem_handler handler = { .fn = on_pressure };

	mtx_init(&keep_lock, "large blocks", RANK_TYPES);
	lowmem_register(&handler);
}

/* ---- allocate and free ----------------------------------------------------------------------------------- */

/* The length of the block and its kind are the first page's: see malloc/large.c. */
static void
stamp(void *p, size_t bytes, unsigned code)
{
	page_of_va((vm_offset_t)p)->owner = (uintptr_t)atop(bytes) << 2 | PAGE_OWNER_LARGE;
	*malloc_map_at((vm_offset_t)p) = (uint8_t)code;
}

static void
count_in(size_t bytes)
{
	malloc_count_alloc(front_type, bytes, true);
	(void)atomic_add_fetch(&live, bytes);
}

static void
count_out(size_t bytes)
{
	malloc_count_free(front_type, bytes);
	(void)atomic_fetch_sub(&live, bytes);
}

void *
front_large_alloc(size_t size, size_t align, int flags)
{
	struct kept k;
	void *p;

	size = stepped(MAX(size, PAGE_SIZE));
	if (size <= KEEP_BLOCK && align <= PAGE_SIZE && (k = keep_find(size)).p != NULL) {
		stamp(k.p, k.bytes, MALLOC_CODE_LARGE);
		count_in(k.bytes);
		return ((flags & M_ZERO) != 0 ? memset(k.p, 0, k.bytes) : k.p);
	}
	p = malloc_large_alloc(size, align, NULL, flags);
	if (p != NULL)
		count_in(malloc_large_size(p));
	return (p);
}

static void
grown_free(void *p, size_t bytes)
{
	size_t room = ptoa(page_of_va((vm_offset_t)p)->run);

	*malloc_map_at((vm_offset_t)p) = MALLOC_CODE_NONE;
	page_of_va((vm_offset_t)p)->run = 0;
	kmem_unback((vm_offset_t)p, bytes);
	posix_memory_plain((vm_offset_t)p, atop(room));
	kva_free((vm_offset_t)p, room);
	(void)atomic_fetch_sub(&grown, 1u);
}

void
front_large_free(void *p, unsigned code)
{
	size_t bytes = malloc_large_size(p);

	count_out(bytes);
	if (code == MALLOC_CODE_GROWN) {
		grown_free(p, bytes);
		return;
	}
	if (code == MALLOC_CODE_LARGE && bytes <= KEEP_BLOCK && !core_debug) {
		*malloc_map_at((vm_offset_t)p) = MALLOC_CODE_NONE;
		if (keep(p, bytes))
			return;
		*malloc_map_at((vm_offset_t)p) = (uint8_t)code;
	}
	malloc_large_free(p, code);
}

/* ---- realloc ------------------------------------------------------------------------------------------------ */

/* A range for `bytes`, with room behind; its last pages from `old` on are backed. 0: not to be had. */
static vm_offset_t
range_for(size_t old, size_t bytes, size_t *room)
{
	vm_offset_t va;

	*room = round_page(bytes + bytes / 2);
	va = kva_alloc(*room);
	if (va == 0) {
		*room = bytes;
		va = kva_alloc(bytes);
	}
	if (va != 0 && kmem_back(va + old, bytes - old, M_NOWAIT) != 0) {
		kva_free(va, *room);
		va = 0;
	}
	return (va);
}

/* The addresses that a block has left. */
static void
addresses_free(void *p, size_t bytes, unsigned code, struct kmem_arena *from, size_t room)
{
	*malloc_map_at((vm_offset_t)p) = MALLOC_CODE_NONE;
	if (code == MALLOC_CODE_GROWN) {
		posix_memory_plain((vm_offset_t)p, atop(room));
		kva_free((vm_offset_t)p, room);
		(void)atomic_fetch_sub(&grown, 1u);
	} else if (code == MALLOC_CODE_ALIGNED) {
		kva_free((vm_offset_t)p, bytes);
	} else {
		kmem_kva_free(from, (vm_offset_t)p, bytes);
	}
}

static void *
move(void *p, size_t old, size_t bytes, unsigned code)
{
	struct vm_page *first = page_of_va((vm_offset_t)p);
	struct kmem_arena *from = kmem_arena_of(first->source);
	size_t room, old_room = ptoa(first->run);
	enum posix_moved moved;
	vm_offset_t va;

	if (atomic_load_relaxed(&grown) >= GROWN_MAX || (va = range_for(old, bytes, &room)) == 0)
		return (NULL);
	moved = posix_memory_move((vm_offset_t)p, va, atop(old));
	if (moved != POSIX_MOVED) {
		kmem_unback(va + old, bytes - old);
		if (moved == POSIX_STAYED)
			kva_free(va, room);
		else /* the addresses are not used again; nor is this way, or more would go */
			(void)atomic_add_fetch(&grown, (uint32_t)GROWN_MAX);
		return (NULL);
	}
	(void)atomic_add_fetch(&grown, 1u);
	addresses_free(p, old, code, from, old_room);
	for (size_t at = 0; at < old; at += PAGE_SIZE)
		page_of_va(va + at)->source = SOURCE_CALLER;
	first->run = (uint32_t)atop(room);
	stamp((void *)va, bytes, MALLOC_CODE_GROWN);
	return ((void *)va);
}

void *
front_large_resize(void *p, size_t old, size_t size, unsigned code)
{
	size_t bytes = round_page(size);

	if (core_debug || old < GROW_LEAST || bytes < GROW_LEAST || size > cooper_shape()->physmem)
		return (NULL);
	if (code == MALLOC_CODE_GROWN && bytes < old) {
		kmem_unback((vm_offset_t)p + bytes, old - bytes);
		stamp(p, bytes, code);
	} else if (code == MALLOC_CODE_GROWN && bytes <= ptoa(page_of_va((vm_offset_t)p)->run)) {
		if (kmem_back((vm_offset_t)p + old, bytes - old, M_NOWAIT) != 0)
			return (NULL);
		stamp(p, bytes, code);
	} else if (bytes < old || (p = move(p, old, bytes, code)) == NULL) {
		return (NULL);
	}
	count_out(old);
	count_in(bytes);
	return (p);
}
