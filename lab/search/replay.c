/*
 * Replay: the default answer, but for the steps that a recorded schedule names. Deviations that lie
 * at the same step are told apart by what was asked; they stand in the order in which it was.
 */
#include "lab/search/search.h"

static struct {
	const struct lab_schedule *schedule;
	unsigned next; /* deviation */
	bool fits;
} at;

static void
ask_at_next(void)
{
	sim_ask_at = at.next < at.schedule->n ? at.schedule->deviation[at.next].step : UINT64_MAX;
}

static void
replay_begin(void *arg, uint64_t seed, uint64_t expected_steps)
{
	(void)arg, (void)seed, (void)expected_steps;
	at.next = 0;
	at.fits = true;
	ask_at_next();
}

/* A deviation that was passed by without being asked for belongs to another run. */
static void
skip_to(uint64_t step)
{
	while (at.next < at.schedule->n && at.schedule->deviation[at.next].step < step) {
		at.next++;
		at.fits = false;
	}
}

static unsigned
replay_choose(void *arg, enum sim_choice what, uint64_t candidates, unsigned dflt)
{
	const struct sim_deviation *d;
	unsigned answer = dflt;

	(void)arg;
	skip_to(sim_steps());
	if (at.next < at.schedule->n) {
		d = &at.schedule->deviation[at.next];
		if (d->step == sim_steps() && d->choice == what) {
			at.next++;
			if (d->value < 64 && (candidates >> d->value & 1) != 0)
				answer = d->value;
			else
				at.fits = false;
		}
	}
	ask_at_next();
	return (answer);
}

const struct lab_strategy *
replay_strategy(const struct lab_schedule *schedule)
{
	static const struct lab_strategy strategy = { replay_begin, replay_choose, NULL };

	at.schedule = schedule;
	return (&strategy);
}

bool
replay_fitted(void)
{
	return (at.fits && at.next == at.schedule->n);
}
