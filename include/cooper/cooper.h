/*
 * Starting Cooper: the shape of a machine, start-up, and what is common to all facilities.
 *
 * A program links libcooper, calls cooper_start() once from one thread before anything else, and
 * then uses zones (uma.h), arenas (vmem.h), kernel memory (kmem.h), typed malloc (malloc.h) and
 * safe memory reclamation (smr.h).
 */
#ifndef COOPER_COOPER_H
#define COOPER_COOPER_H

#include <cooper/types.h>

COOPER_BEGIN_DECLS

#define COOPER_VERSION "0.1.0"

/*
 * The shape: properties that FreeBSD fixes at compile time and Cooper takes at start-up, so that
 * one binary can be tested on all of them.
 */
struct machine_shape {
	unsigned ncpus;     /* CPUs, 1..COOPER_MAXCPU; caches are per CPU */
	unsigned ndomains;  /* memory domains, 1..COOPER_MAXDOMAIN; at most ncpus */
	bool direct_map;    /* every page has a fixed address; else each slab is mapped */
	bool debug;         /* check everything; stop with one line at the first misuse */
	bool daemon;        /* run the page daemon and the 20 s timer on a thread of their own */
	bool pin;           /* CPUs are virtual, bound by machine_bind(); for tests */
	uint64_t physmem;   /* bytes of physical memory, all domains together */
	vm_size_t kva_size; /* bytes of kernel address space */
};

/*
 * Start the core on `shape`; NULL means what the machine finds by itself (on posix: the CPUs this
 * process may run on, one domain, a direct map, the cgroup's memory limit or the machine's memory,
 * then COOPER_OPTIONS).
 *
 * Call once, from one thread, before any other function. Does not sleep.
 * Returns 0; COOPER_EINVAL for an impossible shape (why: cooper_start_error()); COOPER_ENOMEM when
 * the machine cannot give the memory. A kernel address space too small for the tag reserve is
 * refused here.
 */
int cooper_start(const struct machine_shape *shape);

/* One line that says why cooper_start() or an arena graph was refused; "" if nothing was. */
const char *cooper_start_error(void);

/* The shape in force; valid after cooper_start(). */
const struct machine_shape *cooper_shape(void);

/* ---- giving memory back ------------------------------------------------------------------------------
 * Free memory goes back to the system by itself (the decay), at once when asked for (uma_reclaim(),
 * malloc_trim()) or under pressure, and what lies in caches can have a ceiling.
 */

/*
 * Memory that was free for a whole period of so many milliseconds goes back: items beyond what was
 * wanted from the full buckets, then free slabs, then free pages. 0: with the free that lets go of it;
 * -1: never. Returns what was in force. The default is 1000 in a program and -1 on bare metal; the
 * option decay=MS changes it.
 *
 * No thread is needed: requests that miss the per-CPU caches do it, a small part each, so a program
 * that has fallen silent keeps what it has until it speaks again; with the page daemon
 * (machine_shape.daemon) its thread does it. The per-CPU caches are not touched. Zones with a fini,
 * with a slab allocator of their own or of SMR are left to requests that may sleep, and to the thread.
 * Any thread, any time; does not sleep.
 */
int cooper_set_decay(int ms);

/*
 * The most bytes that all caches may hold: the capacity of all buckets, free slabs, and free pages
 * that the system has not got back. What would exceed it goes back instead, so that frees, and
 * fini and the slab allocator's free with them, may do so from uma_zfree(). Not part of it: what the core is
 * made of (tags, buckets, slab headers), zones that never free. Beyond it, at most: reserves
 * (uma_zone_reserve()), and a slab a thread that has just been made for it. ~0: no ceiling, the default.
 * Setting it below what lies there runs a reclaim pass: may sleep. Returns what was in force.
 */
unsigned long cooper_set_ceiling(unsigned long bytes);
unsigned long cooper_cached(void); /* bytes that all caches hold now, as the ceiling counts them */

/* ---- pressure -------------------------------------------------------------------------------------------
 * What says that memory is short, inside or outside of this program, becomes one of these levels:
 * pages against their watermarks; a cgroup's (v2) memory.events, .high, .max and memory.pressure, or the
 * system's PSI (see the option pressure=WHERE); a limit in bytes; the program's own function. A level
 * rises at once and falls a step a second. Each rise, and each event, runs a pass: handlers, then zones
 * (low: down to working sets; medium: all caches but the CPUs'; critical: those, too), and free pages go
 * back at once.
 *
 * Sources are looked at by requests that miss the per-CPU caches, at most ten times a second; by the
 * page daemon's thread, if there is one; and when the program says so.
 */
enum cooper_pressure_level {
	COOPER_PRESSURE_NONE,
	COOPER_PRESSURE_LOW,
	COOPER_PRESSURE_MEDIUM,
	COOPER_PRESSURE_CRITICAL
};

struct cooper_pressure {
	enum cooper_pressure_level level;
	int domain;        /* of whose pages; -1: all */
	uint64_t wanted;   /* bytes that would end it; 0: unknown, as much as is cheap */
	uint64_t deadline; /* monotonic ns: who is not done by then should return */
};

/*
 * fn is called in each pass, before the zones give back, with what is wanted. It frees what it can,
 * without sleeping for memory or for a lock that somebody may hold while he waits for memory. It runs in
 * the thread that makes the pass, one pass at a time; never in a request that may not sleep: such a
 * pass is made up for by the next that may. The caller owns *h, which stays until it is unregistered.
 * Unregistering waits for a running pass: not from a handler.
 */
struct cooper_lowmem_handler {
	void (*fn)(const struct cooper_pressure *p, void *arg);
	void *arg;
	void *own[8]; /* Cooper's */
};
void cooper_lowmem_register(struct cooper_lowmem_handler *h);
void cooper_lowmem_unregister(struct cooper_lowmem_handler *h);

/* Look at all sources now, and act. May sleep. Returns the level. */
enum cooper_pressure_level cooper_pressure_poll(void);
enum cooper_pressure_level cooper_pressure_level(void); /* as last seen */
/*
 * A descriptor for the program's own event loop: readable (POLLIN) when it may pay to poll. It stays
 * open, the same one for each call; -1: the machine has no source that can tell. Not for a forked child.
 */
int cooper_pressure_fd(void);

/* There is pressure when this program's pages reach so many bytes; 0: no limit. Returns the old one. */
uint64_t cooper_set_limit(uint64_t bytes);

/*
 * A source of the program's own: called at each look, from any thread, one at a time, in requests too; it
 * does not sleep or allocate. Returns the level and, through *wanted, bytes. NULL: none.
 */
typedef enum cooper_pressure_level cooper_pressure_source_t(uint64_t *wanted, void *arg);
void cooper_set_pressure_source(cooper_pressure_source_t *fn, void *arg);

/*
 * Failure injection: let the k-th NOWAIT request that the core makes of itself from now on fail
 * (k = 1 the next one), once; 0 disarms. Returns how many such requests were seen since the last
 * call. For tests of failure paths, the core's and yours. Any thread's requests count. With
 * COOPER_INJECT_ON also those after it fail, until it is disarmed: for callers that try again.
 */
#define COOPER_INJECT_ON (UINT64_C(1) << 63)
uint64_t cooper_inject_failure(uint64_t k);

COOPER_END_DECLS

#endif
