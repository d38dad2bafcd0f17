/*
 * The sim machine as its driver sees it: the unchanged core on fibers, in one thread of the host,
 * where every step is chosen.
 *
 * A *fiber* is a thread of the core. Exactly one runs. At each *point* (lock, unlock, shared atomic,
 * park, unpark, entry to and exit from a CPU's part, pop and push, mapping change, page request, timer) the
 * machine tells the driver what happens and asks, where there is a choice, who goes on. Nothing else
 * decides anything: no clock, no address, no signal of the host. So a run is a pure function of the
 * driver's answers.
 *
 * Choices have a default: the running fiber goes on; if it cannot, the next that can in cyclic order.
 * A schedule is the list of the answers that were not the default (struct sim_deviation), by step.
 *
 * Memory: physical frames are one object of the host, seen through the direct map (if the shape has
 * one) and through the kernel window where the core mapped them. Touching what is not mapped ends the
 * run with who and where. Addresses in events are those of the run, the same in every run.
 *
 * Time is virtual: a point costs SIM_POINT_NS; when no fiber can run, time jumps to the next deadline.
 */
#ifndef MACHINE_SIM_H
#define MACHINE_SIM_H

#include <cooper/cooper.h>

#define SIM_FIBERS   64  /* at once, daemons included; numbers of ended ones are used again */
#define SIM_POINT_NS 100 /* virtual time of a point */
#define SIM_START_NS 5000000000 /* and of a run's begin: a machine that was up for a while */

struct mtx;
struct waitq;

enum sim_kind {
	SIM_ATOMIC,  /* a shared word; object: the word where known; value: 1 it is only read */
	SIM_LOCK,    /* took a lock; object: struct machine_lock */
	SIM_BLOCK,   /* found it held: cannot run until it is released */
	SIM_TRYLOCK, /* value: 1 got it */
	SIM_UNLOCK,  /* released it */
	SIM_PARK,    /* goes to sleep; value: deadline, 0 none */
	SIM_WAKE,    /* returns from park; value: 1 permit, 0 deadline */
	SIM_UNPARK,  /* gives a permit; object: the thread_state; value: its fiber */
	SIM_ENTER,   /* entered a CPU's part; value: the CPU */
	SIM_EXIT,
	SIM_POP, /* fast path; object: the cache; value: 1 it succeeded */
	SIM_PUSH,
	SIM_MAP, /* object: window address; value: pages */
	SIM_UNMAP,
	SIM_PAGES,   /* the core asked for, or gave up, the contents of frames; value: pages */
	SIM_START,   /* a fiber started another; value: which */
	SIM_END,     /* the fiber's function returned */
	SIM_SWITCH,  /* from this fiber to value */
	SIM_MIGRATE, /* the fiber moves to CPU value */
	SIM_INJECT,  /* a NOWAIT request was failed by the run's plan; value: the count k */
	SIM_RECLAIM, /* a reclaim pass was put in by the run's plan */
	SIM_NOTE,    /* the scenario's: object: text (constant) */
	SIM_CALL,    /* a public function was entered; object: its name; value: what is asked for */
	SIM_RETURN,  /* ... and left; value: its result */
	SIM_KINDS
};
extern const char *const sim_kind_names[SIM_KINDS]; /* "lock", "unlock", ... */

struct sim_event {
	uint64_t step;  /* points so far in this run, from 1 */
	uint64_t value; /* see sim_kind */
	const void *object;
	uint8_t kind;  /* enum sim_kind */
	uint8_t fiber; /* who */
	uint8_t cpu;   /* where */
};

struct sim_fiber_info {
	const char *name; /* constant text, or the copy of one that lives as long as the run */
	bool daemon;      /* started by the core itself: a run does not wait for it */
	enum { SIM_RUNNABLE, SIM_BLOCKED, SIM_PARKED, SIM_ENDED } state;
	unsigned cpu;
	const void *on;    /* blocked: the lock */
	uint64_t since;    /* step at which it was blocked or parked */
	uint64_t deadline; /* parked: virtual time, 0 none */
	struct thread_state *thread;
};

enum sim_choice {
	SIM_CHOOSE_FIBER, /* at a point: who goes on; candidates: fibers that can run */
	SIM_CHOOSE_CPU,   /* an unbound fiber that was switched away from goes on: where; CPUs */
	SIM_CHOOSE_WAKE,  /* of several deadlines at the same time: which first; fibers */
	SIM_CHOICES
};

struct sim_deviation {
	uint64_t step;
	uint8_t choice; /* enum sim_choice */
	uint8_t value;
};

enum sim_end {
	SIM_FINISHED,  /* every fiber that is no daemon has ended */
	SIM_DEADLOCK,  /* nobody can run and no deadline is pending */
	SIM_STOPPED,   /* sim_stop() */
	SIM_PANIC,     /* the core stopped itself; the line is in sim_end_line() */
	SIM_BAD_TOUCH, /* unmapped memory was touched */
	SIM_STEPS      /* the limit of steps was reached */
};

struct sim_driver {
	/*
	 * Which of the candidates (a set of bits, never empty, the default one of them)? Asked only at
	 * points whose step is >= sim_ask_at, and whenever `dflt` is not simply "go on". Must be a pure function of
	 * what it was told.
	 */
	unsigned (*choose)(void *arg, enum sim_choice what, uint64_t candidates, unsigned dflt);
	/* What happened, after it happened; runs on the fiber's stack, must not call the core's locking functions. NULL: nobody looks. */
	void (*event)(void *arg, const struct sim_event *event);
	void *arg;
	uint64_t max_steps;
};

/*
 * For strategies that know when they will next deviate: below this step the machine does not ask at
 * all (0: ask always; UINT64_MAX: never). Set from choose(), or before the run.
 */
extern uint64_t sim_ask_at;

/* The page size of the next run, as a power of two; set before it. */
#define SIM_PAGE_SHIFT_MIN 12
#define SIM_PAGE_SHIFT_MAX 16
extern unsigned sim_page_shift;

/*
 * One run. Restores the core to what it was before cooper_start(), gives frames, CPUs and window of
 * `shape`, and runs main_fn(arg) as fiber 0 on CPU 0 (it calls cooper_start(shape)). Returns how it
 * ended. Fibers that are left are dropped. Never sleeps in the host. Not reentrant.
 */
enum sim_end sim_run(const struct machine_shape *shape, const struct sim_driver *driver,
    void (*main_fn)(void *), void *arg);

/* ---- from inside a run ------------------------------------------------------------------------- */

/* End the run now (an oracle's finding); the line is kept. From a fiber or from event(). Does not return on a fiber. */
void sim_stop(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
unsigned sim_start(
    const char *name, int cpu, void (*fn)(void *), void *arg); /* a fiber; cpu -1: any */
/*
 * While a driver looks at more than one event's worth of the core, with its functions: nobody else
 * runs, nothing is a point. It must be left as it was found, and no lock that it wants be held.
 */
void sim_still(bool on);
void sim_note(const char *text);                                        /* a SIM_NOTE */
void sim_event(enum sim_kind kind, const void *object, uint64_t value); /* and a point */
unsigned sim_self(void);                                                /* the running fiber */

/*
 * The running fiber waits for a step: it is the one that goes on there, whatever the strategy. Until
 * then it can do nothing for others, so they may be in a deadlock without it.
 */
void sim_hold(uint64_t step);

/* ---- during and after a run -------------------------------------------------------------------- */

const char *sim_end_line(void); /* why it ended: one line */
const char *sim_printed(void);  /* the first line that the core printed (warnings); "" if none */
extern void (*sim_on_print)(const char *text, size_t len); /* each of them; NULL: nobody */
uint64_t sim_steps(void);                                  /* points so far */
uint64_t sim_now(void);                                    /* virtual nanoseconds */
uint64_t sim_hash(
    void); /* of all events so far: kind, fiber, object (made independent of the host's addresses), value */
unsigned sim_fibers(void); /* started so far */
void sim_fiber(unsigned fiber, struct sim_fiber_info *info);

/*
 * Return addresses of the running fiber, or of a fiber that waits, innermost first; at most max.
 * From frame pointers: lab builds keep them.
 */
unsigned sim_stack(unsigned fiber, uintptr_t *pc, unsigned max);

/* Is this address one of the run's memory? Frame mapped there, for the shadow of the oracles. */
bool sim_mapped(uintptr_t va, vm_paddr_t *pa);
/* A frame as the host sees it, mapped or not: the oracles fill those that are free with a pattern. */
void *sim_frame(vm_paddr_t pa);

/* Plans: fail the k-th NOWAIT request (0: none); put a reclaim pass (uma_reclaim flags) at a step. */
struct sim_plan {
	uint64_t inject_at;
	uint64_t reclaim_at; /* step; 0 none */
	int reclaim_how;     /* UMA_RECLAIM_* */
};

#endif
