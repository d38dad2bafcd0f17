/*
 * Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010).
 *
 * Each fiber gets a random priority when it is first seen; of those that can run, the one with the
 * highest runs. At d - 1 points, drawn from the k of a run, the running fiber's priority falls below
 * all others, the i-th time to d - i. A bug that shows whenever d points come in a certain order is
 * found by a run with a chance of at least 1 / (n * k^(d-1)), n fibers. The bound is about the
 * choice of fibers. That of a CPU and of one of several deadlines is random and outside of it.
 *
 * After the k points nobody's turn is bounded any more and some fiber could wait for ever behind one
 * with a higher priority; that is no bug of the core, so the rest of the run is fair: random.
 */
#include <math.h>
#include "lab/search/search.h"

#define FAIR_GAP 32 /* points between two switches of the fair rest, at most */

static struct {
	struct search_size size;
	unsigned d;
	/* of this run */
	uint64_t state;
	uint64_t change[SEARCH_DEPTH_MAX]; /* steps, rising */
	unsigned changed;                  /* how many are behind us */
	uint32_t priority[SIM_FIBERS];     /* 0: not seen yet */
	uint64_t seen;                     /* candidates of the latest answer */
	unsigned answer;
} at;

static void
pct_begin(void *arg, uint64_t seed, uint64_t expected_steps)
{
	(void)arg, (void)expected_steps;
	at.state = search_mix(seed, 'P');
	at.changed = 0;
	at.seen = 0;
	for (unsigned i = 0; i < SIM_FIBERS; i++)
		at.priority[i] = 0;
	for (unsigned i = 0; i + 1 < at.d; i++) {
		uint64_t step = 1 + search_random(&at.state) % at.size.steps;
		unsigned place = i;

		for (; place > 0 && at.change[place - 1] > step; place--)
			at.change[place] = at.change[place - 1];
		at.change[place] = step;
	}
	sim_ask_at = 0;
}

static unsigned
highest(uint64_t candidates)
{
	unsigned best = SIM_FIBERS;

	for (uint64_t left = candidates; left != 0; left &= left - 1) {
		unsigned fiber = (unsigned)__builtin_ctzll(left);

		if (at.priority[fiber] == 0)
			at.priority[fiber] =
			    SEARCH_DEPTH_MAX + 1 + (uint32_t)(search_random(&at.state) >> 33);
		if (best == SIM_FIBERS || at.priority[fiber] > at.priority[best])
			best = fiber;
	}
	return (best);
}

static unsigned
choose_fiber(uint64_t candidates, unsigned dflt)
{
	uint64_t step = sim_steps();

	if (step > at.size.steps) {
		if (dflt == sim_self() && step < sim_ask_at)
			return (dflt);
		sim_ask_at = step + 1 + search_random(&at.state) % FAIR_GAP;
		return (search_pick(candidates, search_random(&at.state)));
	}
	while (at.changed + 1 < at.d && step >= at.change[at.changed]) {
		at.changed++;
		at.priority[sim_self()] = at.d - at.changed;
		at.seen = 0;
	}
	if (candidates != at.seen) {
		at.seen = candidates;
		at.answer = highest(candidates);
	}
	return (at.answer);
}

static unsigned
pct_choose(void *arg, enum sim_choice what, uint64_t candidates, unsigned dflt)
{
	(void)arg;
	if (what == SIM_CHOOSE_FIBER)
		return (choose_fiber(candidates, dflt));
	return (search_pick(candidates, search_random(&at.state)));
}

const struct lab_strategy *
pct_strategy(const struct search_size *size, unsigned d)
{
	static const struct lab_strategy strategy = { pct_begin, pct_choose, NULL };

	at.size = *size;
	if (at.size.steps == 0)
		at.size.steps = 1;
	at.d = d < 1 ? 1 : d > SEARCH_DEPTH_MAX ? SEARCH_DEPTH_MAX : d;
	return (&strategy);
}

double
pct_chance(const struct search_size *size, unsigned d)
{
	return (1 / (size->fibers * pow((double)size->steps, d - 1)));
}
