/*
 * Locks that know their place, and waiting that can be seen.
 *
 * LOCK ORDER. A thread takes locks in rising rank only, and never two of the same rank (unless the
 * table says so). The debug shape checks each acquisition and stops with both names. This table is
 * the one place where the order is written.
 *
 *   rank          guards                                                held across
 *   ------------  ----------------------------------------------------  ---------------------------
 *   TYPES         malloc types' list                                    nothing
 *   ARENAS        the list of arenas                                    nothing
 *   ZONES         the list of zones and kegs                            nothing (walkers take references)
 *   GATHER        the attempt of a waiting request for many pages (kmem)  tags, arena and page locks
 *   TAGS          the refill of the boundary-tag zone (kmem/tags.c)     arena, keg and page locks
 *   ARENA         one arena: segments, free lists, spare tags           tag zone allocation (NOVM)
 *   CROSS         sorting cross-domain frees of one zone                domain-cache locks
 *   ZDOMAIN       one zone's bucket cache in one domain, its limit      nothing
 *   KEG           one keg's slabs in one domain                         nothing
 *   SMR           one SMR context's slow state                          nothing
 *   PAGE          free pages of one domain                              nothing
 *   WAIT          wait queues of things without a lock of their own     nothing
 *   TABLE         the table of channels with sleepers (statistics)      nothing
 *   CPU           one CPU's caches, while a part is entered             nothing
 *
 * Every mtx is on a registry in order of rank, so that fork can hold them all (sync_fork_*).
 *
 * WAITING. A thread that waits does so on a named channel (struct waitq): first come, first served,
 * woken by the event it waits for, never polled. Every wait is visible with its channel, thread, age
 * and need while it lasts (sync_each_wait), and counted afterwards (channels with one name share a
 * counter: sync_each_channel).
 */
#ifndef SYNC_SYNC_H
#define SYNC_SYNC_H

#include "base/list.h"
#include "machine/machine.h"

enum lock_rank {
	RANK_TYPES = 1,
	RANK_ARENAS,
	RANK_ZONES,
	RANK_GATHER,
	RANK_TAGS,
	RANK_ARENA,
	RANK_CROSS,
	RANK_ZDOMAIN,
	RANK_KEG,
	RANK_SMR,
	RANK_PAGE,
	RANK_WAIT,
	RANK_TABLE,
	RANK_CPU,
	RANK_COUNT
};
_Static_assert(RANK_COUNT <= THREAD_RANKS, "a thread's books have room for each rank");

/* ---- mutexes ---------------------------------------------------------------------------------- */

struct mtx {
	struct machine_lock lock;
	uint8_t rank;               /* enum lock_rank */
	struct thread_state *owner; /* debug shape only */
	const char *name;           /* kept by reference */
	struct list registry;       /* on the list of this rank */
	uint64_t contended;         /* times lock() had to wait; under the lock */
};

void mtx_init(struct mtx *m, const char *name, enum lock_rank rank);
void mtx_destroy(struct mtx *m); /* must be unlocked */
void mtx_lock(struct mtx *m);
bool mtx_trylock(struct mtx *m); /* exempt from the order: it cannot deadlock */
void mtx_unlock(struct mtx *m);
bool mtx_owned(const struct mtx *m); /* exact in the debug shape; "somebody's" otherwise */

/* CHECK that this thread holds no mtx and has entered no CPU's caches: "may sleep here". */
void sync_assert_may_sleep(const char *func);

/* ---- wait queues ---------------------------------------------------------------------------------- */

struct waitq {
	const char *name; /* the channel: "vmwait", "zonelimit", "btalloc", an arena's name, ... */
	struct list
	    waiters; /* struct waiter, oldest first; the caller's mtx and TABLE to change it */
	uint32_t nwaiters;
	struct list table;       /* on the table of channels while nwaiters > 0 */
	struct channel *channel; /* shared counters of this name; set at first sleep */
};

void waitq_init(struct waitq *q, const char *name);
void waitq_destroy(struct waitq *q); /* nobody may sleep on it */

/* One sleeper; on its stack. */
struct waiter {
	struct list link;
	struct thread_state *thread;
	uint64_t id, since, need; /* machine_thread_id(), machine_now(), see waitq_sleep() */
	uint32_t woken;
};

/*
 * Sleep until woken: m, which guards the queue, is dropped while asleep and held again on return.
 * `need` is what is waited for (bytes, items, pages: the channel's unit), for the tables. deadline
 * 0 = none. Returns 0 when woken by waitq_wake_*, COOPER_ETIMEDOUT at the deadline. No other lock
 * may be held. A woken thread re-checks its condition: wake is a hint that it may hold now.
 */
int waitq_sleep(struct waitq *q, struct mtx *m, uint64_t need, uint64_t deadline);

/* Wake the oldest sleeper / all; m held. Returns how many were woken. */
unsigned waitq_wake_one(struct waitq *q);
unsigned waitq_wake_all(struct waitq *q);

/* ---- for statistics ------------------------------------------------------------------------------- */

struct wait_info {
	const char *channel;
	uint64_t thread, since, need; /* since: machine_now() at the time of going to sleep */
};
struct channel {
	char name[32]; /* its own: a channel outlives the arenas and zones that it is named after */
	uint64_t sleeps, timeouts, total_ns, max_ns;
	struct list link;
};
/* Both guarded by the TABLE lock; fn is called with it held and takes no lock. */
extern struct list sync_channels; /* struct channel: every name that was ever slept on */
extern struct list sync_waiting;  /* struct waitq: queues with sleepers */
void sync_each_wait(void (*fn)(const struct wait_info *, void *), void *arg);
void sync_each_channel(void (*fn)(const struct channel *, void *), void *arg);

/* ---- start and fork ---------------------------------------------------------------------------------- */

void sync_start(void); /* before the first mtx_init */

/*
 * For pthread_atfork(): hold every lock, in order, so that no core state is half-way; release them;
 * make them new in the child, where the sleepers of other threads are gone. prepare may wait for a
 * reclaim pass to end; the caller holds no core lock. Nothing happens in a process that never had a
 * second thread.
 */
void sync_fork_prepare(void);
void sync_fork_parent(void);
void sync_fork_child(void);

#endif
