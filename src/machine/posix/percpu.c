/*
 * The per-CPU parts' slow side: choosing the mode, entering and leaving, closing stacks.
 *
 * Lock mode: CPUs are virtual (cpu.c), each stack is closed for ever, and every operation enters.
 * Fast mode: CPUs are the kernel's, and open stacks are worked on by restartable sequences
 * (machine_percpu.h). It needs a 64-bit x86 or Arm, glibc's registration of rseq, a shape with each CPU
 * that there can be, membarrier, a self-test that passes; and is not for the debug shape, for virtual
 * CPUs (shape.pin), under TSan or after rseq=0.
 *
 * Locks: one a CPU (cpu_lock.c). Its holder owns the slow state of that CPU's part of every cache: what the
 * shadow fields say is true of a closed stack. An open stack is changed by sequences on its own CPU
 * only, and closed by the holder of the lock, wherever that runs:
 *
 *  - on that CPU, by a sequence: one that runs has that CPU to itself, so no other is half-way.
 *  - elsewhere, by compare-exchange. A sequence that is half-way may still commit, which is as if it had
 *    been first. So a barrier, which makes each sequence on that CPU commit or start again, and another
 *    look. One that stores has overwritten the closed word with an open one: close it again. One that
 *    adds has left it closed, by one pop or push off: that is counted. There is one at most, since
 *    whatever begins later finds the stack closed.
 *
 * What stays true: word is closed, or its count and pops since `count` was noted are the whole truth.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "cpu_lock.h"

static unsigned ncpus;
static bool fast;
POSIX_HIDDEN bool posix_lock_mode;

#ifdef POSIX_RSEQ

#define RSEQ_AREA_SIZE 20 /* what there is of it up to its flags: all that we need */

/* glibc's; absent from other C libraries and old ones. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

POSIX_HIDDEN struct posix_rseq posix_rseq;

/* ---- closing ---------------------------------------------------------------------------------------- */

/* What the word was: `old` when it was closed, and since then what was half-way has made it `now`. */
static bool
still_closed(uint64_t now, uint64_t *old)
{
	if ((uint16_t)now < PERCPU_CLOSED - 1)
		return (false);
	*old += now - PERCPU_CLOSED;
	return (true);
}

static uint64_t
close_from_afar(uint64_t *word, unsigned cpu)
{
	for (;;) {
		uint64_t old = atomic_load_relaxed(word);

		if (!atomic_cas(word, &old, PERCPU_CLOSED))
			continue;
		posix_barrier_on(cpu);
		if (still_closed(atomic_load_acquire(word), &old)) {
			atomic_store_relaxed(word, (uint64_t)PERCPU_CLOSED);
			return (old);
		}
	}
}

/* Close a stack of `cpu`, whose lock is held, and bring the shadow and the counts up to date. */
static void
close_stack(struct percpu *part, struct percpu_stack *s, unsigned cpu)
{
	uint64_t old, pops;
	uint16_t count;
	int saved;

	if ((uint16_t)atomic_load_relaxed(&s->word) == PERCPU_CLOSED)
		return; /* whoever closed it under this lock made sure that it stays so */
	if (unlikely(!rseq_close(&s->word, cpu, PERCPU_CLOSED, &old))) {
		saved = errno;
		old = close_from_afar(&s->word, cpu);
		errno = saved;
	}
	count = (uint16_t)old;
	pops = old >> 16;
	part->pops += pops;
	part->pushes += pops + count - s->count;
	s->count = count;
}

static void
close_part(struct percpu *part, unsigned cpu)
{
	close_stack(part, &part->alloc, cpu);
	close_stack(part, &part->free, cpu);
}

static void
open_stack(struct percpu_stack *s)
{
	if (s->open)
		atomic_store_release(&s->word, (uint64_t)s->count);
}

static void
open_part(struct percpu *part)
{
	open_stack(&part->alloc);
	open_stack(&part->free);
}

/* ---- the mode ----------------------------------------------------------------------------------------- */

/* The place of `p`, which is thread-local, from the thread pointer. */
static ptrdiff_t
from_thread_pointer(const void *p)
{
	return ((const char *)p - (const char *)__builtin_thread_pointer());
}

bool
posix_percpu_fast(void)
{
	const uint32_t *cpu_id;

	if (&__rseq_size == NULL || &__rseq_offset == NULL || __rseq_size < RSEQ_AREA_SIZE)
		return (false);
	cpu_id = (const uint32_t *)((char *)__builtin_thread_pointer() + __rseq_offset) + 1;
	return (*(const volatile uint32_t *)cpu_id < COOPER_MAXCPU);
}

/* Does the kernel keep to the rules, as far as one thread can see? */
static bool
self_test(void)
{
	uint64_t word = 7, old = 0;
	unsigned cpu;
	bool closed = false;

	for (unsigned tries = 0; tries < 100 && !closed; tries++) {
		cpu = rseq_cpu();
		closed = cpu < ncpus && rseq_close(&word, cpu, PERCPU_CLOSED, &old);
	}
	if (!closed || old != 7 || word != PERCPU_CLOSED)
		return (false);
	/* No thread is ever on a CPU of that number. */
	return (!rseq_close(&word, COOPER_MAXCPU, 9, &old) && word == PERCPU_CLOSED);
}

static bool
choose_fast(const struct machine_shape *shape)
{
	if (shape->debug || shape->pin || !posix_options.rseq || !posix_percpu_fast() ||
	    shape->ncpus < posix_possible_cpus())
		return (false);
	posix_rseq.area = __rseq_offset;
	return (self_test() && posix_barrier_register());
}

/* ---- framed caches ----------------------------------------------------------------------------------- */

static unsigned parts; /* that a framed cache has */
static bool outside;   /* sequences come from there, too: <cooper/inline.h> */

void
cooper_inline_begin(int zone_parts)
{
	MUST(zone_parts == COOPER_ZONE_PARTS,
	    "cooper: <cooper/inline.h> is of another version than this library");
	MUST(parts == 0 || parts >= posix_cpu_bound(),
	    "cooper: code with COOPER_INLINE was loaded after the start, and without sequences "
	    "(rseq) "
	    "its zones are not made for it");
	outside = true;
}

unsigned
percpu_parts(void)
{
	return (parts);
}

bool
percpu_frames_open(void)
{
	return (fast);
}

static void
choose_mode(const struct machine_shape *shape)
{
	fast = choose_fast(shape);
	parts = fast || outside ? MAX(posix_cpu_bound(), ncpus) : ncpus;
	if (fast && parts > COOPER_MAXCPU) { /* the kernel's files are not there to tell how many */
		fast = false;
		parts = outside ? parts : ncpus;
	}
	posix_rseq.limit = fast ? ncpus * PERCPU_STRIDE : 0;
	if (!fast) /* the scratch word is where rseq_cs would be, 8 bytes into the area */
		posix_rseq.area =
		    from_thread_pointer(&machine_thread_state()->machine[POSIX_SCRATCH]) - 8;
}

/* The CPU this thread is on; one whose number the shape does not have shares another's part. */
static unsigned
real_cpu(void)
{
	uint32_t cpu = rseq_cpu();

	return (likely(cpu < ncpus) ? cpu : posix_virtual_cpu());
}

#else

static void
close_part(struct percpu *part, unsigned cpu)
{
	(void)part;
	(void)cpu;
}

static void
open_part(struct percpu *part)
{
	(void)part;
}

bool
posix_percpu_fast(void)
{
	return (false);
}

/* No sequences come to zones from anywhere. */
void
cooper_inline_begin(int zone_parts)
{
	(void)zone_parts;
}

static void
choose_mode(const struct machine_shape *shape)
{
	(void)shape;
}

static unsigned
real_cpu(void)
{
	return (posix_virtual_cpu());
}

#endif

void
posix_percpu_start(const struct machine_shape *shape)
{
	ncpus = shape->ncpus;
	choose_mode(shape);
	posix_lock_mode = !fast && !shape->debug;
}

bool
posix_real_cpus(void)
{
	return (fast);
}

unsigned
machine_cpu(void)
{
	return (fast ? real_cpu() : posix_virtual_cpu());
}

/* ---- entering ----------------------------------------------------------------------------------------- */

#ifdef POSIX_RSEQ

/* This CPU's, or another's, but then as far as we know it is this one. */
static ALWAYS_INLINE bool
lock_near(unsigned cpu)
{
	return (fast && cpu_trylock_near(cpu));
}

static void
lock(unsigned cpu)
{
	if (!fast)
		machine_lock(&posix_cpu_lock[cpu].far);
	else if (!cpu_trylock_near(cpu))
		posix_cpu_lock_far(&posix_cpu_lock[cpu], cpu);
}

static ALWAYS_INLINE void
unlock(unsigned cpu)
{
	if (fast)
		cpu_unlock(cpu);
	else
		machine_unlock(&posix_cpu_lock[cpu].far);
}

#else

static bool
lock_near(unsigned cpu)
{
	(void)cpu;
	return (false);
}

static void
lock(unsigned cpu)
{
	machine_lock(&posix_cpu_lock[cpu].far);
}

static void
unlock(unsigned cpu)
{
	machine_unlock(&posix_cpu_lock[cpu].far);
}

#endif

/* To be followed by the lock. */
static ALWAYS_INLINE void
announce(unsigned cpu)
{
	struct thread_state *ts = machine_thread_state();

	/* A handler that has interrupted the part's holder would wait for its own thread, for ever. */
	MUST(ts->entered_cpu == 0, "percpu_enter: CPU %u is entered already", ts->entered_cpu - 1);
	ts->entered_cpu = cpu + 1;
}

static ALWAYS_INLINE struct percpu *
entered(struct percpu *zone_cache, unsigned cpu)
{
	if (fast)
		close_part(&zone_cache[cpu], cpu);
	return (&zone_cache[cpu]);
}

struct percpu *
percpu_enter_cpu(struct percpu *zone_cache, unsigned cpu)
{
	MUST(cpu < ncpus, "percpu_enter_cpu: CPU %u of %u", cpu, ncpus);
	announce(cpu);
	lock(cpu);
	return (entered(zone_cache, cpu));
}

/* Who has been moved between the look at his CPU and taking its lock had better look again, once. */
struct percpu *
percpu_enter(struct percpu *zone_cache, unsigned *cpu)
{
	*cpu = machine_cpu();
	announce(*cpu);
	if (unlikely(!lock_near(*cpu))) {
		if (fast) {
			*cpu = machine_cpu();
			machine_thread_state()->entered_cpu = *cpu + 1;
		}
		lock(*cpu);
	}
	return (entered(zone_cache, *cpu));
}

void
percpu_exit(struct percpu *zone_cache, unsigned cpu)
{
	struct thread_state *ts = machine_thread_state();

	CHECK(ts->entered_cpu == cpu + 1, "percpu_exit: CPU %u was not entered", cpu);
	if (fast)
		open_part(&zone_cache[cpu]);
	unlock(cpu);
	ts->entered_cpu = 0;
}

bool
percpu_entered(void)
{
	return (machine_thread_state()->entered_cpu != 0);
}

/* ---- lock mode ----------------------------------------------------------------------------------------- */

void *
posix_lock_pop(struct percpu *zone_cache)
{
	struct thread_state *ts = machine_thread_state();
	unsigned cpu = posix_virtual_cpu();
	struct percpu *part = &zone_cache[cpu];
	void *item = NULL;

	if (unlikely(ts->entered_cpu != 0))
		return (NULL); /* a handler's: the slow path says so */
	ts->entered_cpu = cpu + 1;
	machine_lock(&posix_cpu_lock[cpu].far);
	if (part->alloc.open && part->alloc.count > 0) {
		item = part->alloc.items[--part->alloc.count];
		part->pops++;
	}
	machine_unlock(&posix_cpu_lock[cpu].far);
	ts->entered_cpu = 0;
	return (item);
}

bool
posix_lock_push(struct percpu *zone_cache, void *item)
{
	struct thread_state *ts = machine_thread_state();
	unsigned cpu = posix_virtual_cpu();
	struct percpu *part = &zone_cache[cpu];
	bool room;

	if (unlikely(ts->entered_cpu != 0))
		return (false); /* a handler's: the slow path says so */
	ts->entered_cpu = cpu + 1;
	machine_lock(&posix_cpu_lock[cpu].far);
	room = part->alloc.open && part->alloc.count < part->alloc.max;
	if (room) {
		part->alloc.items[part->alloc.count++] = item;
		part->pushes++;
	}
	machine_unlock(&posix_cpu_lock[cpu].far);
	ts->entered_cpu = 0;
	return (room);
}

/* ---- fork ----------------------------------------------------------------------------------------------- */

void
posix_percpu_fork(enum posix_fork when)
{
	for (unsigned cpu = 0; cpu < ncpus; cpu++) {
		struct cpu_lock *l = &posix_cpu_lock[cpu];

		if (when == FORK_CHILD)
			*l = (struct cpu_lock){ 0 };
		else if (when == FORK_PREPARE && fast)
			posix_cpu_lock_far(l, cpu);
		else if (when == FORK_PREPARE)
			machine_lock(&l->far);
		else
			unlock(cpu);
	}
}
