/*
 * Many items of a zone, taken and given back: for tests of what becomes of them then.
 */
#ifndef TEST_MANY_H
#define TEST_MANY_H

#include "zones.h"

#define ITEMS 20000

static void *item[ITEMS];

/* item[0, n), each written to. */
static void
fill(uma_zone_t z, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		item[i] = uma_zalloc(z, M_WAITOK);
		assert_non_null(item[i]);
		*(char *)item[i] = 1;
	}
}

static void
give_back(uma_zone_t z, unsigned n)
{
	while (n > 0)
		uma_zfree(z, item[--n]);
}

#endif
