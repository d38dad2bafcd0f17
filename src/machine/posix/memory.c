/*
 * Memory: one reserved range of addresses, [boot memory and tables | direct map | kernel window]. A
 * start is few calls: what it needs of the range lies together and is opened by one.
 *
 * Frames are accounting. The contents of a frame are at its direct-map address or, while it is
 * mapped in the kernel window, at the window address: private anonymous memory both, so a fork copies
 * what it must and the kernel keeps a handful of mappings however the core scatters its pages.
 * Mapping a page writes a word of the soft page table; unmapping clears it and gives the memory back.
 *
 * What stays true:
 *  - an address is accessible only below its view's mark, which grows in big steps as the core
 *    reaches higher: what was never reached is neither charged nor filled by mlockall().
 *  - a window page whose table word is 0 holds no memory and reads zero when it is next mapped. In
 *    the debug shape it is not accessible either.
 *  - a frame whose bit in `touched` is clear holds no memory in the direct map. machine_map() clears
 *    it, so a frame never costs the host two pages.
 *
 * The window's words belong to whoever holds those addresses. The marks and boot memory have a lock.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "posix.h"

#define STEP  ((vm_size_t)32 << 20) /* a mark grows by this */
#define CHUNK ((vm_size_t)1 << 20)  /* boot memory comes by this, the first from the range */
#define TABLE (CHUNK / 4)           /* what is larger is a table */
#define FRAME 24                    /* bytes that the core's tables want for a frame */

/* One view of memory: accessible in [base, base + mark). */
struct view {
	vm_offset_t base;
	vm_size_t size;
	vm_size_t mark; /* grows only */
};

POSIX_HIDDEN struct posix_memory posix_memory;
POSIX_HIDDEN bool posix_limit_due;
static struct view direct_view, window_view;
static unsigned long *touched;          /* a bit a frame: memory in the direct map? */
static unsigned long touched_end;       /* no bit from here on is set; grows only */
static struct machine_lock memory_lock; /* the marks; boot memory */
static vm_offset_t boot_next, boot_end;
static vm_offset_t tables, tables_end; /* room for tables in the range: taken from its end */
POSIX_HIDDEN struct machine_region machine_regions[MACHINE_REGIONS]; /* 0, 1: the views */
static uint32_t nregions = 2;

/* ---- boot memory ---------------------------------------------------------------------------------- */

/* What does not fit any more is not told of: a MiB of boot memory each, and few processes need a second. */
static void
region_add(vm_offset_t base, vm_size_t bytes)
{
	uint32_t i = atomic_fetch_add(&nregions, 1u);

	if (i >= MACHINE_REGIONS)
		return;
	machine_regions[i].base = base;
	atomic_store_release(&machine_regions[i].size, bytes);
}

static void *
host_alloc(vm_size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return (NULL);
	/* Sparse tables: a huge page for each first touch would be most of a small process. */
	madvise(p, bytes, MADV_NOHUGEPAGE);
	region_add((vm_offset_t)p, bytes);
	return (p);
}

static void *
boot_from_chunk(vm_size_t bytes, vm_size_t align)
{
	vm_offset_t at = round_up(boot_next, align);

	if (at + bytes > boot_end) {
		boot_next = (vm_offset_t)host_alloc(CHUNK);
		boot_end = boot_next == 0 ? 0 : boot_next + CHUNK;
		at = round_up(boot_next, align);
		if (at == 0 || at + bytes > boot_end)
			return (NULL);
	}
	boot_next = at + bytes;
	return ((void *)at);
}

/* From the room for tables, or else a mapping of its own. */
static void *
table_alloc(vm_size_t bytes)
{
	void *p = NULL;

	machine_lock(&memory_lock);
	if (round_page(bytes) >= bytes && round_page(bytes) <= tables_end - tables)
		p = (void *)(tables_end -= round_page(bytes));
	machine_unlock(&memory_lock);
	return (p != NULL ? p : host_alloc(round_page(bytes)));
}

void *
machine_boot_alloc(vm_size_t bytes, vm_size_t align)
{
	void *p;

	MUST(is_pow2(align), "machine_boot_alloc: alignment %zu is not a power of two", align);
	if (align > PAGE_SIZE) {
		p = bytes + align < bytes ? NULL : table_alloc(bytes + align);
		return (p == NULL ? NULL : (void *)round_up((vm_offset_t)p, align));
	}
	if (bytes >= TABLE)
		return (table_alloc(bytes));
	machine_lock(&memory_lock);
	p = boot_from_chunk(bytes, align);
	machine_unlock(&memory_lock);
	return (p);
}

/* ---- start ---------------------------------------------------------------------------------------- */

/* Room for boot memory and the tables: ours of the window and of frames, the core's of both. */
static uint64_t
room_for_tables(const struct machine_shape *shape, uint64_t direct_size)
{
	uint64_t frames = shape->physmem >> PAGE_SHIFT, window = shape->kva_size >> PAGE_SHIFT;

	return (window * sizeof(uint32_t) + howmany(frames, 8) + frames * FRAME + window +
		(direct_size >> PAGE_SHIFT) + 2 * CHUNK);
}

/*
 * Reserve the range, and open what every process needs of it, in one go: boot memory, the tables, and
 * what is behind them, the direct map's first step. False: no room.
 */
static bool
range_reserve(uint64_t room, uint64_t direct_size, uint64_t kva_size)
{
	uint64_t total = room + direct_size + kva_size;
	vm_size_t first = (vm_size_t)MIN(direct_size, (uint64_t)STEP),
		  open = (vm_size_t)room + first;
	vm_offset_t at;
	void *p;

	if (total != (size_t)total)
		return (false);
	p = mmap(
	    NULL, (size_t)total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED || mprotect(p, open, PROT_READ | PROT_WRITE) != 0)
		return (false);
	/* Sparse tables: a huge page for each first touch would be most of a small process. */
	madvise(p, open, MADV_NOHUGEPAGE);
	at = (vm_offset_t)p;
	region_add(at, (vm_size_t)room);
	boot_next = at;
	boot_end = tables = at + CHUNK;
	at += (vm_size_t)room;
	tables_end = at;
	direct_view = (struct view){ at, (vm_size_t)direct_size, first };
	window_view = (struct view){ at + (vm_size_t)direct_size, (vm_size_t)kva_size, 0 };
	return (true);
}

int
posix_memory_start(const struct machine_shape *shape, const char **why)
{
	struct posix_memory *mem = &posix_memory;
	uint64_t direct_size = shape->direct_map ? shape->physmem : 0;
	uint64_t room = room_for_tables(shape, direct_size);
	unsigned long frames = (unsigned long)(shape->physmem >> PAGE_SHIFT);

	room += -room & PAGE_MASK;
	if (range_reserve(room, direct_size, shape->kva_size)) {
		mem->table = machine_boot_alloc(shape->kva_size >> PAGE_SHIFT << 2, CACHE_LINE);
		touched = machine_boot_alloc(howmany(frames, 8) + sizeof(*touched), CACHE_LINE);
	}
	if (mem->table == NULL || touched == NULL) {
		*why = "the host has not so much address space: lower physmem or kva, or ulimit -v";
		return (COOPER_ENOMEM);
	}
	mem->phys_base = POSIX_PHYS_BASE;
	mem->direct = direct_view.base;
	mem->direct_size = direct_view.size;
	mem->kva = window_view.base;
	mem->kva_size = window_view.size;
	machine_regions[0] = (struct machine_region){ direct_view.base, direct_view.mark, true };
	/* The debug shape opens the window page by page, wherever: all of it is looked at. */
	machine_regions[1] =
	    (struct machine_region){ window_view.base, core_debug ? window_view.size : 0, true };
	return (0);
}

void
machine_kva(vm_offset_t *base, vm_size_t *size)
{
	*base = posix_memory.kva;
	*size = posix_memory.kva_size;
}

/* ---- views ------------------------------------------------------------------------------------------ */

static void
protect(vm_offset_t va, vm_size_t bytes, int prot)
{
	MUST(mprotect((void *)va, bytes, prot) == 0,
	    "machine: the host refuses %zu more bytes at %p (errno %d): "
	    "overcommit, ulimit -d or vm.max_map_count",
	    bytes, (void *)va, errno);
}

static NOINLINE void
view_grow(struct view *v, vm_size_t end)
{
	machine_lock(&memory_lock);
	if (end > v->mark) {
		vm_size_t mark = MIN(round_up(end, STEP), v->size);

		protect(v->base + v->mark, mark - v->mark, PROT_READ | PROT_WRITE);
		/* A huge page at the first touch would be most of a small process. */
		if (v->mark == 0)
			madvise((void *)v->base, mark, MADV_NOHUGEPAGE);
		else if (posix_limit_later)
			atomic_store_relaxed(&posix_limit_due, true);
		atomic_store_release(&v->mark, mark);
		atomic_store_release(&machine_regions[v == &window_view].size, mark);
	}
	machine_unlock(&memory_lock);
}

static void
view_reach(struct view *v, vm_offset_t va, vm_size_t bytes)
{
	vm_size_t end = va - v->base + bytes;

	if (unlikely(end > atomic_load_acquire(&v->mark)))
		view_grow(v, end);
}

/* Give [va, va + bytes) back to the host; it reads zero afterwards. */
static void
give_back(vm_offset_t va, vm_size_t bytes)
{
	if (madvise((void *)va, bytes, MADV_DONTNEED) != 0)
		memset((void *)va, 0, bytes); /* locked in memory by the program: it stays */
}

/* ---- the direct map --------------------------------------------------------------------------------- */

#define BITS (8 * sizeof(unsigned long))

/* Looks at no page of the table that has not been written: that would be a fault for nothing. */
static bool
frame_touched(unsigned long frame)
{
	return (frame < atomic_load_relaxed(&touched_end) &&
		(atomic_load_relaxed(&touched[frame / BITS]) >> (frame % BITS) & 1) != 0);
}

static void
frame_touch(unsigned long frame)
{
	unsigned long end = atomic_load_relaxed(&touched_end);

	while (frame >= end && !atomic_cas(&touched_end, &end, frame + 1))
		;
	__atomic_fetch_or(&touched[frame / BITS], 1ul << (frame % BITS), __ATOMIC_RELAXED);
}

void *
machine_direct_run(vm_paddr_t pa, unsigned long n)
{
	const struct posix_memory *mem = &posix_memory;
	vm_offset_t va = mem->direct + (vm_offset_t)(pa - mem->phys_base);
	unsigned long frame = atop((vm_offset_t)(pa - mem->phys_base));

	if (mem->direct_size == 0)
		return (NULL);
	view_reach(&direct_view, trunc_page(va), ptoa(n));
	for (unsigned long f = frame; f < frame + n; f++)
		if (!frame_touched(f))
			frame_touch(f);
	return ((void *)va);
}

bool
machine_discard(vm_paddr_t pa, unsigned long n)
{
	const struct posix_memory *mem = &posix_memory;
	unsigned long frame = atop((vm_offset_t)(pa - mem->phys_base));
	unsigned long end = frame + n;

	if (mem->direct_size == 0)
		return (false);
	while (frame < end) {
		unsigned long first = frame;

		if (!frame_touched(frame)) {
			frame++;
			continue;
		}
		for (; frame < end && frame_touched(frame); frame++)
			__atomic_fetch_and(
			    &touched[frame / BITS], ~(1ul << (frame % BITS)), __ATOMIC_RELAXED);
		give_back(mem->direct + ptoa(first), ptoa(frame - first));
	}
	return (true);
}

/* ---- the kernel window ------------------------------------------------------------------------------ */

/* The frames' contents move to the window: what the direct map holds of them is given back. */
static void
leave_direct_map(const vm_paddr_t *pa, unsigned n)
{
	for (unsigned i = 0, run; i < n; i += run) {
		for (run = 1; i + run < n && pa[i + run] == pa[i] + ptoa(run); run++)
			;
		machine_discard(pa[i], run);
	}
}

static uint32_t *
table_at(vm_offset_t va, unsigned n, const char *func)
{
	vm_size_t offset = va - posix_memory.kva;

	MUST((va & PAGE_MASK) == 0 && offset < posix_memory.kva_size &&
		 n <= atop(posix_memory.kva_size - offset),
	    "%s: %u pages at %p are not in the window", func, n, (void *)va);
	return (&posix_memory.table[atop(offset)]);
}

void
machine_map(vm_offset_t va, const vm_paddr_t *pa, unsigned n, bool exec)
{
	uint32_t *word = table_at(va, n, "machine_map");

	if (posix_memory.direct_size != 0)
		leave_direct_map(pa, n);
	for (unsigned i = 0; i < n; i++) {
		CHECK((word[i] & POSIX_FRAME) == 0, "machine_map: %p is mapped",
		    (void *)(va + ptoa(i)));
		atomic_store_relaxed(&word[i],
		    ((uint32_t)atop(pa[i] - posix_memory.phys_base) + 1) | (exec ? POSIX_EXEC : 0));
	}
	if (unlikely(core_debug))
		protect(va, ptoa(n), PROT_READ | PROT_WRITE | (exec ? PROT_EXEC : 0));
	else {
		view_reach(&window_view, va, ptoa(n));
		if (unlikely(exec))
			protect(va, ptoa(n), PROT_READ | PROT_WRITE | PROT_EXEC);
	}
}

void
machine_unmap(vm_offset_t va, unsigned n)
{
	uint32_t *word = table_at(va, n, "machine_unmap");
	bool exec = false;

	for (unsigned i = 0; i < n; i++) {
		CHECK(word[i] != 0, "machine_unmap: %p is not mapped", (void *)(va + ptoa(i)));
		exec |= (word[i] & POSIX_EXEC) != 0;
		atomic_store_relaxed(&word[i], 0);
	}
	give_back(va, ptoa(n));
	if (unlikely(core_debug))
		protect(va, ptoa(n), PROT_NONE);
	else if (unlikely(exec))
		protect(va, ptoa(n), PROT_READ | PROT_WRITE);
}

/* ---- moving ------------------------------------------------------------------------------------------
 * The old range stays mapped and reads zero (MREMAP_DONTUNMAP, Linux 5.7): were it ever unmapped, another
 * thread's mmap() could take it.
 */

/* Ordinary memory at [va, va + n pages), instead of what is there or, by how, where nothing is. */
static bool
plain(vm_offset_t va, unsigned long n, int how)
{
	vm_size_t offset = va - window_view.base;
	void *p = mmap((void *)va, ptoa(n), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | how, -1, 0);

	if (p == MAP_FAILED)
		return (false);
	if (p != (void *)va) {
		munmap(p, ptoa(n));
		return (false);
	}
	if (offset < STEP)
		madvise(p, MIN(ptoa(n), STEP - offset), MADV_NOHUGEPAGE);
	return (true);
}

void
posix_memory_plain(vm_offset_t va, unsigned long n)
{
	(void)plain(va, n, MAP_FIXED);
}

/*
 * Kernels before 6.17 move no range that lies in two mappings, and have unmapped where it was to go when they
 * say so. If another thread's mmap() was faster than we, those addresses are not ours any more; or it is still
 * what it was, which from here looks the same.
 */
enum posix_moved
posix_memory_move(vm_offset_t from, vm_offset_t to, unsigned long n)
{
#ifdef MREMAP_DONTUNMAP
	uint32_t *old = table_at(from, (unsigned)n, "posix_memory_move");
	uint32_t *new = table_at(to, (unsigned)n, "posix_memory_move");

	if (mremap((void *)from, ptoa(n), ptoa(n), MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
		(void *)to) == MAP_FAILED)
		return (plain(to, n, MAP_FIXED_NOREPLACE) ? POSIX_STAYED : POSIX_LOST);
	for (unsigned long i = 0; i < n; i++) {
		atomic_store_relaxed(&new[i], old[i]);
		atomic_store_relaxed(&old[i], 0);
	}
	return (POSIX_MOVED);
#else
	(void)from;
	(void)to;
	(void)n;
	return (POSIX_STAYED);
#endif
}

/* ---- fork --------------------------------------------------------------------------------------------- */

void
posix_memory_fork(enum posix_fork when)
{
	if (when == FORK_PREPARE)
		machine_lock(&memory_lock);
	else if (when == FORK_PARENT)
		machine_unlock(&memory_lock);
	else
		memory_lock = (struct machine_lock){ 0 };
}
