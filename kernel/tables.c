/*
 * A moment of life, and all tables: what a newcomer sees first of Cooper on bare metal.
 */
#include "x86.h"
#include <cooper/kmem.h>
#include <cooper/malloc.h>
#include <cooper/uma.h>
#include <cooper/vmem.h>
#include <string.h>
#include "page/page.h"
#include "kernel.h"

#define WORKERS 6
#define ROUNDS  400
#define HELD    50

MALLOC_DEFINE(M_DEMO, "demo", "blocks of the demonstration");

static uma_zone_t objects;
static vmem_t *ids;
static uint32_t ended;

static void
worker(void *arg)
{
	uint32_t *held[HELD];
	vmem_addr_t id;

	(void)arg;
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t pages = 1 + round % 30;
		void *block = cooper_malloc(100 * (1 + round % 50), M_DEMO, M_WAITOK | M_ZERO);
		char *run = kmem_malloc(pages * PAGE_SIZE, M_WAITOK);

		MUST(vmem_alloc(ids, 1, M_WAITOK | M_FIRSTFIT, &id) == 0, "no id");
		memset(run, 1, pages * PAGE_SIZE);
		for (unsigned i = 0; i < HELD; i++) {
			held[i] = uma_zalloc(objects, M_WAITOK);
			*held[i] = (uint32_t)(uintptr_t)held[i];
		}
		for (unsigned i = 0; i < HELD; i++) {
			MUST(*held[i] == (uint32_t)(uintptr_t)held[i], "an item has two owners");
			uma_zfree(objects, held[i]);
		}
		vmem_free(ids, id, 1);
		kmem_free(run, pages * PAGE_SIZE);
		cooper_free(block, M_DEMO);
		watchdog_advance();
	}
	__atomic_add_fetch(&ended, 1, __ATOMIC_ACQ_REL);
}

/* Every page that there is, taken and given back: is none of them in the hole of the map? */
static void
holes_are_respected(void)
{
	struct vm_page *held = NULL, *m;
	vm_paddr_t hole, end;
	unsigned n = 0;

	x86_memory_hole(&hole, &end);
	for (; (m = vm_page_alloc(0, M_NOWAIT)) != NULL; n++) {
		MUST(page_paddr(m) + PAGE_SIZE <= hole || page_paddr(m) >= end,
		    "page %llx is in the hole of the memory map",
		    (unsigned long long)page_paddr(m));
		m->owner = (uintptr_t)held;
		held = m;
	}
	while ((m = held) != NULL) {
		held = (struct vm_page *)m->owner;
		vm_page_free(m);
	}
	x86_printf("hole: none of %u pages is in it\n", n);
}

/* Behind the last byte of a slab, where nothing is. */
static void
overrun(void)
{
	enum { ITEMS = 500 };
	char *item = NULL;

	for (unsigned i = 0; i < ITEMS; i++) {
		item = uma_zalloc(objects, M_WAITOK);
		item -= (uintptr_t)item & PAGE_MASK;
		if (page_of_va((vm_offset_t)item + PAGE_SIZE) == NULL)
			break;
	}
	item[PAGE_SIZE] = 1;
}

int
kernel_tables(void)
{
	vm_size_t image, boot, tables;
	int error = cooper_start(NULL);

	if (error != 0) {
		x86_printf("kernel: cannot start: %s\n", cooper_start_error());
		return (error);
	}
	x86_memory_used(&image, &boot, &tables);
	x86_printf("start-up: image %u KiB, boot memory %u KiB, page tables %u KiB\n",
	    (unsigned)(image >> 10), (unsigned)(boot >> 10), (unsigned)(tables >> 10));
	objects = uma_zcreate("objects", 100, NULL, NULL, NULL, NULL, 0, 0);
	ids = vmem_create("ids", 1, 1000, 1, 4, M_WAITOK);
	for (unsigned i = 0; i < WORKERS; i++)
		MUST(x86_thread_start("worker", -1, worker, NULL) != NULL, "no thread");
	while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) < WORKERS)
		x86_sleep(1000);
	if (x86_option("hole") != NULL)
		holes_are_respected();
	if (x86_option("touch") != NULL) /* what a stray pointer meets */
		*(volatile char *)(x86_memory.kva + x86_memory.kva_size / 2) = 1;
	if (x86_option("overrun") != NULL)
		overrun();
	kernel_print_tables();
	return (0);
}
