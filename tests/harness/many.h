/*
 * Many items of a zone, taken and given back: for tests of what becomes of them then.
 */
#ifndef MANY_H
#define MANY_H

#include <cooper/uma.h>

#define MANY_ITEMS 20000
extern void *many_item[MANY_ITEMS];

void many_fill(uma_zone_t z, unsigned n);      /* many_item[0, n), each written to */
void many_give_back(uma_zone_t z, unsigned n); /* the same, the last first */

#endif
