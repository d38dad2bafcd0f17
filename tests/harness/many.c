/*
 * Many items of a zone (many.h). One thread's: nothing here is locked.
 */
#include "harness.h"
#include "many.h"

void *many_item[MANY_ITEMS];

void
many_fill(uma_zone_t z, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		many_item[i] = uma_zalloc(z, M_WAITOK);
		TEST_MUST(many_item[i] != NULL);
		*(char *)many_item[i] = 1;
	}
}

void
many_give_back(uma_zone_t z, unsigned n)
{
	while (n > 0)
		uma_zfree(z, many_item[--n]);
}
