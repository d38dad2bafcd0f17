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
