/*
 * Memory of the bare x86 machines: the loader's map, boot memory, the kernel window.
 *
 *	physical   0 .. 1 MiB | image | boot memory | what is left: the segments
 *	address    image and boot memory, one after the other (x86_image_start ..)
 *	           the window: KVA that the root arena hands out
 *	           amd64 only: the direct map
 *
 * The tables that map the window are made at start for all of it, in boot memory, and their last
 * level is one array: mapping a page is a store that cannot fail and needs nothing. That is this port's cut
 * of the recursion "a mapping needs a page-table page, which needs a page". Boot memory is
 * set aside from the largest range before segments are known, so it never overlaps one.
 *
 * A window page's entry belongs to whoever holds that address; nothing here is locked but boot memory.
 */
#include "machine_arch.h"
#include "x86.h"

#define MAX_RANGES  16
#define PAGE_RECORD 32 /* bytes of the page array for each page, at most: page.c asserts it */
#define BOOT_FIXED  ((vm_size_t)960 << 10) /* stacks, zones of zones, per-CPU tables */
#define LOW_END     (ARCH_LOW_SIZE - (X86_TEMPORARY + 2) * PAGE_SIZE) /* of image and boot memory */

/* ---- the loader's information (Multiboot 1), as far as we need it ----------------------------------- */

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr;
};
struct multiboot_range {
	uint32_t size;
	uint64_t start, length;
	uint32_t type;
} __attribute__((packed));
#define MULTIBOOT_CMDLINE 0x04u
#define MULTIBOOT_MMAP    0x40u
#define RANGE_USABLE      1u

struct range {
	vm_paddr_t start, end;
};

struct x86_memory x86_memory;

/* Usable memory, ascending, page aligned. */
struct map {
	struct range range[MAX_RANGES];
	unsigned n;
};
static struct map whole,
    map; /* as the loader said; without boot memory and what the shape leaves */
static struct machine_lock boot_lock;
static vm_offset_t kept_end = (vm_offset_t)x86_image_end;
static vm_offset_t boot_start, boot_next, boot_end; /* addresses */
static vm_size_t table_bytes;
static char options[1024];

static void
add_range(vm_paddr_t start, vm_paddr_t end)
{
	unsigned at = whole.n;

	start = (start + PAGE_MASK) & ~(vm_paddr_t)PAGE_MASK;
	end &= ~(vm_paddr_t)PAGE_MASK;
	end = MIN(end, ARCH_PHYS_END);
	start = MAX(start, ARCH_PHYS(x86_image_end)); /* the image, and what is below it */
	if (start >= end || whole.n == MAX_RANGES)
		return;
	for (; at > 0 && whole.range[at - 1].start > start; at--)
		whole.range[at] = whole.range[at - 1];
	whole.range[at] = (struct range){ start, end };
	whole.n++;
}

static bool
copy_options(const char *from)
{
	size_t n = 0;

	while (from[n] != '\0' && n < sizeof(options) - 1)
		n++;
	memcpy(options, from, n);
	x86_options = options;
	return (from[n] == '\0');
}

/* The option hole=START,SIZE: a map as of a machine that has no memory there. */
static void
add_around_hole(vm_paddr_t start, vm_paddr_t end)
{
	vm_paddr_t hole, hole_end;

	x86_memory_hole(&hole, &hole_end);
	if (hole > start)
		add_range(start, MIN(hole, end));
	if (hole_end < end)
		add_range(MAX(hole_end, start), end);
}

void
x86_memory_hole(vm_paddr_t *start, vm_paddr_t *end)
{
	const char *size = x86_option("hole");

	while (size != NULL && *size != ',' && *size != ' ' && *size != '\0')
		size++;
	*start = (vm_paddr_t)x86_option_size("hole", 0);
	*end = *start + (size != NULL && *size == ',' ? (vm_paddr_t)x86_size(size + 1) : 0);
}

/* The loader's structures are below 1 MiB or beside the image; start.S still maps them. */
bool
x86_memory_probe(const struct multiboot_info *info, const char **why)
{
	const char *at, *end;

	if ((info->flags & MULTIBOOT_CMDLINE) != 0 && !copy_options(arch_low(info->cmdline))) {
		*why = "the loader's line is longer than 1023 characters";
		return (false);
	}
	if ((info->flags & MULTIBOOT_MMAP) == 0 || x86_option("nomap") != NULL) {
		*why = "the loader gave no memory map";
		return (false);
	}
	at = arch_low(info->mmap_addr);
	for (end = at + info->mmap_length; at < end;) {
		const struct multiboot_range *r = (const void *)at;

		if (r->type == RANGE_USABLE)
			add_around_hole((vm_paddr_t)r->start, (vm_paddr_t)(r->start + r->length));
		at += r->size + sizeof(r->size);
	}
	if (whole.n == 0) {
		*why = "the memory map has no usable memory above the image";
		return (false);
	}
	return (true);
}

static uint64_t
usable(const struct map *m)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < m->n; i++)
		bytes += m->range[i].end - m->range[i].start;
	return (bytes);
}

uint64_t
x86_memory_usable(void)
{
	return (usable(&whole) - (kept_end - (vm_offset_t)x86_image_end));
}

/* Take bytes from the top. */
static void
cut_top(struct map *m, uint64_t bytes)
{
	while (bytes > 0) {
		struct range *last = &m->range[m->n - 1];
		uint64_t part = MIN(bytes, last->end - last->start);

		last->end -= part;
		bytes -= part;
		if (last->start == last->end)
			m->n--;
	}
}

/* In one piece, for good; 0 if there is none. */
vm_paddr_t
x86_memory_top(uint64_t bytes)
{
	struct range *last = &whole.range[whole.n - 1];

	if (last->end - last->start <= bytes)
		return (0);
	cut_top(&whole, bytes);
	return (last->end);
}

/* ---- boot memory ------------------------------------------------------------------------------------ */

/*
 * What start-up takes grows with memory (a record a page, from the first page to the last, holes
 * too), with the window (a table word and a byte of malloc's map a page) and with CPUs.
 */
static vm_size_t
boot_needed(const struct machine_shape *shape)
{
	vm_paddr_t span = map.range[map.n - 1].end - (map.range[0].start & ~(vm_paddr_t)0x3fffff);
	vm_size_t pages = (vm_size_t)(span >> PAGE_SHIFT), window = atop(shape->kva_size);

	return (round_page(BOOT_FIXED + pages * (PAGE_RECORD + 1) + window * (sizeof(pte_t) + 1) +
			   shape->ncpus * (X86_STACK + 16 * 1024) + 4 * PAGE_SIZE));
}

/* All of image and boot memory, but the pages below the stacks that outlive a restart. */
static void
map_low(vm_paddr_t end)
{
	arch_map_low(end);
	arch_unmap_low((vm_offset_t)x86_boot_stack - PAGE_SIZE);
	for (unsigned i = 0; i < x86_ncpus; i++)
		arch_unmap_low(x86_cpus[i].idle.stack - PAGE_SIZE);
}

/* The first range must hold it: boot memory follows the image and what is kept. */
static int
boot_start_memory(const struct machine_shape *shape, const char **why)
{
	vm_size_t bytes = boot_needed(shape);
	struct range *first = &map.range[0];

	if (first->start != ARCH_PHYS(x86_image_end) ||
	    ARCH_PHYS(kept_end) + bytes > MIN(first->end, LOW_END)) {
		*why = "too little memory behind the image for the tables that this shape needs";
		return (COOPER_ENOMEM);
	}
	map_low(ARCH_PHYS(kept_end) + bytes);
	x86_flush(ARCH_BASE, ARCH_LOW_SIZE / PAGE_SIZE); /* that is, everything */
	boot_start = boot_next = kept_end;
	boot_end = boot_start + bytes;
	memset((void *)boot_start, 0, bytes);
	first->start = ARCH_PHYS(boot_end);
	return (0);
}

void *
x86_memory_keep(vm_size_t bytes)
{
	vm_offset_t at = kept_end;

	MUST(boot_start == 0, "x86_memory_keep: the machine is started");
	if (whole.n == 0 || ARCH_PHYS(at) + bytes > MIN(whole.range[0].end, LOW_END))
		return (NULL);
	kept_end = round_page(at + bytes);
	memset((void *)at, 0, bytes);
	return ((void *)at);
}

void *
machine_boot_alloc(vm_size_t bytes, vm_size_t align)
{
	vm_offset_t at;

	MUST(is_pow2(align), "machine_boot_alloc: alignment %zu is not a power of two", align);
	machine_lock(&boot_lock);
	at = round_up(boot_next, align);
	if (bytes > boot_end - boot_next || at > boot_end - bytes)
		at = 0;
	else
		boot_next = at + bytes;
	machine_unlock(&boot_lock);
	return ((void *)at);
}

/* The page below it is not there: who comes to the end faults, and writes to nobody's memory. */
uintptr_t
x86_memory_stack(void)
{
	vm_offset_t guard = (vm_offset_t)machine_boot_alloc(PAGE_SIZE + X86_STACK, PAGE_SIZE);

	if (guard == 0)
		return (0);
	arch_unmap_low(guard);
	x86_flush(guard, 1);
	return (guard + PAGE_SIZE);
}

void
x86_memory_used(vm_size_t *image, vm_size_t *boot, vm_size_t *tables)
{
	*image = (vm_size_t)(x86_image_end - x86_image_start);
	*boot = boot_next - boot_start;
	*tables = table_bytes;
}

/* ---- start -------------------------------------------------------------------------------------------- */

int
x86_memory_start(const struct machine_shape *shape, const char **why)
{
	struct x86_memory *mem = &x86_memory;
	vm_size_t before;
	int error;

	if (shape->kva_size > ARCH_KVA_MAX) {
		*why = "kernel address space: more than this machine's window";
		return (COOPER_EINVAL);
	}
	map = whole;
	if ((error = boot_start_memory(shape, why)) != 0)
		return (error);
	if (shape->physmem > usable(&map)) {
		*why = "more physical memory than the machine has";
		return (COOPER_EINVAL);
	}
	cut_top(&map, usable(&map) - shape->physmem);
	before = boot_next;
	mem->kva = ARCH_KVA;
	mem->kva_size = shape->kva_size;
	mem->entry = arch_map_window(ARCH_KVA, shape->kva_size);
	if (mem->entry == NULL ||
	    (shape->direct_map && !arch_map_direct(map.range[map.n - 1].end))) {
		*why = "no memory for page tables";
		return (COOPER_ENOMEM);
	}
	if (shape->direct_map) {
		mem->direct = ARCH_DIRECT;
		mem->direct_end = map.range[map.n - 1].end;
	}
	table_bytes = boot_next - before;
	return (0);
}

/* As before x86_memory_start(), but that translations may linger. */
void
x86_memory_restart(void)
{
	arch_unmap_window();
	map_low(ARCH_PHYS(boot_end)); /* stacks' guards are memory again */
	memset((void *)boot_start, 0, boot_next - boot_start);
	boot_next = boot_start;
	boot_lock.word = 0;
	x86_memory = (struct x86_memory){ 0 };
}

/* All that a run of the core can have changed: kept and boot memory, and the segments. */
void
x86_memory_each(void (*fn)(vm_paddr_t start, vm_paddr_t end, void *arg), void *arg)
{
	fn(ARCH_PHYS(x86_image_end), ARCH_PHYS(boot_end != 0 ? boot_end : kept_end), arg);
	for (unsigned i = 0; i < map.n; i++)
		fn(map.range[i].start, map.range[i].end, arg);
}

/* Domains are equal parts of the memory there is, cut across ranges where they meet. */
unsigned
machine_segments(struct machine_segment *seg, unsigned max)
{
	unsigned ndomains = cooper_shape()->ndomains, n = 0, domain = 0;
	uint64_t each = (usable(&map) / ndomains) & ~(uint64_t)PAGE_MASK, left = each;

	for (unsigned i = 0; i < map.n && n < max; i++)
		for (vm_paddr_t at = map.range[i].start; at < map.range[i].end && n < max; n++) {
			uint64_t part = map.range[i].end - at;

			if (domain + 1 < ndomains)
				part = MIN(part, left);
			seg[n] = (struct machine_segment){ at, at + part, domain };
			at += part;
			left -= MIN(part, left);
			if (left == 0 && domain + 1 < ndomains) {
				domain++;
				left = each;
			}
		}
	return (n);
}

void
machine_kva(vm_offset_t *base, vm_size_t *size)
{
	*base = x86_memory.kva;
	*size = x86_memory.kva_size;
}

/* ---- pages and mappings ----------------------------------------------------------------------------- */

void
machine_map(vm_offset_t va, const vm_paddr_t *pa, unsigned n, bool exec)
{
	struct x86_memory *mem = &x86_memory;
	volatile pte_t *entry = &mem->entry[(va - mem->kva) >> PAGE_SHIFT];

	MUST(va - mem->kva < mem->kva_size, "machine_map: %p is not in the window", (void *)va);
	for (unsigned i = 0; i < n; i++) {
		MUST((entry[i] & PTE_VALID) == 0, "machine_map: %p is mapped already",
		    (void *)(va + ptoa(i)));
		entry[i] = (pte_t)pa[i] | PTE_VALID | PTE_WRITE | (exec ? 0 : ARCH_NOEXEC);
	}
}

void
machine_unmap(vm_offset_t va, unsigned n)
{
	struct x86_memory *mem = &x86_memory;
	volatile pte_t *entry = &mem->entry[(va - mem->kva) >> PAGE_SHIFT];

	MUST(va - mem->kva < mem->kva_size, "machine_unmap: %p is not in the window", (void *)va);
	for (unsigned i = 0; i < n; i++)
		entry[i] = 0;
	x86_flush(va, n);
}

void *
machine_direct_run(vm_paddr_t pa, unsigned long n)
{
	(void)n;
	return (x86_memory.direct == 0 ? NULL : (void *)(x86_memory.direct + (vm_offset_t)pa));
}

/* Nobody would take it: a page is as free as it can be when the core says so. */
bool
machine_discard(vm_paddr_t pa, unsigned long n)
{
	(void)pa;
	(void)n;
	return (false);
}
