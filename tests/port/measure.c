/*
 * How deep each call goes on its stack, and what start-up takes: measured on examples/kernel's machine, where
 * nothing else runs, with a painted stack. What is asked is made to go the long way: slabs to be
 * made, arenas to import, memory to be waited for, reclaim in between.
 */
#define COOPER_PORT
#include "cooper.h"

#define PAINTED 12000 /* bytes of the boot stack below the caller */
#define PAINT   0xa5u
#define CHUNK   (64 << 10)

extern char image_end[];
void kernel_main(const void *loader);

MALLOC_DEFINE(M_MEASURE, "measure", "what is measured");
static char *held[512];
static unsigned nheld;
static uma_zone_t zone, large, limited;
static vmem_t *arena;
static void *item[400];
static vmem_addr_t address[400], constrained;
static smr_t smr;

static void
say(const char *fmt, ...)
{
	char line[128];
	va_list ap;

	va_start(ap, fmt);
	machine_print(
	    line, MIN(sizeof(line) - 1, (size_t)core_vsnprintf(line, sizeof(line), fmt, ap)));
	va_end(ap);
}

static void __attribute__((noinline)) measure(const char *name, void (*fn)(void))
{
	unsigned char *here = __builtin_frame_address(0), *low = here - PAINTED;
	unsigned untouched = 0;

	__asm__ volatile("" : "+r"(low));
	for (unsigned char *at = low; at < here - 256; at++)
		*(volatile unsigned char *)at = PAINT;
	fn();
	while (low[untouched] == PAINT)
		untouched++;
	say("%s %u B\n", name, PAINTED - untouched);
}

static void
low_memory(enum page_pressure level, int domain, void *arg)
{
	(void)level, (void)domain, (void)arg;
	for (unsigned n = MIN(nheld, 8); n > 0; n--)
		kmem_free(held[--nheld], CHUNK);
}

/* All of it, to the last page or address. */
static void
use_up(void)
{
	while (nheld < nitems(held) && (held[nheld] = kmem_malloc(CHUNK, M_NOWAIT)) != NULL)
		nheld++;
}

static void
give_back(void)
{
	while (nheld > 0)
		kmem_free(held[--nheld], CHUNK);
}

static void
print_nothing(void *arg, const char *line)
{
	(void)arg, (void)line;
}

static int
import(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	(void)arg;
	*addrp = kva_alloc(size);
	(void)flags;
	return (*addrp != 0 ? 0 : COOPER_ENOMEM);
}

static void
release(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	(void)arg;
	kva_free(addr, size);
}

/* clang-format off */
static void do_start(void) { MUST(cooper_start(NULL) == 0, "%s", cooper_start_error()); }
static void do_zcreate(void) { zone = uma_zcreate("small", 100, NULL, NULL, NULL, NULL, 0, 0); }
static void do_zalloc(void) { for (unsigned i = 0; i < nitems(item); i++) item[i] = uma_zalloc(zone, M_WAITOK); }
static void do_zfree(void) { for (unsigned i = 0; i < nitems(item); i++) uma_zfree(zone, item[i]); }
static void do_zalloc_large(void) { for (unsigned i = 0; i < 40; i++) item[i] = uma_zalloc(large, M_WAITOK); }
static void do_zfree_large(void) { for (unsigned i = 0; i < 40; i++) uma_zfree(large, item[i]); }
static void do_zlimit(void) { (void)uma_zone_set_max(limited, 5); }
static void do_zdestroy(void) { uma_zdestroy(zone); }
static void do_reclaim(void) { uma_reclaim(UMA_RECLAIM_DRAIN_CPU); }
static void do_vcreate(void) { arena = vmem_create("measure", 0, 0, 4096, 4 * 4096, M_WAITOK); vmem_set_import(arena, import, release, NULL, 65536); }
static void do_valloc(void) { for (unsigned i = 0; i < nitems(address); i++) (void)vmem_alloc(arena, 4096 * (1 + i % 9), M_WAITOK | M_BESTFIT, &address[i]); }
static void do_vfree(void) { for (unsigned i = 0; i < nitems(address); i++) vmem_free(arena, address[i], 4096 * (1 + i % 9)); }
static void do_vxalloc(void) { (void)vmem_xalloc(arena, 8192, 8192, 4096, 65536, VMEM_ADDR_MIN, VMEM_ADDR_MAX, M_WAITOK | M_FIRSTFIT, &constrained); }
static void do_vxfree(void) { vmem_xfree(arena, constrained, 8192); }
static void do_vdestroy(void) { vmem_destroy(arena); }
static void do_kmalloc(void) { item[0] = kmem_malloc(300 << 10, M_WAITOK | M_ZERO); }
static void do_kfree(void) { kmem_free(item[0], 300 << 10); }
static void do_contig(void) { item[0] = kmem_alloc_contig(1 << 20, M_WAITOK, 0, ~(vm_paddr_t)0, 65536, 0, VM_MEMATTR_DEFAULT); }
static void do_contig_free(void) { if (item[0] != NULL) kmem_free(item[0], 1 << 20); }
static void do_malloc(void) { for (unsigned i = 0; i < 17; i++) item[i] = cooper_malloc((size_t)20 << i, M_MEASURE, M_WAITOK); }
static void do_realloc(void) { for (unsigned i = 0; i < 16; i++) item[i] = cooper_realloc(item[i], (size_t)50 << i, M_MEASURE, M_WAITOK); }
static void do_free(void) { for (unsigned i = 0; i < 17; i++) cooper_free(item[i], M_MEASURE); }
static void do_smr(void) { smr_enter(smr); smr_exit(smr); smr_synchronize(smr); }
static void do_tables(void) { stats_print_tables(print_nothing, NULL); }
static void do_warn(void) { core_warn("%s", "this is how a warning looks"); }
/* clang-format on */

/* Each call that can wait, when there is nothing left and a handler gives something back. */
static void
measure_short(void)
{
	static struct lowmem_handler handler = { .fn = low_memory };

	lowmem_register(&handler);
	large = uma_zcreate("large", 9000, NULL, NULL, NULL, NULL, 0, 0);
	use_up();
	measure("stack_uma_zalloc_waits", do_zalloc_large);
	measure("stack_uma_zfree_large", do_zfree_large);
	use_up();
	measure("stack_kmem_malloc_waits", do_kmalloc);
	measure("stack_kmem_free", do_kfree);
	use_up();
	measure("stack_kmem_alloc_contig_waits", do_contig);
	do_contig_free();
	use_up();
	measure("stack_cooper_malloc_waits", do_malloc);
	measure("stack_cooper_realloc", do_realloc);
	measure("stack_cooper_free", do_free);
	use_up();
	measure("stack_uma_reclaim", do_reclaim);
	lowmem_unregister(&handler);
	give_back();
}

static void
measure_plenty(void)
{
	measure("stack_uma_zcreate", do_zcreate);
	measure("stack_uma_zalloc", do_zalloc);
	measure("stack_uma_zfree", do_zfree);
	measure("stack_uma_zdestroy", do_zdestroy);
	limited = uma_zcreate("limited", 50, NULL, NULL, NULL, NULL, 0, 0);
	measure("stack_uma_zone_set_max", do_zlimit);
	measure("stack_vmem_create", do_vcreate);
	measure("stack_vmem_alloc", do_valloc);
	measure("stack_vmem_xalloc", do_vxalloc);
	measure("stack_vmem_xfree", do_vxfree);
	measure("stack_vmem_free", do_vfree);
	measure("stack_vmem_destroy", do_vdestroy);
	smr = smr_create("measure", 0, 0);
	measure("stack_smr", do_smr);
	measure("stack_stats_print_tables", do_tables);
	measure("stack_core_warn", do_warn);
}

void
kernel_main(const void *loader)
{
	struct page_domain_stat pages;

	machine_init(loader);
	measure("stack_cooper_start", do_start);
	page_stat(0, &pages);
	say("start_boot_memory %u B\n", (unsigned)((char *)machine_boot_alloc(0, 1) - image_end));
	say("start_pages %u pages\n", (unsigned)(pages.total - pages.free));
	say("start_memory_seen %u MiB\n", (unsigned)(cooper_shape()->physmem >> 20));
	measure_plenty();
	measure_short();
	say("end\n");
	machine_exit(0);
}
