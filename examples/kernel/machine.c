/*
 * The machine table (docs/porting.md) on the smallest i386: one CPU, one thread, paging, no direct map.
 * The first 4 MiB are mapped where they are: image, then boot memory. All memory above is the core's,
 * and can be touched only where the core maps it, in the window.
 */
#define COOPER_PORT
#include "cooper.h"

struct loader { /* Multiboot's information, as far as the memory map */
	uint32_t flags, unused[10], map_bytes, map;
};
struct range {
	uint32_t size;
	uint64_t start, length;
	uint32_t type;
} __attribute__((packed));

#define LOW_END 0x400000u /* what one page table maps; 3 in an entry: there, and to be written */
struct thread_state the_thread;
uint32_t window_table[WINDOW_SIZE >> PAGE_SHIFT] ALIGNED(4096);
static uint32_t directory[1024] ALIGNED(4096), low_table[1024] ALIGNED(4096);
static const struct loader *loader;
static volatile uint32_t ticks, permits;
extern char image_end[];
static char *boot_next = image_end;
void clock_entry(void), trap_entry(void), clock_tick(void);
static void out(uint16_t port, uint8_t v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }

/* ---- start: paging, then the clock's interrupt at vector 32, a hundred a second ---- */

void machine_init(const void *info) {
	static const uint8_t words[][2] = { { 0x20, 0x11 }, { 0x21, 0x20 }, { 0x21, 0x04 },
		{ 0x21, 0x01 }, { 0x21, 0xfe }, { 0x43, 0x34 }, { 0x40, 0x9c }, { 0x40, 0x2e } };
	static uint64_t idt[33];
	uint16_t idtr[3] = { sizeof(idt) - 1, (uint16_t)(uint32_t)idt,
		(uint16_t)((uint32_t)idt >> 16) };
	loader = info;
	directory[0] = (uint32_t)low_table | 3;
	for (unsigned i = 1; i < 1024; i++) /* nothing is at NULL */
		low_table[i] = i << PAGE_SHIFT | 3;
	for (unsigned i = 0; i < WINDOW_SIZE >> 22; i++)
		directory[(WINDOW >> 22) + i] = (uint32_t)&window_table[i << 10] | 3;
	for (unsigned i = 0; i < nitems(idt); i++) {
		uint32_t entry = (uint32_t)(i == 32 ? clock_entry : trap_entry);
		idt[i] = (uint64_t)(entry >> 16) << 48 | 0x8e0000080000ull | (entry & 0xffff);
	}
	for (unsigned i = 0; i < nitems(words); i++)
		out(words[i][0], words[i][1]);
	__asm__ volatile("mov %0, %%cr3; mov %1, %%cr0" : : "r"(directory), "r"(0x80010011) : "memory");
	__asm__ volatile("lidt %0; sti" : : "m"(idtr));
}

unsigned machine_segments(struct machine_segment *seg, unsigned max) {
	unsigned n = 0;
	for (uint32_t at = loader->map; at < loader->map + loader->map_bytes && n < max;) {
		const struct range *r = (const void *)at;
		seg[n] = (struct machine_segment){ .start = MAX(round_up(r->start, 4096), LOW_END),
			.end = MIN(round_down(r->start + r->length, 4096), 0xfffff000u) };
		n += r->type == 1 && seg[n].start < seg[n].end;
		at += r->size + sizeof(r->size);
	}
	return (n);
}

int machine_default_shape(struct machine_shape *shape, const char **why) {
	struct machine_segment seg[8];
	*why = "the loader gave no memory map";
	if ((loader->flags & 0x40) == 0)
		return (COOPER_ENOMEM);
	*shape = (struct machine_shape){ .ncpus = 1, .ndomains = 1, .kva_size = WINDOW_SIZE };
	for (unsigned n = machine_segments(seg, nitems(seg)); n > 0; n--)
		shape->physmem += seg[n - 1].end - seg[n - 1].start;
	return (0);
}

void machine_kva(vm_offset_t *base, vm_size_t *size) { *base = WINDOW, *size = WINDOW_SIZE; }

void *machine_boot_alloc(vm_size_t bytes, vm_size_t align) {
	vm_offset_t at = round_up((vm_offset_t)boot_next, align);
	if (at > LOW_END || bytes > LOW_END - at)
		return (NULL);
	boot_next = (char *)at + bytes;
	return (memset((void *)at, 0, bytes));
}

/* ---- pages: the window's tables are part of the image, so mapping a page is a store ---- */

void machine_map(vm_offset_t va, const vm_paddr_t *pa, unsigned n, bool exec) {
	for (unsigned i = 0; i < n; i++)
		window_table[atop(va - WINDOW) + i] = (uint32_t)pa[i] | 3;
}
void machine_unmap(vm_offset_t va, unsigned n) {
	for (; n > 0; n--, va += PAGE_SIZE) {
		window_table[atop(va - WINDOW)] = 0;
		__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
	}
}

void clock_tick(void) { ticks++, out(0x20, 0x20); }
uint64_t machine_now(void) { return ((uint64_t)ticks * 10000000 + 1); /* 0 would mean "no time" */ }

void machine_park(uint64_t deadline) {
	MUST(permits != 0 || deadline != 0, "the only thread would sleep for ever");
	while (permits == 0 && machine_now() < deadline)
		__asm__ volatile("hlt");
	permits = 0;
}

/* The critical section: interrupts off. */
struct percpu *percpu_enter_cpu(struct percpu *cache, unsigned cpu) {
	__asm__ volatile("cli" : : : "memory");
	the_thread.entered_cpu = cpu + 1;
	return (cache);
}

void percpu_exit(struct percpu *cache, unsigned cpu) {
	the_thread.entered_cpu = 0;
	__asm__ volatile("sti" : : : "memory");
}

void machine_print(const char *text, size_t len) {
	while (len-- > 0)
		out(0x3f8, (uint8_t)*text++);
}

_Noreturn void machine_exit(int status) {
	out(0xf4, (uint8_t)(0x10 + status)); /* the emulator's own status: twice that, and one */
	for (;;)
		__asm__ volatile("cli; hlt");
}

void machine_panic(const char *line) {
	while (*line != '\0')
		machine_print(line++, 1);
	machine_exit(2);
}

/* ---- what has one answer, and what compilers call ---- */

int machine_start(const struct machine_shape *s, const char **why) { return (core_set_shape(s), 0); }
struct percpu *percpu_enter(struct percpu *cache, unsigned *cpu) {
	return (percpu_enter_cpu(cache, *cpu = 0));
}
bool percpu_entered(void) { return (the_thread.entered_cpu != 0); }
void machine_unpark(struct thread_state *ts) { permits = 1; }
unsigned machine_cpu(void) { return (0); }
unsigned machine_cpu_domain(unsigned cpu) { return (0); }
uint64_t machine_thread_id(void) { return (1); }
bool machine_thread_start(const char *n, void (*fn)(void *), void *a) { return (false); }
void *machine_direct_run(vm_paddr_t pa, unsigned long n) { return (NULL); }
bool machine_discard(vm_paddr_t pa, unsigned long n) { return (false); }
void *memcpy(void *restrict to, const void *restrict from, size_t n) { return (memmove(to, from, n)); }

void *memset(void *to, int byte, size_t n) {
	for (volatile char *at = to; n > 0; n--)
		*at++ = (char)byte;
	return (to);
}

void *memmove(void *to, const void *from, size_t n) {
	volatile char *t = to;
	const char *f = from;
	for (size_t i = 0, at; i < n; i++)
		at = t < f ? i : n - 1 - i, t[at] = f[at];
	return (to);
}

int memcmp(const void *a, const void *b, size_t n) {
	const unsigned char *x = a, *y = b;
	while (n > 0 && *x == *y)
		n--, x++, y++;
	return (n == 0 ? 0 : *x - *y);
}
