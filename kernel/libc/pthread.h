/*
 * A barrier, for the tests that want one outside of run_threads().
 */
#ifndef KERNEL_PTHREAD_H
#define KERNEL_PTHREAD_H

#include <stdint.h>

typedef struct barrier {
	uint32_t count, arrived, round;
} pthread_barrier_t;

int pthread_barrier_init(pthread_barrier_t *b, const void *attributes, unsigned count);
int pthread_barrier_wait(pthread_barrier_t *b);
int pthread_barrier_destroy(pthread_barrier_t *b);

#endif
