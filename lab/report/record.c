/*
 * The observer: writes down everything that happens in a run. It is called for each event, on the
 * stack of the fiber that it happens to, and changes nothing: it reads the core's structures without
 * locks, since nobody else runs.
 */
#include <string.h>
#include "lab/oracles/oracles.h"
#include "lab/report/record.h"
#include "lab/report/report_int.h"
#include "lab/search/search.h"
#include "sync/sync_int.h"
#include "vmem/vmem_int.h"

static uint64_t
run_time(void)
{
	return (sim_now() - SIM_START_NS);
}

uint32_t
record_path(struct recorder *rec, unsigned fiber)
{
	uintptr_t pc[PATH_MAX_DEPTH];

	return (rec_path(rec->r, pc, sim_stack(fiber, pc, nitems(pc))));
}

/* ---- waits ---------------------------------------------------------------------------------------- */

static const struct waiter *
waiter_of(const struct thread_state *thread, const struct waitq **queue)
{
	if (sync_waiting.next == NULL) /* before the start */
		return (NULL);
	LIST_EACH (l, &sync_waiting) {
		const struct waitq *q = list_entry(l, struct waitq, table);

		LIST_EACH (k, &q->waiters) {
			const struct waiter *w = list_entry(k, struct waiter, link);

			if (w->thread != thread)
				continue;
			*queue = q;
			return (w);
		}
	}
	return (NULL);
}

static enum wait_kind
kind_of(const struct waitq *q)
{
	static const struct {
		const char *channel;
		enum wait_kind kind;
	} kinds[] = { { "btalloc", WAIT_TAGS }, { "kva", WAIT_KVA }, { "vmwait", WAIT_PAGES },
		{ "zonelimit", WAIT_LIMIT }, { "smr", WAIT_SMR }, { "zonedrain", WAIT_PASS },
		{ "pagepass", WAIT_PASS } };

	LIST_EACH (l, &vmem_arenas)
		if (&list_entry(l, struct vmem, link)->wait == q)
			return (WAIT_ARENA);
	for (unsigned i = 0; i < nitems(kinds); i++)
		if (strcmp(q->name, kinds[i].channel) == 0)
			return (kinds[i].kind);
	return (WAIT_OTHER);
}

/* Who waits for pages sleeps until there is one, again and again: what is needed its call knows. */
static uint64_t
need_of(const struct recorder *rec, unsigned fiber, enum wait_kind kind, uint64_t told)
{
	const struct rec_call *c = rec_current(rec->r, &rec->r->fibers[fiber]);

	if (kind != WAIT_PAGES || c == NULL ||
	    strncmp(rec_string(rec->r, c->name), "kmem_", 5) != 0)
		return (told);
	return (MAX(told, howmany(c->asked, PAGE_SIZE)));
}

static void
note_sleep(struct recorder *rec, const struct sim_event *event, uint32_t path)
{
	struct rec_wait *old = &rec->r->fibers[event->fiber].wait;
	struct rec_wait w = { .kind = WAIT_SCENARIO,
		.holder = NOBODY,
		.step = event->step,
		.now = run_time(),
		.path = path };
	const struct waitq *queue;
	struct sim_fiber_info info;
	const struct waiter *waiter;

	sim_fiber(event->fiber, &info);
	waiter = waiter_of(info.thread, &queue);
	if (waiter != NULL) {
		w.kind = (uint8_t)kind_of(queue);
		w.channel = rec_text(rec->r, "%s", queue->name);
		if (w.kind == WAIT_ARENA || w.kind == WAIT_LIMIT)
			w.owner = names_owner(rec->names, queue);
		w.need = need_of(rec, event->fiber, (enum wait_kind)w.kind, waiter->need);
	}
	if (old->kind == w.kind && old->channel == w.channel && old->owner == w.owner) {
		w.step = old->step;
		w.now = old->now;
		w.sleeps = old->sleeps;
	}
	w.sleeps++;
	/* A pass is one step of waiting for something: that stays what it waits for. */
	if (w.kind == WAIT_PASS && old->kind != WAIT_NONE && old->kind != WAIT_PASS)
		return;
	*old = w;
}

/* ---- operations ------------------------------------------------------------------------------------- */

static void
note_call(struct recorder *rec, const struct sim_event *event, uint32_t name, uint32_t path)
{
	struct rec_fiber *f = &rec->r->fibers[event->fiber];
	struct rec_call c = { .step = event->step,
		.asked = event->value,
		.name = name,
		.path = path,
		.fiber = event->fiber };

	f->call = rec_add_call(rec->r, &c) + 1;
	f->ncalls++;
	f->wait.kind = WAIT_NONE;
}

static void
note_return(struct recorder *rec, const struct sim_event *event)
{
	struct rec_fiber *f = &rec->r->fibers[event->fiber];

	if (f->call != 0) {
		rec->r->calls[f->call - 1].returned = event->step;
		rec->r->calls[f->call - 1].result = event->value;
	}
	f->call = 0;
	f->wait.kind = WAIT_NONE;
}

/* ---- events ------------------------------------------------------------------------------------------ */

/* Kinds that are too many for a call path each, and change no meter. */
static bool
is_light(unsigned kind)
{
	return (kind == SIM_ATOMIC || kind == SIM_POP || kind == SIM_PUSH || kind == SIM_SWITCH ||
		kind == SIM_MIGRATE || kind == SIM_ENTER);
}

static void
on_event(void *arg, const struct sim_event *event)
{
	struct recorder *rec = arg;
	struct rec_fiber *f = &rec->r->fibers[event->fiber];
	struct rec_event e = { .step = event->step,
		.now = run_time(),
		.value = event->value,
		.object = (uintptr_t)event->object,
		.kind = event->kind,
		.fiber = event->fiber,
		.cpu = event->cpu };

	if (event->kind == SIM_UNLOCK && event->object == &registry_lock)
		names_forget(rec->names);
	if (rec->started)
		e.name = names_of(rec->names, event);
	if (!is_light(event->kind))
		e.path = record_path(rec, event->fiber);
	if (event->kind == SIM_PARK && rec->started) {
		note_sleep(rec, event, e.path);
		e.name = f->wait.channel;
	}
	rec_add_event(rec->r, &e);
	if (event->kind == SIM_START) /* its number may have been another's */
		rec->r->fibers[event->value % SIM_FIBERS] = (struct rec_fiber){ 0 };
	else if (event->kind == SIM_CALL)
		note_call(rec, event, e.name, e.path);
	else if (event->kind == SIM_RETURN)
		note_return(rec, event);
	else if (event->kind == SIM_WAKE && f->call == 0)
		f->wait.kind = WAIT_NONE;
	if (rec->started && !is_light(event->kind))
		meters_look(rec, event);
}

/* The run that is being recorded: shadow_hands() has no argument of ours. */
static struct recorder *recording_now;

static void
on_hand(const char *of, uint64_t address, uint64_t size, bool out)
{
	struct recorder *rec = recording_now;
	struct sim_fiber_info info;
	struct rec_hand h = { .step = sim_steps(),
		.address = address,
		.size = size,
		.of = rec_text(rec->r, "%s", of),
		.path = record_path(rec, sim_self()),
		.fiber = (uint8_t)sim_self(),
		.out = out };

	sim_fiber(sim_self(), &info);
	h.cpu = (uint8_t)info.cpu;
	REC_PUSH(rec->r->hands, rec->r->nhands, rec->r->hands_room, h);
}

static void
on_started(void *arg)
{
	struct recorder *rec = arg;

	rec->started = true;
	meters_start(rec);
}

static void
record_run(struct recording *r, struct symbols *symbols)
{
	struct recorder rec = { .r = r, .names = names_new(r, symbols) };
	struct lab_observer observer = { .event = on_event, .started = on_started, .arg = &rec };

	recording_now = &rec;
	shadow_hands = on_hand;
	lab_run(&r->spec, replay_strategy(&r->schedule), &observer, NULL, &r->result);
	shadow_hands = NULL;
	record_ending(&rec);
	names_free(rec.names);
}

struct report *
report_make(const struct lab_spec *spec, const struct lab_schedule *schedule)
{
	struct recording *r = recording_new(spec, schedule);
	struct symbols *symbols = symbols_open();

	record_run(r, symbols);
	return (report_of(r, symbols));
}
