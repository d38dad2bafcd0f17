/*
 * The oracle that there is without any other: how the run ended.
 */
#include <stdarg.h>
#include <stdio.h>

#include "lab/oracles/oracles.h"

static enum lab_verdict verdict;

void
oracles_begin(const struct lab_spec *spec)
{
	(void)spec;
	verdict = LAB_HELD;
}

void
oracles_started(void)
{
}

void
oracles_event(const struct sim_event *event)
{
	(void)event;
}

void
oracles_settled(void)
{
}

void
oracles_finished(struct lab_result *result)
{
	(void)result;
}

void
oracle_broken(enum lab_verdict broken, const char *fmt, ...)
{
	char line[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	verdict = broken;
	sim_stop("%s", line);
}

void
oracles_end(enum sim_end end, struct lab_result *result)
{
	static const enum lab_verdict verdicts[] = { [SIM_FINISHED] = LAB_HELD,
		[SIM_DEADLOCK] = LAB_DEADLOCK,
		[SIM_STOPPED] = LAB_PROMISE,
		[SIM_PANIC] = LAB_PANIC,
		[SIM_BAD_TOUCH] = LAB_BAD_TOUCH,
		[SIM_STEPS] = LAB_TOO_LONG };

	result->verdict = verdict != LAB_HELD ? verdict : verdicts[end];
	snprintf(result->line, sizeof(result->line), "%s", sim_end_line());
}
