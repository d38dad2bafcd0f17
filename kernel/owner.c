/*
 * Who owns an address: for the report of a page fault. The arena that has it, and as what; and the zone
 * whose slab is there or ends just before, since strays are mostly overruns. Reads the core's structures
 * without locks: the machine is about to stop.
 */
#include "x86.h"
#include "kmem/kmem_int.h"
#include "uma/slab.h"
#include "kernel.h"

static const char *
zone_in(const struct list *slabs, vm_offset_t va)
{
	LIST_EACH (l, slabs) {
		const struct slab *slab = list_entry(l, struct slab, link);
		vm_offset_t start = (vm_offset_t)slab->data & ~(vm_offset_t)PAGE_MASK;

		if (va - start < ptoa(slab->zone->keg->ppera))
			return (slab->zone->name);
	}
	return (NULL);
}

static const char *
zone_at(vm_offset_t va)
{
	const char *name = NULL;

	LIST_EACH (l, &uma_zones) {
		const struct uma_zone *zone = list_entry(l, struct uma_zone, link);

		for (unsigned d = 0; zone->keg != NULL && d < uma_ndomains; d++) {
			const struct uma_kdomain *dom = &zone->keg->domain[d];

			if ((name = zone_in(&dom->part, va)) != NULL ||
			    (name = zone_in(&dom->full, va)) != NULL ||
			    (name = zone_in(&dom->free, va)) != NULL)
				return (name);
		}
	}
	return (NULL);
}

void
kernel_owner(vm_offset_t va, char *line, size_t size)
{
	static const char *const kinds[] = { [VMEM_SEG_SPAN] = "span",
		[VMEM_SEG_SPAN_STATIC] = "span",
		[VMEM_SEG_FREE] = "free",
		[VMEM_SEG_BUSY] = "busy" };
	const char *zone = NULL;
	enum vmem_segment_type type;
	vmem_addr_t start;
	vmem_size_t length;
	size_t len;

	if (va - x86_memory.kva >= x86_memory.kva_size) {
		core_snprintf(line, size, "outside the kernel window");
		return;
	}
	core_snprintf(line, size, "in the window, of no arena");
	LIST_EACH (l, &kmem_arenas) { /* children come later, and know more */
		struct kmem_arena *ka = container_of(l, struct kmem_arena, link);

		if (ka->vm != NULL && vmem_whatis(ka->vm, va, &type, &start, &length))
			core_snprintf(line, size, "%s in arena %s, [%p, +%zu)", kinds[type],
			    ka->name, (void *)start, length);
	}
	for (len = 0; line[len] != '\0'; len++)
		;
	if ((zone = zone_at(va)) != NULL)
		core_snprintf(line + len, size - len, ", of zone \"%s\"", zone);
	else if ((zone = zone_at(va - PAGE_SIZE)) != NULL)
		core_snprintf(line + len, size - len, ", behind a slab of zone \"%s\"", zone);
}
