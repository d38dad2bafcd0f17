/*
 * In which order a request tries the memory domains. An iterator is the call's own (R9): nothing
 * here but the starting cursor of a round-robin set is shared, and that only says where to begin.
 */
#include "page/page_int.h"

void
domain_iter_start(struct domain_iter *it, struct domainset *ds)
{
	enum domainset_policy policy = ds == NULL ? DOMAINSET_FIRSTTOUCH : ds->policy;
	unsigned n = page_ndomains();

	it->usable = page_memory;
	if (ds != NULL && ds->mask != 0)
		it->usable &= ds->mask;
	switch (policy) {
	case DOMAINSET_FIRSTTOUCH:
		it->start = (int)machine_cpu_domain(machine_cpu());
		break;
	case DOMAINSET_ROUNDROBIN:
		it->start = (int)(atomic_fetch_add(&ds->cursor, 1u) % n);
		break;
	case DOMAINSET_FIXED:
	case DOMAINSET_PREFER:
		CHECK(ds->prefer >= 0 && ds->prefer < COOPER_MAXDOMAIN, "%s: domain %d", __func__,
		    ds->prefer);
		it->start = ds->prefer;
		break;
	}
	if (it->start < 0 || it->start >= (int)n)
		it->start = policy == DOMAINSET_FIXED ? COOPER_MAXDOMAIN : 0;
	if (policy == DOMAINSET_FIXED)
		it->usable &= 1u << it->start;
	(void)domain_iter_restart(it);
}

bool
domain_iter_restart(struct domain_iter *it)
{
	it->left = it->usable;
	it->domain = -1;
	return (it->usable != 0);
}

bool
domain_iter_next(struct domain_iter *it)
{
	uint32_t from_start = it->left & ~((1u << it->start) - 1);

	if (it->left == 0) {
		it->domain = -1;
		return (false);
	}
	/* Upwards from the start, then around. */
	it->domain = __builtin_ctz(from_start != 0 ? from_start : it->left);
	it->left &= ~(1u << it->domain);
	return (true);
}

void
domain_iter_remove(struct domain_iter *it)
{
	MUST(it->domain >= 0, "%s: no current domain", __func__);
	it->usable &= ~(1u << it->domain);
	it->left &= it->usable;
}
