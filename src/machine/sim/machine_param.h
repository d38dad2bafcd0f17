/*
 * The sim machine's constants. The page size is the build's: it is a constant of the core, so another
 * one is another build of it (-DSIM_PAGE_SHIFT=14).
 */
#ifndef MACHINE_PARAM_H
#define MACHINE_PARAM_H

#ifndef SIM_PAGE_SHIFT
#define SIM_PAGE_SHIFT 12
#endif

#define PAGE_SHIFT         SIM_PAGE_SHIFT
#define CACHE_LINE         64
#define MACHINE_MAP_ZEROES 0 /* a frame keeps what was in it, as on real machines */

/* A shared word is about to be read or written: a scheduling point (schedule.c). */
void sim_atomic(const volatile void *word);
#define MACHINE_POINT(word) sim_atomic(word)

#endif
