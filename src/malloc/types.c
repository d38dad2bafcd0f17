/*
 * Malloc types and their counters.
 *
 * malloc_types_lock (rank TYPES) guards the list and a type's change from unused to used; counters
 * are bumped without it, on the record of the CPU that the thread is on at that moment, by atomic
 * adds, so that being moved in between costs no exactness.
 */
#include "malloc/malloc_int.h"

CORE_STATE struct malloc_type *malloc_types;
static CORE_STATE struct mtx malloc_types_lock;
static CORE_STATE uma_zone_t stats_zone;

/* From unused to used; the lock is held. */
static void
type_list(struct malloc_type *type, struct malloc_type_stats *stats)
{
	type->ks_flags |= MALLOC_TYPE_LISTED;
	type->ks_next = malloc_types;
	atomic_store_release(&type->ks_stats, stats);
	atomic_store_release(&malloc_types, type);
}

bool
malloc_type_ready(struct malloc_type *type, int flags)
{
	struct malloc_type_stats *stats;

	if (likely(atomic_load_acquire(&type->ks_stats) != NULL))
		return (true);
	stats = uma_zalloc(stats_zone, (flags & (M_WAITOK | M_NOWAIT)) | M_ZERO);
	if (stats == NULL)
		return (false);
	mtx_lock(&malloc_types_lock);
	if (type->ks_stats == NULL) {
		type_list(type, stats);
		stats = NULL;
	}
	mtx_unlock(&malloc_types_lock);
	uma_zfree(stats_zone, stats);
	return (true);
}

void
malloc_type_adopt(struct malloc_type *type, struct malloc_type_stats *stats)
{
	mtx_lock(&malloc_types_lock);
	type_list(type, stats);
	mtx_unlock(&malloc_types_lock);
}

void
malloc_init(struct malloc_type *type)
{
	(void)malloc_type_ready(type, M_WAITOK);
}

void
malloc_uninit(struct malloc_type *type)
{
	struct malloc_type_stats *stats, sum;
	struct malloc_type **link;

	malloc_type_sum(type, &sum);
	mtx_lock(&malloc_types_lock);
	for (link = &malloc_types; *link != NULL && *link != type;)
		link = &(*link)->ks_next;
	if (*link != NULL)
		*link = type->ks_next;
	stats = type->ks_stats;
	type->ks_stats = NULL;
	type->ks_next = NULL;
	type->ks_flags &= ~MALLOC_TYPE_LISTED;
	mtx_unlock(&malloc_types_lock);
	uma_zfree(stats_zone, stats);
	if (sum.numallocs != sum.numfrees)
		core_warn("malloc_uninit: type %s: %lu blocks of %lu bytes were never freed",
		    type->ks_shortdesc, sum.numallocs - sum.numfrees,
		    sum.memalloced - sum.memfreed);
}

void
malloc_type_sum(const struct malloc_type *type, struct malloc_type_stats *sum)
{
	const struct malloc_type_stats *stats = atomic_load_acquire(&type->ks_stats);

	*sum = (struct malloc_type_stats){ 0 };
	for (unsigned cpu = 0; stats != NULL && cpu < cooper_shape()->ncpus; cpu++) {
		const struct malloc_type_stats *s = &stats[cpu];

		/* Frees first: what is counted between the two reads then shows as memory in use. */
		sum->numfrees += atomic_load_relaxed(&s->numfrees);
		sum->memfreed += atomic_load_relaxed(&s->memfreed);
		sum->numallocs += atomic_load_relaxed(&s->numallocs);
		sum->memalloced += atomic_load_relaxed(&s->memalloced);
		sum->failed += atomic_load_relaxed(&s->failed);
		sum->overflowed += atomic_load_relaxed(&s->overflowed);
		sum->sizes |= atomic_load_relaxed(&s->sizes);
	}
}

void
malloc_count_alloc(struct malloc_type *type, size_t bytes, bool large)
{
	struct malloc_type_stats *s = &type->ks_stats[machine_cpu()];
	uint32_t bit = (uint32_t)1 << (large ? MALLOC_SIZES_LARGE : fls_size(bytes - 1));

	atomic_add_relaxed(&s->numallocs, 1);
	atomic_add_relaxed(&s->memalloced, bytes);
	if (unlikely((atomic_load_relaxed(&s->sizes) & bit) == 0))
		atomic_or_relaxed(&s->sizes, bit);
}

void
malloc_count_free(struct malloc_type *type, size_t bytes)
{
	struct malloc_type_stats *s;

	/* A type may free what it never allocated; its counters then begin here, if there is memory. */
	if (unlikely(!malloc_type_ready(type, M_NOWAIT)))
		return;
	s = &type->ks_stats[machine_cpu()];
	atomic_add_relaxed(&s->numfrees, 1);
	atomic_add_relaxed(&s->memfreed, bytes);
}

void
malloc_count_failure(struct malloc_type *type, bool overflow)
{
	struct malloc_type_stats *s = &type->ks_stats[machine_cpu()];

	atomic_add_relaxed(&s->failed, 1);
	if (overflow)
		atomic_add_relaxed(&s->overflowed, 1);
}

void
malloc_types_start(void)
{
	mtx_init(&malloc_types_lock, "malloc types", RANK_TYPES);
	stats_zone =
	    uma_zcreate("malloc stats", cooper_shape()->ncpus * sizeof(struct malloc_type_stats),
		NULL, NULL, NULL, NULL, UMA_ALIGN_CACHE, 0);
}
