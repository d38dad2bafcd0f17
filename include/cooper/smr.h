/*
 * Safe memory reclamation: readers that never wait, writers that know when readers have gone.
 *
 * Readers walk a structure between smr_enter() and smr_exit(). A writer unlinks an item, takes a
 * goal from smr_advance() and may reuse the item once smr_poll() says that the goal is reached: by
 * then everybody who could have seen it has left. UMA does this for zones made with UMA_ZONE_SMR.
 *
 *	smr_enter(smr);                         unlink(item);
 *	item = lookup(key);                     goal = smr_advance(smr);
 *	... use it, do not sleep ...            smr_wait(smr, goal);
 *	smr_exit(smr);                          reuse(item);
 *
 * Semantics: FreeBSD's smr(9), with these differences. A reader may be preempted and may migrate,
 * as threads of a process do. smr_advance() never waits. smr_wait() sleeps on channel "smr" and is
 * woken by the last reader instead of spinning. Lazy readers cost the same as others.
 */
#ifndef COOPER_SMR_H
#define COOPER_SMR_H

#include <cooper/types.h>

COOPER_BEGIN_DECLS

typedef struct smr *smr_t;
typedef uint32_t smr_seq_t; /* odd; compared modulo 2^32; 0 is never one */

#define SMR_LAZY     0x01 /* goals come due at most once a millisecond; no waiting */
#define SMR_DEFERRED 0x02 /* ... at every limit-th smr_advance() of a CPU, or on a wait */

/*
 * A new context; `name` is kept by reference. limit: for SMR_DEFERRED, at least 1. Does not sleep.
 * NULL when the machine is out of memory for tables.
 */
smr_t smr_create(const char *name, int limit, int flags);

/* Waits for the readers that are in; no new one may come. May sleep. */
void smr_destroy(smr_t smr);

/*
 * A read section. Never waits. Sections of different contexts may nest, four deep; a second one of
 * the same context is an error, and so is sleeping in one. smr_lazy_*() are for SMR_LAZY contexts,
 * the others for the rest.
 */
void smr_enter(smr_t smr);
void smr_exit(smr_t smr);
void smr_lazy_enter(smr_t smr);
void smr_lazy_exit(smr_t smr);

/*
 * A goal that is reached when everybody has left who was in a read section at the time of the call.
 * Orders the caller's earlier stores before it. Never sleeps; may be called with core locks held.
 * Not from within a read section of the same context.
 */
smr_seq_t smr_advance(smr_t smr);

/*
 * Is the goal reached? A goal that has expired (more than 2^31 behind) is. With `wait`: sleep until
 * it is, and return true; not from within a read section of the same context, nor for SMR_LAZY.
 */
bool smr_poll(smr_t smr, smr_seq_t goal, bool wait);

void smr_wait(smr_t smr, smr_seq_t goal); /* smr_poll(smr, goal, true) */
void smr_synchronize(smr_t smr);          /* smr_wait(smr, smr_advance(smr)) */

COOPER_END_DECLS

#endif
