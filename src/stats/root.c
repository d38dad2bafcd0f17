/*
 * Where a walk begins: the one symbol that a reader of another process looks for.
 */
#include "stats/layout.h"

__attribute__((visibility("default"), used)) const struct cooper_stats_root cooper_stats_root = {
	.magic = STATS_MAGIC,
	.word = 8 * sizeof(void *),
	.layout = STATS_LAYOUT,
	.version = COOPER_VERSION,
	.shape = &core_shape,
	.zones = &uma_zones,
	.arenas = &vmem_arenas,
	.kmem_arenas = &kmem_arenas,
	.channels = &sync_channels,
	.waiting = &sync_waiting,
	.types = &malloc_types,
	.domains = page_domains,
	.vm_waits = vm_waits,
	.uma_total = &uma_total,
	.regions = machine_regions,
};
