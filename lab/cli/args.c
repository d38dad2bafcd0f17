/*
 * The options of all subcommands: one table, of which each subcommand takes a part.
 *
 * What may stand after --shape and its like is decided by the parser that COOPER_OPTIONS has as well:
 * src/machine/posix/options.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include "lab/cli/cli.h"
#include "machine/posix/options.h"

#define CPUS_MAX 64 /* the sim machine can choose among so many */
#define JOBS_MAX 1024

struct parser {
	const char *command;
	struct args *args;
	char words[512]; /* of the shape */
};

static uint64_t
number(const struct parser *p, const char *option, const char *text, uint64_t min, uint64_t max)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n < min || n > max)
		refuse("%s: --%s %s: %llu to %llu are accepted", p->command, option, text,
		    (unsigned long long)min, (unsigned long long)max);
	return (n);
}

/* ---- what each option does --------------------------------------------------------------------------- */

/* A word of the shape; `option` is the word's name. */
static void
take_shape(struct parser *p, const char *option, const char *value)
{
	struct machine_options parsed;
	size_t len = strlen(p->words);
	const char *why;

	if (value[0] == '\0' || strpbrk(value, ", \t\n") != NULL)
		refuse("%s: --%s \"%s\": a value without commas and blanks is accepted", p->command,
		    option, value);
	snprintf(
	    p->words + len, sizeof(p->words) - len, "%s%s=%s", len == 0 ? "" : ",", option, value);
	if (strlen(p->words) == sizeof(p->words) - 1)
		refuse("%s: --%s: too many options", p->command, option);
	if (machine_options_parse(p->words, &parsed, &why) != 0) {
		const char *accepted = strstr(why, "\": ");

		refuse("%s: --%s %s: %s", p->command, option, value,
		    accepted == NULL ? why : accepted + 3);
	}
	if ((parsed.given & OPTION_CPUS) && parsed.shape.ncpus > CPUS_MAX)
		refuse("%s: --cpus %s: 1 to %d are accepted", p->command, value, CPUS_MAX);
	p->args->shape_given = parsed.given;
	p->args->shape = parsed.shape;
}

static void
take_page(struct parser *p, const char *option, const char *value)
{
	char text[8];

	for (unsigned shift = SIM_PAGE_SHIFT_MIN; shift <= SIM_PAGE_SHIFT_MAX; shift++) {
		snprintf(text, sizeof(text), "%uK", 1u << (shift - 10));
		if (strcmp(value, text) == 0) {
			p->args->search.spec.page_shift = shift == SIM_PAGE_SHIFT_MIN ? 0 : shift;
			return;
		}
	}
	refuse("%s: --%s %s: 4K, 8K, 16K, 32K and 64K are accepted", p->command, option, value);
}

static void
take_flag(struct parser *p, const char *option, const char *value)
{
	struct args *a = p->args;

	(void)value;
	if (strcmp(option, "json") == 0)
		a->json = true;
	else if (strcmp(option, "merge") == 0)
		a->merge = true;
	else if (strcmp(option, "small") == 0)
		a->search.spec.small = true;
	else if (strcmp(option, "hangs") == 0)
		a->search.spec.tolerated = HANGS_ALONE;
	else if (strcmp(option, "release") == 0)
		take_shape(p, "debug", "0");
	else if (strcmp(option, "daemon") == 0)
		take_shape(p, "daemon", "1");
}

static void
take_name(struct parser *p, const char *option, const char *value)
{
	struct args *a = p->args;

	if (strcmp(option, "fault") == 0)
		a->search.spec.faults |= fault_named(p->command, value);
	else if (strcmp(option, "policy") == 0)
		a->search.spec.policy = policy_named(p->command, value);
	else if (strcmp(option, "strategy") == 0) {
		for (a->search.kind = 0; a->search.kind < SEARCH_KINDS; a->search.kind++)
			if (strcmp(value, search_kind_names[a->search.kind]) == 0)
				return;
		refuse("%s: --strategy %s: random, pct and exhaustive are accepted", p->command,
		    value);
	}
}

static void
take_number(struct parser *p, const char *option, const char *value)
{
	struct args *a = p->args;
	const struct {
		const char *name;
		uint64_t min, max, *to;
		unsigned *small_to;
	} numbers[] = {
		{ "seed", 0, INT64_MAX, &a->search.spec.seed, NULL },
		{ "schedules", 1, INT64_MAX, &a->search.schedules, NULL },
		{ "points", 1, INT64_MAX, &a->search.points, NULL },
		{ "depth", 1, SEARCH_DEPTH_MAX, NULL, &a->search.depth },
		{ "preemptions", 0, 16, NULL, &a->search.preemptions },
		{ "budget", 1, 1000000, &a->budget, NULL },
		{ "jobs", 1, JOBS_MAX, NULL, &a->jobs },
		{ "from", 1, INT64_MAX, &a->from, NULL },
		{ "to", 1, INT64_MAX, &a->to, NULL },
	};

	for (size_t i = 0; i < nitems(numbers); i++)
		if (strcmp(option, numbers[i].name) == 0) {
			uint64_t n = number(p, option, value, numbers[i].min, numbers[i].max);

			if (numbers[i].to != NULL)
				*numbers[i].to = n;
			else
				*numbers[i].small_to = (unsigned)n;
		}
	if (strcmp(option, "seed") == 0)
		a->seed_given = true;
}

static void
take_shard(struct parser *p, const char *option, const char *value)
{
	unsigned i, n;
	int used = 0;

	(void)option;
	if (sscanf(value, "%u/%u%n", &i, &n, &used) != 2 || value[used] != '\0' || i < 1 || i > n ||
	    n > JOBS_MAX || value[0] < '0' || value[0] > '9')
		refuse("%s: --shard %s: i/n is accepted, 1/1 to %d/%d", p->command, value, JOBS_MAX,
		    JOBS_MAX);
	p->args->shard = i;
	p->args->shards = n;
}

static void
take_file(struct parser *p, const char *option, const char *value)
{
	if (value[0] == '\0')
		refuse("%s: --%s: the name of a file is missing", p->command, option);
	if (strcmp(option, "html") == 0)
		p->args->html = value;
	else if (strcmp(option, "save") == 0)
		p->args->save = value;
	else
		p->args->state = value;
}

/* ---- the table --------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int argument;
	void (*take)(struct parser *p, const char *option, const char *value);
} table[] = {
	{ "shape", required_argument, take_shape },
	{ "cpus", required_argument, take_shape },
	{ "domains", required_argument, take_shape },
	{ "physmem", required_argument, take_shape },
	{ "kva", required_argument, take_shape },
	{ "page", required_argument, take_page },
	{ "release", no_argument, take_flag },
	{ "daemon", no_argument, take_flag },
	{ "small", no_argument, take_flag },
	{ "hangs", no_argument, take_flag },
	{ "json", no_argument, take_flag },
	{ "merge", no_argument, take_flag },
	{ "fault", required_argument, take_name },
	{ "policy", required_argument, take_name },
	{ "strategy", required_argument, take_name },
	{ "seed", required_argument, take_number },
	{ "schedules", required_argument, take_number },
	{ "points", required_argument, take_number },
	{ "depth", required_argument, take_number },
	{ "preemptions", required_argument, take_number },
	{ "budget", required_argument, take_number },
	{ "jobs", required_argument, take_number },
	{ "from", required_argument, take_number },
	{ "to", required_argument, take_number },
	{ "shard", required_argument, take_shard },
	{ "html", required_argument, take_file },
	{ "save", required_argument, take_file },
	{ "state", required_argument, take_file },
};

static bool
takes(const char *options, const char *name)
{
	char *word = xprintf(" %s ", name);
	bool found = strstr(options, word) != NULL;

	free(word);
	return (found);
}

static void
complain(const char *command, const char *options, char **argv, int answer)
{
	char known[512] = "";
	size_t len = 0;

	if (answer == ':')
		refuse("%s: %s needs a value; see: cooper lab help %s", command, argv[optind - 1],
		    command);
	for (size_t i = 0; i < nitems(table); i++)
		if (takes(options, table[i].name))
			len += (size_t)snprintf(
			    known + len, sizeof(known) - len, " --%s", table[i].name);
	refuse("%s: unknown option %s; known are%s --help", command, argv[optind - 1], known);
}

void
args_parse(const char *command, const char *options, int argc, char **argv, struct args *a)
{
	struct option longs[nitems(table) + 2] = { { "help", no_argument, NULL, 'h' } };
	struct parser p = { .command = command, .args = a };
	int which, n = 1;

	for (size_t i = 0; i < nitems(table); i++)
		if (takes(options, table[i].name))
			longs[n++] =
			    (struct option){ table[i].name, table[i].argument, NULL, 256 + (int)i };
	opterr = 0;
	while ((which = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		if (which == 'h') {
			help_about(command);
			exit(0);
		}
		if (which < 256)
			complain(command, options, argv, which);
		table[which - 256].take(&p, table[which - 256].name, optarg);
	}
	a->rest = argv + optind;
	a->nrest = (unsigned)(argc - optind);
}

/* ---- the shape --------------------------------------------------------------------------------------- */

static void
start_is_all(void)
{
}

/* Does the core start in this shape? If not, why. */
static bool
starts(const struct lab_spec *wanted, char *why, size_t size)
{
	static const struct lab_scenario start = { .name = "start", .setup = start_is_all };
	struct lab_spec spec = *wanted;
	struct lab_result result;
	const char *line;

	spec.scenario = &start;
	lab_run(&spec, &lab_default_strategy, NULL, NULL, &result);
	line = strstr(result.line, "cooper_start: ");
	snprintf(why, size, "%s", line == NULL ? result.line : line + strlen("cooper_start: "));
	return (result.verdict == LAB_HELD);
}

void
args_shape(const char *command, struct args *a)
{
	struct machine_shape *shape = &a->search.spec.shape;
	struct machine_options given = { .given = a->shape_given, .shape = a->shape };
	unsigned page_shift = MAX(a->search.spec.page_shift, (unsigned)SIM_PAGE_SHIFT_MIN);
	char why[256];
	vm_size_t kva;

	*shape = lab_shape(a->search.spec.scenario);
	shape->physmem <<= page_shift - SIM_PAGE_SHIFT_MIN; /* as many pages */
	shape->kva_size <<= page_shift - SIM_PAGE_SHIFT_MIN;
	kva = shape->kva_size;
	machine_options_apply(&given, shape);
	if (!(given.given & OPTION_KVA))
		shape->kva_size = kva; /* the scenario's, not one that follows the memory */
	if (shape->ndomains > shape->ncpus)
		refuse("%s: the scenario has %u memory domains, so --cpus %u is too few", command,
		    shape->ndomains, shape->ncpus);
	if (a->shape_given != 0 && !starts(&a->search.spec, why, sizeof(why)))
		refuse("%s: no machine can have this shape: %s", command, why);
}
