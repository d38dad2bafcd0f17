/*
 * A number that stands for the layout of all structures that the collector walks. Two builds in
 * which any of them has another size get different numbers, with the odds of a 32-bit sum.
 */
#ifndef STATS_LAYOUT_H
#define STATS_LAYOUT_H

#include "kmem/kmem_int.h"
#include "malloc/malloc_int.h"
#include "page/page_int.h"
#include "stats/stats.h"
#include "uma/uma_int.h"
#include "vmem/vmem_int.h"

#define STATS_LAYOUT_ADD(sum, n)   ((uint32_t)(((sum) ^ (uint32_t)(n)) * 16777619u))
#define STATS_LAYOUT_OF(sum, type) STATS_LAYOUT_ADD(sum, sizeof(type))

/* clang-format off */
#define STATS_LAYOUT \
	STATS_LAYOUT_OF(STATS_LAYOUT_OF(STATS_LAYOUT_OF(STATS_LAYOUT_OF( \
	STATS_LAYOUT_OF(STATS_LAYOUT_OF(STATS_LAYOUT_OF(STATS_LAYOUT_OF( \
	STATS_LAYOUT_OF(STATS_LAYOUT_OF(STATS_LAYOUT_OF(STATS_LAYOUT_OF( \
	STATS_LAYOUT_OF(STATS_LAYOUT_OF(2166136261u, \
	struct cooper_stats_root), \
	struct uma_zone), struct uma_zdomain), struct uma_keg), struct uma_kdomain), \
	struct percpu), struct vmem), struct vmem_btag), struct page_domain), \
	struct malloc_type), struct malloc_type_stats), struct waitq), struct waiter), \
	struct kmem_arena)
/* clang-format on */

#endif
