/*
 * Giving memory back on request: what takes more than one room.
 *
 * No lock, no state: the words are the page room's.
 */
#include <cooper/cooper.h>
#include "page/page.h"
#include "start/start.h"
#include <cooper/uma.h>
#include "base/atomic.h"

void
giveback_start(void)
{
	struct machine_giveback g;

	machine_default_giveback(&g);
	(void)cooper_set_decay(g.decay_ms);
	atomic_store_relaxed(&page_cache_most, g.ceiling);
	page_pressure_start(machine_pressure_wanted(), g.limit);
}

unsigned long
cooper_set_ceiling(unsigned long bytes)
{
	unsigned long old = atomic_load_relaxed(&page_cache_most);

	atomic_store_relaxed(&page_cache_most, bytes);
	if (bytes != ~0ul)
		(void)page_discard_free(~0ul); /* the page layer keeps nothing under a ceiling */
	if (cooper_cached() > bytes)
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	return (old);
}
