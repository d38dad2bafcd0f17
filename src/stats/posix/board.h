/*
 * The board of a run: a file, mapped by every process of the run and by its runner, that tells who
 * is alive and what the dead have done, so that `cooper run --progress` need not wait for saved
 * statistics and misses nobody.
 *
 * The file is named after the run's statistics file with STATS_BOARD_SUFFIX. The runner makes it
 * and removes it; a process that finds none has no runner and does nothing here.
 *
 * A process takes a slot by writing its pid where 0 was (compare and swap) and gives it back by
 * writing 0 last; exec keeps pid and slot. A process that was killed leaves its pid behind: the
 * runner sees that nobody has this pid and clears the slot. Everything is changed by atomics; no
 * reader trusts what it finds beyond a pid, since any process of the run can write here.
 */
#ifndef STATS_BOARD_H
#define STATS_BOARD_H

#include <stdint.h>

#define STATS_BOARD_SUFFIX ".run"
#define STATS_BOARD_MAGIC  0x636f6f7065720001ull /* "cooper", format 1 */
#define STATS_BOARD_SLOTS  16384
#define STATS_BOARD_PROBE  64 /* slots a pid may be in, from pid modulo the number of slots */

struct stats_board_slot {
	uint32_t pid;  /* 0: nobody's */
	uint32_t word; /* bits of an address there */
	uint64_t root; /* address of cooper_stats_root; 0: not known yet */
};

struct stats_board {
	uint64_t magic;
	uint64_t processes;              /* that have started */
	uint64_t images;                 /* programs: processes and execs */
	uint64_t ended;                  /* processes that have said good-bye */
	uint64_t lost;                   /* processes that went without a word: killed */
	uint64_t crowded;                /* processes that found no slot */
	uint64_t allocs, passes, sleeps; /* of those that have ended or exec'd */
	struct stats_board_slot slot[STATS_BOARD_SLOTS];
};

#endif
