/*
 * Bootstrapping from nothing.
 *
 *	uma_startup1  the zones of zones and of kegs by hand; then, through them, the zones of slab
 *	              headers and of buckets. Slabs are start-up memory, never given back.
 *	uma_startup2  slabs come from kmem; buckets, and with them caches, are on.
 *	uma_startup3  reclaim may call, the timer ticks.
 *
 * One thread; nothing here is touched in proportion to CPUs or memory.
 */
#include "uma/uma_int.h"
#include "smr/smr_int.h"

#define FIRST_ZONES 4

CORE_STATE
enum uma_stage uma_stage;
CORE_STATE
unsigned uma_ncpus, uma_ndomains;
CORE_STATE
struct uma_backend uma_backend;
CORE_STATE
struct percpu *uma_nocache;
CORE_STATE
struct uma_zone *uma_slab_zones[2];
CORE_STATE
static unsigned cache_align_mask = CACHE_LINE - 1;

static void *
startup_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait)
{
	(void)zone, (void)domain, (void)wait;
	*sflag = UMA_SLAB_BOOT;
	return (machine_boot_alloc(bytes, PAGE_SIZE));
}

static void
startup_free(void *mem, vm_size_t bytes, uint8_t sflag)
{
	(void)mem, (void)bytes, (void)sflag;
}

static void *
boot(vm_size_t bytes, vm_size_t align)
{
	void *mem = machine_boot_alloc(bytes, align);

	MUST(mem != NULL, "uma_startup1: no memory for %zu bytes", (size_t)bytes);
	return (mem);
}

void
uma_startup1(void)
{
	const struct slab_source source = { startup_alloc, startup_free };
	vm_size_t zsize, ksize;

	uma_ncpus = cooper_shape()->ncpus;
	uma_ndomains = cooper_shape()->ndomains;
	uma_backend =
	    (struct uma_backend){ source, source, source, source, NULL, NULL, NULL, NULL, NULL };
	uma_zones_start();
	uma_nocache = boot(uma_ncpus * sizeof(struct percpu), PERCPU_STRIDE);
	uma_stage = UMA_BOOT;

	zsize = zone_struct_size();
	ksize = keg_struct_size();
	uma_zone_of_kegs = boot(zsize, PERCPU_STRIDE);
	uma_zone_of_zones = boot(zsize, PERCPU_STRIDE);
	zone_boot(uma_zone_of_kegs, boot(ksize, CACHE_LINE), "UMA Kegs", ksize, CACHE_LINE);
	zone_boot(uma_zone_of_zones, boot(ksize, CACHE_LINE), "UMA Zones", zsize, PERCPU_STRIDE);
	uma_slab_zones[0] = zone_create_internal(
	    "UMA Slabs 0", slab_zone_size(0, core_debug), UMA_ALIGN_PTR, ZF_INTERNAL);
	uma_slab_zones[1] = zone_create_internal(
	    "UMA Slabs 1", slab_zone_size(1, core_debug), UMA_ALIGN_PTR, ZF_INTERNAL);
	bucket_startup();
}

static void
switch_backend(struct uma_zone *zone, void *from)
{
	if (zone->keg != NULL)
		keg_switch_backend(zone->keg, from);
}

/*
 * Room for a program's first zones in start-up memory: what it needs anyway, without a page's record,
 * address space and tags.
 */
static void
keep_room(struct uma_keg *keg)
{
	bool hopeless = false;

	if (keg->domain[0].free_items < FIRST_ZONES)
		(void)keg_add_slab(keg, 0, M_NOWAIT, &hopeless);
}

void
uma_startup2(const struct uma_backend *source)
{
	struct uma_backend from = uma_backend;

	keep_room(uma_zone_of_kegs->keg);
	keep_room(uma_zone_of_zones->keg);
	uma_backend = *source;
	uma_each_zone(switch_backend, &from);
	uma_stage = UMA_KVA;
	bucket_enable();
}

void
uma_startup3(void)
{
	uma_stage = UMA_RUNNING;
	page_reclaim_hook = uma_pressure;
	page_timer_hook = uma_timeout;
	page_decay_hook = decay_round;
	page_plain_hook = uma_pressure_plain;
}

/* From now on uma_zdestroy() does nothing that only costs time (R16). */
void
uma_shutdown(void)
{
	uma_stage = UMA_SHUTDOWN;
}

static void
forget_threads(struct uma_zone *zone)
{
	zone->sleepers = 0;
	zone->refs = 0;
	if (zone->keg != NULL)
		zone->keg->waiting = 0;
}

/* In the child, after sync_fork_child(): threads that slept on limits or walked zones are gone. */
void
uma_fork_child(void)
{
	smr_fork_child();
	LIST_EACH (l, &uma_zones)
		forget_threads(list_entry(l, struct uma_zone, link));
	decay_fork_child();
}

/* The line size that UMA_ALIGN_CACHE means; set before the zones that use it. */
void
uma_set_cache_align_mask(unsigned mask)
{
	if (!MISUSE(!is_pow2((uint64_t)mask + 1) || mask >= PAGE_SIZE,
		"uma_set_cache_align_mask: 0x%x is not a mask below a page", mask))
		cache_align_mask = mask;
}

unsigned
uma_get_cache_align_mask(void)
{
	return (cache_align_mask);
}
