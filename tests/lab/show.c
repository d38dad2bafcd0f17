/*
 * A recording written by hand, in one of its views, on standard output.
 *
 * usage: show NAME text|json|html|steps
 */
#include <stdio.h>
#include <string.h>
#include "lab/report/report_int.h"
#include "recordings.h"

int
main(int argc, char **argv)
{
	struct recording *r = argc == 3 ? recording_named(argv[1]) : NULL;
	struct report *report;
	bool done = true;
	json_t *j;

	if (r == NULL) {
		fprintf(stderr, "usage: show NAME text|json|html|steps\n");
		return (2);
	}
	report = report_of(r, symbols_open());
	if (strcmp(argv[2], "html") == 0) {
		done = report_html(report, stdout);
	} else if (strcmp(argv[2], "steps") == 0) {
		done = report_steps(report, stdout, 0, 0, false);
	} else if (strcmp(argv[2], "json") == 0) {
		j = report_json(report);
		done = json_dumpf(j, stdout, JSON_INDENT(1)) == 0;
		json_decref(j);
	} else {
		report_print(report, stdout);
	}
	report_free(report);
	return (done && fflush(stdout) == 0 ? 0 : 1);
}
