/*
 * What a person typed, in a message: whatever it holds, the message stays one line.
 */
#ifndef TOOL_ONE_LINE_H
#define TOOL_ONE_LINE_H

#include <stdarg.h>
#include <stdio.h>

static inline void
one_line(FILE *to, const char *fmt, va_list ap)
{
	char text[4096]; /* longer ones are cut */

	vsnprintf(text, sizeof(text), fmt, ap);
	for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++)
		if (*c < ' ' || *c == 0x7f)
			*c = '?';
	fprintf(to, "%s\n", text);
}

#endif
