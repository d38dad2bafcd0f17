/*
 * Lock order, in every shape: a thread waits for a lock only if its rank is above that of each lock
 * that it holds, and not within a CPU's part. As ranks are numbers, no circle of waiting threads can
 * come of locks that are taken so; and each breach is seen on the first run that takes the two locks,
 * whether or not another thread is there to be waited for.
 *
 * A lock that is tried may come in any order: it cannot make its thread wait. One that a thread finds
 * held, and blocks at, has broken the order all the same.
 *
 * Which locks there are, mtx_init() and mtx_destroy() say: all others are the machine's own.
 */
#include "lab/oracles/oracles_int.h"

#define SLOTS 4096 /* a power of two; locks that come in one run, each address once */

static struct slot {
	const void *lock;
	uint64_t run;
	bool there;
} slots[SLOTS];
static unsigned nslots;

void
order_begin(void)
{
	nslots = 0;
}

static struct slot *
slot_of(const void *lock)
{
	size_t i = (size_t)((uintptr_t)lock >> 3) * 0x9e3779b1u >> 7;

	for (;; i++) {
		struct slot *s = &slots[i & (SLOTS - 1)];

		if (s->run != oracles_run || s->lock == lock)
			return (s);
	}
}

const struct mtx *
order_mtx(const struct machine_lock *l)
{
	const struct slot *s = slot_of(l);

	return (s->run == oracles_run && s->there ? container_of(l, struct mtx, lock) : NULL);
}

/* ---- locks come and go --------------------------------------------------------------------------- */

#define REAL(ret, fn, ...)            \
	ret __real_##fn(__VA_ARGS__); \
	ret __wrap_##fn(__VA_ARGS__)

REAL(void, mtx_init, struct mtx *m, const char *name, enum lock_rank rank)
{
	struct slot *s;

	__real_mtx_init(m, name, rank);
	s = slot_of(m);
	if (s->run == oracles_run || nslots++ < SLOTS / 2) /* more than that go unseen */
		*s = (struct slot){ m, oracles_run, true };
}

REAL(void, mtx_destroy, struct mtx *m)
{
	slot_of(m)->there = false;
	__real_mtx_destroy(m);
}

REAL(bool, mtx_trylock, struct mtx *m)
{
	bool got;

	oracle_me()->trying = true;
	got = __real_mtx_trylock(m);
	oracle_me()->trying = false;
	return (got);
}

/* A fork holds all locks, by trying each, and lets all go if one does not come. */
REAL(void, sync_fork_prepare, void)
{
	oracle_me()->trying = true;
	__real_sync_fork_prepare();
	oracle_me()->trying = false;
}

/* ---- taking ---------------------------------------------------------------------------------------- */

/* A fiber is about to wait for this lock, if it must. */
static void
check(const struct sim_event *e, const struct mtx *m)
{
	const struct fiber_state *me = &oracle_fibers[e->fiber];
	struct sim_fiber_info info;

	sim_fiber(e->fiber, &info);
	if (me->entered)
		oracle_broken(LAB_LOCK_ORDER, "%s takes \"%s\" (%s) while it is in a CPU's part",
		    info.name, m->name, rank_name(m->rank));
	for (unsigned i = 0; i < me->nheld; i++)
		if (m->rank <= me->held[i]->rank)
			oracle_broken(LAB_LOCK_ORDER,
			    "%s takes \"%s\" (%s) while it holds \"%s\" (%s)", info.name, m->name,
			    rank_name(m->rank), me->held[i]->name, rank_name(me->held[i]->rank));
}

static void
drop(struct fiber_state *me, const struct mtx *m)
{
	unsigned i = me->nheld;

	while (i > 0 && me->held[i - 1] != m)
		i--;
	if (i == 0)
		return;
	for (; i < me->nheld; i++)
		me->held[i - 1] = me->held[i];
	me->nheld--;
}

void
order_event(const struct sim_event *e)
{
	struct fiber_state *me = &oracle_fibers[e->fiber];
	const struct mtx *m;

	if (e->kind == SIM_ENTER || e->kind == SIM_EXIT) {
		me->entered = e->kind == SIM_ENTER;
		return;
	}
	if ((m = order_mtx(e->object)) == NULL)
		return;
	switch (e->kind) {
	case SIM_UNLOCK:
		drop(me, m);
		break;
	case SIM_BLOCK:
		check(e, m);
		break;
	case SIM_TRYLOCK: /* mtx_lock() tries first, too */
		if (e->value == 0)
			break;
		/* FALLTHROUGH */
	case SIM_LOCK:
		if ((me->nheld > 0 || me->entered) && !me->trying)
			check(e, m);
		if (me->nheld < HELD_MAX)
			me->held[me->nheld++] = m;
		break;
	default:
		break;
	}
}
