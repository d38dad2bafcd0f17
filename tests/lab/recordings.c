/*
 * Recordings written by hand.
 */
#include <stdio.h>
#include <string.h>
#include "recordings.h"
#include "uma/uma_int.h"

static const struct lab_scenario scenario = { .name = "by-hand", .about = "written by hand" };

static struct recording *
begin(
    enum lab_verdict verdict, const char *line, uint64_t steps, unsigned nfibers, const char *name)
{
	struct lab_spec spec = { .scenario = &scenario, .seed = 17, .faults = 1 };
	struct recording *r;

	spec.shape = (struct machine_shape){
		.ncpus = 2, .ndomains = 1, .physmem = 2u << 20, .kva_size = 4u << 20, .debug = true
	};
	r = recording_new(&spec, NULL);
	r->result = (struct lab_result){ .verdict = verdict,
		.steps = steps,
		.hash = 0x123456789abcdef0,
		.now = steps * SIM_POINT_NS,
		.fiber = 1 };
	snprintf(r->result.line, sizeof(r->result.line), "%s", line);
	r->nfibers = nfibers;
	for (unsigned i = 0; i < nfibers; i++) {
		r->fibers[i].name = rec_text(r, "%s", i == 0 ? "main" : name);
		r->fibers[i].state = SIM_PARKED;
		r->fibers[i].cpu = i % 2;
	}
	r->fibers[0].wait = (struct rec_wait){ .kind = WAIT_SCENARIO, .step = 10, .now = 1000 };
	return (r);
}

/* A path of program counters inside of these functions, innermost first. */
#define PATH(r, ...)                                    \
	rec_path(r, (const uintptr_t[]){ __VA_ARGS__ }, \
	    sizeof((const uintptr_t[]){ __VA_ARGS__ }) / sizeof(uintptr_t))
#define IN(function) ((uintptr_t)(function) + 8)

static void
event(struct recording *r, uint64_t step, unsigned fiber, enum sim_kind kind, const char *name,
    uint64_t value)
{
	rec_add_event(r, &(struct rec_event){ .step = step,
			     .now = step * SIM_POINT_NS,
			     .value = value,
			     .name = rec_text(r, "%s", name),
			     .kind = kind,
			     .fiber = (uint8_t)fiber,
			     .cpu = fiber % 2 });
}

static void
operation(struct recording *r, unsigned fiber, uint64_t step, const char *name, uint64_t returned)
{
	struct rec_call c = { .step = step,
		.returned = returned,
		.name = rec_text(r, "%s", name),
		.fiber = (uint8_t)fiber };

	r->fibers[fiber].call = rec_add_call(r, &c) + 1;
	r->fibers[fiber].ncalls++;
	if (returned != 0)
		r->fibers[fiber].call = 0;
	event(r, step, fiber, SIM_CALL, name, 64);
}

static void
point(struct recording *r, unsigned meter, uint64_t step, int64_t value, unsigned fiber,
    uint32_t path)
{
	const struct rec_call *c = rec_current(r, &r->fibers[fiber]);

	rec_add_point(&r->meters[meter], &(struct rec_point){ .step = step,
					     .value = value,
					     .path = path,
					     .call = c == NULL ? 0 : c->name,
					     .fiber = (uint8_t)fiber,
					     .cpu = fiber % 2 });
}

static void
sleeper(struct recording *r, unsigned fiber, enum wait_kind kind, const char *channel,
    const char *owner, uint64_t step, uint64_t sleeps)
{
	r->fibers[fiber].wait = (struct rec_wait){ .kind = kind,
		.holder = NOBODY,
		.channel = rec_text(r, "%s", channel),
		.owner = rec_text(r, "%s", owner),
		.need = 1,
		.step = step,
		.now = step * SIM_POINT_NS,
		.sleeps = sleeps,
		.path = PATH(r, IN(keg_import), IN(zone_import), IN(uma_zalloc_slow)) };
}

static struct recording *
hang_of(const char *name)
{
	struct recording *r =
	    begin(LAB_LIVELOCK, "no operation has ended for 1000 s", 90000, 5, name);
	uint32_t drain = PATH(r, IN(keg_drain), IN(uma_zone_reclaim), IN(uma_reclaim));
	uint32_t import = PATH(r, IN(keg_import), IN(zone_import), IN(uma_zalloc_slow));
	char arena[80];

	snprintf(arena, sizeof(arena), "arena %s", name);
	rec_meter(r, METER_TAGS, "tags_free", "", "tags");
	rec_meter(r, METER_RESERVE, "reserve", "", "tags");
	rec_meter(r, METER_PAGES, "pages_free", "", "pages");
	rec_meter(r, METER_KVA, "kva_free", "", "pages");
	rec_meter(r, METER_SLEEPERS, "asleep on btalloc", "btalloc", "threads");
	rec_meter(r, METER_ARENA, arena, name, "free");
	for (unsigned i = 1; i < 5; i++) {
		operation(r, i, 100 + i, "uma_zalloc", 0);
		event(r, 110 + i, i, SIM_LOCK, name, 0);
		event(r, 120 + i, i, SIM_ATOMIC, "", 0);
		event(r, 130 + i, i, SIM_UNLOCK, name, 0);
	}
	point(r, 0, 20, 254, 0, 0);
	point(r, 1, 20, 8, 0, 0);
	point(r, 2, 20, 60, 0, 0);
	point(r, 3, 20, 512, 0, 0);
	point(r, 5, 20, 4096, 0, 0);
	for (int i = 0; i < 30; i++) {
		point(r, 2, 200 + 200 * (uint64_t)i, 60 - i % 21, 1, import);
		point(r, 0, 250 + 200 * (uint64_t)i, 250 - 3 * i, 2, import);
	}
	point(r, 0, 6400, 4, 1, import);
	point(r, 0, 6600, 254, 1, import);
	operation(r, 3, 7000, "uma_reclaim", 0);
	event(r, HANG_FATAL_STEP, 3, SIM_UNLOCK, "keg \"vmem btag\"", 0);
	point(r, 0, HANG_FATAL_STEP, 0, 3, drain);
	point(r, 2, 7920, 40, 3, drain);
	event(r, 8120, 1, SIM_PARK, "btalloc", 900000);
	point(r, 4, 8120, 1, 1, import);
	event(r, 8300, 2, SIM_PARK, "btalloc", 0);
	point(r, 4, 8300, 2, 2, import);
	event(r, 90000, 1, SIM_WAKE, "", 0);
	sleeper(r, 1, WAIT_TAGS, "btalloc", "", 8120, 42);
	sleeper(r, 2, WAIT_TAGS, "btalloc", "", 8300, 41);
	r->fibers[3].state = r->fibers[4].state = SIM_ENDED;
	return (r);
}

struct recording *
recording_of_hang(void)
{
	return (hang_of("worker"));
}

struct recording *
recording_of_hostile_names(void)
{
	struct recording *r = hang_of(HOSTILE_NAME);

	snprintf(r->result.line, sizeof(r->result.line), "zone %s has no items",
	    rec_string(r, r->fibers[1].name));
	return (r);
}

struct recording *
recording_of_deadlock(void)
{
	struct recording *r =
	    begin(LAB_DEADLOCK, "nobody can run and nothing is pending", 400, 3, "worker");

	for (unsigned i = 1; i < 3; i++) {
		operation(r, i, 100 * i, "uma_zfree", 0);
		r->fibers[i].state = SIM_BLOCKED;
		r->fibers[i].wait = (struct rec_wait){ .kind = WAIT_LOCK,
			.holder = (uint8_t)(3 - i),
			.owner = rec_text(r, "zone cross \"%s\"", i == 1 ? "red" : "blue"),
			.step = 300 + i,
			.now = (300 + i) * SIM_POINT_NS,
			.sleeps = 1,
			.lock = 0x1000 * i,
			.taken = 250 + i,
			.path = PATH(r, IN(cross_sort), IN(uma_zfree_slow)),
			.held_path = PATH(r, IN(uma_zfree_slow)) };
	}
	return (r);
}

struct recording *
recording_of_lost_wakeup(void)
{
	struct recording *r =
	    begin(LAB_LOST_WAKEUP, "worker#1 sleeps on \"zonelimit\", 1 is free", 900, 3, "worker");

	rec_meter(r, METER_LIMIT, "limit files", "files", "items");
	operation(r, 1, 100, "uma_zalloc", 0);
	sleeper(r, 1, WAIT_LIMIT, "zonelimit", "files", 300, 1);
	point(r, 0, 50, 1, 0, 0);
	point(r, 0, 200, 0, 2, 0);
	operation(r, 2, 450, "uma_zfree", 0);
	point(r, 0, 500, 1, 2, PATH(r, IN(limit_release), IN(zone_release), IN(uma_zfree_slow)));
	r->fibers[2].state = SIM_ENDED;
	return (r);
}

struct recording *
recording_of_peace(void)
{
	return (begin(LAB_HELD, "", 4000, 3, "worker"));
}

struct recording *
recording_named(const char *name)
{
	static const struct {
		const char *name;
		struct recording *(*make)(void);
	} all[] = {
		{ "hang", recording_of_hang },
		{ "deadlock", recording_of_deadlock },
		{ "lost-wakeup", recording_of_lost_wakeup },
		{ "hostile-names", recording_of_hostile_names },
		{ "peace", recording_of_peace },
	};

	for (unsigned i = 0; i < nitems(all); i++)
		if (strcmp(all[i].name, name) == 0)
			return (all[i].make());
	return (NULL);
}
