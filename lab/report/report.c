/*
 * A report: the recording, and what was made of it.
 */
#include <stdlib.h>
#include "lab/report/report_int.h"

struct report *
report_of(struct recording *r, struct symbols *symbols)
{
	struct report *report = rec_alloc(sizeof(*report));

	report->recording = r;
	report->symbols = symbols;
	report->explanation = explain(r, symbols);
	return (report);
}

void
report_free(struct report *report)
{
	explanation_free(report->explanation);
	recording_free(report->recording);
	symbols_close(report->symbols);
	free(report);
}

const struct lab_result *
report_result(const struct report *report)
{
	return (&report->recording->result);
}

void
report_print(const struct report *report, FILE *to)
{
	explanation_print(report->explanation, to);
}
