/*
 * One run: everything as it was, fiber 0, and how it ended.
 *
 * The state of the core is one section of the program, saved before the first run and copied back
 * before each. Memory is cleared after a run's end by the next one's begin, so that who looks at a
 * run that has ended finds all as it was left.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim_int.h"

struct sim sim = { .quiet = true };
static struct thread_state nobody;
struct thread_state *sim_thread = &nobody;
static char *saved_state;

unsigned sim_page_shift = SIM_PAGE_SHIFT_MIN;
uint64_t core_faults;
enum core_policy core_policy;

extern char __start_cooper_state[], __stop_cooper_state[]; /* the linker's */

/* ---- start ---------------------------------------------------------------------------------------- */

static bool
restore_state(void)
{
	size_t size = (size_t)(__stop_cooper_state - __start_cooper_state);

	if (saved_state == NULL) {
		saved_state = malloc(size);
		if (saved_state == NULL)
			return (false);
		memcpy(saved_state, __start_cooper_state, size);
	} else
		memcpy(__start_cooper_state, saved_state, size);
	return (true);
}

/* What the last run did, it did to pages of its own size. */
static void
clear_memory(void)
{
	static unsigned last_shift = SIM_PAGE_SHIFT_MIN;
	unsigned shift = sim_page_shift;

	sim_page_shift = last_shift;
	memory_reset();
	sim_page_shift = last_shift = shift;
}

static void
reset(const struct machine_shape *shape, const struct sim_driver *driver)
{
	lock_reset();
	sim.steps = sim.hash = 0;
	sim.skipped = SIM_START_NS;
	sim.deadline = sim.hold = NEVER;
	sim.candidates = sim.blocked = sim.parked = 0;
	sim.self = sim.nfibers = sim.live = 0;
	sim.line[0] = sim.printed[0] = '\0';
	sim.driver = *driver;
	sim.shape = *shape;
}

enum sim_end
sim_run(const struct machine_shape *shape, const struct sim_driver *driver, void (*main_fn)(void *),
    void *arg)
{
	const char *why = "the host has no memory";

	sim.end = SIM_STOPPED;
	clear_memory();
	if (!memory_start(shape, &why) || !restore_state() || shape->ncpus == 0 ||
	    shape->ncpus > COOPER_MAXCPU) {
		core_snprintf(sim.line, sizeof(sim.line), "%s", why);
		return (sim.end);
	}
	trap_start();
	reset(shape, driver);
	fiber_start("main", 0, false, main_fn, arg);
	alarm_set();
	sim_thread = &sim.fiber[0].thread;
	sim.running = true;
	sim.quiet = false;
	switch_in();
	sim_thread = &nobody;
	return (sim.end);
}

/* ---- the end -------------------------------------------------------------------------------------- */

static void
end_with(enum sim_end end, const char *fmt, va_list ap)
{
	sim.end = end;
	core_vsnprintf(sim.line, sizeof(sim.line), fmt, ap);
	sim.quiet = true;
	sim.running = false;
	switch_out();
}

void
finish(enum sim_end end, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	end_with(end, fmt, ap);
	va_end(ap);
	__builtin_unreachable();
}

void
sim_stop(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (sim.running)
		end_with(SIM_STOPPED, fmt, ap);
	core_vsnprintf(sim.line, sizeof(sim.line), fmt, ap);
	va_end(ap);
}

const char *
sim_end_line(void)
{
	return (sim.line);
}

const char *
sim_printed(void)
{
	return (sim.printed);
}

/* ---- the machine's start, its console and its end --------------------------------------------------- */

int
machine_default_shape(struct machine_shape *shape, const char **why)
{
	*why = "";
	*shape = sim.shape;
	return (0);
}

int
machine_start(const struct machine_shape *shape, const char **why)
{
	if (!memory_start(shape, why))
		return (COOPER_EINVAL);
	sim.shape = *shape;
	core_set_shape(shape);
	return (0);
}

uint64_t
machine_thread_id(void)
{
	return (sim.self);
}

bool
machine_alone(void)
{
	return (sim.nfibers <= 1);
}

void (*sim_on_print)(const char *text, size_t len);

/* The first is kept: a search makes thousands of runs, and the driver decides what is told. */
void
machine_print(const char *text, size_t len)
{
	if (sim_on_print != NULL)
		sim_on_print(text, len);
	if (sim.printed[0] == '\0')
		core_snprintf(sim.printed, sizeof(sim.printed), "%.*s", (int)len, text);
}

void
machine_panic(const char *line)
{
	char text[300];
	size_t len;

	if (sim.running)
		finish(SIM_PANIC, "%s", line);
	len = (size_t)core_snprintf(text, sizeof(text), "cooper-lab: %.280s\n", line);
	if (write(STDERR_FILENO, text, len) < 0)
		_exit(1);
	abort();
}

void
sim_still(bool on)
{
	sim.quiet = on;
}
