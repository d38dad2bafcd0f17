/*
 * What lab/run.c and lab/threads.c share.
 */
#ifndef LAB_RUN_INT_H
#define LAB_RUN_INT_H

#include "lab/run.h"

/* Before the scenario's setup(), on fiber 0; and until all of its threads have ended. */
void threads_begin(uint64_t seed, bool small);
void threads_join(void);

#endif
