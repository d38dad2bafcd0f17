/*
 * A run as a text: what it was and which answers were not the default, to be run again elsewhere.
 *
 *	cooper-lab 1
 *	scenario tag-storm
 *	shape i386 cpus 2 domains 1 physmem 2097152 kva 4194304 debug 1 daemon 0 page 4096
 *	policy shipped
 *	faults drain_ignores_reserve
 *	inject 0
 *	reclaim 0 how 0
 *	seed 17
 *	small 0
 *	max-steps 0 tolerated 0
 *	steps 4711 hash 0123456789abcdef verdict lost wakeup
 *	deviations 2
 *	12 fiber 3
 *	40 cpu 1
 *	end 8c1f0a6be4d1f00d
 *
 * Lines stand in this order and all of them are there. Names are those of the catalogues, so that a
 * file outlives the order in which they are listed. The last line has a checksum (FNV-1a) of all
 * bytes before it: a file that was cut or changed is refused, not half believed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "lab/search/search.h"

#define FORMAT    1
#define BYTES_MAX (8192 + LAB_DEVIATIONS_MAX * 40)

static const char *const choice_names[SIM_CHOICES] = { "fiber", "cpu", "wake" };

static uint64_t
checksum(const char *text, size_t n)
{
	uint64_t sum = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++)
		sum = (sum ^ (unsigned char)text[i]) * 0x100000001b3u;
	return (sum);
}

/* ---- writing -------------------------------------------------------------------------------------- */

static unsigned
page_shift(const struct lab_spec *spec)
{
	return (spec->page_shift != 0 ? spec->page_shift : SIM_PAGE_SHIFT_MIN);
}

static void
write_lines(FILE *to, const struct lab_spec *spec, const struct lab_schedule *schedule,
    const struct lab_result *result)
{
	const struct machine_shape *s = &spec->shape;

	fprintf(to, "cooper-lab %d\nscenario %s\n", FORMAT, spec->scenario->name);
	fprintf(to,
	    "shape %s cpus %u domains %u physmem %" PRIu64 " kva %" PRIu64 " debug %d daemon %d "
	    "page %u\n",
	    s->direct_map ? "amd64" : "i386", s->ncpus, s->ndomains, s->physmem,
	    (uint64_t)s->kva_size, s->debug, s->daemon, 1u << page_shift(spec));
	fprintf(to, "policy %s\nfaults", lab_policy_names[spec->policy]);
	for (unsigned i = 0; i < lab_nfaults; i++)
		if (spec->faults >> i & 1)
			fprintf(to, " %s", lab_faults[i].name);
	fprintf(to, "\ninject %" PRIu64 "\nreclaim %" PRIu64 " how %d\nseed %" PRIu64 "\n",
	    spec->plan.inject_at, spec->plan.reclaim_at, spec->plan.reclaim_how, spec->seed);
	fprintf(to, "small %d\nmax-steps %" PRIu64 " tolerated %" PRIu32 "\n", spec->small,
	    spec->max_steps, spec->tolerated);
	fprintf(to, "steps %" PRIu64 " hash %016" PRIx64 " verdict %s\n", result->steps,
	    result->hash, lab_verdict_names[result->verdict]);
	fprintf(to, "deviations %u\n", schedule->n);
	for (unsigned i = 0; i < schedule->n; i++)
		fprintf(to, "%" PRIu64 " %s %u\n", schedule->deviation[i].step,
		    choice_names[schedule->deviation[i].choice], schedule->deviation[i].value);
}

bool
file_write(FILE *to, const struct lab_spec *spec, const struct lab_schedule *schedule,
    const struct lab_result *result)
{
	char *text = NULL;
	size_t size = 0;
	FILE *memory = open_memstream(&text, &size);
	bool done;

	if (memory == NULL)
		return (false);
	write_lines(memory, spec, schedule, result);
	done = fclose(memory) == 0 && fwrite(text, 1, size, to) == size &&
	       fprintf(to, "end %016" PRIx64 "\n", checksum(text, size)) > 0 && fflush(to) == 0;
	free(text);
	return (done);
}

/* ---- reading -------------------------------------------------------------------------------------- */

struct reader {
	char *line, *next; /* of the text, cut into lines as they are read */
	unsigned number;
	char why[200];
};

static bool
wrong(struct reader *r, const char *fmt, ...)
{
	va_list ap;
	int n = 0;

	if (r->number > 0)
		n = snprintf(r->why, sizeof(r->why), "line %u: ", r->number);
	va_start(ap, fmt);
	vsnprintf(r->why + n, sizeof(r->why) - (size_t)n, fmt, ap);
	va_end(ap);
	return (false);
}

static bool
next_line(struct reader *r)
{
	r->line = r->next;
	r->number++;
	r->next = strchr(r->line, '\n');
	if (r->next == NULL)
		return (wrong(r, "the file ends too early"));
	*r->next++ = '\0';
	return (true);
}

/* The next word of the line must be this one. */
static bool
word(struct reader *r, const char *expected)
{
	size_t n = strlen(expected);

	if (strncmp(r->line, expected, n) != 0 || (r->line[n] != ' ' && r->line[n] != '\0'))
		return (wrong(r, "\"%s\" is expected, not \"%.40s\"", expected, r->line));
	r->line += n + (r->line[n] == ' ');
	return (true);
}

static bool
any_word(struct reader *r, const char **found)
{
	char *end = strchrnul(r->line, ' ');

	if (end == r->line)
		return (wrong(r, "something is missing at its end"));
	*found = r->line;
	r->line = end + (*end == ' ');
	*end = '\0';
	return (true);
}

static bool
number(struct reader *r, uint64_t max, int base, uint64_t *n)
{
	const char *text = "";
	char *end;

	if (!any_word(r, &text))
		return (false);
	errno = 0;
	*n = strtoull(text, &end, base);
	if (*end != '\0' || errno != 0 || *n > max || text[0] == '-' || text[0] == '+')
		return (wrong(r, "\"%.40s\" is no number up to %" PRIu64, text, max));
	return (true);
}

/* "name number": the name and what it is. */
static bool
named(struct reader *r, const char *name, uint64_t max, uint64_t *n)
{
	return (word(r, name) && number(r, max, 10, n));
}

static bool
line_end(struct reader *r)
{
	return (*r->line == '\0' || wrong(r, "\"%.40s\" is too much", r->line));
}

static bool
one_of(struct reader *r, const char *what, const char *const *names, unsigned n, unsigned *found)
{
	const char *text = "";

	if (!any_word(r, &text))
		return (false);
	for (*found = 0; *found < n; ++*found)
		if (strcmp(names[*found], text) == 0)
			return (true);
	return (wrong(r, "there is no %s \"%.40s\"", what, text));
}

static bool
read_scenario(struct reader *r, struct lab_spec *spec)
{
	const char *name = "";

	if (!word(r, "scenario") || !any_word(r, &name))
		return (false);
	for (unsigned i = 0; i < lab_nscenarios; i++)
		if (strcmp(lab_scenarios[i]->name, name) == 0)
			spec->scenario = lab_scenarios[i];
	return (spec->scenario != NULL || wrong(r, "there is no scenario \"%.40s\"", name));
}

static bool
read_page(struct reader *r, unsigned *shift)
{
	uint64_t page;

	if (!named(r, "page", 1u << SIM_PAGE_SHIFT_MAX, &page))
		return (false);
	for (*shift = SIM_PAGE_SHIFT_MIN; *shift <= SIM_PAGE_SHIFT_MAX; ++*shift)
		if (page == 1u << *shift)
			return (true);
	return (wrong(r, "pages of %" PRIu64 " bytes: there are none", page));
}

static bool
read_shape(struct reader *r, struct machine_shape *s, unsigned *shift)
{
	static const char *const kinds[] = { "i386", "amd64" };
	uint64_t cpus, domains, physmem, kva, debug, daemon;
	unsigned kind;

	if (!word(r, "shape") || !one_of(r, "shape", kinds, 2, &kind) ||
	    !named(r, "cpus", COOPER_MAXCPU, &cpus) ||
	    !named(r, "domains", COOPER_MAXDOMAIN, &domains) ||
	    !named(r, "physmem", (uint64_t)1 << 50, &physmem) ||
	    !named(r, "kva", SIZE_MAX / 2, &kva) || !named(r, "debug", 1, &debug) ||
	    !named(r, "daemon", 1, &daemon) || !read_page(r, shift))
		return (false);
	*s = (struct machine_shape){
		.ncpus = (unsigned)cpus,
		.ndomains = (unsigned)domains,
		.direct_map = kind == 1,
		.debug = debug != 0,
		.daemon = daemon != 0,
		.pin = true,
		.physmem = physmem,
		.kva_size = (vm_size_t)kva,
	};
	return (true);
}

static bool
read_faults(struct reader *r, uint64_t *faults)
{
	const char *name = "";
	unsigned i;

	if (!word(r, "faults"))
		return (false);
	while (*r->line != '\0') {
		if (!any_word(r, &name))
			return (false);
		for (i = 0; i < lab_nfaults && strcmp(lab_faults[i].name, name) != 0; i++)
			;
		if (i == lab_nfaults)
			return (wrong(r, "there is no fault \"%.40s\"", name));
		*faults |= (uint64_t)1 << i;
	}
	return (true);
}

static bool
read_spec(struct reader *r, struct lab_spec *spec)
{
	uint64_t how, small, tolerated;
	unsigned policy;

	if (!next_line(r) || !read_scenario(r, spec) || !line_end(r) || !next_line(r) ||
	    !read_shape(r, &spec->shape, &spec->page_shift) || !line_end(r) || !next_line(r) ||
	    !word(r, "policy") || !one_of(r, "policy", lab_policy_names, 3, &policy) ||
	    !line_end(r) || !next_line(r) || !read_faults(r, &spec->faults) || !line_end(r) ||
	    !next_line(r) || !named(r, "inject", UINT64_MAX, &spec->plan.inject_at) ||
	    !line_end(r) || !next_line(r) ||
	    !named(r, "reclaim", UINT64_MAX, &spec->plan.reclaim_at) ||
	    !named(r, "how", 16, &how) || !line_end(r) || !next_line(r) ||
	    !named(r, "seed", UINT64_MAX, &spec->seed) || !line_end(r) || !next_line(r) ||
	    !named(r, "small", 1, &small) || !line_end(r) || !next_line(r) ||
	    !named(r, "max-steps", UINT64_MAX, &spec->max_steps) ||
	    !named(r, "tolerated", (1u << LAB_VERDICTS) - 1, &tolerated) || !line_end(r))
		return (false);
	spec->policy = (enum core_policy)policy;
	spec->plan.reclaim_how = (int)how;
	spec->small = small != 0;
	spec->tolerated = (uint32_t)tolerated;
	return (true);
}

/* The verdict may be of several words: it is the rest of the line. */
static bool
read_end_of_run(struct reader *r, struct file_run *run)
{
	unsigned i;

	if (!next_line(r) || !named(r, "steps", UINT64_MAX, &run->steps) || !word(r, "hash") ||
	    !number(r, UINT64_MAX, 16, &run->hash) || !word(r, "verdict"))
		return (false);
	for (i = 0; i < LAB_VERDICTS && strcmp(lab_verdict_names[i], r->line) != 0; i++)
		;
	run->verdict = (enum lab_verdict)i;
	return (i < LAB_VERDICTS || wrong(r, "there is no verdict \"%.40s\"", r->line));
}

static bool
read_deviations(struct reader *r, struct lab_schedule *s)
{
	uint64_t n, step, value, before = 0;
	unsigned choice;

	if (!next_line(r) || !named(r, "deviations", LAB_DEVIATIONS_MAX, &n) || !line_end(r))
		return (false);
	for (; n > 0; n--, before = step) {
		if (!next_line(r) || !number(r, UINT64_MAX, 10, &step) ||
		    !one_of(r, "choice", choice_names, SIM_CHOICES, &choice) ||
		    !number(r, COOPER_MAXCPU - 1, 10, &value) || !line_end(r))
			return (false);
		if (step < before)
			return (
			    wrong(r, "step %" PRIu64 " comes after step %" PRIu64, step, before));
		schedule_add(s, step, (enum sim_choice)choice, (unsigned)value);
	}
	return (true);
}

/* The text begins as ours does and is all there: cut its last line off. */
static bool
take_checksum(struct reader *r, char *text, size_t size)
{
	char expected[32], *last = NULL;

	if (size == 0)
		return (wrong(r, "the file is empty"));
	if (strncmp(text, "cooper-lab ", 11) != 0 || strlen(text) != size)
		return (wrong(r, "not a replay file of cooper lab"));
	if (strncmp(text, "cooper-lab 1\n", 13) != 0)
		return (wrong(r, "not format %d, the one that is known here", FORMAT));
	if (text[size - 1] == '\n') {
		text[size - 1] = '\0';
		last = strrchr(text, '\n');
		text[size - 1] = '\n';
	}
	if (last == NULL || strncmp(last + 1, "end ", 4) != 0)
		return (wrong(r, "damaged: its end is missing"));
	snprintf(expected, sizeof(expected), "end %016" PRIx64 "\n",
	    checksum(text, (size_t)(last + 1 - text)));
	if (strcmp(last + 1, expected) != 0)
		return (wrong(r, "damaged: its checksum is another"));
	last[1] = '\0';
	return (true);
}

static bool
read_text(FILE *from, char **text, size_t *size)
{
	size_t n;

	*text = malloc(BYTES_MAX + 1);
	if (*text == NULL)
		return (false);
	n = fread(*text, 1, BYTES_MAX + 1, from);
	*size = n > BYTES_MAX ? 0 : n;
	(*text)[*size] = '\0';
	return (ferror(from) == 0);
}

bool
file_read(FILE *from, struct file_run *run, const char **why)
{
	static struct reader r;
	char *text;
	size_t size;
	bool good;

	r = (struct reader){ 0 };
	*run = (struct file_run){ 0 };
	*why = r.why;
	if (!read_text(from, &text, &size))
		good = wrong(&r, "cannot be read: %s", strerror(errno));
	else if ((good = take_checksum(&r, text, size))) {
		r.next = text;
		good = next_line(&r) && read_spec(&r, &run->spec) && read_end_of_run(&r, run) &&
		       read_deviations(&r, &run->schedule);
		if (good && *r.next != '\0')
			good = wrong(&r, "there is more after the last deviation");
	}
	free(text);
	if (!good) {
		schedule_free(&run->schedule);
		*run = (struct file_run){ 0 };
	}
	return (good);
}
