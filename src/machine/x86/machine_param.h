/*
 * Constants of the bare x86 machines, both widths.
 */
#ifndef MACHINE_PARAM_H
#define MACHINE_PARAM_H

#define PAGE_SHIFT         12
#define CACHE_LINE         64
#define MACHINE_MAP_ZEROES 0         /* a frame keeps what was in it */
#define MACHINE_POINT(p)   ((void)0) /* the timer cuts in where it likes */

#endif
