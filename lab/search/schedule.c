/*
 * Lists of deviations that grow.
 */
#include <stdlib.h>
#include <string.h>
#include "lab/search/search.h"

static void
room_for(struct lab_schedule *s, unsigned n)
{
	if (n <= s->room)
		return;
	s->room = n < 64 ? 64 : 2 * n;
	s->deviation = realloc(s->deviation, s->room * sizeof(*s->deviation));
	if (s->deviation == NULL) {
		fputs("cooper-lab: out of memory\n", stderr);
		abort();
	}
}

void
schedule_add(struct lab_schedule *s, uint64_t step, enum sim_choice choice, unsigned value)
{
	room_for(s, s->n + 1);
	s->deviation[s->n++] = (struct sim_deviation){ step, (uint8_t)choice, (uint8_t)value };
}

void
schedule_copy(struct lab_schedule *to, const struct lab_schedule *from)
{
	room_for(to, from->n);
	if (from->n > 0)
		memcpy(to->deviation, from->deviation, from->n * sizeof(*to->deviation));
	to->n = from->n;
}

void
schedule_free(struct lab_schedule *s)
{
	free(s->deviation);
	*s = (struct lab_schedule){ NULL, 0, 0 };
}
