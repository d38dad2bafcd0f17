/*
 * The sim machine's constants, of which the page size is none: each run has its own.
 */
#ifndef MACHINE_PARAM_H
#define MACHINE_PARAM_H

extern unsigned sim_page_shift; /* see sim.h */

#define PAGE_SHIFT         sim_page_shift
#define CACHE_LINE         64
#define MACHINE_MAP_ZEROES 0 /* a frame keeps what was in it, as on real machines */

/* A shared word is about to be read or written: a scheduling point (schedule.c). */
void sim_atomic(const volatile void *word);
void sim_look(const volatile void *word);
#define MACHINE_POINT(word) sim_atomic(word)
#define MACHINE_LOOK(word)  sim_look(word) /* only read */

#endif
