/*
 * A JSON emitter: text goes out through a callback as it comes, nothing is kept but where commas
 * belong. Keys are NULL inside arrays. Freestanding.
 *
 * Numbers above 2^63-1 are written as 2^63-1, since readers keep them in signed words; text that is
 * not UTF-8 has its bad bytes replaced by U+FFFD.
 */
#ifndef STATS_JSON_H
#define STATS_JSON_H

#include "base/base.h"

typedef void json_write_t(void *arg, const char *text, size_t len);

struct json {
	json_write_t *write;
	void *arg;
	bool comma; /* something precedes at this level */
};

void json_open(struct json *j, const char *key, char bracket); /* '{' or '[' */
void json_close(struct json *j, char bracket);                 /* '}' or ']' */
void json_put_string(struct json *j, const char *key, const char *value);
void json_put_number(struct json *j, const char *key, uint64_t value);
void json_put_bool(struct json *j, const char *key, bool value);

#endif
