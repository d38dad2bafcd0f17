/*
 * What the walks over the rooms share: reading the target, following its lists, saying what is
 * damaged. A walk holds no pointer of the target for longer than one step.
 */
#ifndef STATS_COLLECT_H
#define STATS_COLLECT_H

#include "stats/stats.h"

struct uma_zone;
struct uma_keg;

#define STATS_MAXWALK 100000 /* more elements than any list of a working core has */

/* Copy a whole object of the target. */
#define PEEK(c, addr, obj) ((c)->peek((c)->peek_arg, (uintptr_t)(addr), (obj), sizeof(*(obj))))

/*
 * One list. at: address of the current link. A link that points at itself was taken off while we
 * looked at it. The circle is found by Brent's method: `mark` is where we were at step `power`.
 */
struct stats_walk {
	struct stats_collector *c;
	enum stats_section section;
	uintptr_t head, at, next, mark;
	unsigned steps, power;
};
void stats_walk_start(struct stats_walk *w, struct stats_collector *c, enum stats_section section,
    const struct list *head);
bool stats_walk_next(struct stats_walk *w); /* false: the end, or damage, which has been told */

void stats_emit(struct stats_collector *c, enum stats_section section, const void *record);
void stats_damaged(struct stats_collector *c, enum stats_section section, const char *fmt, ...)
    PRINTFLIKE(3, 4);

/* The string at addr, cut to STATS_NAME; "?" if it cannot be read. */
void stats_peek_name(struct stats_collector *c, char *dst, uintptr_t addr);

/* a - b where b may have been read later: 0 rather than a huge number. */
static inline uint64_t
stats_less(uint64_t a, uint64_t b)
{
	return ((int64_t)(a - b) > 0 ? a - b : 0);
}

static inline bool
stats_wanted(const struct stats_collector *c, enum stats_section s)
{
	return ((c->sections >> s & 1) != 0);
}

void stats_collect_zones(struct stats_collector *c);
void stats_collect_types(struct stats_collector *c);
void stats_collect_arenas(struct stats_collector *c);
void stats_collect_domains(struct stats_collector *c);
void stats_memory_zone(
    struct stats_collector *c, const struct uma_zone *z, const struct uma_keg *keg);
void stats_collect_memory(struct stats_collector *c);

#endif
