/*
 * Put before everything else in what scenarios are compiled from (lab/meson.build): calls that touch
 * memory are seen as the accesses that the compiler makes itself are.
 */
#ifndef LAB_ORACLES_TOUCH_H
#define LAB_ORACLES_TOUCH_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

void oracle_touch(const void *at, size_t size, bool write);

static inline void *
touch_memcpy(void *to, const void *from, size_t size)
{
	oracle_touch(from, size, false);
	oracle_touch(to, size, true);
	return (memcpy(to, from, size));
}

static inline void *
touch_memmove(void *to, const void *from, size_t size)
{
	oracle_touch(from, size, false);
	oracle_touch(to, size, true);
	return (memmove(to, from, size));
}

static inline void *
touch_memset(void *to, int byte, size_t size)
{
	oracle_touch(to, size, true);
	return (memset(to, byte, size));
}

static inline int
touch_memcmp(const void *a, const void *b, size_t size)
{
	oracle_touch(a, size, false);
	oracle_touch(b, size, false);
	return (memcmp(a, b, size));
}

#define memcpy(to, from, size)  touch_memcpy(to, from, size)
#define memmove(to, from, size) touch_memmove(to, from, size)
#define memset(to, byte, size)  touch_memset(to, byte, size)
#define memcmp(a, b, size)      touch_memcmp(a, b, size)

#endif
