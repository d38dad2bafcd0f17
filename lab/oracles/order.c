/*
 * Lock order, in every shape: each lock by its rank, and each pair by the graph of who was taken
 * while what was held.
 *
 * A lock that is tried may come in any order: it cannot make its thread wait. One that a thread finds
 * held and blocks at has broken the order all the same. The graph knows lock instances; an edge is
 * new but seldom, and then a path back means that two threads can wait for each other.
 */
#include <string.h>

#include "lab/oracles/oracles_int.h"

#define LOCKS 512

static struct lock {
	const struct mtx *m;
	bool used;
} locks[LOCKS]; /* a number for each; 0 is nobody's */
static unsigned nlocks;
static uint64_t after[LOCKS][LOCKS / 64]; /* after[a] has b: b was taken with a held */

#define SLOTS 2048
static struct slot {
	const void *lock;
	uint64_t run;
	uint16_t number; /* 0: gone */
} slots[SLOTS];

void
order_begin(void)
{
	memset(after, 0, (nlocks + 1) * sizeof(after[0]));
	nlocks = 0;
}

static struct slot *
slot_of(const void *lock)
{
	size_t i = ((uintptr_t)lock >> 3) * 0x9e3779b1u >> 7;

	for (;; i++) {
		struct slot *s = &slots[i % SLOTS];

		if (s->run != oracles_run || s->lock == lock)
			return (s);
	}
}

static unsigned
number_of(const void *lock)
{
	const struct slot *s = slot_of(lock);

	return (s->run == oracles_run ? s->number : 0);
}

const struct mtx *
order_mtx(const struct machine_lock *l)
{
	return (number_of(l) != 0 ? container_of(l, struct mtx, lock) : NULL);
}

/* ---- locks come and go ------------------------------------------------------------------------------- */

#define REAL(ret, fn, ...)            \
	ret __real_##fn(__VA_ARGS__); \
	ret __wrap_##fn(__VA_ARGS__)

static void
lock_comes(const struct mtx *m)
{
	struct slot *s = slot_of(m);
	unsigned n;

	if (s->run == oracles_run && s->number != 0)
		return;
	for (n = 1; n <= nlocks && locks[n].used; n++)
		;
	if (n == LOCKS)
		return;
	nlocks = MAX(nlocks, n);
	locks[n] = (struct lock){ m, true };
	*s = (struct slot){ m, oracles_run, (uint16_t)n };
}

static void
lock_goes(const struct mtx *m)
{
	struct slot *s = slot_of(m);
	unsigned n;

	if (s->run != oracles_run || (n = s->number) == 0)
		return;
	s->number = 0;
	locks[n].used = false;
	memset(after[n], 0, sizeof(after[n]));
	for (unsigned i = 1; i <= nlocks; i++)
		after[i][n / 64] &= ~((uint64_t)1 << n % 64);
}

REAL(void, mtx_init, struct mtx *m, const char *name, enum lock_rank rank)
{
	__real_mtx_init(m, name, rank);
	lock_comes(m);
}

REAL(void, mtx_destroy, struct mtx *m)
{
	lock_goes(m);
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

/* ---- taking ---------------------------------------------------------------------------------------------- */

static bool
reaches(unsigned from, unsigned to, uint64_t *seen)
{
	if (from == to)
		return (true);
	for (unsigned w = 0; w <= nlocks / 64; w++)
		for (uint64_t set = after[from][w] & ~seen[w]; set != 0; set &= set - 1) {
			unsigned n = w * 64 + (unsigned)__builtin_ctzll(set);

			seen[w] |= (uint64_t)1 << n % 64;
			if (reaches(n, to, seen))
				return (true);
		}
	return (false);
}

static void
wrong(const struct sim_event *e, unsigned n, unsigned held, const char *why)
{
	struct sim_fiber_info info;

	sim_fiber(e->fiber, &info);
	oracle_broken(LAB_LOCK_ORDER, "%s takes \"%s\" (%s) while it holds \"%s\" (%s): %s",
	    info.name, locks[n].m->name, rank_name(locks[n].m->rank), locks[held].m->name,
	    rank_name(locks[held].m->rank), why);
}

/* A fiber is about to wait for lock n, if it must. */
static void
check(const struct sim_event *e, unsigned n)
{
	const struct fiber_state *me = &oracle_fibers[e->fiber];
	struct sim_fiber_info info;

	if (me->entered) {
		sim_fiber(e->fiber, &info);
		oracle_broken(LAB_LOCK_ORDER, "%s takes \"%s\" (%s) while it is in a CPU's part",
		    info.name, locks[n].m->name, rank_name(locks[n].m->rank));
		return;
	}
	for (unsigned i = 0; i < me->nheld; i++) {
		unsigned held = me->held[i];
		uint64_t seen[LOCKS / 64] = { 0 };

		if (held == n) {
			wrong(e, n, held, "it waits for itself");
			return;
		}
		if (locks[n].m->rank <= locks[held].m->rank) {
			wrong(e, n, held, "its rank is not above");
			return;
		}
		if ((after[held][n / 64] >> n % 64 & 1) != 0)
			continue;
		if (reaches(n, held, seen)) {
			wrong(e, n, held, "others take them the other way round");
			return;
		}
		after[held][n / 64] |= (uint64_t)1 << n % 64;
	}
}

static void
push(struct fiber_state *me, unsigned n)
{
	if (me->nheld < HELD_MAX)
		me->held[me->nheld++] = (uint16_t)n;
}

static void
pop(struct fiber_state *me, unsigned n)
{
	unsigned i = me->nheld;

	while (i > 0 && me->held[i - 1] != n)
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
	unsigned n;

	if (e->kind == SIM_ENTER || e->kind == SIM_EXIT) {
		me->entered = e->kind == SIM_ENTER;
		return;
	}
	if ((n = number_of(e->object)) == 0) /* the machine's own, leaves all */
		return;
	switch (e->kind) {
	case SIM_UNLOCK:
		pop(me, n);
		break;
	case SIM_BLOCK:
		check(e, n);
		break;
	case SIM_TRYLOCK: /* mtx_lock() tries first, too */
		if (e->value == 0)
			break;
		/* FALLTHROUGH */
	case SIM_LOCK:
		if ((me->nheld > 0 || me->entered) && !me->trying)
			check(e, n);
		push(me, n);
		break;
	default:
		break;
	}
}
