/*
 * Buckets and the ladder of zones they come from. A bucket is a header and slots; larger items get
 * smaller buckets, so that what lies in caches stays bounded in bytes.
 *
 * RECURSION. A bucket comes from a zone, which caches its items in buckets too. The cookie that
 * travels as udata cuts it: a bucket for a bucket zone is asked for with ZF_BUCKET set, and a
 * second such step is refused; so the depth is one. A bucket zone never uses buckets of its own
 * kind. UMA_ZONE_VM in the cookie forces M_NOVM all the way down: what is below kmem gets buckets
 * only from what is cached or in slabs. The first BUCKETS_UNCACHED of a bucket zone come straight from
 * its slabs: a small program needs no more, and no bucket, slab and header for each.
 */
#include "uma/uma_int.h"

#define BUCKETS_UNCACHED 8

static const struct rung {
	char name[12];
	uint16_t entries;  /* slots */
	uint16_t max_item; /* bytes: the largest item that starts with buckets of this size */
} ladder[] = {
	{ "2 Bucket", 2, 4096 },
	{ "4 Bucket", 4, 3072 },
	{ "8 Bucket", 8, 2048 },
	{ "16 Bucket", 16, 1024 },
#if UINTPTR_MAX > 0xffffffff
	{ "32 Bucket", 30, 512 },
	{ "64 Bucket", 62, 256 },
	{ "128 Bucket", 126, 128 },
	{ "256 Bucket", 254, 64 },
#else
	{ "32 Bucket", 29, 512 },
	{ "64 Bucket", 61, 256 },
	{ "128 Bucket", 125, 128 },
	{ "256 Bucket", 253, 64 },
#endif
};
_Static_assert(
    sizeof(struct uma_bucket) == 8 + sizeof(void *), "a bucket's header is the ladder's");

CORE_STATE
static struct uma_zone *rung_zone[nitems(ladder)];
CORE_STATE
bool uma_buckets_on;

void
bucket_startup(void)
{
	for (unsigned i = 0; i < nitems(ladder); i++)
		rung_zone[i] = zone_create_internal(ladder[i].name,
		    sizeof(struct uma_bucket) + ladder[i].entries * sizeof(void *), UMA_ALIGN_PTR,
		    ZF_BUCKET | UMA_ZONE_FIRSTTOUCH);
}

/* Slots of the first bucket of a zone of such items. */
unsigned
bucket_size_for(size_t item_size)
{
	if (item_size > ladder[0].max_item)
		return ((unsigned)MAX(8192 / item_size, 1));
	for (unsigned i = nitems(ladder); i-- > 0;)
		if (item_size <= ladder[i].max_item)
			return (ladder[i].entries);
	return (1);
}

static unsigned
rung_for(unsigned entries)
{
	unsigned i =
	    entries > 2 ? fls_size(entries - 1) - 1 : 0; /* a power of two is enough, nearly */

	while (i < nitems(ladder) - 1 && ladder[i].entries < entries)
		i++;
	return (MIN(i, (unsigned)nitems(ladder) - 1));
}

static uintptr_t
cookie_for(const struct uma_zone *zone, void *udata)
{
	if ((zone->flags & ZF_BUCKET) == 0)
		return (zone->flags & (UMA_ZONE_VM | ZF_BUCKET));
	return (((uintptr_t)udata & UMA_ZONE_VM) | ZF_BUCKET);
}

/*
 * Most of a program's size classes are hardly used: a malloc zone's first bucket is small, whatever its
 * items, and each further one twice as large until it is what other zones begin with.
 */
static void
bucket_grow(struct uma_zone *zone, unsigned size)
{
	unsigned most = MIN(bucket_size_for(MAX(zone->size, 1)),
	    (unsigned)atomic_load_relaxed(&zone->bucket_size_max));

	if (size < most)
		atomic_store_relaxed(&zone->bucket_size, (uint16_t)MIN(2 * size, most));
}

/*
 * What a bucket takes of the ceiling: as if it were always full, since a CPU fills and empties it
 * without telling anybody. Buckets of what the core is made of, or of no memory of ours, take none.
 */
static unsigned long
bucket_bytes(const struct uma_zone *zone, unsigned slots)
{
	return (
	    zone->keg != NULL && keg_is_counted(zone->keg) ? (unsigned long)slots * zone->size : 0);
}

/*
 * An empty bucket for this zone's items, as large as the zone wants them now; NULL if there is
 * none without waiting. udata: the cookie, if the zone is one of buckets.
 */
struct uma_bucket *
bucket_alloc(struct uma_zone *zone, void *udata, int flags)
{
	struct uma_bucket *b;
	uintptr_t cookie;
	unsigned r, size;

	size = atomic_load_relaxed(&zone->bucket_size);
	if (!atomic_load_relaxed(&uma_buckets_on) || size == 0)
		return (NULL);
	if ((zone->flags & ZF_BUCKET) != 0 &&
	    (((uintptr_t)udata & ZF_BUCKET) != 0 ||
		atomic_load_relaxed(&zone->allocs) < BUCKETS_UNCACHED))
		return (NULL);
	cookie = cookie_for(zone, udata);
	flags = M_NOWAIT | (flags & M_NOVM);
	if ((cookie & UMA_ZONE_VM) != 0)
		flags |= M_NOVM;
	r = rung_for(size);
	if (rung_zone[r] == zone && r + 1 < nitems(ladder))
		r++;
	if (rung_zone[r] == zone || inject_failure())
		return (NULL);
	size = MIN(ladder[r].entries, size);
	if (!page_cache_charge(bucket_bytes(zone, size)))
		return (NULL);
	b = uma_zalloc_arg(rung_zone[r], (void *)cookie, flags);
	if (b == NULL) {
		page_cache_drop(bucket_bytes(zone, size));
		return (NULL);
	}
	b->next = NULL;
	b->count = 0;
	b->max = (uint8_t)size;
	b->rung = (uint8_t)r;
	b->seq = 0;
	if ((zone->flags & UMA_ZONE_MALLOC) != 0)
		bucket_grow(zone, size);
	return (b);
}

/* An empty bucket goes back to the zone it is from. */
void
bucket_free(struct uma_zone *zone, struct uma_bucket *b, void *udata)
{
	page_cache_drop(bucket_bytes(zone, b->max));
	uma_zfree_arg(rung_zone[b->rung], b, (void *)cookie_for(zone, udata));
}

/* A bucket's items leave the zone; the empty bucket remains. SMR: once readers are gone. */
void
bucket_drain(struct uma_zone *zone, struct uma_bucket *b)
{
	if (b->count == 0)
		return;
	if (b->seq != 0) {
		smr_wait(zone->smr, b->seq);
		smr_bucket_ready(zone, b);
	}
	zone_release(zone, b->slot, b->count);
	b->count = 0;
}

void
bucket_zones_each(void (*fn)(struct uma_zone *, void *), void *arg)
{
	for (unsigned i = 0; i < nitems(ladder); i++)
		fn(rung_zone[i], arg);
}

/* New buckets are made unless pages are short everywhere: then items go one by one. */
void
bucket_enable(void)
{
	bool shortage = true;

	if (uma_stage < UMA_KVA)
		return;
	for (unsigned d = 0; d < uma_ndomains && shortage; d++)
		shortage = vm_page_count_min((int)d);
	atomic_store_relaxed(&uma_buckets_on, !shortage);
}
