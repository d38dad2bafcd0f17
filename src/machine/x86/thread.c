/*
 * Threads of the bare x86 machines: one queue of those that can run, a timer that cuts in, parking, and
 * the sleep of those that wait for a machine_lock.
 *
 * sched_lock (a spin lock, interrupts off) guards all of it. It is held across x86_switch() and let
 * go by whoever comes out of it, so a thread is never picked before its registers are saved, and
 * the stack of one that ended is not given to another before it is left.
 *
 * What stays true: a thread is on the ready queue exactly if it is THREAD_READY; on the list of the
 * blocked exactly if it is THREAD_BLOCKED; the idle threads are on none.
 */
#include "base/atomic.h"
#include "x86.h"

#define SPINS 200 /* looks at a held lock before sleeping */

static struct spin sched_lock;
static struct thread threads[X86_THREADS];
static unsigned nthreads; /* slots that have a stack */
static uint64_t next_id = 1;
static struct thread *ready_head, **ready_tail = &ready_head;
static struct thread *blocked;
static bool held; /* nobody is picked: a try begins */
static bool started;

/* ---- the queue --------------------------------------------------------------------------------------- */

static void
make_ready(struct thread *t)
{
	t->status = THREAD_READY;
	t->next = NULL;
	*ready_tail = t;
	ready_tail = &t->next;
	for (unsigned i = 0; i < x86_nactive; i++)
		if ((t->bound < 0 || (unsigned)t->bound == i) &&
		    x86_cpus[i].current == &x86_cpus[i].idle) {
			x86_kick(i);
			return;
		}
}

/* The oldest that may run here, off the queue; NULL if none. */
static struct thread *
pick(unsigned cpu)
{
	for (struct thread **at = &ready_head; cpu < x86_nactive && *at != NULL && !held;
	     at = &(*at)->next) {
		struct thread *t = *at;

		if (t->bound >= 0 && (unsigned)t->bound != cpu)
			continue;
		*at = t->next;
		if (t->next == NULL)
			ready_tail = at;
		return (t);
	}
	return (NULL);
}

/* Leave this CPU to another thread; interrupts off, sched_lock held: released on return. */
static void
leave(enum thread_status status)
{
	struct cpu *cpu = x86_this_cpu();
	struct thread *self = cpu->current, *next;

	if (self == &cpu->idle)
		self->status = THREAD_READY; /* on no queue */
	else if (status == THREAD_READY)
		make_ready(self);
	else
		self->status = status;
	next = pick((unsigned)cpu->index);
	if (next == NULL)
		next = &cpu->idle;
	next->status = THREAD_RUNNING;
	next->cpu = (unsigned)cpu->index;
	if (next != self) {
		cpu->current = next;
		cpu->switches++;
		x86_switch(&self->sp, next->sp);
	}
	spin_unlock(&sched_lock);
}

/* Where a new thread's first switch leads, by thread_entry in switch.S; interrupts off. */
void
x86_thread_main(void)
{
	struct thread *self = x86_this_cpu()->current;

	spin_unlock(&sched_lock);
	__asm__ volatile("sti");
	self->fn(self->arg);
	x86_irq_off();
	spin_lock(&sched_lock);
	leave(THREAD_FREE);
	__builtin_unreachable();
}

/* ---- starting and ending ------------------------------------------------------------------------------ */

static struct thread *
free_slot(void)
{
	for (unsigned i = 0; i < nthreads; i++)
		if (threads[i].status == THREAD_FREE)
			return (&threads[i]);
	return (nthreads < X86_THREADS ? &threads[nthreads++] : NULL);
}

struct thread *
x86_thread_start(const char *name, int cpu, void (*fn)(void *), void *arg)
{
	uintptr_t flags = x86_irq_off();
	struct thread *t;
	uintptr_t stack, *sp;

	spin_lock(&sched_lock);
	t = free_slot();
	if (t != NULL)
		t->status = THREAD_RUNNING; /* ours until it is ready */
	spin_unlock(&sched_lock);
	x86_irq_restore(flags);
	if (t == NULL)
		return (NULL);
	stack = t->stack != 0 ? t->stack : x86_memory_stack();
	if (stack == 0)
		return (NULL);
	sp = (uintptr_t *)(stack + X86_STACK) - 8;
	memset(t, 0, sizeof(*t));
	*sp = (uintptr_t)x86_thread_entry;
	t->sp = (uintptr_t)(sp - X86_SAVED_WORDS);
	memset((void *)t->sp, 0, X86_SAVED_WORDS * sizeof(*sp));
	t->stack = stack;
	t->bound = cpu;
	t->name = name;
	t->fn = fn;
	t->arg = arg;
	t->status = THREAD_RUNNING;
	flags = x86_irq_off();
	spin_lock(&sched_lock);
	t->id = ++next_id;
	make_ready(t);
	spin_unlock(&sched_lock);
	x86_irq_restore(flags);
	return (t);
}

bool
machine_thread_start(const char *name, void (*fn)(void *), void *arg)
{
	return (x86_thread_start(name, -1, fn, arg) != NULL);
}

bool
x86_thread_done(const struct thread *t, uint64_t id)
{
	uintptr_t flags = x86_irq_off();
	bool done;

	spin_lock(&sched_lock);
	done = t->id != id || t->status == THREAD_FREE;
	spin_unlock(&sched_lock);
	x86_irq_restore(flags);
	return (done);
}

/* For reports when nothing else runs: no lock. */
void
x86_each_thread(void (*fn)(const struct thread *, void *), void *arg)
{
	for (unsigned i = 0; i < nthreads; i++)
		if (threads[i].status != THREAD_FREE)
			fn(&threads[i], arg);
}

/* The code that runs becomes the first thread, on the stack that it has. */
void
x86_sched_start(void)
{
	struct cpu *cpu = x86_this_cpu();
	struct thread *t = &threads[nthreads++];

	t->status = THREAD_RUNNING;
	t->bound = -1;
	t->id = next_id;
	t->name = "main";
	t->stack = (uintptr_t)x86_boot_stack;
	cpu->current = t;
	started = true;
}

void
x86_sched_idle(void)
{
	for (;;) {
		x86_irq_off();
		spin_lock(&sched_lock);
		leave(THREAD_READY);
		__asm__ volatile("sti; hlt");
	}
}

void
x86_yield(void)
{
	uintptr_t flags = x86_irq_off();

	spin_lock(&sched_lock);
	leave(THREAD_READY);
	x86_irq_restore(flags);
}

void
x86_sleep(unsigned us)
{
	uint64_t until = machine_now() + (uint64_t)us * 1000;

	do {
		machine_park(until);
	} while (machine_now() < until);
}

/* ---- for tests: nobody else, and nobody at all --------------------------------------------------------- */

static bool
others_asleep(void)
{
	const struct thread *self = x86_this_cpu()->current;

	for (unsigned i = 0; i < nthreads; i++) {
		enum thread_status status = threads[i].status;

		if (&threads[i] != self && status != THREAD_FREE && status != THREAD_PARKED)
			return (false);
	}
	return (true);
}

uintptr_t
x86_sched_quiesce(void)
{
	uint64_t give_up = machine_now() + 20000000000u;

	for (;;) {
		uintptr_t flags = x86_irq_off();
		bool quiet;

		spin_lock(&sched_lock);
		held = quiet = others_asleep();
		spin_unlock(&sched_lock);
		if (quiet)
			return (flags);
		x86_irq_restore(flags);
		MUST(machine_now() < give_up, "threads that should be asleep are not");
		x86_yield();
	}
}

void
x86_sched_resume(void)
{
	spin_lock(&sched_lock);
	held = false;
	spin_unlock(&sched_lock);
}

/* Their stacks may have been in boot memory. */
void
x86_sched_forget(void)
{
	struct thread *self = x86_this_cpu()->current;

	for (unsigned i = 0; i < nthreads; i++)
		if (&threads[i] != self) {
			threads[i].status = THREAD_FREE;
			threads[i].stack = 0;
		}
	blocked = ready_head = NULL;
	ready_tail = &ready_head;
	self->permit = false;
	self->bound = -1;
}

/* ---- interrupts ------------------------------------------------------------------------------------------ */

static void
wake_overdue(uint64_t now)
{
	for (unsigned i = 0; i < nthreads; i++) {
		struct thread *t = &threads[i];

		if (t->status == THREAD_PARKED && t->deadline != 0 && t->deadline <= now)
			make_ready(t);
	}
}

void
x86_look_for_work(void)
{
	spin_lock(&sched_lock);
	leave(THREAD_READY);
}

void
x86_tick(void)
{
	struct cpu *cpu = x86_this_cpu();

	cpu->ticks++;
	spin_lock(&sched_lock);
	if (cpu->index == 0)
		wake_overdue(machine_now());
	leave(THREAD_READY);
}

/* ---- what the core asks for --------------------------------------------------------------------------------- */

uint64_t
machine_thread_id(void)
{
	return (((struct thread *)machine_thread_state())->id);
}

bool
machine_alone(void)
{
	return (nthreads <= 1);
}

void
machine_bind(int cpu)
{
	struct thread *self = (struct thread *)machine_thread_state();

	MUST(cpu < (int)x86_nactive, "machine_bind: CPU %d of %u", cpu, x86_nactive);
	self->state.bound_cpu = cpu + 1;
	self->bound = cpu;
	while (cpu >= 0 && machine_cpu() != (unsigned)cpu)
		x86_yield();
}

void
machine_park(uint64_t deadline)
{
	uintptr_t flags = x86_irq_off();
	struct thread *self = x86_this_cpu()->current;

	spin_lock(&sched_lock);
	if (self->permit)
		spin_unlock(&sched_lock);
	else {
		self->deadline = deadline;
		leave(THREAD_PARKED);
	}
	self->permit = false; /* who gave it before this line gave it for this sleep */
	x86_irq_restore(flags);
}

void
machine_unpark(struct thread_state *ts)
{
	uintptr_t flags = x86_irq_off();
	struct thread *t = (struct thread *)ts;

	spin_lock(&sched_lock);
	t->permit = true;
	if (t->status == THREAD_PARKED)
		make_ready(t);
	spin_unlock(&sched_lock);
	x86_irq_restore(flags);
}

/* ---- locks: as a futex, the word is looked at again under sched_lock ------------------------------------------ */

static void
sleep_on(uint32_t *word)
{
	uintptr_t flags = x86_irq_off();
	struct thread *self = x86_this_cpu()->current;
	struct thread **at = &blocked;

	spin_lock(&sched_lock);
	if (__atomic_load_n(word, __ATOMIC_RELAXED) != 2)
		spin_unlock(&sched_lock);
	else {
		while (*at != NULL)
			at = &(*at)->next;
		*at = self;
		self->next = NULL;
		self->blocked_on = word;
		leave(THREAD_BLOCKED);
	}
	x86_irq_restore(flags);
}

NOINLINE void
x86_lock_slow(struct machine_lock *l)
{
	for (unsigned i = 0; i < SPINS && x86_ncpus > 1; i++) {
		if (atomic_load_relaxed(&l->word) == 0 && machine_trylock(l))
			return;
		__builtin_ia32_pause();
	}
	while (atomic_exchange(&l->word, 2) != 0)
		sleep_on(&l->word);
}

NOINLINE void
x86_unlock_slow(struct machine_lock *l)
{
	uintptr_t flags = x86_irq_off();

	spin_lock(&sched_lock);
	for (struct thread **at = &blocked; *at != NULL; at = &(*at)->next)
		if ((*at)->blocked_on == &l->word) {
			struct thread *t = *at;

			*at = t->next;
			t->blocked_on = NULL;
			make_ready(t);
			break;
		}
	spin_unlock(&sched_lock);
	x86_irq_restore(flags);
}

/* ---- there is nothing to fork here -------------------------------------------------------------------------------- */

void
machine_fork_prepare(void)
{
}

void
machine_fork_parent(void)
{
}

void
machine_fork_child(void)
{
}
