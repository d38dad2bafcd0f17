/*
 * Locks, parking and the parts of CPUs.
 *
 * A lock's word is its holder's number plus one. A fiber that waits for a lock is a candidate while
 * the lock is free, and no more as soon as another has taken it; so a fiber that goes on after it was
 * blocked finds the lock free, always.
 *
 * The stacks of a CPU's part are open while nobody holds that CPU's lock, unless the shape is a debug
 * one. pop and push are whole, so closing from afar needs no barrier: either they were before or they
 * find the stack closed.
 */
#include "sim_int.h"

static struct machine_lock cpu_lock[COOPER_MAXCPU];

void
lock_reset(void)
{
	memset(cpu_lock, 0, sizeof(cpu_lock));
}

/* ---- locks ---------------------------------------------------------------------------------------- */

/* Fibers that wait for l. */
static uint64_t
waiting_for(const struct machine_lock *l)
{
	uint64_t waiting = 0;

	for (uint64_t set = sim.blocked; set != 0; set &= set - 1)
		if (sim.fiber[lowest(set)].on == l)
			waiting |= bit(lowest(set));
	return (waiting);
}

static void
take(struct machine_lock *l)
{
	l->word = sim.self + 1;
	if (unlikely(sim.blocked != 0))
		sim.candidates &= ~waiting_for(l);
}

static void
release(struct machine_lock *l)
{
	l->word = 0;
	if (unlikely(sim.blocked != 0))
		sim.candidates |= waiting_for(l);
}

static NOINLINE void
block(struct machine_lock *l)
{
	struct fiber *f = self();

	MUST(!sim.quiet, "sim: the driver, which looks on, waits for a lock");
	f->state = SIM_BLOCKED;
	f->on = l;
	f->since = sim.steps;
	sim.blocked |= bit(sim.self);
	sim.candidates &= ~bit(sim.self);
	note(SIM_BLOCK, l, 0);
	give_up();
	sim.blocked &= ~bit(sim.self);
	f->state = SIM_RUNNABLE;
}

void
sim_lock(struct machine_lock *l)
{
	point();
	if (unlikely(l->word != 0))
		block(l);
	take(l);
	note(SIM_LOCK, l, 0);
}

bool
sim_trylock(struct machine_lock *l)
{
	bool got;

	point();
	got = l->word == 0;
	if (likely(got))
		take(l);
	note(SIM_TRYLOCK, l, got);
	return (got);
}

void
sim_unlock(struct machine_lock *l)
{
	point();
	release(l);
	note(SIM_UNLOCK, l, 0);
}

/* ---- parking -------------------------------------------------------------------------------------- */

void
machine_park(uint64_t deadline)
{
	struct fiber *f = self();

	point();
	if (!f->permit && (deadline == 0 || deadline > sim_now())) {
		f->state = SIM_PARKED;
		f->since = sim.steps;
		f->deadline = deadline != 0 ? deadline : NEVER;
		sim.deadline = MIN(sim.deadline, f->deadline);
		sim.parked |= bit(sim.self);
		sim.candidates &= ~bit(sim.self);
		note(SIM_PARK, NULL, deadline);
		give_up();
		f->state = SIM_RUNNABLE;
	}
	note(SIM_WAKE, NULL, f->permit);
	f->permit = false;
}

void
machine_unpark(struct thread_state *ts)
{
	struct fiber *f = container_of(ts, struct fiber, thread);
	unsigned id = (unsigned)(f - sim.fiber);

	point();
	f->permit = true;
	if ((sim.parked & bit(id)) != 0) {
		sim.parked &= ~bit(id);
		sim.candidates |= bit(id);
	}
	note(SIM_UNPARK, ts, id);
}

/* ---- CPUs ----------------------------------------------------------------------------------------- */

unsigned
machine_cpu(void)
{
	return (self()->cpu);
}

/* Domains are runs of neighbouring CPUs: with 8 CPUs and 2 domains, 0-3 and 4-7. */
unsigned
machine_cpu_domain(unsigned cpu)
{
	return (cpu % sim.shape.ncpus * sim.shape.ndomains / sim.shape.ncpus);
}

void
machine_bind(int cpu)
{
	struct fiber *f = self();

	MUST(cpu >= -1 && cpu < (int)sim.shape.ncpus, "machine_bind: CPU %d of %u", cpu,
	    sim.shape.ncpus);
	point();
	f->thread.bound_cpu = cpu + 1;
	if (cpu >= 0 && f->cpu != cpu) {
		f->cpu = (uint8_t)cpu;
		note(SIM_MIGRATE, NULL, (unsigned)cpu);
	}
}

/* ---- the parts of CPUs ---------------------------------------------------------------------------- */

static struct percpu_stack *
on_this_cpu(struct percpu_stack *first)
{
	return ((struct percpu_stack *)((char *)first + (size_t)self()->cpu * PERCPU_STRIDE));
}

void *
sim_pop(struct percpu *cache, struct percpu_stack *first)
{
	struct percpu_stack *s;
	void *item = NULL;
	unsigned count;

	point();
	s = on_this_cpu(first);
	count = (uint16_t)s->word;
	if (count != 0 && count != PERCPU_CLOSED) {
		item = s->items[count - 1];
		s->word += (1 << 16) - 1; /* one more pop, one item less */
	}
	note(SIM_POP, cache, item != NULL);
	return (item);
}

bool
sim_push(struct percpu *cache, struct percpu_stack *first, void *item)
{
	struct percpu_stack *s;
	unsigned count;
	bool room;

	point();
	s = on_this_cpu(first);
	count = (uint16_t)s->word;
	room = count < s->max; /* closed: above every max */
	if (room) {
		s->items[count] = item;
		s->word++;
	}
	note(SIM_PUSH, cache, room);
	return (room);
}

static void
close_stack(struct percpu *part, struct percpu_stack *s)
{
	uint64_t pops = s->word >> 16;
	uint16_t count = (uint16_t)s->word;

	if (count == PERCPU_CLOSED)
		return;
	part->pops += pops;
	part->pushes += pops + count - s->count;
	s->count = count;
	s->word = PERCPU_CLOSED;
}

static void
open_stack(struct percpu_stack *s)
{
	if (s->open && !sim.shape.debug)
		s->word = s->count;
}

struct percpu *
percpu_enter_cpu(struct percpu *zone_cache, unsigned cpu)
{
	struct thread_state *ts = machine_thread_state();

	MUST(cpu < sim.shape.ncpus, "percpu_enter_cpu: CPU %u of %u", cpu, sim.shape.ncpus);
	CHECK(ts->entered_cpu == 0, "percpu_enter: CPU %u is entered already", ts->entered_cpu - 1);
	point();
	if (unlikely(cpu_lock[cpu].word != 0))
		block(&cpu_lock[cpu]);
	take(&cpu_lock[cpu]);
	ts->entered_cpu = cpu + 1;
	close_stack(&zone_cache[cpu], &zone_cache[cpu].alloc);
	close_stack(&zone_cache[cpu], &zone_cache[cpu].free);
	note(SIM_ENTER, &zone_cache[cpu], cpu);
	return (&zone_cache[cpu]);
}

/* The CPU is read before the point: the fiber may be elsewhere when it has the part. */
struct percpu *
percpu_enter(struct percpu *zone_cache, unsigned *cpu)
{
	*cpu = machine_cpu();
	return (percpu_enter_cpu(zone_cache, *cpu));
}

void
percpu_exit(struct percpu *zone_cache, unsigned cpu)
{
	struct thread_state *ts = machine_thread_state();

	CHECK(ts->entered_cpu == cpu + 1, "percpu_exit: CPU %u was not entered", cpu);
	point();
	open_stack(&zone_cache[cpu].alloc);
	open_stack(&zone_cache[cpu].free);
	ts->entered_cpu = 0;
	release(&cpu_lock[cpu]);
	note(SIM_EXIT, &zone_cache[cpu], cpu);
}

bool
percpu_entered(void)
{
	return (machine_thread_state()->entered_cpu != 0);
}

/* ---- fork ----------------------------------------------------------------------------------------- */

void
machine_fork_prepare(void)
{
	for (unsigned cpu = 0; cpu < sim.shape.ncpus; cpu++)
		sim_lock(&cpu_lock[cpu]);
}

void
machine_fork_parent(void)
{
	for (unsigned cpu = 0; cpu < sim.shape.ncpus; cpu++)
		sim_unlock(&cpu_lock[cpu]);
}

/* The run goes on in both processes; in the child with memory of its own, and no other fiber. */
void
machine_fork_child(void)
{
	MUST(memory_split(), "sim: the host has no memory for a child's frames");
	lock_reset();
	sim.candidates = bit(sim.self);
	sim.blocked = sim.parked = 0;
	sim.deadline = sim.hold = NEVER;
	sim.live = 1;
	alarm_set();
}
