/*
 * What the runner asks of the oracles. An oracle looks at a run while it goes on and says when a
 * promise is broken: the first finding ends the run.
 *
 *	oracles_begin(spec)                      before sim_run()
 *	  cooper_start()                         on fiber 0
 *	  oracles_started()                      the books are read
 *	  setup(), threads run to their ends     oracles_event() for each event
 *	  oracles_settled()                      nobody is inside the core any more
 *	  finish()
 *	  oracles_finished(result)               everything is given back: the books must balance
 *	oracles_end(how sim_run() ended, result) the verdict and its line
 *
 * Whatever else finds a promise broken (lab_must()) says so with oracle_broken() too.
 */
#ifndef LAB_ORACLES_H
#define LAB_ORACLES_H

#include "lab/run.h"

void oracles_begin(const struct lab_spec *spec);
void oracles_started(void);
void oracles_event(const struct sim_event *event);
void oracles_settled(void);
/* Drains everything; fills in pages_stranded and tags_peak_bytes. On fiber 0. */
void oracles_finished(struct lab_result *result);
/* Fills in verdict and line. */
void oracles_end(enum sim_end end, struct lab_result *result);

/*
 * A promise is broken: keeps the verdict and the line (the first of a run counts) and ends the run
 * with sim_stop(). May return: when called from event().
 */
void oracle_broken(enum lab_verdict verdict, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Told of everything that goes from hand to hand, on the fiber that takes or gives it: a zone's item,
 * an arena's range. For who records a run; NULL otherwise.
 */
extern void (*shadow_hands)(const char *of, uint64_t address, uint64_t size, bool out);

/*
 * Who waits for what, and what is free, in one line: "worker 2 sleeps on "btalloc" ...". For
 * verdicts about hangs.
 */
void oracles_describe_hang(char *line, size_t size);

#endif
