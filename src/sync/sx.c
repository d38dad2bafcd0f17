/*
 * The shared/exclusive sleeping lock: many sharers or one owner, for what is held across work that
 * may sleep (reclaim passes against the creation and the end of zones).
 *
 * The mtx inside guards the counts. Whoever releases the last hold wakes all sleepers, who look
 * again; an exclusive one that waits keeps new sharers out, so it cannot starve.
 */
#include "sync/sync_int.h"

void
sx_init(struct sx *sx, const char *name, enum lock_rank rank)
{
	*sx = (struct sx){ .rank = (uint8_t)rank };
	mtx_init(&sx->lock, name, RANK_WAIT);
	waitq_init(&sx->queue, name);
	machine_lock(&registry_lock);
	list_append(&sx_registry, &sx->registry);
	machine_unlock(&registry_lock);
}

void
sx_slock(struct sx *sx)
{
	if (unlikely(core_debug))
		rank_check("sx_slock", sx->queue.name, sx->rank);
	mtx_lock(&sx->lock);
	while (sx->holders < 0 || sx->exclusive_waiters > 0)
		waitq_sleep(&sx->queue, &sx->lock, 1, 0);
	sx->holders++;
	mtx_unlock(&sx->lock);
	if (unlikely(core_debug))
		rank_note(NULL, sx->rank);
}

bool
sx_try_slock(struct sx *sx)
{
	bool got;

	mtx_lock(&sx->lock);
	got = sx->holders >= 0 && sx->exclusive_waiters == 0;
	if (got)
		sx->holders++;
	mtx_unlock(&sx->lock);
	if (got && unlikely(core_debug))
		rank_note(NULL, sx->rank);
	return (got);
}

void
sx_sunlock(struct sx *sx)
{
	if (unlikely(core_debug))
		rank_forget(sx->rank);
	mtx_lock(&sx->lock);
	CHECK(sx->holders > 0, "sx_sunlock: %s has no sharers", sx->queue.name);
	if (--sx->holders == 0)
		waitq_wake_all(&sx->queue);
	mtx_unlock(&sx->lock);
}

void
sx_xlock(struct sx *sx)
{
	if (unlikely(core_debug))
		rank_check("sx_xlock", sx->queue.name, sx->rank);
	mtx_lock(&sx->lock);
	sx->exclusive_waiters++;
	while (sx->holders != 0)
		waitq_sleep(&sx->queue, &sx->lock, 1, 0);
	sx->exclusive_waiters--;
	sx->holders = -1;
	mtx_unlock(&sx->lock);
	if (unlikely(core_debug))
		rank_note(NULL, sx->rank);
}

void
sx_xunlock(struct sx *sx)
{
	if (unlikely(core_debug))
		rank_forget(sx->rank);
	mtx_lock(&sx->lock);
	CHECK(sx->holders == -1, "sx_xunlock: %s is not held exclusively", sx->queue.name);
	sx->holders = 0;
	waitq_wake_all(&sx->queue);
	mtx_unlock(&sx->lock);
}
