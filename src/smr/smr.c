/*
 * Safe memory reclamation: sequences, readers, polls.
 *
 * FreeBSD's readers are critical sections: one a CPU at most, and it stays there, so each CPU
 * stores the sequence that its reader observed. Here a reader may be preempted in its section,
 * others may run their own on the same CPU, and it may leave on another. So readers are counted:
 *
 *	cpu[0].in[2]   cpu[1].in[2]   ...      side: which of the two new readers count in
 *	  0   2          1   0                 the other: the readers that a grace period waits for
 *
 * A reader adds one to in[side] of the CPU it is on, remembers where (in its thread state), and
 * looks at `side` again: if it changed, it counts itself out and starts over. Leaving, it takes one
 * off where it was counted, wherever it runs by then.
 *
 * A grace period (under the lock): note the last published goal as `target`, flip `side`, and wait
 * until the old side's counts are zero, each looked at once; then rd = target.
 *
 * Why a goal is reached only when its readers have gone:
 *  1. The count and the second look at `side` are sequentially consistent, as are the flip and the
 *     looks at the counts. So a reader that was satisfied by its second look either has been
 *     counted before the flip, and is seen until it leaves; or looked after the flip, on the new
 *     side, and sees what was unlinked before: each of unlinking, publishing the goal (or the look
 *     at wr by which it was put off), reading `target` and the flip happens before the next.
 *  2. Each count is exact, as a reader leaves where it entered; so it is zero only when none of its
 *     readers is in, and counts may be looked at one by one: no valid reader joins the old side.
 *     One whose second look fails adds to it for a moment: that only delays.
 *  3. A side is flipped to only when its last grace period is over, so a reader found valid there
 *     entered after that flip. (Two flips between the two looks of a reader: it is counted on the
 *     side that is current at the second look, and this argument counts from there.)
 *
 * Goals. wr is the last published one. smr_advance() publishes wr + step; contexts that put this
 * off (LAZY, DEFERRED, and any one whose wr is SMR_MAX_DELTA ahead of rd, behind a reader that does
 * not leave) hand out wr + step unpublished, a goal that a later advance publishes. So goals are
 * never more than one step ahead of wr; one that seems to be has expired (R30), and is reached.
 *
 * Locks: smr.lock (rank SMR) guards the grace period, rd and the queue.
 */
#include "smr/smr_int.h"

/* ---- grace periods: the lock is held -------------------------------------------------------------- */

/* Is a reader counted on the side that new readers no longer take? */
static bool
readers_left(const struct smr *smr)
{
	uint32_t old = !smr->side;

	for (uint32_t i = 0; i < smr->ncpus; i++)
		if (atomic_load_seq(&smr->cpu[i].in[old]) != 0)
			return (true);
	return (false);
}

/* Has the grace period that is on ended? */
static bool
grace_over(struct smr *smr)
{
	if (readers_left(smr))
		return (false);
	smr->grace = false;
	atomic_store_release(&smr->rd, smr->target);
	(void)waitq_wake_all(&smr->queue);
	return (true);
}

/* Bring rd as far as the readers allow, up to what wr is now. */
static void
advance_read_locked(struct smr *smr)
{
	if (smr->grace && !grace_over(smr) && !FAULT(smr_grace_cut_short))
		return;
	smr->target = atomic_load_seq(&smr->wr);
	if (smr->target == smr->rd)
		return;
	smr->grace = true;
	atomic_store_seq(&smr->side, !smr->side);
	(void)grace_over(smr);
}

static NOINLINE void
advance_read(struct smr *smr)
{
	mtx_lock(&smr->lock);
	advance_read_locked(smr);
	mtx_unlock(&smr->lock);
}

/* ---- readers ------------------------------------------------------------------------------------ */

static int
section_of(const struct thread_state *ts, const struct smr *smr)
{
	for (uint32_t i = 0; i < ts->smr_nest; i++)
		if (ts->smr[i].smr == smr)
			return ((int)i);
	return (-1);
}

static void
count_out(struct smr *smr, uint32_t *count)
{
	/* With sleepers about, whoever leaves a count empty ends their grace period, if he can. */
	if (atomic_fetch_add_seq(count, -1u) == 1 && unlikely(atomic_load_seq(&smr->sleepers) != 0))
		advance_read(smr);
}

static void
enter(struct smr *smr, const char *func)
{
	struct thread_state *ts = machine_thread_state();
	unsigned cpu = machine_cpu();
	uint32_t side, *count;

	MUST(ts->smr_nest < THREAD_SMR_NEST, "%s: %s: %u read sections are open", func, smr->name,
	    ts->smr_nest);
	CHECK(section_of(ts, smr) < 0, "%s: %s: already in a read section of it", func, smr->name);
	for (;;) {
		side = atomic_load_relaxed(&smr->side);
		count = &smr->cpu[likely(cpu < smr->ncpus) ? cpu : 0].in[side];
		(void)atomic_fetch_add_seq(count, 1u);
		if (likely(atomic_load_seq(&smr->side) == side))
			break;
		count_out(smr, count);
	}
	ts->smr[ts->smr_nest].smr = smr;
	ts->smr[ts->smr_nest].count = count;
	ts->smr_nest++;
}

static void
leave(struct smr *smr, const char *func)
{
	struct thread_state *ts = machine_thread_state();
	int i = section_of(ts, smr);
	uint32_t *count;

	MUST(i >= 0, "%s: %s: not in a read section of it", func, smr->name);
	count = ts->smr[i].count;
	ts->smr[i] = ts->smr[--ts->smr_nest];
	count_out(smr, count);
}

void
smr_enter(smr_t smr)
{
	(void)MISUSE((smr->flags & SMR_LAZY) != 0, "%s: %s is lazy", __func__, smr->name);
	enter(smr, __func__);
}

void
smr_exit(smr_t smr)
{
	leave(smr, __func__);
}

void
smr_lazy_enter(smr_t smr)
{
	(void)MISUSE((smr->flags & SMR_LAZY) == 0, "%s: %s is not lazy", __func__, smr->name);
	enter(smr, __func__);
}

void
smr_lazy_exit(smr_t smr)
{
	leave(smr, __func__);
}

/* ---- goals ---------------------------------------------------------------------------------------- */

/* Is wr so far ahead that another step could make old and new goals look alike? */
static bool
too_far(struct smr *smr)
{
	uint32_t rd = atomic_load_acquire(&smr->rd); /* first: wr is never behind it */

	return (atomic_load_relaxed(&smr->wr) - rd > SMR_MAX_DELTA);
}

/* Publish a goal, unless a reader that stays holds rd back too far. Returns wr. */
static smr_seq_t
publish(struct smr *smr)
{
	if (unlikely(too_far(smr))) {
		advance_read(smr);
		if (too_far(smr))
			return (atomic_load_seq(&smr->wr));
	}
	return (atomic_fetch_add_seq(&smr->wr, smr_step()) + smr_step());
}

/* Shall this advance be put off? */
static bool
put_off(struct smr *smr)
{
	if ((smr->flags & SMR_DEFERRED) != 0) {
		unsigned cpu = machine_cpu();
		uint32_t *deferred = &smr->cpu[cpu < smr->ncpus ? cpu : 0].deferred;

		if (atomic_add_fetch(deferred, 1u) < smr->limit)
			return (true);
		atomic_store_relaxed(deferred, 0u);
	}
	if ((smr->flags & SMR_LAZY) != 0) {
		uint32_t now = (uint32_t)(machine_now() >> SMR_TICK_SHIFT);

		if (atomic_load_relaxed(&smr->tick) == now)
			return (true);
		atomic_store_relaxed(&smr->tick, now);
	}
	return (false);
}

smr_seq_t
smr_advance(smr_t smr)
{
	smr_seq_t wr, before;

	CHECK(section_of(machine_thread_state(), smr) < 0, "%s: %s: in a read section of it",
	    __func__, smr->name);
	/* A write, so that whoever publishes after it has the caller's unlinking before him. */
	before = atomic_fetch_add_seq(&smr->wr, 0u);
	if (put_off(smr))
		return (before + smr_step());
	wr = publish(smr);
	/* Published since, by us or by another: that is the goal. Else the next will be. */
	return (smr_delta(wr, before) > 0 ? wr : wr + smr_step());
}

static bool
reached(struct smr *smr, smr_seq_t goal)
{
	if (smr_delta(goal, atomic_load_acquire(&smr->rd)) <= 0)
		return (true);
	return (smr_delta(goal, atomic_load_seq(&smr->wr)) > (int32_t)smr_step()); /* expired */
}

/* Publish the goal if that is still to be done. */
static void
push(struct smr *smr, smr_seq_t goal, bool wait)
{
	if (smr_delta(goal, atomic_load_seq(&smr->wr)) <= 0)
		return;
	if (wait || (smr->flags & (SMR_LAZY | SMR_DEFERRED)) == 0 ||
	    ((smr->flags & SMR_LAZY) != 0 && !put_off(smr)))
		(void)publish(smr);
}

static void
wait_for(struct smr *smr, smr_seq_t goal)
{
	const struct thread_state *ts = machine_thread_state();

	MUST(section_of(ts, smr) < 0, "smr_wait: %s: in a read section of it", smr->name);
	sync_assert_may_sleep("smr_wait");
	for (;;) {
		push(smr, goal, true);
		mtx_lock(&smr->lock);
		/* Who empties a count after we looked at it sees us, and waits for the lock. */
		(void)atomic_fetch_add_seq(&smr->sleepers, 1u);
		advance_read_locked(smr);
		if (!reached(smr, goal) && smr->grace)
			(void)waitq_sleep(&smr->queue, &smr->lock, 1, 0);
		(void)atomic_fetch_add_seq(&smr->sleepers, -1u);
		mtx_unlock(&smr->lock);
		if (reached(smr, goal))
			return;
	}
}

bool
smr_poll(smr_t smr, smr_seq_t goal, bool wait)
{
	(void)MISUSE(wait && (smr->flags & SMR_LAZY) != 0, "%s: %s is lazy and may not wait",
	    __func__, smr->name);
	if (likely(reached(smr, goal)))
		return (true);
	push(smr, goal, false);
	advance_read(smr);
	if (reached(smr, goal))
		return (true);
	if (wait)
		wait_for(smr, goal);
	return (wait);
}

void
smr_wait(smr_t smr, smr_seq_t goal)
{
	(void)smr_poll(smr, goal, true);
}

void
smr_synchronize(smr_t smr)
{
	smr_wait(smr, smr_advance(smr));
}
