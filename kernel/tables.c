/*
 * A moment of life, and all tables: what a newcomer sees first of Cooper on bare metal.
 */
#include "x86.h"
#include <cooper/kmem.h>
#include <cooper/malloc.h>
#include <cooper/uma.h>
#include <cooper/vmem.h>
#include <string.h>
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
	if (x86_option("touch") != NULL) /* what a stray pointer meets */
		*(volatile char *)(x86_memory.kva + x86_memory.kva_size / 2) = 1;
	kernel_print_tables();
	return (0);
}
