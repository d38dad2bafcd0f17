/*
 * Where there is no libdw (32-bit libraries often lack it) program counters have no names: the same
 * explanations without call paths.
 */
#include <stddef.h>
#include "lab/report/symbols.h"

struct symbols {
	bool open;
};

struct symbols *
symbols_open(void)
{
	static struct symbols none = { true };

	return (&none);
}

void
symbols_close(struct symbols *s)
{
	(void)s;
}

unsigned
symbols_frames(
    struct symbols *s, const uintptr_t *pc, unsigned n, struct frame *frames, unsigned max)
{
	(void)s, (void)pc, (void)n;
	(void)frames, (void)max;
	return (0);
}

const char *
symbols_object(struct symbols *s, uintptr_t address, unsigned *offset)
{
	(void)s, (void)address, (void)offset;
	return (NULL);
}
