/*
 * Physical pages, a record for each memory domain.
 */
#include "stats/collect.h"
#include "page/page_int.h"

void
stats_collect_domains(struct stats_collector *c)
{
	for (unsigned i = 0; i < c->ndomains; i++) {
		struct stats_domain *r = &c->record.domain;
		struct page_domain d;
		uint64_t waits;

		if (!PEEK(c, &c->head.domains[i], &d) || !PEEK(c, &c->head.vm_waits[i], &waits)) {
			stats_damaged(c, STATS_DOMAINS, "domain %u at %p cannot be read", i,
			    (const void *)&c->head.domains[i]);
			return;
		}
		*r = (struct stats_domain){ .domain = i,
			.total = d.total,
			.free = d.free,
			.fresh = d.fresh,
			.nofree = d.nofree,
			.target = d.target,
			.min = d.min,
			.severe = d.severe,
			.interrupt = d.interrupt,
			.allocs = d.allocs,
			.frees = d.frees,
			.fails = d.fails,
			.contig_allocs = d.contig_allocs,
			.contig_fails = d.contig_fails,
			.waits = waits,
			.passes = d.passes };
		c->totals.passes += d.passes;
		stats_emit(c, STATS_DOMAINS, r);
	}
}
