/*
 * What the files of the test kernel ask of each other.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "machine/machine.h"

/* A suite of tests. */
struct machine_shape;
struct kernel_suite {
	const char *name;
	int (*start)(const struct machine_shape *shape, const char **why);
	int (*main)(int argc, char **argv);
};
extern const struct kernel_suite kernel_suite_table[]; /* suite.c; the last has no name */

bool kernel_heap_start(size_t bytes); /* before the machine is started */
char *kernel_heap_top(void);          /* behind it nothing is in use */
char *kernel_heap_end(void);
int kernel_suites(void);   /* all tests; 0 if none failed */
int kernel_tables(void);   /* some life, and all tables */
int kernel_build(void);    /* the kernel-build trace */
int kernel_hang(void);     /* does not return: the watchdog ends it */
int kernel_overflow(void); /* nor does this: a thread leaves its stack */
void kernel_print_tables(void);

/* Stop the machine with the chain of who waits for what when nobody has advanced for so long. */
void watchdog_start(unsigned seconds);
void watchdog_advance(void);                                /* something was done */
void kernel_owner(vm_offset_t va, char *line, size_t size); /* of an address, in words */
void chain_print(void); /* who waits on which channel, and what would release it */

#endif
