/*
 * The per-CPU parts' slow side on the bare x86 machines: entering, leaving, closing stacks.
 *
 * One machine_lock a CPU: its holder owns the slow state of that CPU's part of every cache. An open stack
 * is changed by pops and pushes on its own CPU, with interrupts off there; so it is closed there too,
 * with interrupts off: by the holder itself, or by an interrupt that the holder sends. Either falls
 * between two fast operations, never into one.
 *
 * In the debug shape all stacks stay closed, so that every operation is checked.
 */
#include "base/atomic.h"
#include "x86.h"

static struct {
	struct machine_lock lock;
} ALIGNED(CACHE_LINE) cpu_lock[X86_MAXCPU];

static void
close_stack(struct percpu *part, struct percpu_stack *s)
{
	uint64_t word = s->word, pops = word >> 16;
	uint16_t count = (uint16_t)word;

	if (count == PERCPU_CLOSED)
		return;
	s->word = PERCPU_CLOSED;
	part->pops += pops;
	part->pushes += pops + count - s->count;
	s->count = count;
}

/* On the part's CPU, interrupts off. */
static void
close_part(void *arg)
{
	struct percpu *part = arg;

	close_stack(part, &part->alloc);
	close_stack(part, &part->free);
}

static void
open_stack(struct percpu_stack *s)
{
	if (s->open)
		s->word = s->count;
}

/* The word is two stores on i386: they too are made on the part's CPU, where nothing comes between. */
static void
open_part(void *arg)
{
	struct percpu *part = arg;

	open_stack(&part->alloc);
	open_stack(&part->free);
}

unsigned
machine_cpu(void)
{
	return (x86_cpu_index());
}

unsigned
machine_cpu_domain(unsigned cpu)
{
	const struct machine_shape *shape = cooper_shape();

	return (cpu * shape->ndomains / shape->ncpus);
}

struct percpu *
percpu_enter_cpu(struct percpu *zone_cache, unsigned cpu)
{
	struct thread_state *ts = machine_thread_state();

	MUST(cpu < cooper_shape()->ncpus, "percpu_enter_cpu: CPU %u of %u", cpu,
	    cooper_shape()->ncpus);
	CHECK(ts->entered_cpu == 0, "percpu_enter: CPU %u is entered already", ts->entered_cpu - 1);
	machine_lock(&cpu_lock[cpu].lock);
	ts->entered_cpu = cpu + 1;
	if (!core_debug)
		x86_call(1u << cpu, close_part, &zone_cache[cpu]);
	return (&zone_cache[cpu]);
}

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
	if (!core_debug)
		x86_call(1u << cpu, open_part, &zone_cache[cpu]);
	ts->entered_cpu = 0;
	machine_unlock(&cpu_lock[cpu].lock);
}

bool
percpu_entered(void)
{
	return (machine_thread_state()->entered_cpu != 0);
}

/* Nobody has entered. */
void
x86_percpu_restart(void)
{
	for (unsigned i = 0; i < X86_MAXCPU; i++)
		cpu_lock[i].lock.word = 0;
}
