/*
 * Let others run.
 */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

int sched_yield(void);

#endif
