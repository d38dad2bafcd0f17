/*
 * SMR zones: a freed item may still be read, so it is not reused before the readers that could see
 * it have left their sections.
 *
 * Frees gather in the CPU's free bucket only. A full one is tagged with a goal sequence and appended
 * to its domain's depot, oldest first; it is handed out (or drained) only when that goal has been
 * reached, and then its dtors run. A single item freed past the caches waits for the readers.
 */
#include "smr/smr_int.h"
#include "uma/uma_int.h"

/* The readers of a tagged bucket's items are gone: they may be reused. */
void
smr_bucket_ready(struct uma_zone *zone, struct uma_bucket *b)
{
	b->seq = 0;
	for (unsigned i = 0; i < b->count; i++)
		item_dtor(zone, b->slot[i], NULL);
}

/* Share a context with other zones. Before the first allocation; not one that is SMR_LAZY. */
void
uma_zone_set_smr(uma_zone_t zone, struct smr *smr)
{
	if (!check_setter(zone, "uma_zone_set_smr", zone->used) ||
	    MISUSE(smr == NULL, "uma_zone_set_smr: zone %s: no smr", zone->name) ||
	    MISUSE(zone->smr != NULL, "uma_zone_set_smr: zone %s has %s already", zone->name,
		zone->smr->name) ||
	    MISUSE((smr->flags & SMR_LAZY) != 0,
		"uma_zone_set_smr: zone %s: %s is lazy, and drains must wait", zone->name,
		smr->name))
		return;
	zone->smr = smr;
	zone->flags |= UMA_ZONE_SMR;
	zone_set_cache(zone);
	zone->flags &= ~ZF_TRASH;
	if (zone->keg != NULL && !zone->keg->used)
		zone->keg->flags &= ~ZF_TRASH;
}

struct smr *
uma_zone_get_smr(uma_zone_t zone)
{
	return (zone->smr);
}

/*
 * uma_zalloc for SMR zones. Items come as their last user left them: readers may still hold a
 * pointer got long ago, so a ctor must not break what they check.
 */
void *
uma_zalloc_smr(uma_zone_t zone, int flags)
{
	void *item;

	if (MISUSE((zone->flags & UMA_ZONE_SMR) == 0, "uma_zalloc_smr: zone %s is not an SMR zone",
		zone->name))
		return (NULL);
	item = percpu_pop(zone->cache);
	if (likely(item != NULL)) {
		if (likely((zone->flags & ZF_CTORDTOR) == 0 && (flags & M_ZERO) == 0))
			return (item);
		return (item_ctor(zone, item, NULL, flags, SKIP_NONE));
	}
	return (uma_zalloc_slow(zone, NULL, flags));
}

/*
 * uma_zfree for SMR zones; item must not be NULL. Its dtor runs when the readers have gone. Does not
 * wait for them as long as buckets can be had; without, it may, so call it with no lock held and
 * not from within a read section.
 */
void
uma_zfree_smr(uma_zone_t zone, void *item)
{
	MUST(item != NULL, "uma_zfree_smr: zone %s: NULL", zone->name);
	if (likely(percpu_push_free(zone->cache, item))) /* closed for ever in other zones */
		return;
	/* Warned of, then freed as it must be: dropping it would only add a leak. */
	(void)MISUSE((zone->flags & UMA_ZONE_SMR) == 0, "uma_zfree_smr: zone %s is not an SMR zone",
	    zone->name);
	uma_zfree_slow(zone, item, NULL);
}
