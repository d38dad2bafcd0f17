/*
 * Touches: what a scenario's own code reads or writes, looked up in a map of what has been freed.
 *
 * The compiler puts a call before each access of that code, as it would for the kernel's address
 * sanitizer; no runtime of a sanitizer is linked, the functions are here. The core is compiled without: it
 * may touch what is free (checks, patterns, headers), and would take several times as long. What a
 * scenario's function does that the core calls is let pass, too: a destructor runs when its item is already
 * on the way back.
 *
 * The map has a bit for each 8 bytes of a page, set while all of them are a freed item's.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "lab/oracles/oracles_int.h"

#define GRAIN ((uintptr_t)8)
#define WORDS ((1u << SIM_PAGE_SHIFT_MAX) / GRAIN / 64)

struct page_map {
	uint64_t run; /* that it is of */
	uint64_t *freed;
};

static struct page_map *maps;
static uint32_t nmaps;
static uintptr_t low, high; /* all that is free lies in here */

/* The page looked up last, and its map; NULL: nothing was freed in it. Void when one has come or gone. */
static struct {
	uintptr_t page; /* its number, by address */
	const struct page_map *map;
} last;

static struct page_map *
map_of(const struct vm_page *m)
{
	uint32_t pn = page_number(m);
	struct page_map *map;

	if (pn >= nmaps) {
		maps = realloc(maps, page_count * sizeof(*maps));
		memset(maps + nmaps, 0, (page_count - nmaps) * sizeof(*maps));
		nmaps = page_count;
	}
	map = &maps[pn];
	if (map->freed == NULL)
		map->freed = malloc(WORDS * sizeof(uint64_t));
	if (map->run != oracles_run) {
		memset(map->freed, 0, WORDS * sizeof(uint64_t));
		map->run = oracles_run;
		last.page = 0;
	}
	return (map);
}

static struct vm_page *
page_at(uintptr_t at)
{
	vm_paddr_t pa;

	return (sim_mapped(at, &pa) ? page_of_paddr(pa) : NULL);
}

void
touch_begin(void)
{
	low = UINTPTR_MAX;
	high = 0;
	last.page = 0;
}

static void
widen(uintptr_t from, size_t size)
{
	low = MIN(low, from);
	high = MAX(high, from + size);
}

void
touch_item(uintptr_t item, size_t size, bool freed)
{
	if (freed)
		widen(item, size);
	for (uintptr_t at = round_up(item, GRAIN); at + GRAIN <= item + size; at += GRAIN) {
		struct vm_page *m = page_at(at);
		size_t i = (at & PAGE_MASK) / GRAIN;

		if (m == NULL)
			continue;
		if (freed)
			map_of(m)->freed[i / 64] |= (uint64_t)1 << (i % 64);
		else
			map_of(m)->freed[i / 64] &= ~((uint64_t)1 << (i % 64));
	}
}

/* It is free as a whole; through the window nobody can touch it any more. */
void
touch_page_freed(const struct vm_page *m)
{
	if (oracle_spec->shape.direct_map)
		widen((uintptr_t)sim_frame(page_paddr(m)), PAGE_SIZE);
	if (page_number(m) < nmaps)
		maps[page_number(m)].run = 0;
	last.page = 0;
}

/* The map of the page at this address, if there is one and the page is not free. */
static const struct page_map *
look_up(uintptr_t at, bool write)
{
	const struct vm_page *m = page_at(at);

	if (m == NULL)
		return (NULL);
	if (shadow_page_is_free(m))
		shadow_page_touched(m, at, write);
	if (page_number(m) >= nmaps || maps[page_number(m)].run != oracles_run)
		return (NULL);
	return (&maps[page_number(m)]);
}

static void
look(uintptr_t at, bool write)
{
	size_t i = (at & PAGE_MASK) / GRAIN;

	if (at >> PAGE_SHIFT != last.page) {
		last.map = look_up(at, write);
		last.page = at >> PAGE_SHIFT;
	}
	if (last.map != NULL && (last.map->freed[i / 64] >> (i % 64) & 1) != 0)
		shadow_item_touched(at, write);
}

static void
touched(uintptr_t at, size_t size, bool write)
{
	if (at + size <= low || at >= high || !oracles_watching || oracle_me()->call != NULL)
		return;
	for (uintptr_t a = at; a < at + size; a = (a | (GRAIN - 1)) + 1)
		look(a, write);
}

void
oracle_touch(const void *at, size_t size, bool write)
{
	touched((uintptr_t)at, size, write);
}

/* ---- what the compiler calls --------------------------------------------------------------------------- */

#define TOUCH(size)                                  \
	void __asan_load##size##_noabort(void *at);  \
	void __asan_load##size##_noabort(void *at)   \
	{                                            \
		oracle_touch(at, size, false);       \
	}                                            \
	void __asan_store##size##_noabort(void *at); \
	void __asan_store##size##_noabort(void *at)  \
	{                                            \
		oracle_touch(at, size, true);        \
	}

#ifdef LAB_TOUCH
TOUCH(1)
TOUCH(2)
TOUCH(4)
TOUCH(8)
TOUCH(16)

void __asan_loadN_noabort(void *at, ssize_t size);
void
__asan_loadN_noabort(void *at, ssize_t size)
{
	oracle_touch(at, (size_t)size, false);
}

void __asan_storeN_noabort(void *at, ssize_t size);
void
__asan_storeN_noabort(void *at, ssize_t size)
{
	oracle_touch(at, (size_t)size, true);
}

void __asan_handle_no_return(void);
void
__asan_handle_no_return(void)
{
}
#endif
