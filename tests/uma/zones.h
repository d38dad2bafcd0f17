/*
 * What the zone tests share.
 */
#ifndef TEST_ZONES_H
#define TEST_ZONES_H

#include "callbacks.h"
#include "harness.h"
#include "uma/uma_int.h"

static inline struct uma_zone_stat
stat_of(uma_zone_t zone)
{
	struct uma_zone_stat st;

	uma_zone_get_stat(zone, &st);
	return (st);
}

/* Physical pages in anybody's hands. */
static inline unsigned long
pages_out(void)
{
	struct page_domain_stat st;
	unsigned long n = 0;

	for (unsigned d = 0; d < page_ndomains(); d++) {
		page_stat(d, &st);
		n += st.total - st.free;
	}
	return (n);
}

#endif
