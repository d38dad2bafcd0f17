/*
 * One page: page.html, with its places in double braces filled in. What can be read without a
 * script is written here; the script draws the rest from the JSON, which is in the page too.
 * Everything that came from a run is escaped.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lab/report/page.h"
#include "lab/report/report_int.h"

struct page {
	const struct report *report;
	const struct recording *r;
	FILE *to;
};

/* ---- text ------------------------------------------------------------------------------------------ */

static void
put(const struct page *p, const char *text)
{
	for (; *text != '\0'; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", p->to);
			break;
		case '<':
			fputs("&lt;", p->to);
			break;
		case '>':
			fputs("&gt;", p->to);
			break;
		case '"':
			fputs("&quot;", p->to);
			break;
		case '\'':
			fputs("&#39;", p->to);
			break;
		default:
			fputc(*text, p->to);
		}
	}
}

static void
put_text(const struct page *p, uint32_t text)
{
	put(p, rec_string(p->r, text));
}

static void
put_number(const struct page *p, uint64_t n)
{
	fputs(number((int64_t)n), p->to);
}

static void
cell(const struct page *p, const char *text)
{
	fputs("<td>", p->to);
	put(p, text);
	fputs("</td>", p->to);
}

static void
number_cell(const struct page *p, int64_t n, const char *figure)
{
	fprintf(p->to, "<td class=\"n\"%s%s%s>%s</td>", figure != NULL ? " data-figure=\"" : "",
	    figure != NULL ? figure : "", figure != NULL ? "\"" : "", number(n));
}

/* ---- the places of page.html -------------------------------------------------------------------------- */

static void
put_scenario(const struct page *p)
{
	put(p, p->r->spec.scenario == NULL ? "" : p->r->spec.scenario->name);
}

static void
put_verdict(const struct page *p)
{
	put(p, lab_verdict_names[p->r->result.verdict]);
}

static void
put_title(const struct page *p)
{
	put_scenario(p);
	put(p, ": ");
	put_verdict(p);
}

static void
put_class(const struct page *p)
{
	put(p, p->r->result.verdict == LAB_HELD ? "held" : "broken");
}

static void
put_line(const struct page *p)
{
	put(p, p->r->result.line);
}

static void
put_paragraph(const struct page *p)
{
	put(p, p->report->explanation->paragraph);
}

static void
fact(const struct page *p, const char *name, const char *figure, const char *value)
{
	fprintf(p->to, "<div><dt>%s</dt><dd data-figure=\"%s\">", name, figure);
	put(p, value);
	fputs("</dd></div>\n", p->to);
}

static void
put_facts(const struct page *p)
{
	const struct lab_result *res = &p->r->result;
	const struct lab_spec *spec = &p->r->spec;
	char text[128];
	bool any = false;

	snprintf(text, sizeof(text), "%" PRIu64, spec->seed);
	fact(p, "Seed", "seed", text);
	fact(p, "Steps", "steps", number((int64_t)res->steps));
	fact(p, "Virtual time", "virtual_ns", duration(res->now));
	snprintf(text, sizeof(text), "%u CPU%s, %u domain%s, %s, %lluK + %lluK", spec->shape.ncpus,
	    spec->shape.ncpus == 1 ? "" : "s", spec->shape.ndomains,
	    spec->shape.ndomains == 1 ? "" : "s",
	    spec->shape.direct_map ? "direct map" : "no direct map",
	    (unsigned long long)spec->shape.physmem >> 10,
	    (unsigned long long)spec->shape.kva_size >> 10);
	fact(p, "Shape: memory + window", "shape", text);
	fputs("<div><dt>Faults</dt><dd data-figure=\"faults\">", p->to);
	for (unsigned i = 0; i < lab_nfaults; i++)
		if (spec->faults >> i & 1) {
			put(p, any ? ", " : "");
			put(p, lab_faults[i].name);
			any = true;
		}
	fprintf(p->to, "%s</dd></div>\n", any ? "" : "none");
	fact(p, "Policy", "policy", lab_policy_names[spec->policy]);
	snprintf(text, sizeof(text), "%u", p->r->schedule.n);
	fact(p, "Deviations", "deviations", text);
	snprintf(text, sizeof(text), "0x%016" PRIx64, res->hash);
	fact(p, "Trace hash", "hash", text);
}

static void
put_chain(const struct page *p)
{
	char *text = NULL;
	size_t len;
	FILE *to;

	if (p->report->explanation->nnodes == 0)
		return;
	if ((to = open_memstream(&text, &len)) == NULL)
		abort();
	explanation_print_chain(p->report->explanation, to);
	if (fclose(to) != 0)
		abort();
	fputs("<section>\n<h2>The chain</h2>\n<div id=\"picture\"></div>\n"
	      "<details id=\"chain-text\" open><summary>As text, with call paths</summary>\n<pre>",
	    p->to);
	put(p, text);
	fputs("</pre></details>\n</section>\n", p->to);
	free(text);
}

static void
put_fatal(const struct page *p)
{
	const struct explanation *e = p->report->explanation;

	if (e->nfatal == 0)
		return;
	fputs("<section>\n<h2>Fatal steps</h2>\n<div class=\"scroll\"><table>\n<tr><th>What</th>"
	      "<th class=\"n\">Step</th><th class=\"n\">Before</th><th class=\"n\">After</th>"
	      "<th class=\"n\">Needed</th><th>Thread</th><th>Through</th></tr>\n",
	    p->to);
	for (unsigned i = 0; i < e->nfatal; i++) {
		const struct fatal *f = &e->fatal[i];
		const struct rec_point *point = &f->meter->points[f->point];

		fputs("<tr class=\"bad\">", p->to);
		cell(p, rec_string(p->r, f->meter->name));
		number_cell(p, (int64_t)point->step, "fatal-step");
		number_cell(p, point[-1].value, "fatal-from");
		number_cell(p, point->value, "fatal-to");
		number_cell(p, f->bound, "fatal-bound");
		fputs("<td>", p->to);
		put(p, fiber_label(e, point->fiber));
		fprintf(p->to, " on CPU %u</td><td class=\"mono\">", point->cpu);
		put_text(p, path_line(e, point->path, PATH_MAX_DEPTH));
		fputs("</td></tr>\n", p->to);
	}
	fputs("</table></div>\n</section>\n", p->to);
}

static void
put_wait(const struct page *p, const struct rec_wait *w)
{
	struct want want = { .kind = w->kind, .owner = w->owner, .channel = w->channel };

	fputs("<td>", p->to);
	if (w->kind != WAIT_NONE)
		put(p, resource_name(p->report->explanation, &want));
	fputs("</td>", p->to);
	if (w->kind != WAIT_NONE)
		number_cell(p, (int64_t)w->step, NULL);
	else
		fputs("<td></td>", p->to);
}

static void
put_threads(const struct page *p)
{
	static const char *const states[] = {
		[SIM_RUNNABLE] = "can run",
		[SIM_BLOCKED] = "waits for a lock",
		[SIM_PARKED] = "asleep",
		[SIM_ENDED] = "ended",
	};

	fputs("<section>\n<h2>Threads at the end</h2>\n<div "
	      "class=\"scroll\"><table>\n<tr><th>Thread</th>"
	      "<th class=\"n\">CPU</th><th>State</th><th class=\"n\">Operations</th><th>In</th>"
	      "<th>Waits for</th><th class=\"n\">Since step</th></tr>\n",
	    p->to);
	for (unsigned i = 0; i < p->r->nfibers; i++) {
		const struct rec_fiber *f = &p->r->fibers[i];
		const struct rec_call *c = rec_current(p->r, f);

		fputs("<tr data-figure=\"thread\">", p->to);
		cell(p, fiber_label(p->report->explanation, i));
		number_cell(p, f->cpu, NULL);
		cell(p, states[f->state & 3]);
		number_cell(p, f->ncalls, NULL);
		fputs("<td class=\"mono\">", p->to);
		if (c != NULL) {
			put_text(p, c->name);
			fputs("()", p->to);
		}
		fputs("</td>", p->to);
		put_wait(p, &f->wait);
		fputs("</tr>\n", p->to);
	}
	fputs("</table></div>\n</section>\n", p->to);
}

static void
put_cpu(const struct page *p, json_t *cpu)
{
	json_t *step;
	size_t i;

	fprintf(p->to, "<div><h3>CPU %lld</h3>\n<ol>\n",
	    (long long)json_integer_value(json_object_get(cpu, "cpu")));
	json_array_foreach(json_object_get(cpu, "last"), i, step)
	{
		fputs("<li><span>", p->to);
		put_number(p, (uint64_t)json_integer_value(json_object_get(step, "step")));
		fputs("</span><span>", p->to);
		put(p, fiber_label(p->report->explanation,
			   (unsigned)json_integer_value(json_object_get(step, "fiber"))));
		fputs("</span><span>", p->to);
		put(p, json_string_value(json_object_get(step, "what")));
		fputs("</span></li>\n", p->to);
	}
	fputs("</ol></div>\n", p->to);
}

static void
put_cpus(const struct page *p)
{
	json_t *all = report_cpus(p->report), *cpu;
	size_t i;

	fputs("<section>\n<h2>The last steps of each CPU</h2>\n<div class=\"cpus\">\n", p->to);
	json_array_foreach(all, i, cpu) put_cpu(p, cpu);
	fputs("</div>\n</section>\n", p->to);
	json_decref(all);
}

static void
put_footer(const struct page *p)
{
	put(p, "Cooper's laboratory. The same specification and schedule give the same run, step "
	       "for step; ");
	put(p, "the numbers on this page are in it as JSON, too.");
}

/* In a script element only '<' could end what it should not. */
static int
put_json(const char *bytes, size_t n, void *arg)
{
	FILE *to = arg;

	for (size_t i = 0; i < n; i++)
		if (bytes[i] == '<' ? fputs("\\u003c", to) < 0 : fputc(bytes[i], to) == EOF)
			return (-1);
	return (0);
}

static void
put_data(const struct page *p)
{
	json_t *j = report_json(p->report);

	(void)json_dump_callback(j, put_json, p->to, JSON_COMPACT); /* the stream keeps its error */
	json_decref(j);
}

/* ---- the page ---------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*put)(const struct page *p);
} places[] = {
	{ "title", put_title },
	{ "class", put_class },
	{ "scenario", put_scenario },
	{ "verdict", put_verdict },
	{ "line", put_line },
	{ "facts", put_facts },
	{ "paragraph", put_paragraph },
	{ "chain", put_chain },
	{ "fatal", put_fatal },
	{ "threads", put_threads },
	{ "cpus", put_cpus },
	{ "footer", put_footer },
	{ "data", put_data },
};

static void
fill(const struct page *p, const char *name, size_t len)
{
	for (size_t i = 0; i < nitems(places); i++)
		if (strlen(places[i].name) == len && memcmp(places[i].name, name, len) == 0)
			places[i].put(p);
}

bool
report_html(const struct report *report, FILE *to)
{
	struct page p = { report, report->recording, to };
	const char *at = page_html, *open, *end;

	while ((open = strstr(at, "{{")) != NULL && (end = strstr(open, "}}")) != NULL) {
		fwrite(at, 1, (size_t)(open - at), to);
		fill(&p, open + 2, (size_t)(end - open - 2));
		at = end + 2;
	}
	fputs(at, to);
	return (fflush(to) == 0 && ferror(to) == 0);
}
