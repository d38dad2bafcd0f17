/*
 * What the files of the sim machine share: the fibers, the run, and how a step is made.
 *
 * A step is: point(), where another fiber may go first; then the operation itself, which nobody sees
 * half done; then note(), which tells the driver and the hash. So the operations of all fibers are in
 * one order, and that order is the answers of the driver.
 *
 *	schedule.c  points, choices, time, the start and the end of fibers
 *	lock.c      locks, parking, the parts of CPUs
 *	memory.c    frames, the window, boot memory
 *	fiber.c     stacks, the switch between them, call paths
 *	trap.c      touches of unmapped memory
 *	run.c       sim_run(): all as it was, one run, how it ended
 */
#ifndef SIM_INT_H
#define SIM_INT_H

#include "machine/machine.h"
#include "machine/percpu.h"
#include "machine/sim/sim.h"

#define NEVER  UINT64_MAX
#define NOBODY SIM_FIBERS /* as a fiber's number */

struct fiber {
	struct thread_state thread; /* first: the core knows its threads by it */
	void *sp;                   /* while it does not run: its stack, registers on top */
	void *fake;                 /* the address sanitizer's */
	uintptr_t trap_pc, trap_fp; /* where it touched what it must not; 0: it did not */
	void (*fn)(void *);
	void *arg;
	const void *on;    /* blocked: the lock */
	uint64_t since;    /* step at which it was blocked or parked */
	uint64_t deadline; /* parked: virtual time, NEVER if there is none */
	uint64_t hold;     /* sim_hold(): the step at which it goes on */
	uint8_t state;     /* of sim_fiber_info */
	uint8_t cpu;
	bool daemon, permit;
	char name[24];
};

/* One run. Fibers are bits of sets: candidates have something to do, and may do it. */
struct sim {
	uint64_t steps, hash;
	uint64_t slow_at;  /* the step at which point() has to look: the least of all that follow */
	uint64_t ask_at;   /* sim_ask_at, as slow_at was made from it */
	uint64_t deadline; /* the earliest of parked fibers, NEVER */
	uint64_t hold;     /* the earliest of held ones */
	uint64_t skipped;  /* virtual time that passed without a step */
	uint64_t candidates, blocked, parked;
	unsigned self, nfibers, live; /* live: not ended, not daemons */
	bool quiet;                   /* no run, or the driver looks: points are none */
	bool running;
	struct sim_driver driver;
	struct machine_shape shape;
	enum sim_end end;
	char line[256];
	char printed[256];
	struct fiber fiber[SIM_FIBERS];
};
extern struct sim sim;

static inline struct fiber *
self(void)
{
	return (&sim.fiber[sim.self]);
}

static inline uint64_t
bit(unsigned fiber)
{
	return ((uint64_t)1 << fiber);
}

/* The lowest fiber of a set, which is not empty. */
static inline unsigned
lowest(uint64_t set)
{
	return ((unsigned)__builtin_ctzll(set));
}

/* ---- steps: schedule.c ---------------------------------------------------------------------------- */

void decide(void);

/* Before each operation that other fibers can see. Nothing that was read before it still holds. */
static inline void
point(void)
{
	if (unlikely(sim.quiet))
		return;
	if (unlikely(++sim.steps >= sim.slow_at))
		decide();
}

/* After it. `object` is hashed by its place in the run's memory or the program, not by address. */
void note(enum sim_kind kind, const void *object, uint64_t value);

/* This fiber cannot go on: let others, until it is a candidate again and chosen. */
void give_up(void);

void alarm_set(void); /* slow_at, after something that it is made from */
unsigned fiber_start(const char *name, int cpu, bool daemon, void (*fn)(void *), void *arg);
uint64_t place_of(uint64_t value); /* an address as the same number in each process */

NORETURN void finish(enum sim_end end, const char *fmt, ...) PRINTFLIKE(2, 3);

/* ---- fiber.c -------------------------------------------------------------------------------------- */

bool stacks_reserve(vm_offset_t base);
void stack_prepare(unsigned fiber); /* so that its first switch enters fiber_main() */
void stack_entered(void);           /* the first thing that a fiber does */
void switch_fiber(struct fiber *from, struct fiber *to);
void switch_in(void);              /* from the driver to fiber 0; returns at the end of the run */
NORETURN void switch_out(void);    /* to the driver, for good */
NORETURN void fiber_main(void);    /* schedule.c */
unsigned stack_of(vm_offset_t va); /* whose guard page or stack this is; NOBODY */

/* ---- memory.c ------------------------------------------------------------------------------------- */

/* The run's memory: one range of addresses, the same in each process where the host allows it. */
struct sim_memory {
	vm_offset_t base;
	vm_size_t size;
	vm_offset_t kva,
	    direct; /* the window; all frames, the core's to see if the shape says so */
	struct window_page {
		uint32_t frame;       /* + 1; 0: nothing is mapped here */
		bool seen;            /* mapped at some time in this run */
		uint8_t unmapped_by;  /* whom, */
		uint64_t unmapped_at; /* and at which step */
	} * table;
};
extern struct sim_memory sim_memory;

bool memory_start(const struct machine_shape *shape, const char **why);
void memory_reset(void); /* zero and unmap what the last run touched */
bool memory_split(void); /* in the child of a fork: frames of its own */
/* What is there, for the line that says who touched it. */
void memory_describe(vm_offset_t va, char *text, size_t size);

/* ---- trap.c, lock.c ------------------------------------------------------------------------------- */

void trap_start(void);
void lock_reset(void);

#endif
