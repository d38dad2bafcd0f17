/*
 * What the laboratory reads of the core while it runs: gauges, cheap enough to be looked at after
 * every unlock. Reads core structures without locks: nobody else runs.
 */
#ifndef LAB_VIEW_H
#define LAB_VIEW_H

#include <stdint.h>

enum lab_gauge {
	GAUGE_TAGS_FREE, /* boundary tags that a refill could still get: free in slabs, all domains */
	GAUGE_TAGS_CACHED,   /* tags in arenas' own lists and CPUs' buckets */
	GAUGE_TAGS_LIVE,     /* in use for segments */
	GAUGE_TAG_SLABS,     /* slabs of the tag keg */
	GAUGE_PAGES_FREE,    /* physical pages, all domains */
	GAUGE_KVA_FREE,      /* pages of address space free in the root and kernel arenas */
	GAUGE_SLEEPERS,      /* threads asleep on any channel */
	GAUGE_SLEEP_BTALLOC, /* ... on "btalloc" */
	GAUGE_SLEEP_KVA,
	GAUGE_SLEEP_VMWAIT,
	GAUGE_SLEEP_OTHER, /* arenas, zone limits */
	LAB_GAUGES
};
extern const char
    *const lab_gauge_names[LAB_GAUGES]; /* as in JSON and on the page: "tags_free", ... */

void view_gauges(int64_t gauge[LAB_GAUGES]);
int64_t view_reserve(void); /* what GAUGE_TAGS_FREE must not fall below, outside a refill */

#endif
