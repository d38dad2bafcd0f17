/*
 * Does anybody get on? Livelock: no operation ends for a long time, although time passes. Starvation:
 * one does not end while others do.
 *
 * FAIR TIME. A strategy may leave a fiber out for as long as it likes, and what follows from that is
 * no fault of the core. So both are counted in fair time: an epoch ends when each fiber that could
 * run at its beginning has run (or cannot any more), and adds its length, up to EPOCH_MAX points a
 * fiber, to the clock.
 *
 * A hang of the core's is never still: waiters repeat reclaim passes at doubling intervals. It is
 * seen in two ways: LIVELOCK_POINTS of fair time without an operation's end; or, much sooner, when time
 * jumps (nobody can run) again and again with all threads asleep on channels and nothing changed in
 * between: no page, address, tag or item has come back. After LIVELOCK_NS of that, several passes of
 * each waiter have gained nothing, and the next ones are like them.
 */
#include "lab/oracles/oracles_int.h"

#define EPOCH_MAX       64     /* points of an epoch that count, for each fiber */
#define LIVELOCK_POINTS 100000 /* fair points without an operation's end */
#define LIVELOCK_NS     (1000ull * 1000 * 1000)
#define DAEMON_NS       (PAGE_TIMER_NS + 2 * LIVELOCK_NS) /* the timer's work may help, too */
#define PATIENCE        100000 /* fair points that an operation may last */
#define LOOK_EVERY      1024   /* fair points between looks at operations' ages */

static uint64_t fair, epoch_began;
static uint64_t owing;    /* fibers that are still to run in this epoch */
static uint64_t runnable; /* as far as events tell */
static uint64_t progress_fair_at, progress_now, progress_step;
static uint64_t ended; /* operations */
static uint64_t next_look;
#define UNKNOWN UINT64_MAX
static uint64_t jumped;                  /* virtual time that was skipped so far */
static uint64_t still_since, still_mark; /* since when nothing has come back: time, sum of counts */

void
progress_begin(void)
{
	fair = epoch_began = owing = progress_fair_at = progress_now = progress_step = 0;
	runnable = 1;
	ended = still_since = still_mark = 0;
	jumped = UNKNOWN;
	next_look = LOOK_EVERY;
}

uint64_t
progress_fair(void)
{
	return (fair);
}

void
progress_made(void)
{
	progress_fair_at = fair;
	progress_now = sim_now();
	progress_step = sim_steps();
}

void
progress_operation(struct call *c, bool ends)
{
	if (!ends) {
		c->step = sim_steps();
		c->fair = fair;
	} else if (c->operation) {
		ended++;
		progress_made();
	}
}

/* ---- verdicts --------------------------------------------------------------------------------------- */

static void
livelock(void)
{
	char line[224];

	oracles_describe_hang(line, sizeof(line));
	oracle_broken(LAB_LIVELOCK, "no call has ended since step %llu, for %llu ms: %s",
	    (unsigned long long)progress_step,
	    (unsigned long long)(sim_now() - progress_now) / 1000000, line);
}

static void
look_at_ages(void)
{
	uint64_t patience = oracle_spec->scenario->patience;

	next_look = fair + LOOK_EVERY;
	if (fair - progress_fair_at > LIVELOCK_POINTS) {
		livelock();
		return;
	}
	if (patience == 0)
		patience = PATIENCE;
	for (unsigned f = 0; f < sim_fibers(); f++) {
		const struct call *c = oracle_fibers[f].call;
		struct sim_fiber_info info;

		while (c != NULL && c->up != NULL)
			c = c->up;
		if (c == NULL || !c->operation || fair - c->fair <= patience)
			continue;
		sim_fiber(f, &info);
		oracle_broken(LAB_STARVATION,
		    "%s is in %s(%llu) since step %llu, while %llu other calls have ended: its "
		    "bound is "
		    "%llu points",
		    info.name, c->name, (unsigned long long)c->want, (unsigned long long)c->step,
		    (unsigned long long)ended, (unsigned long long)patience);
		return;
	}
}

/* ---- time jumps -------------------------------------------------------------------------------------- */

/* Grows with everything that comes back. */
static uint64_t
came_back(void)
{
	uint64_t sum = ended;

	for (unsigned d = 0; d < page_ndomains(); d++)
		sum += page_domains[d].frees;
	LIST_EACH (l, &vmem_arenas)
		sum += list_entry(l, vmem_t, link)->counts.frees;
	return (sum);
}

/* Nobody could run, and time has jumped to a deadline. */
static void
time_jumped(void)
{
	uint64_t mark;

	if (!oracles_watching || sleepers_look())
		return;
	if (!sleepers_all_asleep()) { /* one of the scenario's own pauses has ended */
		still_since = sim_now();
		progress_made();
		return;
	}
	if ((mark = came_back()) != still_mark) {
		still_mark = mark;
		still_since = sim_now();
		return;
	}
	if (sim_now() - still_since > (oracle_spec->shape.daemon ? DAEMON_NS : LIVELOCK_NS))
		livelock();
}

/* ---- events -------------------------------------------------------------------------------------------- */

void
progress_event(const struct sim_event *e)
{
	uint64_t me = (uint64_t)1 << e->fiber, length;

	owing &= ~me;
	if (jumped == UNKNOWN) /* a run's clock does not begin at 0 */
		jumped = sim_now() - e->step * SIM_POINT_NS;
	switch (e->kind) {
	case SIM_PARK:
	case SIM_BLOCK:
	case SIM_END:
		runnable &= ~me;
		if (e->kind == SIM_END)
			progress_made();
		break;
	case SIM_UNPARK:
		runnable |= (uint64_t)1 << e->value;
		break;
	case SIM_WAKE:
		runnable |= me;
		if (sim_now() - e->step * SIM_POINT_NS != jumped) {
			jumped = sim_now() - e->step * SIM_POINT_NS;
			time_jumped();
		}
		break;
	case SIM_LOCK:
	case SIM_ENTER:
		runnable |= me;
		break;
	case SIM_START:
		runnable |= (uint64_t)1 << e->value;
		progress_made();
		break;
	default:
		break;
	}
	if ((owing & runnable) != 0)
		return;
	length = e->step - epoch_began;
	if (unlikely(length > EPOCH_MAX))
		length = MIN(length, EPOCH_MAX * (uint64_t)__builtin_popcountll(runnable));
	fair += length;
	epoch_began = e->step;
	owing = runnable & ~me;
	if (fair >= next_look && oracles_watching)
		look_at_ages();
}
