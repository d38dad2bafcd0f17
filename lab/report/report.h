/*
 * The report of one run: what happened, why it ended as it did, how it looked on the way.
 *
 * A run that found something was cheap: nobody wrote down what happened. report_make() runs the same
 * spec and schedule again, which is the same run step for step, with an observer that keeps
 * everything. The rest reads what it kept:
 *
 *	record.c    the observer: events, sleeps, who has which lock, which call of which fiber
 *	meters.c      amounts that are looked at after each unlock, with the call path of each change
 *	names.c       names of what addresses in events stand for
 *	ending.c      zones, arenas, pages and sleepers as they are at the end
 *	recording.c keeps it: plain data, which knows nothing of the core (recording.h)
 *	symbols.c   function and line of a program counter of this program
 *	explain.c   from who waits to why nobody can bring it back: a graph and one paragraph (explain.h)
 *	graph.c       its nodes and edges, and what is printed of them
 *	json.c      all of it as JSON
 *	steps.c     step by step, for a terminal
 *	html.c      one page: page.html with the JSON in it; embed.py makes text of it for the compiler
 *
 * Nothing here changes a run, and nothing is written but to the streams given.
 */
#ifndef LAB_REPORT_H
#define LAB_REPORT_H

#include <jansson.h>
#include <stdio.h>
#include "lab/run.h"

struct report;

/*
 * Run it again and record it. schedule NULL: the default answers. Copies what it is given, but not the
 * scenario; never NULL. The result is this run's: a caller who knows the trace hash compares.
 */
struct report *report_make(const struct lab_spec *spec, const struct lab_schedule *schedule);
void report_free(struct report *report);
const struct lab_result *report_result(const struct report *report);

/* The explanation: one paragraph and the chain, at most 100 columns wide. */
void report_print(const struct report *report, FILE *to);

/*
 * Steps first..last, one line each, dull ones drawn together; last 0: until the end. `colour`: with
 * escape sequences for a terminal. False: there is no such step, and nothing was written.
 */
bool report_steps(
    const struct report *report, FILE *to, uint64_t first, uint64_t last, bool colour);

/* A new reference to all of it: see docs/laboratory.md. */
json_t *report_json(const struct report *report);

/* One self-contained page. False: the stream failed, errno says how. */
bool report_html(const struct report *report, FILE *to);

#endif
