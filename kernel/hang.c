/*
 * A machine that hangs, for the watchdog to find and to explain: a zone with room for one item, whose
 * holder waits for an address that the next in its queue has.
 */
#include "x86.h"
#include <cooper/uma.h>
#include <cooper/vmem.h>
#include "kernel.h"

static uma_zone_t one;
static vmem_t *only;
static uint32_t ready;

static void
meet(void)
{
	__atomic_add_fetch(&ready, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) < 2)
		x86_sleep(1000);
}

static void
item_then_address(void *arg)
{
	vmem_addr_t id;
	void *item = uma_zalloc(one, M_WAITOK);

	(void)arg;
	meet();
	(void)vmem_alloc(only, 1, M_WAITOK | M_FIRSTFIT, &id);
	uma_zfree(one, item);
}

static void
address_then_item(void *arg)
{
	vmem_addr_t id;

	(void)arg;
	(void)vmem_alloc(only, 1, M_WAITOK | M_FIRSTFIT, &id);
	meet();
	uma_zfree(one, uma_zalloc(one, M_WAITOK));
	vmem_free(only, id, 1);
}

int
kernel_hang(void)
{
	int error = cooper_start(NULL);

	if (error != 0) {
		x86_printf("kernel: cannot start: %s\n", cooper_start_error());
		return (error);
	}
	one = uma_zcreate("one item", 64, NULL, NULL, NULL, NULL, 0, UMA_ZONE_NOBUCKET);
	(void)uma_zone_set_max(one, 1);
	only = vmem_create("one address", 1, 1, 1, 0, M_WAITOK);
	MUST(x86_thread_start("item first", -1, item_then_address, NULL) != NULL &&
		 x86_thread_start("address first", -1, address_then_item, NULL) != NULL,
	    "no thread");
	for (;;)
		x86_sleep(1000000);
}
