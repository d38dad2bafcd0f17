/* Constants of this machine. */
#define PAGE_SHIFT          12
#define CACHE_LINE          64
#define MACHINE_MAP_ZEROES  0         /* a page keeps what was in it */
#define MACHINE_POINT(word) ((void)0) /* no laboratory here */
