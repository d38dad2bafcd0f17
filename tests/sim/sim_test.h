/*
 * For the tests of the sim machine: a driver that answers by a script and keeps what it saw.
 */
#ifndef SIM_TEST_H
#define SIM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/base.h"
#include "machine/machine.h"
#include "machine/percpu.h"
#include "machine/sim/sim.h"

#define SEEN 4096

struct seen {
	struct sim_event event[SEEN]; /* the first of them */
	unsigned n;
	unsigned asked[SIM_CHOICES];
	uint64_t candidates; /* of the latest choice */
};
extern struct seen seen;

/* 2 CPUs, 1 domain, 2 MiB, 4 MiB of window; without and with a direct map. */
extern const struct machine_shape mapped, direct;

/* The answers of the next run, in place of the defaults; n steps ascending. */
void script(const struct sim_deviation *deviation, unsigned n);

/* Random answers from a seed in the next run. */
void script_random(uint64_t seed);

/* Run fn(NULL) as fiber 0. */
enum sim_end run(const struct machine_shape *shape, void (*fn)(void *));

/* How often this kind of event was seen, and the n-th of it (from 0). */
unsigned count_of(enum sim_kind kind);
const struct sim_event *nth(enum sim_kind kind, unsigned n);

/* In a forked child, as the first run of a process: its hash. */
uint64_t hash_in_child(const struct machine_shape *shape, void (*fn)(void *), uint64_t seed);

#endif
