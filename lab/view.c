/*
 * The gauges: sums over what the core counts anyhow, and over the arenas and queues that there are.
 */
#include <string.h>

#include "lab/oracles/oracles_int.h"
#include "lab/view.h"

const char *const lab_gauge_names[LAB_GAUGES] = { "tags_free", "tags_cached", "tags_live",
	"tag_slabs", "pages_free", "kva_free", "sleepers", "sleep_btalloc", "sleep_kva",
	"sleep_vmwait", "sleep_other" };

static void
tags(int64_t gauge[LAB_GAUGES])
{
	const struct uma_keg *keg;

	LIST_EACH (l, &vmem_arenas) {
		const vmem_t *vm = list_entry(l, vmem_t, link);

		if (vm->own_tags)
			continue;
		gauge[GAUGE_TAGS_CACHED] += vm->nspare;
		gauge[GAUGE_TAGS_LIVE] += vm->nbusy + vm->nfree + vm->nspan;
	}
	if (tag_zone == NULL)
		return;
	keg = tag_zone->keg;
	gauge[GAUGE_TAGS_CACHED] += (int64_t)cached_items(tag_zone);
	for (unsigned d = 0; d < uma_ndomains; d++) {
		gauge[GAUGE_TAGS_FREE] += (int64_t)keg->domain[d].free_items;
		gauge[GAUGE_TAG_SLABS] += (int64_t)(keg->domain[d].pages / keg->ppera);
	}
}

static void
sleepers(int64_t gauge[LAB_GAUGES])
{
	LIST_EACH (l, &sync_waiting) {
		const struct waitq *q = list_entry(l, struct waitq, table);
		enum lab_gauge which = strcmp(q->name, "btalloc") == 0  ? GAUGE_SLEEP_BTALLOC
				       : strcmp(q->name, "kva") == 0    ? GAUGE_SLEEP_KVA
				       : strcmp(q->name, "vmwait") == 0 ? GAUGE_SLEEP_VMWAIT
									: GAUGE_SLEEP_OTHER;

		if (strcmp(q->name, "pagedaemon") == 0) /* it has nothing to do */
			continue;
		gauge[which] += q->nwaiters;
		gauge[GAUGE_SLEEPERS] += q->nwaiters;
	}
}

void
view_gauges(int64_t gauge[LAB_GAUGES])
{
	memset(gauge, 0, LAB_GAUGES * sizeof(gauge[0]));
	tags(gauge);
	for (unsigned d = 0; d < page_ndomains(); d++)
		gauge[GAUGE_PAGES_FREE] += page_domains[d].free;
	LIST_EACH (l, &kmem_arenas) {
		const vmem_t *vm = list_entry(l, struct kmem_arena, link)->vm;

		gauge[GAUGE_KVA_FREE] += (int64_t)atop(vm->size - vm->inuse);
	}
	sleepers(gauge);
}

int64_t
view_reserve(void)
{
	return (tags_reserve);
}
