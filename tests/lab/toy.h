/*
 * A machine small enough to be believed: fibers are lists of steps on locks and words. It has the
 * interface of the real one that the searches use, so that they can be held against brute force.
 */
#ifndef TESTS_LAB_TOY_H
#define TESTS_LAB_TOY_H

#include "lab/search/search.h"

#define TOY_FIBERS  4
#define TOY_STEPS   12
#define TOY_OBJECTS 3

enum toy_op {
	TOY_END,
	TOY_LOCK,
	TOY_UNLOCK,
	TOY_LOAD, /* the fiber's own number = word */
	TOY_STORE /* word = its own number + 1 */
};

struct toy_step {
	enum toy_op op;
	unsigned object;
};

struct toy {
	unsigned nfibers;
	struct toy_step step[TOY_FIBERS][TOY_STEPS];
	/* Is what the words are at the end as promised? NULL: always. */
	bool (*promise)(const uint32_t word[TOY_OBJECTS]);
	unsigned useless_cpus; /* a promise is broken only with that many CPUs at least */
};
extern struct toy toy;
extern uint64_t toy_runs; /* so far */
extern uint32_t toy_word[TOY_OBJECTS];

extern const struct lab_scenario toy_scenario;

struct lab_spec toy_spec(void);

#endif
