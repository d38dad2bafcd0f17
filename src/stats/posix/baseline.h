/*
 * Counters relative to what they were when this process last forked or saved, so that sums over all
 * that was saved count nothing twice. A visitor that stands between the collector and another one.
 */
#ifndef STATS_BASELINE_H
#define STATS_BASELINE_H

#include "stats/stats.h"

struct stats_baseline {
	struct stats_visitor next; /* gets the records made relative; none: only note */
	size_t cursor;
	uint32_t pass;
};

/* One pass over all records begins. Without memory for it counters stay as they are. */
struct stats_baseline stats_baseline_start(void);

/* A stats_visitor's function; arg: struct stats_baseline. What it sees is the new baseline. */
void stats_baseline_record(void *arg, enum stats_section s, const void *record);

#endif
