/*
 * Inside the SMR room: a context, and what start-up and fork ask of it.
 */
#ifndef SMR_SMR_INT_H
#define SMR_SMR_INT_H

#include <cooper/smr.h>
#include "base/atomic.h"
#include "sync/sync.h"

/* A CPU's part of a context. Threads share it: it is only a place that few others count at. */
struct smr_cpu {
	uint32_t
	    in[2]; /* readers who were counted in here and have not been counted out: by side */
	uint32_t deferred; /* DEFERRED: advances put off */
} ALIGNED(CACHE_LINE);

struct smr {
	/* Read by readers; written once a grace period. */
	uint32_t side;     /* which of in[2] a reader is counted in now */
	uint32_t sleepers; /* threads in smr_wait(): whoever empties a count looks */

	/* The writers' line. rd <= wr, and wr - rd stays below SMR_MAX_DELTA + a step a thread. */
	uint32_t wr ALIGNED(CACHE_LINE); /* the last goal that was published */
	uint32_t rd;     /* every goal up to this one is reached; changed under lock */
	uint32_t tick;   /* LAZY: when wr was last published */
	uint32_t target; /* what rd becomes when the grace period ends; under lock */
	bool grace;      /* a grace period is on: the other side empties; under lock */

	struct mtx lock;
	struct waitq queue;
	const char *name;
	uint32_t ncpus, limit, flags;
	struct smr *all;   /* the next of all contexts there ever were */
	struct smr *spare; /* the next of those that are not in use */
	struct smr_cpu cpu[];
};

#define SMR_MAX_DELTA  (UINT32_MAX / 4) /* how far wr may run ahead of rd */
#define SMR_TICK_SHIFT 20               /* a lazy tick is 2^20 ns */

/*
 * What a published goal adds. The debug shape begins near the wrap and goes in large steps, so that
 * each run meets wrapped numbers and the greatest distance.
 */
static inline uint32_t
smr_step(void)
{
	return (core_debug ? (UINT32_MAX / 10000 & ~1u) : 2);
}

/* a - b, modulo 2^32, as a distance: negative if a is older. */
static inline int32_t
smr_delta(smr_seq_t a, smr_seq_t b)
{
	if (FAULT(smr_does_not_wrap))
		return (a < b ? -1 : a > b);
	return ((int32_t)(a - b));
}

/* After sync_fork_child(): the readers of other threads are gone; ours stay counted. */
void smr_fork_child(void);

#endif
