/*
 * Waiting for what may rest in a zone's caches.
 *
 * An item in a CPU's cache or a depot is free to its zone alone: nobody who waits for the item, or for
 * what it is made of, would ever see it. So whoever waits (for a limit; in an arena with quantum
 * caches) announces himself in struct uma_zone.sleepers and then empties the caches. From then on, and
 * until zone_wait_end(), the zone holds no item, and each that a thread gives up on the way leaves it
 * through zone_release(), which tells those who wait.
 *
 * Why: all that puts items into a place looks at `sleepers` with that place locked, after locking it,
 * and puts nothing there if anybody is announced: cache_exit(), may_load() and cache_free() for a
 * CPU's part (fast operations work only on stacks that cache_exit() left open), zone_put_bucket() for
 * a depot, sort_some() for cross buckets. The one who waits locks each place after announcing
 * himself. Whoever was there first: either he finds the items, or they see him. A part that was never
 * used is not locked but skipped by the mark that cache_enter() makes; mark and announcement are each
 * written before the other is read, in one order of all. A bucket in a thread's hands, from a fetch, a
 * fill or a drain, is in no place: it meets this rule when it is put somewhere, or is drained.
 */
#ifndef UMA_WAITING_H
#define UMA_WAITING_H

#include <cooper/uma.h>

/* Announce; then empty the caches of each announced zone, with no lock held. */
void zone_wait_begin(uma_zone_t zone);
void zone_wait_end(uma_zone_t zone);
void zone_empty(uma_zone_t zone);
void zone_empty_waited(void); /* of all zones that somebody waits for */

/* The user got an item of this zone straight from where it imports: counted as the zone's. */
void zone_adopt_item(uma_zone_t zone);

#endif
