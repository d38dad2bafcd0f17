/*
 * See sim_test.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim_test.h"

struct seen seen;
const struct machine_shape mapped = {
	.ncpus = 2, .ndomains = 1, .physmem = 2 << 20, .kva_size = 4 << 20, .debug = true
};
const struct machine_shape direct = {
	.ncpus = 2, .ndomains = 1, .physmem = 2 << 20, .kva_size = 4 << 20, .direct_map = true
};

static const struct sim_deviation *deviations;
static unsigned ndeviations;
static uint64_t random_state;

void
script(const struct sim_deviation *deviation, unsigned n)
{
	deviations = deviation;
	ndeviations = n;
}

void
script_random(uint64_t seed)
{
	random_state = seed;
}

static unsigned
choose(void *arg, enum sim_choice what, uint64_t candidates, unsigned dflt)
{
	(void)arg;
	seen.asked[what]++;
	seen.candidates = candidates;
	if (random_state != 0) {
		random_state = random_state * 6364136223846793005u + 1442695040888963407u;
		if (random_state >> 61 == 0)
			for (unsigned skip = (unsigned)(random_state >> 32) % 64;; skip--) {
				dflt = (unsigned)__builtin_ctzll(candidates);
				if (skip == 0 || (candidates & (candidates - 1)) == 0)
					return (dflt);
				candidates &= candidates - 1;
			}
	}
	for (unsigned i = 0; i < ndeviations; i++)
		if (deviations[i].step == sim_steps() && deviations[i].choice == what)
			return (deviations[i].value);
	return (dflt);
}

static void
event(void *arg, const struct sim_event *ev)
{
	(void)arg;
	if (seen.n < SEEN)
		seen.event[seen.n] = *ev;
	seen.n++;
}

enum sim_end
run(const struct machine_shape *shape, void (*fn)(void *))
{
	struct sim_driver driver = { choose, event, NULL, 1000000 };
	enum sim_end end;

	memset(&seen, 0, sizeof(seen));
	sim_ask_at = 0;
	end = sim_run(shape, &driver, fn, NULL);
	ndeviations = 0;
	random_state = 0;
	return (end);
}

unsigned
count_of(enum sim_kind kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MIN(seen.n, SEEN); i++)
		n += seen.event[i].kind == kind;
	return (n);
}

const struct sim_event *
nth(enum sim_kind kind, unsigned n)
{
	for (unsigned i = 0; i < MIN(seen.n, SEEN); i++)
		if (seen.event[i].kind == kind && n-- == 0)
			return (&seen.event[i]);
	fail_msg("event %s: not so many", sim_kind_names[kind]);
	return (NULL);
}

uint64_t
hash_in_child(const struct machine_shape *shape, void (*fn)(void *), uint64_t seed)
{
	uint64_t hash = 0;
	int fd[2], status;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		script_random(seed);
		(void)run(shape, fn);
		hash = sim_hash();
		_exit(write(fd[1], &hash, sizeof(hash)) == sizeof(hash) ? 0 : 1);
	}
	close(fd[1]);
	assert_int_equal(read(fd[0], &hash, sizeof(hash)), sizeof(hash));
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return (hash);
}
