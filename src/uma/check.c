/*
 * Misuse, named: what the debug shape stops at with one line (function, zone, value) and what the
 * release shape refuses.
 *
 * Each slab has a second set of bits in the debug shape: set while a user has the item. A free item
 * of a zone without init and fini holds a pattern, written when it is freed and looked at when it is
 * handed out again or its slab goes back.
 */
#include "uma/slab.h"

#define TRASH 0xdeadc0deu

static bool
bad_flags(int flags)
{
	int how = flags & (M_WAITOK | M_NOWAIT);

	return ((flags & M_EXEC) != 0 || how == (M_WAITOK | M_NOWAIT) ||
		((how & M_WAITOK) != 0 && (flags & (M_USE_RESERVE | M_NOVM)) != 0));
}

/* May this allocation be made? */
bool
check_alloc(struct uma_zone *zone, const char *func, int flags)
{
	MUST(!zone->dying, "%s: zone %s is destroyed", func, zone->name);
	if (MISUSE(bad_flags(flags), "%s: zone %s: flags 0x%x contradict each other", func,
		zone->name, (unsigned)flags) ||
	    MISUSE((flags & (M_WAITOK | M_NOWAIT)) == 0,
		"%s: zone %s: neither M_WAITOK nor M_NOWAIT in flags 0x%x", func, zone->name,
		(unsigned)flags))
		return (false);
	if (unlikely(core_debug)) {
		CHECK(!percpu_entered(), "%s: zone %s: within a per-CPU section", func, zone->name);
		if ((flags & M_WAITOK) != 0)
			sync_assert_may_sleep(func);
	}
	return (true);
}

static const char *
owner_of(const void *item)
{
	struct vm_page *m = page_of_va((vm_offset_t)item);

	if (m == NULL || m->owner == 0 || (m->owner & PAGE_OWNER_MASK) != PAGE_OWNER_SLAB)
		return ("no zone");
	return (m->slab->zone->name);
}

/* May this item be freed to this zone? What is not free to check is checked in the debug shape. */
bool
check_free(struct uma_zone *zone, const char *func, void *item)
{
	struct slab *slab;
	unsigned i;

	MUST(!zone->dying, "%s: zone %s is destroyed; item %p", func, zone->name, item);
	if (likely(!core_debug) || zone->keg == NULL)
		return (true);
	CHECK(!percpu_entered(), "%s: zone %s: within a per-CPU section", func, zone->name);
	slab = keg_slab_of(zone->keg, item);
	CHECK(slab != NULL, "%s: zone %s: %p is not an item of this zone but of %s", func,
	    zone->name, item, owner_of(item));
	CHECK(slab_index(zone->keg, slab, item, &i),
	    "%s: zone %s: %p points into an item, not at one", func, zone->name, item);
	CHECK(slab_user_has(zone->keg, slab, i), "%s: zone %s: double free of %p", func, zone->name,
	    item);
	return (true);
}

/* May a setter that must come before the first allocation still run? */
bool
check_setter(struct uma_zone *zone, const char *func, bool used)
{
	return (
	    !MISUSE(used, "%s: zone %s has allocated items already: refused", func, zone->name));
}

/* Debug: the item is a user's from now on, or no longer. */
void
check_mark(struct uma_zone *zone, void *item, bool user)
{
	struct slab *slab;
	unsigned i;

	if (zone->keg == NULL)
		return;
	slab = keg_slab_of(zone->keg, item);
	MUST(slab != NULL && slab_index(zone->keg, slab, item, &i),
	    "uma: zone %s: %p in a cache is not an item of this zone", zone->name, item);
	if (slab_user_mark(zone->keg, slab, i, user) == user)
		core_panic(user ? "uma_zalloc: zone %s: %p is handed out twice"
				: "uma_zfree: zone %s: double free of %p",
		    zone->name, item);
}

void
trash_fill(void *item, size_t size)
{
	uint32_t *p = item;

	for (size_t i = 0; i < size / sizeof(*p); i++)
		p[i] = TRASH;
}

void
trash_check(const char *what, const char *zone, const void *item, size_t size)
{
	const uint32_t *p = item;

	for (size_t i = 0; i < size / sizeof(*p); i++)
		if (unlikely(p[i] != TRASH))
			core_panic(
			    "uma: %s: zone %s: %p was written after free: 0x%x at offset %zu", what,
			    zone, item, p[i], i * sizeof(*p));
}
