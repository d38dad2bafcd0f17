/*
 * What the files that watch a run share.
 */
#ifndef LAB_REPORT_RECORD_H
#define LAB_REPORT_RECORD_H

#include "lab/report/names.h"
#include "lab/view.h"

#define WATCHED_MAX 256 /* zones with limits, arenas and channels at one time */

struct watched { /* an object with a meter of its own */
	const void *object;
	unsigned meter;
	bool seen;
};

struct recorder {
	struct recording *r;
	struct names *names;
	bool started; /* the core's lists are there */
	unsigned gauge_meter[LAB_GAUGES], reserve_meter;
	struct watched watched[WATCHED_MAX];
	unsigned nwatched;
};

/* The call path of a fiber: a running or waiting one. */
uint32_t record_path(struct recorder *rec, unsigned fiber);

/* ---- meters.c ---- */
void meters_start(struct recorder *rec);
void meters_look(struct recorder *rec, const struct sim_event *event);

/* ---- ending.c ---- */
void record_ending(struct recorder *rec);

#endif
