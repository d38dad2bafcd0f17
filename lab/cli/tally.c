/*
 * What hunts have found: the table, and several hunts made one.
 *
 * A tally is JSON: {"cooper_lab_hunt": 1, seed, budget, "shards": [...], "results": [...]}, a result
 * for each fault and for each scenario with the shipped code.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lab/cli/cli.h"

/* ---- reading ------------------------------------------------------------------------------------------- */

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return (text == NULL ? "" : text);
}

static int64_t
number_of(const json_t *object, const char *key)
{
	return (json_integer_value(json_object_get(object, key)));
}

static double
seconds_of(const json_t *one)
{
	return (json_number_value(json_object_get(one, "seconds")));
}

static bool
was_found(const json_t *one)
{
	return (json_is_true(json_object_get(one, "found")));
}

static bool
is_fault(const json_t *one)
{
	return (json_is_string(json_object_get(one, "fault")));
}

/* Which unit of work it is. */
static const char *
unit_of(const json_t *one)
{
	return (text_of(one, is_fault(one) ? "fault" : "scenario"));
}

/* ---- merging ------------------------------------------------------------------------------------------- */

static bool
is_result(const json_t *one)
{
	const json_t *found = json_object_get(one, "found");

	return (unit_of(one)[0] != '\0' && json_is_boolean(found) &&
		json_is_integer(json_object_get(one, "schedules")) &&
		json_is_integer(json_object_get(one, "points")) &&
		json_is_number(json_object_get(one, "seconds")) &&
		(!json_is_true(found) ||
		    (text_of(json_object_get(one, "run"), "scenario")[0] != '\0' &&
			text_of(json_object_get(one, "result"), "verdict")[0] != '\0')));
}

static json_t *
load(const char *command, const char *path)
{
	json_error_t error;
	json_t *json, *one;
	const json_t *results;
	size_t i;

	file_must_be_regular(command, path);
	json = json_load_file(path, 0, &error);
	results = json_object_get(json, "results");
	if (json == NULL)
		refuse("%s: %s: %s", command, path, error.text);
	if (number_of(json, "cooper_lab_hunt") != 1 || !json_is_array(results) ||
	    !json_is_array(json_object_get(json, "shards")))
		refuse("%s: %s: not the JSON of a hunt", command, path);
	json_array_foreach(results, i, one) if (!is_result(one))
	    refuse("%s: %s: result %zu is damaged", command, path, i + 1);
	return (json);
}

/* Two hunts for the same: who found it first, or both together. */
static void
merge_result(json_t *to, json_t *from)
{
	static const char *const sums[] = { "schedules", "points", "too_long" };

	if (was_found(to) || was_found(from)) {
		if (!was_found(to) || (was_found(from) && seconds_of(from) < seconds_of(to)))
			json_object_update(to, from);
		return;
	}
	for (size_t i = 0; i < nitems(sums); i++)
		json_object_set_new(
		    to, sums[i], json_integer(number_of(to, sums[i]) + number_of(from, sums[i])));
	json_object_set_new(to, "seconds", json_real(seconds_of(to) + seconds_of(from)));
}

/* The result for the same unit of work; NULL: there is none. */
static json_t *
same_unit(json_t *results, const json_t *wanted)
{
	size_t i;
	json_t *one;

	json_array_foreach(
	    results, i, one) if (is_fault(one) == is_fault(wanted) &&
				 strcmp(unit_of(one), unit_of(wanted)) == 0) return (one);
	return (NULL);
}

static void
merge(json_t *to, json_t *from)
{
	json_t *results = json_object_get(to, "results"), *one, *mine;
	size_t i;

	json_array_extend(json_object_get(to, "shards"), json_object_get(from, "shards"));
	json_array_foreach(json_object_get(from, "results"), i,
	    one) if ((mine = same_unit(results, one)) != NULL) merge_result(mine, one);
	else json_array_append(results, one);
}

json_t *
tally_merge(const char *command, char **files, unsigned n)
{
	json_t *all = load(command, files[0]);

	for (unsigned i = 1; i < n; i++) {
		json_t *one = load(command, files[i]);

		merge(all, one);
		json_decref(one);
	}
	return (all);
}

/* ---- the table ------------------------------------------------------------------------------------------ */

struct sums {
	unsigned hunted, found, scenarios, broken;
	uint64_t schedules, points;
};

static struct sums
sum_up(const json_t *tally)
{
	struct sums s = { 0 };
	size_t i;
	json_t *one;

	json_array_foreach(json_object_get(tally, "results"), i, one) if (is_fault(one))
	{
		s.hunted++;
		s.found += was_found(one);
	}
	else
	{
		s.scenarios++;
		s.broken += was_found(one);
		s.schedules += (uint64_t)number_of(one, "schedules");
		s.points += (uint64_t)number_of(one, "points");
	}
	return (s);
}

int
tally_status(const json_t *tally)
{
	struct sums s = sum_up(tally);

	return (s.found == s.hunted && s.broken == 0 ? STATUS_HELD : STATUS_BROKEN);
}

static void
print_result(const json_t *one, FILE *to)
{
	const json_t *run = json_object_get(one, "run"), *result = json_object_get(one, "result");

	fprintf(to, "%-30s %-22s %-16s %9" PRId64 " %11" PRId64 " %8.2f\n", unit_of(one),
	    was_found(one) ? text_of(run, "scenario") : "-",
	    was_found(one)  ? text_of(result, "verdict")
	    : is_fault(one) ? "NOT FOUND"
			    : "held",
	    number_of(one, "schedules"), number_of(one, "points"), seconds_of(one));
}

static void
print_table(const json_t *results, bool faults, const char *title, FILE *to)
{
	size_t i;
	json_t *one;

	fprintf(to, "%-30s %-22s %-16s %9s %11s %8s\n", title, "BROKEN IN", "AS", "SCHEDULES",
	    "POINTS", "SECONDS");
	json_array_foreach(results, i, one) if (is_fault(one) == faults) print_result(one, to);
	json_array_foreach(results, i, one) if (!faults && !is_fault(one) && was_found(one))
	    fprintf(to, "BROKEN: %s, seed %" PRId64 ": %s\n", unit_of(one),
		number_of(json_object_get(one, "run"), "seed"),
		text_of(json_object_get(one, "result"), "line"));
}

void
tally_print(const json_t *tally, FILE *to)
{
	const json_t *results = json_object_get(tally, "results");
	struct sums s = sum_up(tally);

	if (s.hunted > 0)
		print_table(results, true, "FAULT", to);
	if (s.scenarios > 0) {
		fputs(s.hunted > 0 ? "\n" : "", to);
		print_table(results, false, "SHIPPED CODE IN", to);
	}
	fprintf(to,
	    "\n%u of %u faults found; the shipped code %s in %u of %u scenarios, %" PRIu64
	    " schedules, %" PRIu64 " points\n",
	    s.found, s.hunted, s.broken == 0 ? "held" : "BROKE",
	    s.broken == 0 ? s.scenarios : s.broken, s.scenarios, s.schedules, s.points);
}
