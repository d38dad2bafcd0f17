/*
 * Zones from birth to death.
 *
 * A zone is put on uma_zones when it is complete, never before, and is there until its destroyer has
 * seen the last walker leave; nothing that may wait is done with uma_zones_lock held. A walker
 * (reclaim, the timer, statistics) stands on a zone by a reference: the zone stays linked, so that
 * the walker finds its way on, and callbacks run without a lock. So creating never waits for a
 * reclaim pass, and destroying waits ("zonedrain") only for walkers of that zone.
 */
#include "uma/uma_int.h"

CORE_STATE
struct list uma_zones;
CORE_STATE
struct mtx uma_zones_lock;
CORE_STATE
static struct waitq zone_left; /* a walker has left a dying zone */
CORE_STATE
struct uma_zone *uma_zone_of_zones, *uma_zone_of_kegs;

/* ---- walking -------------------------------------------------------------------------------------------- */

void
zone_hold(struct uma_zone *zone)
{
	mtx_lock(&uma_zones_lock);
	zone->refs++;
	mtx_unlock(&uma_zones_lock);
}

static void
drop_locked(struct uma_zone *zone)
{
	if (--zone->refs == 0 && zone->dying)
		waitq_wake_all(&zone_left);
}

void
zone_drop(struct uma_zone *zone)
{
	mtx_lock(&uma_zones_lock);
	drop_locked(zone);
	mtx_unlock(&uma_zones_lock);
}

/* fn for each zone, oldest first, with no lock held; it may sleep, create and reclaim. */
void
uma_each_zone(void (*fn)(struct uma_zone *, void *), void *arg)
{
	struct uma_zone *zone;

	mtx_lock(&uma_zones_lock);
	for (struct list *l = uma_zones.next; l != &uma_zones; l = l->next) {
		zone = list_entry(l, struct uma_zone, link);
		if (zone->dying)
			continue;
		zone->refs++;
		mtx_unlock(&uma_zones_lock);
		fn(zone, arg);
		mtx_lock(&uma_zones_lock);
		l = &zone->link;
		/* Dropped before we step on, but with the lock held until we have. */
		drop_locked(zone);
		if (FAULT(destroy_against_reclaim) && zone->dying)
			break; /* it is off the list: nothing leads on from it */
	}
	mtx_unlock(&uma_zones_lock);
}

/* ---- create --------------------------------------------------------------------------------------------- */

/* Where the depots are, behind the parts. */
static vm_size_t
domains_offset(void)
{
	return (sizeof(struct uma_zone) + MAX(uma_ncpus, percpu_parts()) * sizeof(struct percpu));
}

/* Bytes of a zone with what hangs behind it. */
vm_size_t
zone_struct_size(void)
{
	return (domains_offset() + uma_ndomains * sizeof(struct uma_zdomain));
}

vm_size_t
keg_struct_size(void)
{
	return (sizeof(struct uma_keg) + uma_ndomains * sizeof(struct uma_kdomain));
}

/* After what zone_is_plain() looks at has changed; while nobody can allocate. */
void
zone_set_cache(struct uma_zone *zone)
{
	bool open = zone_is_plain(zone) && percpu_frames_open();

	if (!zone_is_cached(zone))
		return;
	zone->cache = zone->part;
#ifdef PERCPU_FRAMED
	if (!open)
		zone->cache =
		    (struct percpu *)(void *)((char *)zone->part + sizeof(struct percpu_stack));
#else
	(void)open;
#endif
}

static int
import_from_keg(void *arg, void **store, int count, int domain, int flags)
{
	return (keg_import(arg, store, count, domain, false, flags));
}

static void
release_to_keg(void *arg, void **store, int count)
{
	keg_release(arg, store, count);
}

/* The zone is complete: let it be seen. */
static void
publish(struct uma_zone *zone)
{
	mtx_lock(&uma_zones_lock);
	if (zone->keg != NULL)
		zone->keg->nzones++;
	if (!FAULT(create_against_reclaim) || zone->link.next == NULL)
		list_append(&uma_zones, &zone->link);
	mtx_unlock(&uma_zones_lock);
}

/* Fill in a zeroed zone. keg NULL: the caller sets import, release and arg. */
static void
zone_fill(struct uma_zone *zone, const char *name, size_t size, uint32_t flags, struct uma_keg *keg)
{
	unsigned want = bucket_size_for(MAX(size, 1));

	zone->name = name;
	zone->size = (uint32_t)size;
	zone->flags = flags;
	zone->keg = keg;
	if (keg != NULL) {
		zone->flags |= keg->flags & ZF_INHERIT;
		zone->import = import_from_keg;
		zone->release = release_to_keg;
		zone->arg = zone;
	}
	zone->bucket_size_max = BUCKET_MAX;
	zone->bucket_size = (uint16_t)MIN(want, BUCKET_MAX);
	if ((flags & UMA_ZONE_MALLOC) != 0) /* see bucket_grow() */
		zone->bucket_size = (uint16_t)MIN(want, BUCKET_FIRST);
	zone->bucket_size_min = 1;
	if ((flags & UMA_ZONE_MAXBUCKET) != 0)
		zone->bucket_size = zone->bucket_size_min = zone->bucket_size_max;
	zone->bucket_max = (unsigned long)-1 / 2;
	waitq_init(&zone->limit_queue, "zonelimit");
	mtx_init(&zone->cross_lock, "zone cross", RANK_CROSS);
	zone->domain = (struct uma_zdomain *)(void *)((char *)zone + domains_offset());
	for (unsigned d = 0; d < uma_ndomains; d++)
		mtx_init(&zone->domain[d].lock, "zone domain", RANK_ZDOMAIN);
	zone->cache =
	    (zone->flags & (ZF_INTERNAL | UMA_ZONE_NOBUCKET)) != 0 ? uma_nocache : zone->part;
	if (core_debug)
		zone->flags |= ZF_CTORDTOR;
}

static void
set_callbacks(struct uma_zone *zone, uma_ctor ctor, uma_dtor dtor, uma_init zinit, uma_fini zfini)
{
	zone->ctor = ctor;
	zone->dtor = dtor;
	zone->zinit = zinit;
	zone->zfini = zfini;
	if (ctor != NULL || dtor != NULL)
		zone->flags |= ZF_CTORDTOR;
	if (zone->keg != NULL && (zone->keg->flags & ZF_TRASH) != 0 && zinit == NULL &&
	    zfini == NULL)
		zone->flags |= ZF_TRASH;
	zone_set_cache(zone);
}

static struct uma_zone *
zone_struct_alloc(void)
{
	struct uma_zone *zone =
	    zone_alloc_item(uma_zone_of_zones, NULL, UMA_ANYDOMAIN, false, M_WAITOK | M_ZERO);

	if (FAULT(create_against_reclaim))
		publish(zone);
	return (zone);
}

/* The first zones, on memory of the caller's: zone and keg are zeroed. */
void
zone_boot(struct uma_zone *zone, struct uma_keg *keg, const char *name, size_t size, uint32_t align)
{
	keg->primary = zone;
	keg_init(keg, name, size, NULL, NULL, align - 1, ZF_INTERNAL);
	zone_fill(zone, name, size, ZF_INTERNAL, keg);
	set_callbacks(zone, NULL, NULL, NULL, NULL);
	publish(zone);
}

void
uma_zones_start(void)
{
	list_init(&uma_zones);
	mtx_init(&uma_zones_lock, "zones", RANK_ZONES);
	waitq_init(&zone_left, "zonedrain");
}

static bool
check_create(const char *name, size_t size, uint32_t align, uint32_t flags)
{
	struct keg_question q = { .size = size,
		.align = align,
		.flags = flags,
		.ncpus = uma_ncpus,
		.debug = core_debug };
	struct keg_layout layout;
	const char *why = NULL;

	if (name == NULL)
		why = "no name";
	else if (!is_pow2((uint64_t)align + 1))
		why = "alignment is not a mask";
	else if (align >= PAGE_SIZE)
		why = "alignment is over a page";
	else if ((flags & UMA_ZONE_SECONDARY) != 0)
		why = "uma_zsecond_create() makes secondary zones";
	else if ((flags & (UMA_ZONE_FIRSTTOUCH | UMA_ZONE_ROUNDROBIN)) ==
		 (UMA_ZONE_FIRSTTOUCH | UMA_ZONE_ROUNDROBIN))
		why = "both first-touch and round-robin";
	else if ((flags & UMA_ZONE_VM) != 0 && (flags & (UMA_ZONE_NOTOUCH | UMA_ZONE_PCPU)) != 0)
		why = "headers below kmem must be in the slab";
	else if (!keg_layout(&q, &layout))
		why = "no slab can hold such an item";
	return (!MISUSE(why != NULL, "uma_zcreate: zone %s: %s (size %zu, align 0x%x, flags 0x%x)",
	    name != NULL ? name : "?", why, size, align, (unsigned)flags));
}

/* A context of the zone's own, if it is to be an SMR zone; false if there is no memory for one. */
static bool
make_smr(const char *name, uint32_t flags, struct smr **smr)
{
	if ((flags & UMA_ZONE_SMR) == 0)
		return (true);
	*smr = smr_create(name, 0, 0);
	if (*smr == NULL)
		core_warn("uma_zcreate: zone %s: no memory for its smr", name);
	return (*smr != NULL);
}

static struct uma_zone *
zone_create(const char *name, size_t size, uma_ctor ctor, uma_dtor dtor, uma_init init,
    uma_fini fini, uint32_t align, uint32_t flags)
{
	struct smr *smr = NULL;
	struct uma_zone *zone;
	struct uma_keg *keg;

	if (!check_create(name, size, align, flags) || !make_smr(name, flags, &smr))
		return (NULL);
	keg = zone_alloc_item(uma_zone_of_kegs, NULL, UMA_ANYDOMAIN, false, M_WAITOK | M_ZERO);
	zone = zone_struct_alloc();
	keg->primary = zone;
	keg_init(keg, name, size, init, fini, align, flags);
	zone_fill(zone, name, size, flags, keg);
	set_callbacks(zone, ctor, dtor, NULL, NULL);
	zone->smr = smr;
	zone->owns_smr = smr != NULL;
	publish(zone);
	return (zone);
}

struct uma_zone *
zone_create_internal(const char *name, size_t size, uint32_t align, uint32_t flags)
{
	return (zone_create(name, size, NULL, NULL, NULL, NULL, align, flags));
}

uma_zone_t
uma_zcreate(const char *name, size_t size, uma_ctor ctor, uma_dtor dtor, uma_init init,
    uma_fini fini, int align, uint32_t flags)
{
	uint32_t mask = align == UMA_ALIGN_CACHE ? uma_get_cache_align_mask() : (uint32_t)align;

	/* Where there are domains, memory is the CPU's own unless the zone says otherwise. */
	if ((flags & (UMA_ZONE_FIRSTTOUCH | UMA_ZONE_ROUNDROBIN)) == 0)
		flags |=
		    (flags & UMA_ZONE_NOTPAGE) != 0 ? UMA_ZONE_ROUNDROBIN : UMA_ZONE_FIRSTTOUCH;
	if (MISUSE((flags & ~UMA_ZONE_PUBLIC) != 0, "uma_zcreate: zone %s: unknown flags 0x%x",
		name != NULL ? name : "?", (unsigned)flags))
		return (NULL);
	return (zone_create(name, size, ctor, dtor, init, fini, mask, flags));
}

uma_zone_t
uma_zsecond_create(const char *name, uma_ctor ctor, uma_dtor dtor, uma_init zinit, uma_fini zfini,
    uma_zone_t primary)
{
	struct uma_zone *zone;

	if (MISUSE(name == NULL, "uma_zsecond_create: no name, on zone %s", primary->name))
		return (NULL);
	MUST(!primary->dying, "uma_zsecond_create: zone %s: %s is destroyed", name, primary->name);
	MUST(primary->keg != NULL, "uma_zsecond_create: zone %s: %s has no keg", name,
	    primary->name);
	zone = zone_struct_alloc();
	zone_fill(zone, name, primary->size, UMA_ZONE_SECONDARY, primary->keg);
	set_callbacks(zone, ctor, dtor, zinit, zfini);
	publish(zone);
	return (zone);
}

uma_zone_t
uma_zcache_create(const char *name, int size, uma_ctor ctor, uma_dtor dtor, uma_init zinit,
    uma_fini zfini, uma_import import, uma_release release, void *arg, int flags)
{
	struct smr *smr = NULL;
	struct uma_zone *zone;

	if (MISUSE(name == NULL || import == NULL || release == NULL || size < 0 ||
		       ((uint32_t)flags & ~UMA_ZONE_PUBLIC) != 0 ||
		       ((uint32_t)flags & UMA_ZONE_SECONDARY) != 0,
		"uma_zcache_create: zone %s: no import or release, or size %d or flags 0x%x",
		name != NULL ? name : "?", size, (unsigned)flags))
		return (NULL);
	if (!make_smr(name, (uint32_t)flags, &smr))
		return (NULL);
	zone = zone_struct_alloc();
	zone_fill(zone, name, (size_t)size,
	    ((uint32_t)flags & ~(uint32_t)UMA_ZONE_FIRSTTOUCH) | ZF_CACHE, NULL);
	zone->import = import;
	zone->release = release;
	zone->arg = arg;
	set_callbacks(zone, ctor, dtor, zinit, zfini);
	zone->smr = smr;
	zone->owns_smr = smr != NULL;
	publish(zone);
	return (zone);
}

/* ---- destroy ---------------------------------------------------------------------------------------------- */

/* No new walker steps on the zone, and those on it have left. Then it leaves the list. */
static void
unpublish(struct uma_zone *zone)
{
	mtx_lock(&uma_zones_lock);
	zone->dying = true;
	while (zone->refs != 0 && !FAULT(destroy_against_reclaim))
		(void)waitq_sleep(&zone_left, &uma_zones_lock, zone->refs, 0);
	if (decay_cursor == &zone->link)
		decay_cursor = zone->link.next;
	list_remove(&zone->link);
	if (zone->keg != NULL)
		zone->keg->nzones--;
	mtx_unlock(&uma_zones_lock);
}

static void
empty(struct uma_zone *zone)
{
	cache_drain_cpus(zone, UMA_ANYDOMAIN);
	for (int d = 0; d < (int)uma_ndomains; d++)
		depot_reclaim(zone, d, !FAULT(destroy_trims));
}

/*
 * Destroy a zone and, with its last zone, the keg. All buckets and slabs go back. What users still
 * hold is lost and named in one warning; the zone's own structure then stays, marked, so that a
 * late free is named too. Waits for walkers; call with no lock held, not from a callback of the
 * zone. After uma_shutdown() nothing is done, unless a fini or release is there to be run.
 */
void
uma_zdestroy(uma_zone_t zone)
{
	struct uma_keg *keg = zone->keg;
	struct uma_zone_stat st;
	bool last = keg != NULL && keg->primary == zone;
	unsigned long pages = 0;
	uint64_t used;

	MUST(!zone->dying, "uma_zdestroy: zone %s is destroyed already", zone->name);
	MUST(!last || keg->nzones == 1, "uma_zdestroy: zone %s has %u secondary zones", zone->name,
	    keg->nzones - 1);
	if (uma_stage == UMA_SHUTDOWN && zone->zfini == NULL && zone->keg != NULL &&
	    keg->fini == NULL)
		return;
	MUST(zone->sleepers == 0, "uma_zdestroy: zone %s has %u sleepers", zone->name,
	    zone->sleepers);
	unpublish(zone);
	empty(zone);
	uma_zone_get_stat(zone, &st);
	used = st.used;
	if (last) {
		keg->reserve = 0;
		keg_drain(keg, UMA_ANYDOMAIN, true);
		pages = keg_pages(keg) - keg->boot_pages;
	}
	if (used != 0 || pages != 0)
		core_warn("uma_zdestroy: zone %s: %llu items not freed, %lu pages lost", zone->name,
		    (unsigned long long)used, pages);
	zone->cache = uma_nocache;
	if (zone->owns_smr)
		smr_destroy(zone->smr);
	mtx_destroy(&zone->cross_lock);
	waitq_destroy(&zone->limit_queue);
	for (unsigned d = 0; d < uma_ndomains; d++)
		mtx_destroy(&zone->domain[d].lock);
	if (used != 0 || pages != 0 || (last && keg->boot_pages != 0))
		return;
	if (last) {
		keg_fini(keg);
		zone_free_item(uma_zone_of_kegs, keg, NULL, SKIP_NONE);
	}
	zone_free_item(uma_zone_of_zones, zone, NULL, SKIP_NONE);
}
