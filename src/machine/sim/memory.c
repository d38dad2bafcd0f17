/*
 * Memory: one range of addresses, [stacks | boot memory | window | frames].
 *
 * Frames are pages of one file in memory. The host maps them all, one after the other, which is the
 * core's direct map if the shape has one; and each page of the window where and while the core has
 * mapped it, so that a touch of any other is a fault of the host.
 *
 * What stays true: between runs all of it reads zero and nothing is mapped in the window. `dirty` has
 * each frame that the core could have written to, pages[] each window page that was ever mapped.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "sim_int.h"

#define PHYS_BASE ((vm_paddr_t)16 << 20)
#define MB        ((vm_size_t)1 << 20)

/* Where the parts are, from the base; the sizes are the most that a shape may have. */
#if UINTPTR_MAX > UINT32_MAX
#define BOOT_AT   (256 * MB)
#define BOOT_MAX  (16128 * MB)
#define KVA_AT    (16384 * MB)
#define KVA_MAX   (131072 * MB)
#define FRAMES_AT (147456 * MB)
#define MEM_MAX   (65536 * MB)
static const vm_offset_t bases[] = { 0x5000000000, 0x200000000000, 0 };
#else
#define BOOT_AT   (48 * MB)
#define BOOT_MAX  (48 * MB)
#define KVA_AT    (96 * MB)
#define KVA_MAX   (288 * MB)
#define FRAMES_AT (384 * MB)
#define MEM_MAX   (288 * MB)
static const vm_offset_t bases[] = { 0x80000000, 0x60000000, 0 };
#endif
#define SIZE (FRAMES_AT + MEM_MAX)

#define MAX_FRAMES (MEM_MAX >> SIM_PAGE_SHIFT_MIN)
#define MAX_PAGES  (KVA_MAX >> SIM_PAGE_SHIFT_MIN)
#define BITS       (8 * sizeof(unsigned long))

struct sim_memory sim_memory;
static int frames_fd = -1;
static pid_t frames_owner; /* the process whose frames these are; a fork's child makes its own */
static vm_size_t frames_mapped; /* bytes of frames that the host shows */
static unsigned long *dirty;    /* a bit a frame */
static unsigned long dirty_end; /* no frame from here on is dirty */
static uint32_t *pages;         /* window pages with table entries that are not all 0 */
static unsigned npages;
static vm_offset_t boot_next, boot_cleared; /* the latter: the highest that ever was */

/* ---- start ---------------------------------------------------------------------------------------- */

static void *
host_alloc(vm_size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return (p == MAP_FAILED ? NULL : p);
}

/* The same addresses in each process, so that what the core makes of them is the same. */
static vm_offset_t
reserve(void)
{
	for (unsigned i = 0; i < nitems(bases); i++) {
		int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
		void *p = mmap((void *)bases[i], SIZE, PROT_NONE,
		    bases[i] != 0 ? flags | MAP_FIXED_NOREPLACE : flags, -1, 0);

		if (p != MAP_FAILED && (bases[i] == 0 || (vm_offset_t)p == bases[i]))
			return ((vm_offset_t)p);
		if (p != MAP_FAILED)
			munmap(p, SIZE);
	}
	return (0);
}

static bool
reserve_all(void)
{
	struct sim_memory *mem = &sim_memory;

	if (mem->base != 0)
		return (true);
	frames_fd = memfd_create("cooper-frames", MFD_CLOEXEC);
	frames_owner = getpid();
	dirty = host_alloc(howmany(MAX_FRAMES, 8));
	pages = host_alloc(MAX_PAGES * sizeof(*pages));
	mem->table = host_alloc(MAX_PAGES * sizeof(*mem->table));
	if (frames_fd < 0 || dirty == NULL || pages == NULL || mem->table == NULL ||
	    (mem->base = reserve()) == 0)
		return (false);
	mem->size = SIZE;
	mem->kva = mem->base + KVA_AT;
	mem->direct = mem->base + FRAMES_AT;
	boot_next = boot_cleared = mem->base + BOOT_AT;
	return (stacks_reserve(mem->base) &&
		mmap((void *)boot_next, BOOT_MAX, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED);
}

static void
clear_frames(void)
{
	for (unsigned long w = 0; w * BITS < dirty_end; w++)
		for (; dirty[w] != 0; dirty[w] &= dirty[w] - 1) {
			unsigned long frame = w * BITS + (unsigned long)__builtin_ctzl(dirty[w]);

			memset((void *)(sim_memory.direct + ptoa(frame)), 0, PAGE_SIZE);
		}
	dirty_end = 0;
}

/* As many frames as the shape has; a touch of one more is a fault. */
static bool
show_frames(vm_size_t bytes)
{
	void *at = (void *)sim_memory.direct;

	if (bytes == frames_mapped)
		return (true);
	clear_frames(); /* while they are seen */
	if (ftruncate(frames_fd, (off_t)MAX(bytes, frames_mapped)) != 0 ||
	    mmap(at, MEM_MAX, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		-1, 0) == MAP_FAILED ||
	    mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, frames_fd, 0) ==
		MAP_FAILED)
		return (false);
	frames_mapped = bytes;
	return (true);
}

bool
memory_start(const struct machine_shape *shape, const char **why)
{
	*why = "the sim machine has at most 64 GB of memory and 128 GB of address space";
	if (sizeof(void *) == 4)
		*why = "the sim machine has at most 288 MB of memory and 288 MB of address space";
	if (shape->physmem > MEM_MAX || shape->kva_size > KVA_MAX || shape->physmem < PAGE_SIZE ||
	    (shape->physmem & PAGE_MASK) != 0)
		return (false);
	*why = "pages of the sim machine are 4 to 64 KB";
	if (PAGE_SHIFT < SIM_PAGE_SHIFT_MIN || PAGE_SHIFT > SIM_PAGE_SHIFT_MAX)
		return (false);
	*why = "the host has not so much address space, or larger pages";
	return ((vm_size_t)sysconf(_SC_PAGESIZE) <= PAGE_SIZE && reserve_all() &&
		show_frames((vm_size_t)shape->physmem));
}

/* ---- between runs --------------------------------------------------------------------------------- */

static void
clear_window(void)
{
	uint32_t low = UINT32_MAX, high = 0;

	for (unsigned i = 0; i < npages; i++) {
		low = MIN(low, pages[i]);
		high = MAX(high, pages[i]);
		sim_memory.table[pages[i]] = (struct window_page){ 0 };
	}
	if (npages > 0)
		mmap((void *)(sim_memory.kva + ptoa(low)), ptoa(high - low + 1), PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	npages = 0;
}

/* A driver has forked since: the frames that are seen here are still the parent's. */
static void
leave_frames(void)
{
	close(frames_fd);
	frames_fd = memfd_create("cooper-frames", MFD_CLOEXEC);
	frames_owner = getpid();
	frames_mapped = 0;
	memset(dirty, 0, howmany(dirty_end, 8 * sizeof(*dirty)) * sizeof(*dirty));
	dirty_end = 0;
}

void
memory_reset(void)
{
	if (sim_memory.base == 0)
		return;
	clear_window();
	if (frames_owner != getpid())
		leave_frames();
	clear_frames();
	boot_next = sim_memory.base + BOOT_AT;
	memset((void *)boot_next, 0, boot_cleared - boot_next);
	boot_cleared = boot_next;
}

/* The host's half of n pages of consecutive frames. */
static void
show(vm_offset_t va, unsigned long frame, unsigned n, bool exec)
{
	int prot = PROT_READ | PROT_WRITE | (exec ? PROT_EXEC : 0);

	MUST(mmap((void *)va, ptoa(n), prot, MAP_SHARED | MAP_FIXED | MAP_POPULATE, frames_fd,
		 (off_t)ptoa(frame)) != MAP_FAILED,
	    "sim: the host maps no more pages: vm.max_map_count");
}

/* A copy of the frames, seen where they were seen. */
bool
memory_split(void)
{
	int parents = frames_fd;
	off_t at = 0;

	frames_fd = memfd_create("cooper-frames", MFD_CLOEXEC);
	frames_owner = getpid();
	if (frames_fd < 0 || ftruncate(frames_fd, (off_t)frames_mapped) != 0)
		return (false);
	for (unsigned long f = 0; f < dirty_end; f++)
		if ((dirty[f / BITS] >> (f % BITS) & 1) != 0) {
			at = (off_t)ptoa(f);
			if (pwrite(frames_fd, (void *)(sim_memory.direct + ptoa(f)), PAGE_SIZE,
				at) != (ssize_t)PAGE_SIZE)
				return (false);
		}
	close(parents);
	if (mmap((void *)sim_memory.direct, frames_mapped, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_FIXED, frames_fd, 0) == MAP_FAILED)
		return (false);
	for (unsigned i = 0; i < npages; i++)
		if (sim_memory.table[pages[i]].frame != 0)
			show(sim_memory.kva + ptoa(pages[i]), sim_memory.table[pages[i]].frame - 1,
			    1, false);
	return (true);
}

/* ---- boot memory ---------------------------------------------------------------------------------- */

void *
machine_boot_alloc(vm_size_t bytes, vm_size_t align)
{
	vm_offset_t end = sim_memory.base + BOOT_AT + BOOT_MAX, at = round_up(boot_next, align);

	MUST(is_pow2(align), "machine_boot_alloc: alignment %zu is not a power of two", align);
	if (at > end || bytes > end - at)
		return (NULL);
	boot_next = at + bytes;
	boot_cleared = MAX(boot_cleared, boot_next);
	return ((void *)at);
}

/* ---- frames --------------------------------------------------------------------------------------- */

static unsigned long
frame_of(vm_paddr_t pa, unsigned long n, const char *func)
{
	uint64_t frame = (pa - PHYS_BASE) >> PAGE_SHIFT, frames = sim.shape.physmem >> PAGE_SHIFT;

	MUST((pa & PAGE_MASK) == 0 && frame < frames && n <= frames - frame,
	    "%s: %lu frames at %llx are not in memory", func, n, (unsigned long long)pa);
	return ((unsigned long)frame);
}

static void
mark_dirty(unsigned long frame, unsigned long n)
{
	for (unsigned long f = frame; f < frame + n; f++)
		dirty[f / BITS] |= 1ul << (f % BITS);
	dirty_end = MAX(dirty_end, frame + n);
}

void *
machine_direct_run(vm_paddr_t pa, unsigned long n)
{
	unsigned long frame = frame_of(trunc_page(pa), n, "machine_direct_run");

	if (!sim.shape.direct_map)
		return (NULL);
	point();
	mark_dirty(frame, n);
	note(SIM_PAGES, (void *)(sim_memory.direct + ptoa(frame)), n);
	return ((void *)(sim_memory.direct + (vm_offset_t)(pa - PHYS_BASE)));
}

void *
sim_frame(vm_paddr_t pa)
{
	unsigned long frame = frame_of(trunc_page(pa), 1, "sim_frame");

	mark_dirty(frame, 1);
	return ((void *)(sim_memory.direct + ptoa(frame)));
}

/* What is in them stays, as on a real machine. */
bool
machine_discard(vm_paddr_t pa, unsigned long n)
{
	unsigned long frame = frame_of(pa, n, "machine_discard");

	point();
	note(SIM_PAGES, (void *)(sim_memory.direct + ptoa(frame)), n);
	return (false);
}

/* Domains are equal runs of one range; what does not divide goes to the last. */
unsigned
machine_segments(struct machine_segment *seg, unsigned max)
{
	const struct machine_shape *shape = &sim.shape;
	uint64_t each = shape->physmem / PAGE_SIZE / shape->ndomains * PAGE_SIZE;
	unsigned n = MIN(shape->ndomains, max);

	for (unsigned i = 0; i < n; i++) {
		seg[i].start = PHYS_BASE + i * each;
		seg[i].end =
		    i + 1 == shape->ndomains ? PHYS_BASE + shape->physmem : seg[i].start + each;
		seg[i].domain = i;
	}
	return (n);
}

/* ---- the window ----------------------------------------------------------------------------------- */

void
machine_kva(vm_offset_t *base, vm_size_t *size)
{
	*base = sim_memory.kva;
	*size = sim.shape.kva_size;
}

static struct window_page *
window_at(vm_offset_t va, unsigned n, const char *func)
{
	vm_size_t offset = va - sim_memory.kva;

	MUST((va & PAGE_MASK) == 0 && offset < sim.shape.kva_size &&
		 n <= atop(sim.shape.kva_size - offset),
	    "%s: %u pages at %p are not in the window", func, n, (void *)va);
	return (&sim_memory.table[atop(offset)]);
}

void
machine_map(vm_offset_t va, const vm_paddr_t *pa, unsigned n, bool exec)
{
	struct window_page *w = window_at(va, n, "machine_map");

	point();
	for (unsigned i = 0, run; i < n; i += run) {
		unsigned long frame = frame_of(pa[i], 1, "machine_map");

		for (run = 1; i + run < n && pa[i + run] == pa[i] + ptoa(run); run++)
			;
		mark_dirty(frame, run);
		show(va + ptoa(i), frame, run, exec);
		for (unsigned k = i; k < i + run; k++) {
			MUST(w[k].frame == 0, "machine_map: %p is mapped", (void *)(va + ptoa(k)));
			if (!w[k].seen)
				pages[npages++] = (uint32_t)(w + k - sim_memory.table);
			w[k].frame = (uint32_t)(frame + (k - i)) + 1;
			w[k].seen = true;
		}
	}
	note(SIM_MAP, (void *)va, n);
}

void
machine_unmap(vm_offset_t va, unsigned n)
{
	struct window_page *w = window_at(va, n, "machine_unmap");

	point();
	for (unsigned i = 0; i < n; i++) {
		MUST(w[i].frame != 0, "machine_unmap: %p is not mapped", (void *)(va + ptoa(i)));
		w[i].frame = 0;
		w[i].unmapped_at = sim.steps;
		w[i].unmapped_by = (uint8_t)sim.self;
	}
	mmap((void *)va, ptoa(n), PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	note(SIM_UNMAP, (void *)va, n);
}

static vm_paddr_t
mapped_at(vm_offset_t va)
{
	vm_size_t offset = va - sim_memory.kva;
	uint32_t frame;

	if (offset < sim.shape.kva_size) {
		frame = sim_memory.table[atop(offset)].frame;
		return (frame == 0 ? MACHINE_NOPAGE
				   : PHYS_BASE + ptoa((vm_paddr_t)frame - 1) + (va & PAGE_MASK));
	}
	offset = va - sim_memory.direct;
	if (sim.shape.direct_map && offset < sim.shape.physmem)
		return (PHYS_BASE + offset);
	return (MACHINE_NOPAGE);
}

/* A page-table entry is a shared word. */
vm_paddr_t
sim_extract(vm_offset_t va)
{
	sim_atomic((void *)trunc_page(va));
	return (mapped_at(va));
}

bool
sim_mapped(uintptr_t va, vm_paddr_t *pa)
{
	vm_paddr_t there = mapped_at(va);

	if (there == MACHINE_NOPAGE)
		return (false);
	*pa = there;
	return (true);
}

/* ---- what is there -------------------------------------------------------------------------------- */

static void
describe_window(vm_size_t offset, char *text, size_t size)
{
	const struct window_page *w = &sim_memory.table[atop(offset)];

	if (!w->seen)
		core_snprintf(text, size, "window + 0x%zx, which was never mapped", offset);
	else
		core_snprintf(text, size,
		    "window + 0x%zx, which fiber %u (%s) unmapped at step %llu", offset,
		    w->unmapped_by, sim.fiber[w->unmapped_by].name,
		    (unsigned long long)w->unmapped_at);
}

void
memory_describe(vm_offset_t va, char *text, size_t size)
{
	const struct sim_memory *mem = &sim_memory;
	unsigned fiber = stack_of(va);

	if (va - mem->kva < sim.shape.kva_size)
		describe_window(va - mem->kva, text, size);
	else if (va - mem->direct < MEM_MAX)
		core_snprintf(
		    text, size, "direct map + 0x%zx, beyond the last frame", va - mem->direct);
	else if (fiber != NOBODY)
		core_snprintf(text, size, "the end of the stack of fiber %u (%s)", fiber,
		    fiber < sim.nfibers ? sim.fiber[fiber].name : "not started");
	else if (va - mem->base < mem->size)
		core_snprintf(
		    text, size, "0x%zx of the run's memory, where nothing is", va - mem->base);
	else
		core_snprintf(text, size, "address %p, which is none of the run's", (void *)va);
}
