/*
 * Recordings written by hand: stories whose explanation is known.
 */
#ifndef TESTS_LAB_RECORDINGS_H
#define TESTS_LAB_RECORDINGS_H

#include "lab/report/recording.h"

/*
 * No direct map, a reserve of 8 tags. Thread 3 reclaims and takes the free tags from 254 to 0 at step
 * 7914, in keg_drain(); threads 1 and 2 sleep on "btalloc" from steps 8120 and 8300; thread 4 has
 * ended. 40 pages and 512 pages of address space are free.
 */
struct recording *recording_of_hang(void);
#define HANG_FATAL_STEP 7914

/* Threads 1 and 2 each hold the lock that the other one waits for. */
struct recording *recording_of_deadlock(void);

/* Thread 1 sleeps on the limit of zone "files" though thread 2 gave an item back at step 500. */
struct recording *recording_of_lost_wakeup(void);

/* The hang, with names that try to get out of the page, of the terminal and of UTF-8. */
struct recording *recording_of_hostile_names(void);
#define HOSTILE_NAME "</script><b id='out'>&\"\033[31m\377\n\342\200\256x"

/* Nothing happened. */
struct recording *recording_of_peace(void);

/* Any of them by its name: "hang", ...; NULL: there is no such one. */
struct recording *recording_named(const char *name);

#endif
