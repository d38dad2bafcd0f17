/*
 * Failures on demand: the k-th request that the core makes of itself fails, once or from there on.
 *
 * Requests are counted from the last call of cooper_inject_failure(). Without an armed failure
 * inject_failure() is one relaxed load and nothing is counted; to count without failing, arm one
 * that is never reached (UINT64_MAX).
 */
#include <cooper/cooper.h>
#include "base/base.h"
#include "base/atomic.h"

CORE_STATE uint64_t core_inject_at = 0;
CORE_STATE uint64_t core_inject_seen = 0;

bool
core_inject_hit(void)
{
	uint64_t at = atomic_load_relaxed(&core_inject_at);
	uint64_t seen = atomic_add_fetch(&core_inject_seen, 1), k = at & ~COOPER_INJECT_ON;

	return (seen == k || (seen > k && (at & COOPER_INJECT_ON) != 0));
}

uint64_t
cooper_inject_failure(uint64_t k)
{
	uint64_t seen;

	atomic_store_relaxed(&core_inject_at, 0);
	seen = atomic_exchange(&core_inject_seen, 0);
	atomic_store_relaxed(&core_inject_at, k);
	return (seen);
}
