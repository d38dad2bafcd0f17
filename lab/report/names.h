/*
 * Names for what addresses in events stand for, while the run that made them lasts.
 */
#ifndef LAB_REPORT_NAMES_H
#define LAB_REPORT_NAMES_H

#include "lab/report/recording.h"
#include "lab/report/symbols.h"

struct names;

struct names *names_new(struct recording *r, struct symbols *symbols);
void names_free(struct names *n);

/* The text for an event's object; 0: it has no name. */
uint32_t names_of(struct names *n, const struct sim_event *event);
/* Objects were made or destroyed: what is known may not hold any more. */
void names_forget(struct names *n);

/* A zone's, keg's or arena's name by any address inside of it; 0: in none. */
uint32_t names_owner(struct names *n, const void *address);

#endif
