/*
 * The sum of all caches, its ceiling, and the decay time: three words that everybody reads.
 *
 * All are atomic; no lock. page_cached is exact: who puts something down says so before he does
 * (page_cache_charge), who takes it up says so afterwards, so that at no moment more lies in the
 * caches than the sum says, and with a ceiling in force the sum passes it only by what is forced.
 */
#include "page/page_int.h"

CORE_STATE int32_t page_decay_ms = PAGE_DECAY_NEVER;
CORE_STATE unsigned long page_cached;
CORE_STATE unsigned long page_cache_most = ~0ul;
CORE_STATE void (*page_decay_hook)(void);

bool
page_cache_charge(unsigned long bytes)
{
	unsigned long most = atomic_load_relaxed(&page_cache_most), now;

	if (likely(most == ~0ul)) {
		page_cache_force(bytes);
		return (true);
	}
	now = atomic_load_relaxed(&page_cached);
	do {
		if (now > most || bytes > most - now)
			return (false);
	} while (!atomic_cas(&page_cached, &now, now + bytes));
	return (true);
}

void
page_cache_force(unsigned long bytes)
{
	(void)atomic_fetch_add(&page_cached, bytes);
}

void
page_cache_drop(unsigned long bytes)
{
	(void)atomic_fetch_sub(&page_cached, bytes);
}

void
page_tell_dirty(struct page_domain *d)
{
	uint32_t told = d->dirty_told;

	if (!PAGE_HAS_CACHE || told == d->dirty)
		return;
	d->dirty_told = d->dirty;
	if (told < d->dirty)
		page_cache_force(ptoa(d->dirty - told));
	else
		page_cache_drop(ptoa(told - d->dirty));
}

int
cooper_set_decay(int ms)
{
	int old = atomic_load_relaxed(&page_decay_ms);

	atomic_store_relaxed(&page_decay_ms, MAX(ms, PAGE_DECAY_NEVER));
	page_daemon_look();
	return (old);
}

unsigned long
cooper_cached(void)
{
	return (atomic_load_relaxed(&page_cached));
}
