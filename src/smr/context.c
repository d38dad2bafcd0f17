/*
 * SMR contexts: making, ending, and what a fork leaves of them.
 *
 * A context's memory is boot memory, which exists before zones do and never goes back; an ended
 * context waits on a list for the next one. Both lists change by single atomic steps: `contexts`
 * only grows, and `spares` is taken as a whole, so that no element can come and go under a reader.
 */
#include "smr/smr_int.h"

CORE_STATE static struct smr *contexts; /* all there ever were, by `all` */
CORE_STATE static struct smr *spares;   /* those not in use, by `spare` */

static void
put_spare(struct smr *smr)
{
	smr->spare = atomic_load_relaxed(&spares);
	while (!atomic_cas(&spares, &smr->spare, smr))
		continue;
}

static struct smr *
get_spare(void)
{
	struct smr *first = atomic_exchange(&spares, (struct smr *)NULL), *rest, *next;

	if (first == NULL)
		return (NULL);
	for (rest = first->spare; rest != NULL; rest = next) {
		next = rest->spare;
		put_spare(rest);
	}
	return (first);
}

static struct smr *
new_context(uint32_t ncpus)
{
	size_t bytes = sizeof(struct smr) + ncpus * sizeof(struct smr_cpu);
	struct smr *smr = machine_boot_alloc(bytes, CACHE_LINE);

	if (smr == NULL)
		return (NULL);
	smr->all = atomic_load_relaxed(&contexts);
	while (!atomic_cas(&contexts, &smr->all, smr))
		continue;
	return (smr);
}

smr_t
smr_create(const char *name, int limit, int flags)
{
	uint32_t ncpus = cooper_shape()->ncpus;
	struct smr *smr;
	bool sane =
	    (flags & ~(SMR_LAZY | SMR_DEFERRED)) == 0 && (limit > 0 || (flags & SMR_DEFERRED) == 0);

	CHECK(sane, "%s: %s: limit %d, flags 0x%x", __func__, name, limit, (unsigned)flags);
	CHECK(name != NULL, "%s: no name", __func__);
	if (!sane || name == NULL || inject_failure())
		return (NULL);
	smr = get_spare();
	if (smr == NULL)
		smr = new_context(ncpus);
	if (smr == NULL)
		return (NULL);
	smr->name = name;
	smr->ncpus = ncpus;
	smr->limit = (uint32_t)limit;
	smr->flags = (uint32_t)flags;
	smr->wr = smr->rd = core_debug ? UINT32_MAX - 100000 * 2 : 1;
	mtx_init(&smr->lock, name, RANK_SMR);
	waitq_init(&smr->queue, "smr");
	return (smr);
}

void
smr_destroy(smr_t smr)
{
	smr->flags &= ~(uint32_t)SMR_LAZY; /* its last goals are due now: nobody comes after */
	smr_synchronize(smr);
	waitq_destroy(&smr->queue);
	mtx_destroy(&smr->lock);
	put_spare(smr);
}

void
smr_fork_child(void)
{
	struct thread_state *ts = machine_thread_state();

	for (struct smr *smr = contexts; smr != NULL; smr = smr->all) {
		for (uint32_t i = 0; i < smr->ncpus; i++)
			smr->cpu[i].in[0] = smr->cpu[i].in[1] = 0;
		smr->sleepers = 0;
	}
	for (uint32_t i = 0; i < ts->smr_nest; i++)
		*ts->smr[i].count = 1;
}
