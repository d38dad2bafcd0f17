/*
 * First-touch zones: items freed on a CPU of another domain gather in the CPU's cross bucket and go
 * home from here.
 *
 * With two domains a full cross bucket belongs to the other one as a whole. With more its items are
 * sorted, under the zone's cross lock, into one partly filled bucket per domain; filled ones go to
 * their depots. The lock is dropped to get a bucket, and what was found before is looked at again: an
 * allocation may itself sort cross frees, of a bucket zone or of this one (R10).
 */
#include "uma/uma_int.h"

/* Items that cannot be sorted, for want of a bucket or as threads wait for them, go home at once. */
static void
send_home(struct uma_zone *zone, struct uma_bucket *b)
{
	bucket_drain(zone, b);
}

/*
 * Move items of b to their domains' cross buckets until it is empty (true) or one is missing or
 * threads wait for items (false). Filled buckets go on *full; a missing one is taken from *spare.
 */
static bool
sort_some(struct uma_zone *zone, struct uma_bucket *b, struct uma_bucket **spare,
    struct uma_bucket *full[COOPER_MAXDOMAIN])
{
	struct uma_bucket *to;
	int d;

	if (atomic_load_relaxed(&zone->sleepers) != 0)
		return (false);
	while (b->count > 0) {
		d = item_domain(zone, b->slot[b->count - 1]);
		to = zone->domain[d].cross;
		if (to == NULL) {
			if (*spare == NULL && FAULT(bucket_under_cross_lock))
				*spare = bucket_alloc(zone, NULL, M_NOWAIT);
			if (*spare == NULL)
				return (false);
			to = *spare;
			atomic_store_relaxed(&zone->domain[d].cross, to);
			*spare = NULL;
		}
		to->slot[to->count++] = b->slot[--b->count];
		if (to->count == to->max) {
			atomic_store_relaxed(&zone->domain[d].cross, NULL);
			to->next = full[d];
			full[d] = to;
		}
	}
	return (true);
}

/*
 * The frees of a CPU's cross bucket go home; the bucket is consumed. udata: of the free that filled it,
 * which for a zone of buckets says what may be asked for another one here: with an arena locked, no page.
 */
void
cross_sort(struct uma_zone *zone, struct uma_bucket *b, void *udata)
{
	struct uma_bucket *full[COOPER_MAXDOMAIN] = { NULL }, *spare = NULL, *next;
	smr_seq_t seq = b->seq;
	bool done;

	if (FAULT(sort_forgets_what_is_locked))
		udata = NULL;
	for (;;) {
		mtx_lock(&zone->cross_lock);
		done = sort_some(zone, b, &spare, full);
		mtx_unlock(&zone->cross_lock);
		if (done)
			break;
		if (spare == NULL && atomic_load_relaxed(&zone->sleepers) == 0)
			spare = bucket_alloc(zone, udata, M_NOWAIT);
		if (spare == NULL || atomic_load_relaxed(&zone->sleepers) != 0) {
			send_home(zone, b);
			break;
		}
	}
	if (spare != NULL)
		bucket_free(zone, spare, udata);
	b->seq = 0;
	bucket_free(zone, b, udata);

	/* Buckets of several CPUs were mixed: a goal of our own covers them all. */
	if (seq != 0)
		seq = smr_advance(zone->smr);
	for (int d = 0; d < (int)uma_ndomains; d++)
		for (b = full[d]; b != NULL; b = next) {
			next = b->next;
			b->next = NULL;
			b->seq = seq;
			zone_put_bucket(zone, d, b, true);
		}
}

/* A domain's partly filled cross bucket leaves the zone. */
void
cross_drain(struct uma_zone *zone, int domain)
{
	struct uma_bucket *b;

	if (!zone_is_first_touch(zone) || uma_ndomains < 3)
		return;
	mtx_lock(&zone->cross_lock);
	b = zone->domain[domain].cross;
	atomic_store_relaxed(&zone->domain[domain].cross, NULL);
	mtx_unlock(&zone->cross_lock);
	if (b == NULL)
		return;
	if ((zone->flags & UMA_ZONE_SMR) != 0)
		b->seq = smr_advance(zone->smr);
	bucket_drain(zone, b);
	bucket_free(zone, b, NULL);
}
