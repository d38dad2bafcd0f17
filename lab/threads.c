/*
 * What lab.h offers to scenarios: threads, numbers, waiting.
 *
 * All state is as at program start in each run. Waiting is parking in a loop: permits may come from
 * the core as well.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/atomic.h"
#include "lab/oracles/oracles.h"
#include "lab/run_int.h"
#include "machine/machine.h"
#include "page/page.h"

struct lab_one {
	void (*fn)(void *);
	void *arg;
	uint64_t random;       /* its own stream */
	const uint32_t *waits; /* for this word */
};

LAB_STATE static struct lab_one threads[SIM_FIBERS];
LAB_STATE static struct thread_state *main_thread = NULL;
LAB_STATE static unsigned running = 0;
LAB_STATE static bool small_run = false;

/* ---- numbers -------------------------------------------------------------------------------------- */

/* splitmix64 */
static uint64_t
next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (z ^ z >> 31);
}

unsigned
lab_random(unsigned n)
{
	return ((unsigned)((next_random(&threads[sim_self()].random) >> 32) * n >> 32));
}

unsigned
lab_cpus(void)
{
	return (cooper_shape()->ncpus);
}

unsigned
lab_domains(void)
{
	return (cooper_shape()->ndomains);
}

unsigned
lab_scale(unsigned small, unsigned large)
{
	return (small_run ? small : large);
}

/* ---- threads -------------------------------------------------------------------------------------- */

void
threads_begin(uint64_t seed, bool small)
{
	threads[0].random = seed;
	main_thread = machine_thread_state();
	small_run = small;
}

static void
thread_main(void *arg)
{
	struct lab_one *t = arg;

	t = &threads[sim_self()];
	t->fn(t->arg);
	if (--running == 0)
		machine_unpark(main_thread);
}

/* A thread's stream comes from its parent's: so it does not depend on who was started when. */
void
lab_thread(const char *name, int cpu, void (*fn)(void *), void *arg)
{
	uint64_t seed = next_random(&threads[sim_self()].random);
	unsigned id;

	running++;
	id = sim_start(name, cpu, thread_main, NULL);
	threads[id] = (struct lab_one){ .fn = fn, .arg = arg, .random = seed };
}

void
threads_join(void)
{
	while (running > 0)
		machine_park(0);
}

/* ---- waiting -------------------------------------------------------------------------------------- */

void
lab_sleep(uint64_t ns)
{
	uint64_t until = machine_now() + ns;

	while (machine_now() < until)
		machine_park(until);
}

void
lab_wait(const uint32_t *word, uint32_t value)
{
	const uint32_t **waits = &threads[sim_self()].waits;

	*waits = word;
	while (atomic_load_acquire(word) != value)
		machine_park(0);
	*waits = NULL;
}

void
lab_post(uint32_t *word, uint32_t value)
{
	struct sim_fiber_info info;

	atomic_store_release(word, value);
	for (unsigned i = 0; i < sim_fibers(); i++)
		if (threads[i].waits == word) {
			sim_fiber(i, &info);
			machine_unpark(info.thread);
		}
}

void
lab_meet(uint32_t *came, unsigned n)
{
	if (++*came == n)
		lab_post(came, n);
	else
		lab_wait(came, n);
}

/* ---- the rest ------------------------------------------------------------------------------------- */

void
lab_note(const char *text)
{
	sim_note(text);
}

void
lab_must(bool held, const char *fmt, ...)
{
	char line[200];
	va_list ap;

	if (held)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	oracle_broken(LAB_PROMISE, "%s", line);
}

void
lab_reclaim(void)
{
	(void)page_daemon_pass(-1, PRESSURE_SEVERE);
}
