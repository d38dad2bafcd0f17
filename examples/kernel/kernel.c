/*
 * A kernel that has Cooper and nothing else: a zone, an arena, memory that runs out and comes back, tables.
 */
#define COOPER_PORT
#include "cooper.h"

static char *held[256]; /* what this kernel caches, and gives back when memory is wanted */
static unsigned nheld;

static void say(const char *fmt, ...) {
	char line[256];
	va_list ap;
	va_start(ap, fmt);
	machine_print(line, MIN(sizeof(line) - 1, (size_t)core_vsnprintf(line, sizeof(line), fmt, ap)));
	va_end(ap);
}

static void say_line(void *arg, const char *line) { say("%s\n", line); }

static void low_memory(enum page_pressure level, int domain, void *arg) {
	for (unsigned n = nheld / 4; n > 0; n--)
		kmem_free(held[--nheld], 64 << 10);
}

void kernel_main(const void *loader) {
	static struct lowmem_handler handler = { .fn = low_memory };
	static void *inode[1000];
	struct machine_segment seg[8];
	vmem_addr_t irq;
	machine_init(loader);
	MUST(cooper_start(NULL) == 0, "cannot start: %s", cooper_start_error());
	for (unsigned i = 0, n = machine_segments(seg, nitems(seg)); i < n; i++)
		say("memory: %llx to %llx\n", seg[i].start, seg[i].end);
	uma_zone_t inodes = uma_zcreate("inode", 200, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	for (unsigned i = 0; i < nitems(inode); i++)
		inode[i] = uma_zalloc(inodes, M_WAITOK | M_ZERO);
	for (unsigned i = 0; i < nitems(inode); i += 2)
		uma_zfree(inodes, inode[i]);
	say("zone: %d inodes, the first at %p\n", uma_zone_get_cur(inodes), inode[1]);
	vmem_t *irqs = vmem_create("irq", 32, 16, 1, 0, M_WAITOK);
	MUST(vmem_xalloc(irqs, 4, 4, 0, 0, 36, 44, M_WAITOK | M_BESTFIT, &irq) == 0, "no interrupts");
	say("arena: interrupts %d to %d\n", (int)irq, (int)irq + 3);
	while (nheld < nitems(held) && (held[nheld] = kmem_malloc(64 << 10, M_NOWAIT)) != NULL)
		memset(held[nheld++], 0x5a, 64 << 10);
	say("pressure: %s ran out after %u KiB\n", vm_page_count_severe(0) ? "memory" : "address space",
	    nheld * 64);
	lowmem_register(&handler);
	unsigned before = nheld;
	char *run = kmem_malloc(256 << 10, M_WAITOK);
	say("pressure: 256 KiB at %p, for which %u KiB came back\n", run, (before - nheld) * 64);
	stats_print_tables(say_line, NULL);
	machine_exit(0);
}
