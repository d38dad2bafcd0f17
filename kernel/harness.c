/*
 * tests/harness/harness.h on bare metal: threads of the machine, and tries in place of child processes.
 */
#include "machine_arch.h"
#include "x86.h"
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "harness.h"
#include "kernel.h"
#include "page/page.h"

struct machine_shape harness_shape;

bool
harness_can(const struct machine_shape *shape)
{
	return (shape->ncpus <= x86_cpu_count() && !(shape->direct_map && sizeof(void *) == 4) &&
		shape->physmem <= harness_shape.physmem && shape->kva_size <= ARCH_KVA_MAX);
}

void
harness_fail(const char *file, int line, const char *what)
{
	core_panic("%s:%d: not true: %s", file, line, what);
}

/* ---- children ------------------------------------------------------------------------------------------ */

static vm_paddr_t heap_idle, heap_end;

/* Pages of the segments that somebody has, and the heap as far as it is used. */
static bool
in_use(vm_paddr_t pa)
{
	const struct vm_page *m = page_ndomains() > 0 ? page_of_paddr(pa) : NULL;

	if (m != NULL)
		return ((m->flags & PG_WIRED) != 0);
	return (pa < heap_idle || pa >= heap_end);
}

static enum x86_end
try(void (*fn)(void *), void *arg, const char **text)
{
	heap_idle = ARCH_PHYS(round_page((uintptr_t)kernel_heap_top()));
	heap_end = ARCH_PHYS(kernel_heap_end());
	x86_in_use = in_use;
	return (x86_try(fn, arg, text));
}

void
in_child(void (*fn)(void *), void *arg)
{
	const char *text;

	if (try(fn, arg, &text) != X86_RETURNED)
		fail_msg("a try ended badly, saying: %.200s", text);
}

void
expect_words(void (*fn)(void *), void *arg, const char *text)
{
	const char *said;

	if (try(fn, arg, &said) != X86_RETURNED || strstr(said, text) == NULL)
		fail_msg("expected the words \"%s\", got: %.200s", text, said);
}

void
expect_silence(void (*fn)(void *), void *arg)
{
	const char *said;

	if (try(fn, arg, &said) != X86_RETURNED || said[0] != '\0')
		fail_msg("expected no words, got: %.200s", said);
}

void
expect_stop(void (*fn)(void *), void *arg, const char *text)
{
	const char *said;
	enum x86_end end = try(fn, arg, &said);

	if (end != X86_PANICKED || strstr(said, text) == NULL)
		fail_msg("expected a stop saying \"%s\"; it %s, saying: %.200s", text,
		    end == X86_RETURNED ? "returned" : "stopped", said);
}

void
expect_fault(void (*fn)(void *), void *arg)
{
	const char *said;

	if (try(fn, arg, &said) != X86_FAULTED)
		fail_msg("expected a memory fault, got: %.200s", said);
}

struct misuse {
	int (*fn)(void *);
	void *arg;
};

static void
misuse_in_try(void *p)
{
	struct misuse *m = p;

	*x86_try_word() = m->fn(m->arg);
}

int
expect_misuse(int (*fn)(void *), void *arg, const char *text)
{
	struct misuse m = { fn, arg };

	if (cooper_shape()->debug) {
		expect_stop(misuse_in_try, &m, text);
		return (0);
	}
	in_child(misuse_in_try, &m);
	return (*x86_try_word());
}

/* ---- threads ------------------------------------------------------------------------------------------- */

struct side_thread {
	struct thread *thread;
	uint64_t id;
	void (*fn)(void *);
	void *arg;
};

static void
side_main(void *p)
{
	struct side_thread *t = p;

	t->fn(t->arg);
	watchdog_advance();
}

struct side_thread *
side_start(void (*fn)(void *), void *arg, int cpu)
{
	struct side_thread *t = malloc(sizeof(*t));

	TEST_MUST(t != NULL);
	*t = (struct side_thread){ .fn = fn, .arg = arg };
	t->thread = x86_thread_start("side", cpu, side_main, t);
	TEST_MUST(t->thread != NULL);
	t->id = x86_thread_id(t->thread);
	return (t);
}

void
side_join(struct side_thread *t)
{
	while (!x86_thread_done(t->thread, t->id))
		x86_sleep(1000);
	free(t);
}

struct run {
	struct test_thread thread;
	void (*fn)(struct test_thread *);
};

static void
run_main(void *p)
{
	struct run *run = p;

	run->fn(&run->thread);
}

void
run_threads(unsigned n, void (*fn)(struct test_thread *), void *arg)
{
	struct run run[n];
	struct side_thread *side[n];
	pthread_barrier_t barrier;

	TEST_MUST(n > 0 && pthread_barrier_init(&barrier, NULL, n) == 0);
	for (unsigned i = 0; i < n; i++) {
		run[i] = (struct run){ { i, n, arg, &barrier }, fn };
		side[i] = side_start(
		    run_main, &run[i], cooper_shape()->pin ? (int)(i % cooper_shape()->ncpus) : -1);
	}
	for (unsigned i = 0; i < n; i++)
		side_join(side[i]);
}

void
thread_barrier(struct test_thread *t)
{
	(void)pthread_barrier_wait(t->barrier);
}

int
pthread_barrier_init(pthread_barrier_t *b, const void *attributes, unsigned count)
{
	(void)attributes;
	*b = (pthread_barrier_t){ .count = count };
	return (0);
}

int
pthread_barrier_wait(pthread_barrier_t *b)
{
	uint32_t round = __atomic_load_n(&b->round, __ATOMIC_ACQUIRE);

	if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == b->count) {
		__atomic_store_n(&b->arrived, 0, __ATOMIC_RELAXED);
		__atomic_add_fetch(&b->round, 1, __ATOMIC_RELEASE);
		return (0);
	}
	while (__atomic_load_n(&b->round, __ATOMIC_ACQUIRE) == round)
		x86_sleep(1000);
	return (0);
}

int
pthread_barrier_destroy(pthread_barrier_t *b)
{
	(void)b;
	return (0);
}

/* See x86_lock_slow(): 2 is left by who goes to sleep. */
bool
lock_is_wanted(const struct mtx *m)
{
	return (__atomic_load_n(&m->lock.word, __ATOMIC_RELAXED) == 2);
}

void
harness_nap(void)
{
	x86_sleep(1000);
}
