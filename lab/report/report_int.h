/*
 * What the views of a report share.
 */
#ifndef LAB_REPORT_INT_H
#define LAB_REPORT_INT_H

#include "lab/report/explain.h"
#include "lab/report/report.h"

struct report {
	struct recording *recording;
	struct symbols *symbols;
	struct explanation *explanation;
};

/* What report_make() makes of a recording, after the run; it takes over both. */
struct report *report_of(struct recording *r, struct symbols *symbols);

/* ---- steps.c ---- */

/* What happened, in words: "takes keg \"files\"". Cut to fit. */
void event_words(
    const struct explanation *e, const struct rec_event *event, char *text, size_t size);
/* One of the many that say little by themselves. */
bool event_is_dull(const struct rec_event *event);

/* ---- json.c ---- */

json_t *json_text(const char *text);              /* a string */
json_t *report_cpus(const struct report *report); /* the last steps of each CPU: "cpus" */

#endif
