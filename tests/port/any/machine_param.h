/*
 * A machine in plain C, for any compiler: the core is compiled for CPUs here that no port exists for yet.
 */
#ifndef MACHINE_PARAM_H
#define MACHINE_PARAM_H

#define PAGE_SHIFT          12
#define CACHE_LINE          64
#define MACHINE_MAP_ZEROES  0
#define MACHINE_POINT(word) ((void)0)

#endif
