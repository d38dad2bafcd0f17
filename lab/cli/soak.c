/*
 * cooper lab soak: the shipped code in all scenarios, shapes and strategies, for so many points.
 *
 * The runs of the campaign are numbered; number n is a variation (vary.c) of scenario n % m. Blocks
 * of them are worked off in order, by several processes. The state file says up to which block all
 * are done, so a campaign that was interrupted goes on there.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lab/cli/cli.h"

#define POINTS     100000000
#define BLOCK      32         /* runs */
#define BLOCKS     (1u << 30) /* more than anybody has time for */
#define EXHAUSTIVE 200000     /* points of each slice of a tiny scenario's schedules, about */

struct soak {
	const struct args *args;
	uint64_t seed, next, points, schedules, too_long; /* the state file's: next is a block */
	double seconds;
	/* of this process */
	uint64_t base, start;
	uint8_t *done; /* by unit: finished, though not all before it are */
	unsigned room;
	json_t *broken;
};

static volatile bool stop;

static void
interrupted(int signal)
{
	(void)signal;
	stop = true;
}

/* ---- the state file --------------------------------------------------------------------------------------- */

static void
read_state(struct soak *s)
{
	const char *path = s->args->state;
	json_int_t seed, next, points, schedules, too_long;
	json_error_t error;
	json_t *json;
	int format;

	s->seed = s->args->search.spec.seed;
	if (path == NULL)
		return;
	file_must_be_writable("soak", "state", path);
	if (access(path, F_OK) != 0)
		return;
	json = json_load_file(path, 0, &error);
	if (json == NULL)
		refuse("soak: %s: %s", path, error.text);
	if (json_unpack_ex(json, &error, 0, "{s:i, s:I, s:I, s:I, s:I, s:I, s:F}",
		"cooper_lab_soak", &format, "seed", &seed, "next", &next, "points", &points,
		"schedules", &schedules, "too_long", &too_long, "seconds", &s->seconds) != 0 ||
	    format != 1 || seed < 0 || next < 0 || points < 0 || schedules < 0)
		refuse("soak: %s: not the state of a soak", path);
	json_decref(json);
	if (s->args->seed_given && (uint64_t)seed != s->seed)
		refuse("soak: %s is of seed %" PRId64, path, (int64_t)seed);
	s->seed = (uint64_t)seed;
	s->next = (uint64_t)next;
	s->points = (uint64_t)points;
	s->schedules = (uint64_t)schedules;
	s->too_long = (uint64_t)too_long;
}

static json_t *
state_json(const struct soak *s)
{
	return (json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:f}", "cooper_lab_soak", 1, "seed",
	    (json_int_t)s->seed, "next", (json_int_t)s->next, "points", (json_int_t)s->points,
	    "schedules", (json_int_t)s->schedules, "too_long", (json_int_t)s->too_long, "seconds",
	    s->seconds));
}

/* A new file takes the place of the old one: whenever we are killed, one of them is whole. */
static void
write_state(const struct soak *s)
{
	const char *path = s->args->state;
	char *fresh;
	json_t *json;

	if (path == NULL)
		return;
	fresh = xprintf("%s.new", path);
	json = state_json(s);
	if (json_dump_file(json, fresh, JSON_COMPACT) != 0 || rename(fresh, path) != 0)
		fail("soak: %s cannot be written: %s", path, strerror(errno));
	json_decref(json);
	free(fresh);
}

/* ---- a block, in a process of its own ----------------------------------------------------------------------- */

/* The first schedules of a tiny scenario in the exhaustive order. */
static void
exhaustive_slice(const struct lab_scenario *scenario, struct search_result *r)
{
	struct search_options o = { .spec = { .scenario = scenario, .small = true },
		.kind = SEARCH_EXHAUSTIVE,
		.preemptions = 1,
		.points = r->points + EXHAUSTIVE };

	o.spec.shape = lab_shape(scenario);
	exhaustive_run(&o, r);
}

static json_t *
soak_block(void *arg, unsigned unit)
{
	struct soak *s = arg;
	uint64_t first = (s->base + unit) * BLOCK;
	struct search_result r = { 0 };
	json_t *json;

	for (uint64_t n = first; n < first + BLOCK && !r.found; n++) {
		const struct lab_scenario *scenario = lab_scenarios[n % lab_nscenarios];
		struct lab_spec spec = { .scenario = scenario };
		const struct lab_strategy *strategy;

		if (n < lab_nscenarios && scenario->tiny) {
			exhaustive_slice(scenario, &r);
			continue;
		}
		strategy = vary(&spec, s->seed, n / lab_nscenarios, &r);
		search_once(&spec, strategy, &r);
	}
	json = json_pack("{s:b, s:I, s:I, s:I}", "found", (int)r.found, "schedules",
	    (json_int_t)r.schedules, "points", (json_int_t)r.points, "too_long",
	    (json_int_t)r.too_long);
	if (r.found) {
		char *text = replay_text(&r.spec, &r.schedule, &r.result);

		json_object_set_new(json, "run", spec_json(&r.spec));
		json_object_set_new(json, "result", result_json(&r.result));
		json_object_set_new(json, "replay", json_string(text));
		free(text);
	}
	schedule_free(&r.schedule);
	return (json);
}

/* ---- the campaign ------------------------------------------------------------------------------------------ */

static const char *
block_name(void *arg, unsigned unit)
{
	static char name[96];
	struct soak *s = arg;

	snprintf(name, sizeof(name), "block %" PRIu64 " of %u runs, seed %" PRIu64, s->base + unit,
	    BLOCK, s->seed);
	return (name);
}

static void
mark_done(struct soak *s, unsigned unit)
{
	if (unit >= s->room) {
		unsigned room = 2 * unit + 64;

		s->done = xrealloc(s->done, room);
		memset(s->done + s->room, 0, room - s->room);
		s->room = room;
	}
	s->done[unit] = 1;
	while (s->next - s->base < s->room && s->done[s->next - s->base])
		s->next++;
}

static void
take_block(void *arg, unsigned unit, json_t *what)
{
	struct soak *s = arg;
	const struct args *a = s->args;
	double seconds = (double)(search_clock() - s->start) / 1e9;

	if (json_is_true(json_object_get(what, "found"))) {
		s->broken = s->broken == NULL ? json_incref(what) : s->broken;
		stop = true;
		return;
	}
	s->points += (uint64_t)json_integer_value(json_object_get(what, "points"));
	s->schedules += (uint64_t)json_integer_value(json_object_get(what, "schedules"));
	s->too_long += (uint64_t)json_integer_value(json_object_get(what, "too_long"));
	mark_done(s, unit);
	if (s->points >= a->search.points || (a->budget != 0 && seconds >= (double)a->budget))
		stop = true;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%" PRIu64 " points, %" PRIu64 " schedules\r", s->points,
		    s->schedules);
}

static void
save_broken(const struct soak *s, const char *path)
{
	const json_t *result = json_object_get(s->broken, "result");
	FILE *to = fopen(path, "w");

	if (to == NULL ||
	    fputs(json_string_value(json_object_get(s->broken, "replay")), to) == EOF ||
	    fclose(to) != 0)
		fail("soak: %s cannot be written: %s", path, strerror(errno));
	printf("BROKEN: %s: %s: %s\n  kept: cooper lab replay %s\n",
	    json_string_value(json_object_get(json_object_get(s->broken, "run"), "scenario")),
	    json_string_value(json_object_get(result, "verdict")),
	    json_string_value(json_object_get(result, "line")), path);
}

static int
report(const struct soak *s, const char *save)
{
	if (s->args->json) {
		json_t *json = state_json(s);

		json_object_set_new(json, "held", json_boolean(s->broken == NULL));
		json_object_set(json, "broken", s->broken == NULL ? json_null() : s->broken);
		json_print(json);
	} else
		printf("%" PRIu64 " of %" PRIu64 " points, %" PRIu64 " schedules of %u scenarios, "
		       "%" PRIu64 " cut off as too long, %.1f s: %s\n",
		    s->points, s->args->search.points, s->schedules, lab_nscenarios, s->too_long,
		    s->seconds, s->broken != NULL ? "a promise was broken" : "every promise held");
	if (s->broken == NULL)
		return (STATUS_HELD);
	if (!s->args->json)
		save_broken(s, save);
	return (STATUS_BROKEN);
}

int
soak_command(int argc, char **argv)
{
	struct args a = { .search = { .spec = { .seed = 1 }, .points = POINTS },
		.jobs = pool_cpus(),
		.save = "soak.lab" };
	struct soak s = { .args = &a };
	struct pool pool = { .units = BLOCKS,
		.work = soak_block,
		.done = take_block,
		.name = block_name,
		.stop = &stop,
		.arg = &s };

	args_parse("soak", " points state budget jobs seed json save ", argc, argv, &a);
	if (a.nrest > 0)
		refuse("soak: takes no argument, not %s", a.rest[0]);
	replay_must_be_writable("soak", a.save);
	read_state(&s);
	s.base = s.next;
	s.start = search_clock();
	if (s.points < a.search.points) {
		signal(SIGINT, interrupted);
		pool.jobs = a.jobs;
		pool_run(&pool);
		s.seconds += (double)(search_clock() - s.start) / 1e9;
		write_state(&s);
	}
	free(s.done);
	return (report(&s, a.save));
}
