/*
 * Program counters of this very program, as people read them. Functions that the compiler put into
 * others are frames of their own. Looks at the program's own file and nowhere else.
 */
#ifndef LAB_REPORT_SYMBOLS_H
#define LAB_REPORT_SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

struct frame {
	const char *function; /* "?": unknown */
	const char *file;     /* from the source's root; NULL: unknown */
	unsigned line;
};

struct symbols;

struct symbols *symbols_open(void); /* never NULL; without debug information all is unknown */
void symbols_close(struct symbols *s);

/*
 * The frames of a call path of return addresses, innermost first; at most max. Left out are those of
 * the machine, the laboratory and the locks: what is left is the core and what called it. Texts live
 * until symbols_close().
 */
unsigned symbols_frames(
    struct symbols *s, const uintptr_t *pc, unsigned n, struct frame *frames, unsigned max);

/* The variable of the program that an address lies in; NULL: in none. */
const char *symbols_object(struct symbols *s, uintptr_t address, unsigned *offset);

#endif
