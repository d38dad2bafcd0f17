/*
 * Every schedule of a tiny scenario with at most so many preemptions: first none, then one, and so on
 * (iterative context bounding; Musuvathi, Qadeer, PLDI 2007). A preemption is a switch away from a
 * fiber that could go on, or a fiber going on on another CPU than by default. Who goes on where the
 * running fiber cannot, and which of several deadlines comes first, costs nothing: all are tried.
 *
 * TWO REDUCTIONS make it finish. A step is what lies between two points: one operation of the core
 * on one object (a lock, a CPU's part, a thread's permit, an atomic word, a mapping), with plain code
 * around it. Steps on different objects commute: what they leave behind does not depend on their order.
 *
 * (1) A fiber is preempted before a step only if, in some run that has come to this point and in which
 * it went on, another fiber touched the object of that step later. (As in dynamic partial-order
 * reduction: Flanagan, Godefroid, POPL 2005. But all other fibers are then tried, and so is every
 * choice that is free; with fewer, a bound on preemptions would lose schedules.)
 *
 * (2) A run is cut where a fiber that was preempted before a step goes on although nobody has
 * touched the object of that step in between.
 *
 * Why (2) loses nothing: do the step before the switch instead. The end is the same, and there are no
 * more preemptions: the switch stays one, or becomes free because the fiber waits after its step; and
 * where it went on, it goes on or the next one does, at the same cost. So preemptions only move towards
 * the end of the run, until each has its touch: the schedule that this ends in is not cut.
 *
 * Why (1) loses nothing: take the longest beginning P that a schedule S within the bound shares with
 * the runs made, and let A be preempted after it, before its step e. By (2) somebody touches e's
 * object before A goes on; let g be the first such step. Nobody before g does, so P, e, and the steps of
 * S up to g are possible in this order too, at the same cost. Runs that begin with P and e are made, and
 * by induction on what is left, one of them is equivalent to a continuation of that; in which g comes
 * after e, since they do not commute. So the preemption was asked for, and S is followed further.
 *
 * What this takes for granted: plain data that fibers share is guarded by a lock, a CPU's part or an
 * atomic word (the thread sanitizer's build looks after that), and no step depends on the virtual time
 * but sleeps that end, which are longer than the steps between two points. The searches' test holds
 * it against brute force.
 */
#include <stdlib.h>
#include <string.h>
#include "base/base.h"
#include "lab/search/search.h"

#define NOBODY  UINT8_MAX
#define OBJECTS (1u << 16) /* of which half may be in use; a tiny scenario has some hundreds */

/* What a step touches: its own object, and an atomic word that it began with. 0: nothing. */
struct footprint {
	uint64_t key[2];
};

/* A point at which another answer was possible. */
struct branch {
	uint64_t step, candidates;
	uint32_t when; /* in the trace */
	bool wanted, tried;
	uint8_t choice, taken;
	uint8_t fiber;         /* could go on: others are a preemption. NOBODY: it could not */
	struct footprint next; /* of its next step */
};

struct deviation {
	struct branch at;
	uint8_t value;
};

struct branches {
	struct branch *list;
	unsigned n, room;
};

/* A run that is being followed further, from its branch number `at`. */
struct frame {
	struct branches branches;
	unsigned at;
	struct frame *up;
};

static struct {
	struct search_result *result;
	/* The answers that lead to the run, and how many of them it has come by. */
	struct deviation *prefix;
	unsigned depth, room, passed;
	struct branches found; /* after them */
	/* of the run, by fiber */
	struct footprint begun[SIM_FIBERS]; /* key[0]: the atomic word of the step that it is in */
	uint32_t open[SIM_FIBERS];          /* 1 + the branch that wants its footprint */
	uint8_t entered[SIM_FIBERS];        /* the CPU whose part it is in */
	struct {
		struct footprint next;
		bool touched;
	} preempted[SIM_FIBERS];
	bool settled;     /* what happens now comes after everything else in any schedule */
	uint64_t waiting; /* set of fibers: those in `preempted` */
	bool cut;
	struct touch { /* the trace: what was touched after the prefix, in order */
		uint32_t object;
		uint8_t fiber, look;
	} * trace;
	uint32_t traced, trace_room;
	/* of the search */
	struct object {
		uint64_t key;
		uint64_t later
		    [2]; /* sets of fibers that touch it from here on: change it, or only look */
		uint64_t run; /* whose `later` it is */
	} object[OBJECTS];
	unsigned objects;
	uint64_t run; /* number of this one */
} at;

/* ---- objects ---------------------------------------------------------------------------------------- */

/* A look at a word does not conflict with another look. The lowest bit of a key: a look. */
enum object_class { NONE, WORD, LOCK, PERMIT, PART, MAPPING };

static uint64_t
key_of(const struct sim_event *e)
{
	uint64_t object = (uintptr_t)e->object;
	enum object_class class = NONE;

	switch (e->kind) {
	case SIM_ATOMIC:
		class = WORD;
		break;
	case SIM_LOCK:
	case SIM_BLOCK:
	case SIM_TRYLOCK:
	case SIM_UNLOCK:
		class = LOCK;
		break;
	case SIM_PARK:
	case SIM_WAKE:
		class = PERMIT;
		object = e->fiber;
		break;
	case SIM_UNPARK:
		class = PERMIT;
		object = e->value;
		break;
	case SIM_ENTER:
		at.entered[e->fiber] = (uint8_t)e->value;
		/* fallthrough */
	case SIM_EXIT:
		class = PART;
		object = at.entered[e->fiber];
		break;
	case SIM_POP:
	case SIM_PUSH:
		class = PART;
		object = e->cpu;
		break;
	case SIM_MAP:
	case SIM_UNMAP:
	case SIM_PAGES:
		class = MAPPING;
		break;
	default:
		return (0);
	}
	return (object << 4 | class << 1 | (e->kind == SIM_ATOMIC && e->value == 1));
}

/* Its place among the objects. When there is no room, all others count as one. */
static uint32_t
place_of(uint64_t key)
{
	uint32_t i;

	key |= 1;
	i = (uint32_t)(search_mix(key, 0) % (OBJECTS - 1)) + 1;

	while (at.object[i].key != 0 && at.object[i].key != key)
		i = i % (OBJECTS - 1) + 1;
	if (at.object[i].key == 0) {
		if (at.objects == OBJECTS / 2)
			return (0);
		at.objects++;
		at.object[i].key = key;
	}
	return (i);
}

static bool
conflict(uint64_t a, uint64_t b)
{
	return ((a | 1) == (b | 1) && (a & b & 1) == 0);
}

static void
touch(uint64_t key, unsigned fiber)
{
	if (at.passed == at.depth && !at.settled) {
		if (at.traced == at.trace_room) {
			at.trace_room = at.trace_room == 0 ? 1024 : 2 * at.trace_room;
			at.trace = realloc(at.trace, at.trace_room * sizeof(*at.trace));
			if (at.trace == NULL)
				abort();
		}
		at.trace[at.traced++] = (struct touch){ place_of(key), (uint8_t)fiber, key & 1 };
	}
	for (uint64_t left = at.waiting; left != 0; left &= left - 1) {
		unsigned other = (unsigned)__builtin_ctzll(left);
		const struct footprint *next = &at.preempted[other].next;

		if (other != fiber && (conflict(next->key[0], key) || conflict(next->key[1], key)))
			at.preempted[other].touched = true;
	}
}

/* Does a fiber other than this one touch what the step touches, in the rest of the run? */
static bool
touched_later(const struct footprint *f, unsigned fiber)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct object *o;
		uint64_t later;

		if (f->key[i] == 0)
			continue;
		o = &at.object[place_of(f->key[i])];
		later = o->later[0] | (f->key[i] & 1 ? 0 : o->later[1]);
		if (o->run == at.run && (later & ~((uint64_t)1 << fiber)) != 0)
			return (true);
	}
	return (false);
}

static void
want(struct branch *b)
{
	if (b->fiber != NOBODY && !b->wanted)
		b->wanted = touched_later(&b->next, b->fiber);
}

/* After a run: which preemptions, in it and in those that it begins like, does it ask for? */
static void
want_all(struct frame *up)
{
	uint32_t next = at.found.n;

	at.run++;
	for (uint32_t t = at.traced; t > 0; t--) {
		struct object *o = &at.object[at.trace[t - 1].object];

		for (; next > 0 && at.found.list[next - 1].when >= t; next--)
			want(&at.found.list[next - 1]);
		if (o->run != at.run)
			o->later[0] = o->later[1] = 0;
		o->later[at.trace[t - 1].look] |= (uint64_t)1 << at.trace[t - 1].fiber;
		o->run = at.run;
	}
	for (; next > 0; next--)
		want(&at.found.list[next - 1]);
	for (; up != NULL; up = up->up)
		for (unsigned i = 0; i < up->at; i++)
			want(&up->branches.list[i]);
}

/* ---- one run ------------------------------------------------------------------------------------------ */

/* A fiber that was preempted is heard of again: was it of any use? */
static void
goes_on(unsigned fiber)
{
	at.waiting &= ~((uint64_t)1 << fiber);
	if (!at.preempted[fiber].touched) {
		at.cut = true;
		sim_stop("cut: the same as another schedule");
	}
}

static void
see(void *arg, const struct sim_event *e)
{
	uint64_t key = key_of(e);
	unsigned fiber = e->fiber;

	(void)arg;
	if (e->kind == SIM_SWITCH || at.cut)
		return;
	if (at.waiting >> fiber & 1)
		goes_on(fiber);
	/* An atomic word is touched after its point, in the step that begins there. */
	if (at.begun[fiber].key[0] != 0)
		touch(at.begun[fiber].key[0], fiber);
	if (key != 0 && e->kind != SIM_ATOMIC)
		touch(key, fiber);
	if (at.open[fiber] != 0) {
		if (e->kind != SIM_ATOMIC)
			at.found.list[at.open[fiber] - 1].next.key[1] = key;
		at.open[fiber] = 0;
	}
	at.begun[fiber].key[0] = e->kind == SIM_ATOMIC ? key : 0;
}

/* The scenario's threads have ended; the first one goes on alone. */
static void
settled(void *arg)
{
	(void)arg;
	at.settled = true;
}

static void
add_branch(enum sim_choice what, uint64_t candidates, unsigned dflt)
{
	struct branches *b = &at.found;
	struct branch *new;

	if ((candidates & (candidates - 1)) == 0)
		return;
	if (b->n == b->room) {
		b->room = b->room == 0 ? 256 : 2 * b->room;
		b->list = realloc(b->list, b->room * sizeof(*b->list));
		if (b->list == NULL)
			abort();
	}
	new = &b->list[b->n++];
	*new = (struct branch){ .step = sim_steps(),
		.candidates = candidates,
		.when = at.traced,
		.choice = (uint8_t)what,
		.taken = (uint8_t)dflt,
		.fiber = NOBODY };
	if (what == SIM_CHOOSE_FIBER && dflt == sim_self()) {
		new->fiber = (uint8_t)dflt;
		new->next = at.begun[dflt];
		at.open[dflt] = b->n;
	}
}

static void
begin(void *arg, uint64_t seed, uint64_t expected_steps)
{
	(void)arg, (void)seed, (void)expected_steps;
	at.passed = at.found.n = 0;
	at.traced = 0;
	at.settled = false;
	at.waiting = 0;
	at.cut = false;
	memset(at.begun, 0, sizeof(at.begun));
	memset(at.open, 0, sizeof(at.open));
	sim_ask_at = at.depth > 0 ? at.prefix[0].at.step : 0;
}

static unsigned
choose(void *arg, enum sim_choice what, uint64_t candidates, unsigned dflt)
{
	const struct deviation *d;

	(void)arg;
	if (at.passed == at.depth) {
		add_branch(what, candidates, dflt);
		return (dflt);
	}
	d = &at.prefix[at.passed];
	if (sim_steps() != d->at.step || what != d->at.choice || candidates != d->at.candidates)
		return (dflt);
	sim_ask_at = ++at.passed < at.depth ? at.prefix[at.passed].at.step : 0;
	if (d->at.fiber != NOBODY) {
		at.waiting |= (uint64_t)1 << d->at.fiber;
		at.preempted[d->at.fiber].next = d->at.next;
		at.preempted[d->at.fiber].touched = false;
	}
	return (d->value);
}

static bool
run_prefix(const struct lab_spec *spec)
{
	static const struct lab_strategy strategy = { begin, choose, NULL };
	static const struct lab_observer observer = { .event = see, .settled = settled };
	struct search_result *r = at.result;

	lab_run(spec, &strategy, &observer, &r->schedule, &r->result);
	r->schedules++;
	r->points += r->result.steps;
	if (at.cut)
		return (false);
	r->too_long += r->result.verdict == LAB_TOO_LONG;
	r->found = search_broken(r->result.verdict);
	r->spec = *spec;
	return (r->found);
}

/* ---- all runs ----------------------------------------------------------------------------------------- */

/* Is another answer a preemption, or a move to another CPU? */
static bool
costs(const struct branch *b)
{
	return (b->choice == SIM_CHOOSE_CPU || b->fiber != NOBODY);
}

static bool explore(const struct search_options *o, unsigned left, struct frame *up);

/* All other answers at one point of the run of the prefix. True: the search has ended. */
static bool
others(const struct search_options *o, struct frame *f, unsigned left)
{
	const struct branch b = f->branches.list[f->at];
	uint64_t values = b.candidates & ~((uint64_t)1 << b.taken);

	if (at.depth == at.room) {
		at.room = at.room == 0 ? 64 : 2 * at.room;
		at.prefix = realloc(at.prefix, at.room * sizeof(*at.prefix));
		if (at.prefix == NULL)
			abort();
	}
	for (; values != 0; values &= values - 1) {
		at.prefix[at.depth++] = (struct deviation){ b, (uint8_t)__builtin_ctzll(values) };
		if (explore(o, left - costs(&b), f))
			return (true);
		at.depth--;
	}
	return (false);
}

/* A branch that is to be tried, the last of them first: n if there is none. */
static unsigned
next_branch(const struct branches *b, unsigned left)
{
	for (unsigned i = b->n; i > 0; i--) {
		const struct branch *one = &b->list[i - 1];

		if (!one->tried && (left > 0 || !costs(one)) &&
		    (one->fiber == NOBODY || one->wanted))
			return (i - 1);
	}
	return (b->n);
}

/* The run of the prefix, and all that differ from it after the prefix, by at most `left`. */
static bool
explore(const struct search_options *o, unsigned left, struct frame *up)
{
	struct frame f = { .up = up };
	bool ended = false;

	if (search_over(o, at.result) || run_prefix(&o->spec))
		return (true);
	want_all(up);
	f.branches = at.found;
	at.found = (struct branches){ NULL, 0, 0 };
	while (!ended && (f.at = next_branch(&f.branches, left)) < f.branches.n) {
		f.branches.list[f.at].tried = true;
		ended = others(o, &f, left);
	}
	free(f.branches.list);
	return (ended);
}

bool
exhaustive_run(const struct search_options *o, struct search_result *r)
{
	bool ended = false;

	memset(at.object, 0, sizeof(at.object));
	at.objects = 0;
	at.result = r;
	for (unsigned bound = 0; bound <= o->preemptions && !ended; bound++) {
		at.depth = 0;
		ended = explore(o, bound, NULL);
	}
	r->all = !ended;
	r->size = (struct search_size){ r->result.steps, sim_fibers(), 0 };
	free(at.found.list);
	free(at.prefix);
	free(at.trace);
	at.found = (struct branches){ NULL, 0, 0 };
	at.prefix = NULL;
	at.trace = NULL;
	at.room = at.trace_room = 0;
	return (r->found);
}
