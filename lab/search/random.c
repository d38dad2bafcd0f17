/*
 * The random strategy: the running fiber is preempted at random points, and who goes on is random.
 *
 * How often is drawn for each run, from every point to hardly ever: some bugs need many switches in a
 * short time, others need one fiber to get far while the others stand still. Between two switches
 * the machine does not ask (sim_ask_at), so that a run costs little more than the core's own work.
 */
#include "lab/search/search.h"

#define RARITIES 11 /* a switch each 1, 2, 4, ... points on average; the last: none */
#define MIGRATE  4  /* one in so many goes on elsewhere */
/* After so many switches they get rare: a schedule has room for LAB_DEVIATIONS_MAX. */
#define SWITCHES (LAB_DEVIATIONS_MAX / 4)
#define RARE     127

static struct {
	uint64_t state; /* of the stream of random numbers */
	uint64_t gap;   /* switches are 1 to this many points apart; 0: none */
	unsigned switches;
} at;

static void
next_switch(void)
{
	if (++at.switches == SWITCHES && at.gap < RARE)
		at.gap = RARE;
	sim_ask_at = at.gap == 0 ? UINT64_MAX : sim_steps() + 1 + search_random(&at.state) % at.gap;
}

static void
random_begin(void *arg, uint64_t seed, uint64_t expected_steps)
{
	unsigned rarity;

	(void)arg, (void)expected_steps;
	at.switches = 0;
	at.state = search_mix(seed, 'R');
	rarity = search_random(&at.state) % RARITIES;
	at.gap = rarity == RARITIES - 1 ? 0 : ((uint64_t)2 << rarity) - 1;
	sim_ask_at = at.gap == 0 ? UINT64_MAX : 1 + search_random(&at.state) % at.gap;
}

static unsigned
random_choose(void *arg, enum sim_choice what, uint64_t candidates, unsigned dflt)
{
	(void)arg;
	switch (what) {
	case SIM_CHOOSE_CPU:
		if (search_random(&at.state) % MIGRATE != 0)
			return (dflt);
		break;
	case SIM_CHOOSE_FIBER:
		if (dflt == sim_self()) {
			if (sim_steps() < sim_ask_at)
				return (dflt);
			next_switch();
		}
		break;
	default:
		break;
	}
	return (search_pick(candidates, search_random(&at.state)));
}

const struct lab_strategy *
random_strategy(void)
{
	static const struct lab_strategy strategy = { random_begin, random_choose, NULL };

	return (&strategy);
}
