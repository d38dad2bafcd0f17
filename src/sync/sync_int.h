/*
 * What the files of this room share.
 */
#ifndef SYNC_INT_H
#define SYNC_INT_H

#include "sync/sync.h"

/* A thread's books of what it holds; debug shape only. */
void rank_check(const char *func, const char *name, enum lock_rank rank);
void rank_note(const struct mtx *m, enum lock_rank rank);
void rank_forget(enum lock_rank rank);
const char *rank_name(enum lock_rank rank);

/*
 * Every mtx, by rank. The registry's lock is below all ranks: mtx_init() and
 * mtx_destroy() may be called with any lock held.
 */
extern struct list mtx_registry[RANK_COUNT];
extern struct machine_lock registry_lock;

void waitq_start(void);
void waitq_forget_sleepers(void); /* after a fork: they were other threads */

#endif
