/*
 * What the files of the posix machine share. Everything here is the machine's own; the core sees
 * machine.h and percpu.h.
 *
 * No file here uses stdio, pthread mutexes or anything else that may call malloc: malloc may be us.
 */
#ifndef POSIX_H
#define POSIX_H

#include "machine/machine.h"
#include "machine/percpu.h"
#include "options.h"

#define POSIX_PHYS_BASE ((vm_paddr_t)16 << 20) /* physical memory starts at 16 MB */
/*
 * A second: a page that is wanted again sooner costs a fault (about a microsecond with its zeroing),
 * which a rate of one in a second hides, while what a burst leaves behind is gone before an
 * operator looks at the process.
 */
#define POSIX_DECAY_MS   1000
#define POSIX_MAX_FRAMES 0x40000000ull /* frames a table word can name, with room */

/* Words of thread_state.machine[]. */
enum {
	POSIX_TID,
	POSIX_CPU, /* virtual CPU + 1; its upper half, 0, is the CPU that sequences find in lock mode */
	POSIX_SCRATCH /* takes rseq_cs in lock mode */
};
unsigned posix_virtual_cpu(void);
bool posix_real_cpus(void); /* are the core's CPUs the kernel's? */

/* host.c: what the kernel says about this process's share of the host. A few system calls each. */
unsigned posix_possible_cpus(void); /* one more than the highest number there can be; read once */
unsigned posix_cpu_bound(void);     /* no CPU's number is as high, whatever the mask */
unsigned posix_allowed_cpus(void);  /* CPUs in the affinity mask */
/* A small file's beginning as a string; false, and an empty one, if there is nothing to read. */
bool posix_read_file(const char *path, char *buf, size_t size);
/* The decimal number at s; UINT64_MAX if there is none ("max") or it does not fit. */
uint64_t posix_number_at(const char *s);
/*
 * The next line of /proc/self/cgroup, "number:controllers:path", cut up; v2's has no controllers. Returns
 * its path; NULL: there is none. *rest is the text at first.
 */
char *posix_cgroup_next(char **rest, char **controllers);
uint64_t posix_host_memory(void);  /* the smaller of the host's memory and the cgroups' limits */
uint64_t posix_memory_limit(void); /* the cgroups' smallest limit; UINT64_MAX if there is none */
const char *posix_options_text(char *buf, size_t size); /* COOPER_OPTIONS; NULL: not set */
uint64_t posix_address_limit(void); /* RLIMIT_AS or RLIMIT_DATA; UINT64_MAX if there is none */

/*
 * For the libc front, in each of a build's thousands of processes: with posix_limit_later the default
 * shape takes the host's memory for its own without a look at the cgroups' files. posix_limit_due says
 * that more than a first step of memory has been used, so that it is time to look.
 */
extern POSIX_HIDDEN bool posix_limit_later, posix_limit_due;

/*
 * memory.c, for the libc front. Move n pages of the window to another, bare range of it, contents and
 * mapping, without copying. What was moved to is a mapping of its own until posix_memory_plain() makes
 * its range, bare again, like the rest.
 */
enum posix_moved {
	POSIX_MOVED,
	POSIX_STAYED, /* the host cannot; nothing has changed */
	POSIX_LOST /* the same, but the other range may be somebody else's: it must not be used again */
};
enum posix_moved posix_memory_move(vm_offset_t from, vm_offset_t to, unsigned long n);
void posix_memory_plain(vm_offset_t va, unsigned long n);

/* memory.c, cpu.c, percpu.c: their parts of machine_start() and machine_fork_*(). */
enum posix_fork { FORK_PREPARE, FORK_PARENT, FORK_CHILD };
void posix_memory_fork(enum posix_fork when);
void posix_percpu_fork(enum posix_fork when);
void posix_thread_forked(void); /* in the child */
int posix_memory_start(const struct machine_shape *shape, const char **why);
void posix_cpu_start(const struct machine_shape *shape);
void posix_percpu_start(const struct machine_shape *shape);

bool posix_percpu_fast(void); /* could this process have per-CPU caches without locks? */

/* options.c's, as found in COOPER_OPTIONS by machine_default_shape(). */
extern POSIX_HIDDEN struct machine_options posix_options;

/* futex.c */
#define FUTEX_FOREVER 0
void posix_futex_wait(uint32_t *word, uint32_t value, uint64_t deadline); /* machine_now() time */
void posix_futex_wake(uint32_t *word, unsigned n);

#endif
