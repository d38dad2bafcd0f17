/*
 * Points, choices and virtual time: who goes on.
 *
 * What stays true: the fiber that runs is a candidate, but between its own leaving of the set and
 * give_up(). Time is steps * SIM_POINT_NS plus what was skipped because nobody could run. slow_at is
 * never later than the next step at which anything but "go on" can happen.
 */
#include "sim_int.h"

uint64_t sim_ask_at;

const char *const sim_kind_names[SIM_KINDS] = { "atomic", "lock", "block", "trylock", "unlock",
	"park", "wake", "unpark", "enter", "exit", "pop", "push", "map", "unmap", "pages", "start",
	"end", "switch", "migrate", "inject", "reclaim", "note", "call", "return" };

/* ---- what happened -------------------------------------------------------------------------------- */

extern const char __executable_start[], _end[]; /* the linker's: the program */

uint64_t
place_of(uint64_t value)
{
	uint64_t image = (uintptr_t)__executable_start;

	if (value - sim_memory.base < sim_memory.size)
		return ((value - sim_memory.base) | 1ull << 62);
	if (value - image < (uintptr_t)_end - image)
		return ((value - image) | 1ull << 61);
	return (value);
}

/* The place of an object; those of the host's heap and stack have none. */
static inline uint64_t
place_of_object(const void *object)
{
	uint64_t place = place_of((uintptr_t)object);

	return (place == (uintptr_t)object ? 0 : place);
}

static inline void
hash_word(uint64_t word)
{
	uint64_t h = (sim.hash ^ word) * 0x9e3779b97f4a7c15ull;

	sim.hash = h ^ h >> 29;
}

void
note(enum sim_kind kind, const void *object, uint64_t value)
{
	if (unlikely(sim.quiet))
		return;
	hash_word(place_of_object(object) ^ (uint64_t)kind << 56 ^ (uint64_t)sim.self << 48);
	hash_word(place_of(value));
	if (sim.driver.event != NULL) {
		struct sim_event event = { sim.steps, value, object, (uint8_t)kind,
			(uint8_t)sim.self, self()->cpu };

		sim.quiet = true;
		sim.driver.event(sim.driver.arg, &event);
		sim.quiet = false;
	}
}

/* ---- time ----------------------------------------------------------------------------------------- */

uint64_t
sim_now(void)
{
	return (sim.steps * SIM_POINT_NS + sim.skipped);
}

/* The clock is a shared word like others; so who looks at it in a loop lets it go on. */
uint64_t
machine_now(void)
{
	sim_look(&sim.skipped);
	return (sim_now());
}

static uint64_t
step_at(uint64_t time)
{
	uint64_t now = sim_now();

	return (time <= now ? sim.steps : sim.steps + howmany(time - now, SIM_POINT_NS));
}

void
alarm_set(void)
{
	uint64_t at = sim_ask_at;

	at = MIN(at, sim.driver.max_steps + 1);
	at = MIN(at, sim.hold);
	if (sim.deadline != NEVER)
		at = MIN(at, step_at(sim.deadline));
	sim.slow_at = at;
}

/* Those whose deadline has come are candidates; the earliest of the others is next. */
static NOINLINE void
look_at_deadlines(void)
{
	uint64_t now = sim_now();

	sim.deadline = NEVER;
	for (uint64_t set = sim.parked; set != 0; set &= set - 1) {
		const struct fiber *f = &sim.fiber[lowest(set)];

		if (f->deadline <= now) {
			sim.parked &= ~bit(lowest(set));
			sim.candidates |= bit(lowest(set));
		} else
			sim.deadline = MIN(sim.deadline, f->deadline);
	}
}

/* ---- choices -------------------------------------------------------------------------------------- */

static unsigned
choose(enum sim_choice what, uint64_t set, unsigned dflt)
{
	unsigned answer;

	sim.quiet = true;
	answer = sim.driver.choose(sim.driver.arg, what, set, dflt);
	sim.quiet = false;
	if (answer >= 64 || (set & bit(answer)) == 0)
		finish(SIM_STOPPED, "the driver chose %u, which is none of the candidates", answer);
	return (answer);
}

/* Switch to `next`; it may come back on another CPU, if the driver may say so at this step. */
static void
switch_to(unsigned next, bool ask)
{
	struct fiber *from = self(), *to = &sim.fiber[next];

	note(SIM_SWITCH, NULL, next);
	sim.self = next;
	sim_thread = &to->thread;
	if (ask && to->thread.bound_cpu == 0 && sim.shape.ncpus > 1) {
		uint64_t cpus = sim.shape.ncpus >= 64 ? ~0ull : bit(sim.shape.ncpus) - 1;
		unsigned cpu = to->cpu;

		if (cpu < 64)
			cpu = choose(SIM_CHOOSE_CPU, cpus, cpu);
		if (cpu != to->cpu) {
			to->cpu = (uint8_t)cpu;
			note(SIM_MIGRATE, NULL, cpu);
		}
	}
	alarm_set();
	switch_fiber(from, to);
}

/* The fiber that asked to be the one at this step, or NOBODY. */
static unsigned
release_held(void)
{
	unsigned due = NOBODY;

	if (sim.steps < sim.hold)
		return (NOBODY);
	sim.hold = NEVER;
	for (unsigned i = 0; i < sim.nfibers; i++) {
		struct fiber *f = &sim.fiber[i];

		if (due == NOBODY && f->hold <= sim.steps) {
			due = i;
			f->hold = NEVER;
			sim.candidates |= bit(i);
		} else
			sim.hold = MIN(sim.hold, f->hold);
	}
	return (due);
}

/* The slow half of point(). */
NOINLINE void
decide(void)
{
	bool ask = sim.steps >= sim_ask_at;
	unsigned next;

	if (sim.steps > sim.driver.max_steps)
		finish(SIM_STEPS, "the run is longer than %llu steps",
		    (unsigned long long)sim.driver.max_steps);
	if (sim_now() >= sim.deadline)
		look_at_deadlines();
	next = release_held();
	if (next == NOBODY) {
		next = sim.self;
		if (ask && (sim.candidates & ~bit(next)) != 0)
			next = choose(SIM_CHOOSE_FIBER, sim.candidates, next);
	}
	if (next != sim.self)
		switch_to(next, ask);
	else
		alarm_set();
}

/* The first candidate after this fiber, in a circle. */
static unsigned
cyclic_next(void)
{
	uint64_t after = sim.candidates & ~(bit(sim.self) | (bit(sim.self) - 1));

	return (lowest(after != 0 ? after : sim.candidates));
}

void
give_up(void)
{
	enum sim_choice what = SIM_CHOOSE_FIBER;
	unsigned next;
	bool ask;

	sim.steps++; /* so that this answer is not taken for the one of the operation's point */
	ask = sim.steps >= sim_ask_at;
	if (sim.candidates == 0 || sim_now() >= sim.deadline)
		look_at_deadlines();
	if (sim.candidates == 0) {
		if (sim.deadline == NEVER)
			finish(SIM_DEADLOCK, "nobody can run and nothing is pending");
		sim.skipped += sim.deadline - sim_now();
		what = SIM_CHOOSE_WAKE;
		look_at_deadlines();
	}
	next = cyclic_next();
	if ((sim.candidates & (sim.candidates - 1)) != 0)
		next = choose(what, sim.candidates, next);
	if (next != sim.self)
		switch_to(next, ask);
	else
		alarm_set();
}

/* ---- fibers --------------------------------------------------------------------------------------- */

/* A new number; when there is none, the lowest of those that have ended. */
static unsigned
free_fiber(void)
{
	if (sim.nfibers < SIM_FIBERS)
		return (sim.nfibers++);
	for (unsigned id = 0; id < SIM_FIBERS; id++)
		if (sim.fiber[id].state == SIM_ENDED)
			return (id);
	finish(SIM_STOPPED, "more than %d threads at once", SIM_FIBERS);
}

unsigned
fiber_start(const char *name, int cpu, bool daemon, void (*fn)(void *), void *arg)
{
	unsigned id = free_fiber();
	struct fiber *f = &sim.fiber[id];

	*f = (struct fiber){ .fn = fn,
		.arg = arg,
		.daemon = daemon,
		.deadline = NEVER,
		.hold = NEVER,
		.state = SIM_RUNNABLE,
		.cpu = (uint8_t)((cpu >= 0 ? (unsigned)cpu : id) % sim.shape.ncpus) };
	f->thread.bound_cpu = cpu + 1;
	core_snprintf(f->name, sizeof(f->name), "%s", name);
	stack_prepare(id);
	sim.candidates |= bit(id);
	sim.live += !daemon;
	return (id);
}

void
fiber_main(void)
{
	struct fiber *f = self();

	stack_entered();
	f->fn(f->arg);
	point();
	note(SIM_END, NULL, 0);
	f->state = SIM_ENDED;
	sim.candidates &= ~bit(sim.self);
	if (!f->daemon && --sim.live == 0)
		finish(SIM_FINISHED, "every thread has ended");
	give_up();
	__builtin_unreachable();
}

static unsigned
start(const char *name, int cpu, bool daemon, void (*fn)(void *), void *arg)
{
	unsigned id;

	point();
	id = fiber_start(name, cpu, daemon, fn, arg);
	note(SIM_START, NULL, id);
	return (id);
}

unsigned
sim_start(const char *name, int cpu, void (*fn)(void *), void *arg)
{
	return (start(name, cpu, false, fn, arg));
}

bool
machine_thread_start(const char *name, void (*fn)(void *), void *arg)
{
	start(name, -1, true, fn, arg);
	return (true);
}

void
sim_hold(uint64_t step)
{
	self()->hold = step;
	sim.hold = MIN(sim.hold, step);
	sim.candidates &= ~bit(sim.self);
	self()->state = SIM_PARKED;
	self()->since = sim.steps;
	give_up();
	self()->state = SIM_RUNNABLE;
}

/* ---- events of others ----------------------------------------------------------------------------- */

void
sim_atomic(const volatile void *word)
{
	point();
	note(SIM_ATOMIC, (const void *)word, 0);
}

void
sim_look(const volatile void *word)
{
	point();
	note(SIM_ATOMIC, (const void *)word, 1);
}

void
sim_event(enum sim_kind kind, const void *object, uint64_t value)
{
	point();
	note(kind, object, value);
}

void
sim_note(const char *text)
{
	sim_event(SIM_NOTE, text, 0);
}

unsigned
sim_self(void)
{
	return (sim.self);
}

unsigned
sim_fibers(void)
{
	return (sim.nfibers);
}

void
sim_fiber(unsigned fiber, struct sim_fiber_info *info)
{
	struct fiber *f = &sim.fiber[fiber];

	*info = (struct sim_fiber_info){ .name = f->name,
		.daemon = f->daemon,
		.state = f->state,
		.cpu = f->cpu,
		.on = f->state == SIM_BLOCKED ? f->on : NULL,
		.since = f->since,
		.deadline = f->state == SIM_PARKED && f->deadline != NEVER ? f->deadline : 0,
		.thread = &f->thread };
}

uint64_t
sim_steps(void)
{
	return (sim.steps);
}

uint64_t
sim_hash(void)
{
	return (sim.hash);
}
