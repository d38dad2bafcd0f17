/*
 * Every schedule of a tiny scenario with at most so many preemptions: first none, then one, and so on
 * (iterative context bounding; Musuvathi, Qadeer, PLDI 2007). A preemption is a switch away from a
 * fiber that could go on, or a fiber going on on another CPU than by default. Who goes on where the
 * running fiber cannot, and which of several deadlines comes first, costs nothing: all are tried.
 *
 * TWO REDUCTIONS make it finish.
 *
 * (1) A fiber is preempted only before a step whose object is *shared*: one that two fibers touched,
 * in any of the runs. A step is what lies between two points: one operation of the core on one
 * object (a lock, a CPU's part, a thread's permit, an atomic word, a mapping), with plain code around it.
 *
 * (2) A run is cut where a fiber that was preempted before a step goes on although nobody has
 * touched the object of that step in between.
 *
 * Nothing is lost by them. Steps on different objects commute: what they leave behind does not
 * depend on their order. Take any schedule S within the bound with a preemption of A before a step e
 * such that nobody touches e's object before A goes on. Doing e before the switch gives the same
 * end, and no more preemptions: the switch stays one, or becomes free because A waits after e; and
 * where A went on, it goes on or the next fiber does, at the same cost. Repeat: preemptions only move
 * towards the end of the run, so this ends, in a schedule S' which is not cut and in which each
 * preemption comes before a step whose object another fiber touches as well. S' is one of those tried,
 * if that sharing was seen in some run. It was: let x be the first step of S whose object was touched by
 * another fiber before although no run has shown it to be shared. What comes before x is, by what
 * was just said, the beginning of a run that was made; whoever does x depends on nothing but that, so x
 * is its next step in that run too, which lasts until all have ended (or, if it was cut, in
 * the one without the preemption that was of no use). So the object was seen to be shared. Objects
 * that turn out to be shared late are why a bound is searched again until no new ones appear.
 *
 * What this takes for granted: plain data that fibers share is guarded by a lock, a CPU's part or an atomic
 * word (the thread sanitizer's build looks after that), and no step depends on the virtual time but
 * sleeps that end, which are longer than the steps between two points. An atomic word whose
 * address the machine does not tell counts as one object with all others of its kind.
 */
#include <stdlib.h>
#include <string.h>
#include "base/base.h"
#include "lab/search/search.h"

#define NOBODY  UINT8_MAX
#define SHARED  (SIM_FIBERS + 1)
#define OBJECTS (1u << 16) /* of which half may be in use; a tiny scenario has some hundreds */

/* What a step touches: its own object, and an atomic word that it began with. 0: nothing. */
struct footprint {
	uint64_t key[2];
};

/* A point at which another answer was possible. */
struct branch {
	uint64_t step, candidates;
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
	uint64_t waiting; /* set of fibers: those in `preempted` */
	bool cut;
	/* of the search */
	struct {
		uint64_t key;
		uint32_t who; /* fiber + 1, or SHARED */
	} object[OBJECTS];
	unsigned objects;
	bool news; /* an object turned out to be shared */
} at;

/* ---- objects ---------------------------------------------------------------------------------------- */

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
	return (object << 3 | class);
}

/* Where it is written who touched the object. When there is no room, all others count as shared. */
static uint32_t *
place_of(uint64_t key)
{
	static uint32_t shared = SHARED;
	uint64_t i = search_mix(key, 0) % OBJECTS;

	while (at.object[i].who != 0 && at.object[i].key != key)
		i = (i + 1) % OBJECTS;
	if (at.object[i].who == 0) {
		if (at.objects == OBJECTS / 2)
			return (&shared);
		at.objects++;
		at.object[i].key = key;
	}
	return (&at.object[i].who);
}

static void
touch(uint64_t key, unsigned fiber)
{
	uint32_t *who = place_of(key);

	if (*who == 0)
		*who = fiber + 1;
	else if (*who != fiber + 1 && *who != SHARED) {
		*who = SHARED;
		at.news = true;
	}
	for (uint64_t left = at.waiting; left != 0; left &= left - 1) {
		unsigned other = (unsigned)__builtin_ctzll(left);
		const struct footprint *next = &at.preempted[other].next;

		if (other != fiber && (next->key[0] == key || next->key[1] == key))
			at.preempted[other].touched = true;
	}
}

static bool
is_shared(const struct footprint *f)
{
	return ((f->key[0] != 0 && *place_of(f->key[0]) == SHARED) ||
		(f->key[1] != 0 && *place_of(f->key[1]) == SHARED));
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
	if (key != 0)
		touch(key, fiber);
	if (at.open[fiber] != 0) {
		if (e->kind != SIM_ATOMIC)
			at.found.list[at.open[fiber] - 1].next.key[1] = key;
		at.open[fiber] = 0;
	}
	/* An atomic word is touched after its point, in the step that begins there. */
	at.begun[fiber].key[0] = e->kind == SIM_ATOMIC ? key : 0;
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
	*new = (struct branch){ sim_steps(), candidates, (uint8_t)what, (uint8_t)dflt, NOBODY,
		{ { 0, 0 } } };
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
	static const struct lab_observer observer = { .event = see };
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

/* Is another answer a preemption? Reduction (1) says whether it is to be tried then. */
static bool
costs(const struct branch *b)
{
	return (b->choice == SIM_CHOOSE_CPU || b->fiber != NOBODY);
}

static bool explore(const struct search_options *o, unsigned left);

/* All other answers at one point of the run of the prefix. True: the search has ended. */
static bool
others(const struct search_options *o, const struct branch *b, unsigned left)
{
	uint64_t values = b->candidates & ~((uint64_t)1 << b->taken);

	if (costs(b) && (left == 0 || (b->fiber != NOBODY && !is_shared(&b->next))))
		return (false);
	if (at.depth == at.room) {
		at.room = at.room == 0 ? 64 : 2 * at.room;
		at.prefix = realloc(at.prefix, at.room * sizeof(*at.prefix));
		if (at.prefix == NULL)
			abort();
	}
	for (; values != 0; values &= values - 1) {
		at.prefix[at.depth++] = (struct deviation){ *b, (uint8_t)__builtin_ctzll(values) };
		if (explore(o, left - costs(b)))
			return (true);
		at.depth--;
	}
	return (false);
}

/* The run of the prefix, and all that differ from it after the prefix, by at most `left`. */
static bool
explore(const struct search_options *o, unsigned left)
{
	struct branches mine;
	bool ended = false;

	if (search_over(o, at.result) || run_prefix(&o->spec))
		return (true);
	mine = at.found;
	at.found = (struct branches){ NULL, 0, 0 };
	for (unsigned i = 0; i < mine.n && !ended; i++)
		ended = others(o, &mine.list[i], left);
	free(mine.list);
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
		do {
			at.news = false;
			at.depth = 0;
			ended = explore(o, bound);
		} while (at.news && !ended);
	}
	r->all = !ended;
	r->size = (struct search_size){ r->result.steps, sim_fibers(), 0 };
	free(at.found.list);
	free(at.prefix);
	at.found = (struct branches){ NULL, 0, 0 };
	at.prefix = NULL;
	at.room = 0;
	return (r->found);
}
