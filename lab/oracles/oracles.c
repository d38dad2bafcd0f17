/*
 * The oracles as one: who is told of what in which order, the verdict, and what the end of a run
 * means.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lab/oracles/oracles_int.h"

struct fiber_state oracle_fibers[SIM_FIBERS];
bool oracles_on, oracles_watching;
uint64_t oracles_run = 1; /* of no run: 0, in tables that were never written */
const struct lab_spec *oracle_spec;

static bool running;
static enum lab_verdict verdict;
static char line[256];

void
oracles_begin(const struct lab_spec *spec)
{
	oracles_run++;
	oracle_spec = spec;
	verdict = LAB_HELD;
	line[0] = '\0';
	memset(oracle_fibers, 0, sizeof(oracle_fibers));
	shadow_begin();
	progress_begin();
	sleepers_begin();
	reserves_begin();
	order_begin();
	oracles_on = running = true;
	oracles_watching = false;
}

void
oracle_broken(enum lab_verdict v, const char *fmt, ...)
{
	va_list ap;

	if (!oracles_on || (oracle_spec->tolerated >> v & 1) != 0)
		return;
	oracles_on = oracles_watching = false;
	verdict = v;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (running)
		sim_stop("%s", line);
}

void
oracles_started(void)
{
	accounts_open();
	progress_made();
	oracles_watching = oracles_on;
}

void
oracles_event(const struct sim_event *event)
{
	const struct mtx *m;

	if (!oracles_on)
		return;
	progress_event(event);
	switch (event->kind) {
	case SIM_LOCK:
	case SIM_TRYLOCK:
	case SIM_BLOCK:
	case SIM_ENTER:
	case SIM_EXIT:
		order_event(event);
		break;
	case SIM_UNLOCK:
		order_event(event);
		if (!oracles_watching || (m = order_mtx(event->object)) == NULL)
			break;
		reserves_unlocked(m, event->fiber);
		sleepers_unlocked(m);
		break;
	case SIM_INJECT:
		oracle_fibers[event->fiber].excused = true;
		break;
	default:
		break;
	}
}

void
oracles_settled(void)
{
	if (oracles_on)
		accounts_settled();
}

void
oracles_finished(struct lab_result *result)
{
	oracles_watching = false;
	if (oracles_on)
		accounts_close(result);
}

/* ---- the end ------------------------------------------------------------------------------------ */

static void
end_with(enum lab_verdict v, const char *why)
{
	verdict = v;
	snprintf(line, sizeof(line), "%s", why);
}

/* Nobody can run. A wakeup that was lost says more than that. */
static void
end_dead(void)
{
	if (sleepers_look())
		return;
	verdict = LAB_DEADLOCK;
	oracles_describe_hang(line, sizeof(line));
}

void
oracles_end(enum sim_end end, struct lab_result *result)
{
	running = false;
	if (verdict == LAB_HELD) {
		if (end == SIM_PANIC)
			end_with(LAB_PANIC, sim_end_line());
		else if (end == SIM_BAD_TOUCH)
			end_with(LAB_BAD_TOUCH, sim_end_line());
		else if (end == SIM_STEPS)
			end_with(LAB_TOO_LONG, sim_end_line());
		else if (end == SIM_STOPPED)
			end_with(LAB_PROMISE, sim_end_line());
		else if (end == SIM_DEADLOCK)
			end_dead();
	}
	oracles_on = oracles_watching = false;
	result->verdict = verdict;
	snprintf(result->line, sizeof(result->line), "%s", line);
}
