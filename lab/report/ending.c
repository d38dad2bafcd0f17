/*
 * What was there when the run ended: its memory and the core's state stay as they were until the next
 * run begins.
 */
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>
#include "lab/report/record.h"

/* ---- the core's own books --------------------------------------------------------------------------- */

/* Through the host: a list that a bug has led astray is damage in the record, and no fault here. */
static bool
peek(void *arg, uintptr_t addr, void *buf, size_t len)
{
	struct iovec here = { buf, len }, there = { (void *)addr, len };

	(void)arg;
	return (process_vm_readv(getpid(), &here, 1, &there, 1, 0) == (ssize_t)len);
}

static void
keep(void *arg, enum stats_section section, const void *record)
{
	struct recording *r = arg;

	switch (section) {
	case STATS_ZONES:
		REC_PUSH(r->zones, r->nzones, r->zones_room, *(const struct stats_zone *)record);
		break;
	case STATS_ARENAS:
		REC_PUSH(
		    r->arenas, r->narenas, r->arenas_room, *(const struct stats_arena *)record);
		break;
	case STATS_DOMAINS:
		REC_PUSH(
		    r->domains, r->ndomains, r->domains_room, *(const struct stats_domain *)record);
		break;
	default:
		break;
	}
}

static void
collect(struct recording *r)
{
	struct stats_collector *c = rec_alloc(sizeof(*c));

	*c = (struct stats_collector){ .peek = peek,
		.root = (uintptr_t)&cooper_stats_root,
		.now = sim_now(),
		.sections = STATS_BIT(ZONES) | STATS_BIT(ARENAS) | STATS_BIT(DOMAINS) };
	(void)stats_collect(c, &(struct stats_visitor){ keep, r });
	free(c);
}

/* ---- fibers ---------------------------------------------------------------------------------------------- */

/* The latest event in which this lock was taken. */
static const struct rec_event *
taken(const struct recording *r, const void *lock)
{
	for (unsigned i = r->nevents; i > 0; i--) {
		const struct rec_event *e = rec_event(r, i - 1);

		if (e->object == (uintptr_t)lock &&
		    (e->kind == SIM_LOCK || (e->kind == SIM_TRYLOCK && e->value == 1)))
			return (e);
	}
	return (NULL);
}

static void
note_blocked(struct recorder *rec, struct rec_fiber *f, const struct sim_fiber_info *info)
{
	const struct rec_event *e = taken(rec->r, info->on);
	struct sim_event question = { .kind = SIM_LOCK, .object = info->on };
	struct sim_fiber_info holder = { .state = SIM_ENDED };

	if (e != NULL)
		sim_fiber(e->fiber, &holder);
	if (holder.state == SIM_RUNNABLE) /* on its way through a lock, as anybody may be found */
		return;
	f->wait = (struct rec_wait){ .kind = WAIT_LOCK,
		.holder = NOBODY,
		.owner = names_of(rec->names, &question),
		.step = info->since,
		.now = rec->r->result.now -
		       MIN(rec->r->result.now, (rec->r->result.steps - info->since) * SIM_POINT_NS),
		.sleeps = 1,
		.lock = (uintptr_t)info->on,
		.path = f->path };
	if (e == NULL)
		return;
	f->wait.holder = e->fiber;
	f->wait.taken = e->step;
	f->wait.held_path = e->path;
}

static void
note_fiber(struct recorder *rec, unsigned i)
{
	struct rec_fiber *f = &rec->r->fibers[i];
	struct sim_fiber_info info;

	sim_fiber(i, &info);
	f->name = rec_text(rec->r, "%s", info.name);
	f->state = (uint8_t)info.state;
	f->cpu = (uint8_t)info.cpu;
	f->daemon = info.daemon;
	if (info.state != SIM_ENDED)
		f->path = record_path(rec, i);
	if (info.state == SIM_BLOCKED)
		note_blocked(rec, f, &info);
	else if (info.state == SIM_PARKED && f->wait.kind == WAIT_NONE)
		f->wait = (struct rec_wait){ .kind = WAIT_SCENARIO,
			.holder = NOBODY,
			.step = info.since,
			.sleeps = 1,
			.path = f->path };
	else if (info.state == SIM_ENDED)
		f->wait.kind = WAIT_NONE;
}

void
record_ending(struct recorder *rec)
{
	struct recording *r = rec->r;

	r->nfibers = sim_fibers();
	for (unsigned i = 0; i < r->nfibers; i++)
		note_fiber(rec, i);
	if (!rec->started)
		return;
	/* The step that ended the run was not told of any more. */
	meters_look(rec, &(struct sim_event){ .step = r->result.steps,
			     .fiber = (uint8_t)r->result.fiber,
			     .cpu = r->fibers[r->result.fiber].cpu });
	collect(r);
}
