/*
 * A kernel build as a kernel's memory sees it: a recorded trace of processes, replayed as the
 * allocations that their system calls make of zones, arenas, kernel memory and malloc(9).
 *
 *	build = build_create(&build_trace, &config, &why);
 *	... N threads call build_worker(build), that is make -jN ...
 *	build_destroy(build);
 *
 * Freestanding: public headers of Cooper, no libc, no threads and no locks but a spin lock that is
 * never held across a call of the core. The same code runs in the laboratory, in tests and in
 * kernels.
 *
 * The recording is cut into jobs: one for the program that runs the build and whatever else is
 * nobody's job, and one for each of its children with all its descendants (a compiler driver, its
 * compiler, its assembler). Within a job events keep their recorded order; how jobs interleave is
 * up to the threads. A worker takes the next job and plays it to its end.
 */
#ifndef LAB_WORKLOADS_BUILD_H
#define LAB_WORKLOADS_BUILD_H

#include <cooper/types.h>

/* What a process did. Letters as in the text format, see lab/traces/README.md. */
enum build_op {
	BUILD_SPAWN,    /* a job's first process comes into being */
	BUILD_FORK,     /* a: the child */
	BUILD_VFORK,    /* a: the child, which shares the address space until it runs a program */
	BUILD_THREAD,   /* one more thread */
	BUILD_THREAD_X, /* a thread ends */
	BUILD_EXEC,     /* path; a: bytes of arguments and environment */
	BUILD_MAP,      /* a: first page, b: pages; path if it is a file's */
	BUILD_UNMAP,    /* a, b */
	BUILD_PROTECT,  /* a, b: the map's entries are cut there */
	BUILD_OPEN,     /* fd, path */
	BUILD_CLOSE,    /* fd */
	BUILD_DUP,      /* fd, fd2: the new one */
	BUILD_PIPE,     /* fd, fd2 */
	BUILD_READ,     /* fd, a: bytes */
	BUILD_WRITE,    /* fd, a: bytes */
	BUILD_LOOKUP,   /* path: a name that is there */
	BUILD_MISS,     /* path: a name that is not */
	BUILD_REAP,     /* a: the child, which has ended */
	BUILD_EXIT,
	BUILD_OPS
};

#define BUILD_NO_PATH   UINT16_MAX
#define BUILD_PROCESSES 16u      /* of one job, at most */
#define BUILD_FDS       256u     /* of one process */
#define BUILD_USER_END  0xc0000u /* pages of a user's address space: 3 GiB */

struct build_event {
	uint8_t op;
	uint8_t process; /* of the job */
	uint8_t fd, fd2;
	uint16_t path;
	uint16_t unused;
	uint32_t a, b;
};

struct build_job {
	uint32_t first, count; /* its events */
	uint32_t processes;
};

struct build_trace {
	const struct build_event *event;
	const struct build_job *job;
	uint32_t nevents, njobs, npaths;
	uint32_t sum; /* build_sum() of events and jobs */
};
extern const struct build_trace build_trace; /* lab/traces/build.trace, by lab/traces/embed.py */

struct build_config {
	uint32_t first, jobs;   /* which jobs are played; jobs 0: all from `first` on */
	uint32_t rounds;        /* how often; 0: once */
	uint32_t events;        /* of each job, at most: it is killed there; 0: all */
	uint32_t vnodes;        /* in memory, at most, those in use apart */
	uint32_t buffers;       /* of the buffer cache, 16 KiB each, at most, those in use apart */
	uint32_t kstack_pages;  /* of a thread */
	uint32_t execs, pipes;  /* at once: the sizes of the exec and the pipe map */
	vm_size_t exec_bytes;   /* address space for one exec's arguments */
	vm_size_t buffer_bytes; /* address space of the buffer cache; 0: enough for all buffers */
	/* Memory is not as it must be: the machine stops. what and object: constant text. */
	void (*fail)(const char *what, const char *object);
	void (*pause)(void); /* the spin lock is taken: let others run; NULL: spin */
	void (*disk)(
	    void); /* a vnode or a buffer is read from the disk: may sleep; NULL: at once */
};

/* A machine with megabytes to spare, all jobs; fail, pause and disk are the caller's to fill in. */
extern const struct build_config build_config_default;

/* NULL: the trace is sound; else one line. */
const char *build_check(const struct build_trace *trace);
uint32_t build_sum(const struct build_trace *trace);

struct build;

/* Sleeps. NULL: *why says in one line what is wrong with the trace or that memory does not suffice. */
struct build *build_create(
    const struct build_trace *trace, const struct build_config *config, const char **why);

/*
 * Play jobs until none is left. May sleep for memory, as processes in a kernel do, while it holds what
 * its job's processes hold: memory must suffice for all workers' jobs at once, caches apart.
 */
void build_worker(struct build *build);

/*
 * Memory is low: let go of idle vnodes, buffers and names, 1/2^shift of them (0: all). Never sleeps;
 * for lowmem handlers and for a thread of the kernel's own.
 */
void build_reclaim(struct build *build, unsigned shift);

/* All workers have returned: everything goes back. */
void build_destroy(struct build *build);

struct build_counts {
	uint32_t events, processes, execs, maps, lookups, opens, pipes, transfers;
	uint32_t vnodes, buffers;           /* made */
	uint32_t recycled, reclaimed;       /* of these: for room, by build_reclaim() */
	uint32_t buffer_waits, short_pipes; /* no address space: waited, or went without */
};
void build_counts(const struct build *build, struct build_counts *out);

#endif
