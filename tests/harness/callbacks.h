/*
 * Callbacks of zones that do next to nothing. A cache zone over the first two has items that are all
 * its `arg`.
 */
#ifndef HARNESS_CALLBACKS_H
#define HARNESS_CALLBACKS_H

int import_arg(void *arg, void **store, int count, int domain, int flags);
void release_arg(void *arg, void **store, int count); /* each must be arg */

int init_nothing(void *mem, int size, int flags);
void fini_nothing(void *mem, int size);

#endif
