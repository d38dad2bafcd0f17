/*
 * The posix machine's constants.
 */
#ifndef MACHINE_PARAM_H
#define MACHINE_PARAM_H

#define PAGE_SHIFT          12
#define CACHE_LINE          64
#define MACHINE_MAP_ZEROES  1         /* memory is discarded on unmap: a new mapping reads zero */
#define MACHINE_POINT(word) ((void)0) /* nothing schedules here but the kernel */
#define MACHINE_HOST        1         /* memory goes back to somebody, who says when it is short */

#endif
