/*
 * Safe memory reclamation: readers that never wait, writers that know when readers have gone.
 * Semantics: FreeBSD's smr(9).
 */
#ifndef COOPER_SMR_H
#define COOPER_SMR_H

#include <cooper/types.h>

COOPER_BEGIN_DECLS

typedef struct smr *smr_t;
typedef uint32_t smr_seq_t;

#define SMR_LAZY     0x01 /* readers publish no fence; writers wait for ticks */
#define SMR_DEFERRED 0x02 /* advance only every `limit` calls a CPU */

smr_t smr_create(const char *name, int limit, int flags);
void smr_destroy(smr_t smr);
void smr_enter(smr_t smr);
void smr_exit(smr_t smr);
void smr_lazy_enter(smr_t smr);
void smr_lazy_exit(smr_t smr);
smr_seq_t smr_advance(smr_t smr);
bool smr_poll(smr_t smr, smr_seq_t goal, bool wait);
void smr_wait(smr_t smr, smr_seq_t goal);
void smr_synchronize(smr_t smr);

COOPER_END_DECLS

#endif
