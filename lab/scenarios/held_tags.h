/*
 * Ranges of address space that stay for a whole run, measured out so that a chosen number of boundary
 * tags is left free in slabs: a page of its own has a tag of its own.
 */
#ifndef LAB_HELD_TAGS_H
#define LAB_HELD_TAGS_H

#include <cooper/kmem.h>
#include <cooper/uma.h>

#include "lab/lab.h"

#define HELD_MAX 200

LAB_STATE static vm_offset_t held[HELD_MAX];
LAB_STATE static unsigned nheld;
LAB_STATE static unsigned long tags_free;

static inline void
look_at_tags(const struct uma_zone_stat *st, void *arg)
{
	(void)arg;
	if (__builtin_strcmp(st->name, "vmem btag") == 0)
		tags_free = st->keg_free_items;
}

/* Looking costs more than taking: only near the end is each step looked at. */
static inline void
hold_all_tags_but(unsigned long leave)
{
	uma_each_zone_stat(look_at_tags, NULL);
	while (tags_free > leave && nheld < HELD_MAX) {
		if ((held[nheld] = kva_alloc(4096)) == 0)
			return;
		nheld++;
		if (--tags_free <= leave + 4)
			uma_each_zone_stat(look_at_tags, NULL);
	}
}

/*
 * The pages that the domain's arena has left of what it has imported: the next request for address
 * space of one must import. An import begins at a multiple of its quantum, which is the least here.
 */
#define HELD_QUANTUM   65536
#define HELD_PAGES_MAX 64
LAB_STATE static void *held_page[HELD_PAGES_MAX];
LAB_STATE static unsigned nheld_pages;

/* See that the domain's arena has imported, which the start may have had no need for. */
static inline void
hold_one_page(void)
{
	if (nheld_pages == 0 && (held_page[0] = kmem_malloc(4096, M_NOWAIT)) != NULL)
		nheld_pages = 1;
}

static inline void
hold_imported_addresses(void)
{
	void *p;

	hold_one_page();
	while (nheld_pages < HELD_PAGES_MAX && (p = kmem_malloc(4096, M_NOWAIT)) != NULL) {
		if ((vm_offset_t)p % HELD_QUANTUM == 0) {
			kmem_free(p, 4096);
			return;
		}
		held_page[nheld_pages++] = p;
	}
}

static inline void
let_held_tags_go(void)
{
	while (nheld_pages > 0)
		kmem_free(held_page[--nheld_pages], 4096);
	while (nheld > 0)
		kva_free(held[--nheld], 4096);
}

#endif
