/*
 * Statistics of a hosted process: peeking at any process, saving at exit, taking part in a run.
 *
 * What the libc front calls, in this order, when COOPER_OPTIONS has stats=FILE:
 *	stats_run_start(path)        once, after cooper_start()
 *	stats_run_fork_child()       in the child, after the core's own fork handling
 *	stats_save(path)             when the process ends
 * None of them allocates from the core, takes a lock or changes errno; with no file they cost nothing.
 */
#ifndef STATS_SAVE_H
#define STATS_SAVE_H

#include "stats/stats.h"

/*
 * A peek at process *(const pid_t *)arg, by process_vm_readv(2): an address that is not mapped is
 * false, not a fault, also in our own process.
 */
bool stats_peek_pid(void *arg, uintptr_t addr, void *buf, size_t len);
/* stats_collector.resident of a process; arg as above. */
bool stats_resident_pid(void *arg, uintptr_t base, uint64_t bytes, uint64_t *out);

/*
 * Append this process's snapshot to the file as one line, with one write. Nothing is written when
 * the file cannot be opened or the process was made by vfork and is not the one that started. May be
 * called from a signal handler. What was saved once is not counted again by a later call.
 */
void stats_save(const char *path);

void stats_run_start(const char *path);
void stats_run_fork_child(void);

/* Before an exec that is likely to succeed: save as state "exec", stay on the board. */
void stats_save_exec(const char *path);

#endif
