/*
 * The JSON emitter. No state but struct json; no buffer: small writes are the callback's affair.
 */
#include "stats/json.h"

static void
put(struct json *j, const char *text, size_t len)
{
	j->write(j->arg, text, len);
}

/* The length of the UTF-8 sequence at s, 0 if it is not one (overlong, surrogate, cut off). */
static size_t
utf8_length(const unsigned char *s)
{
	size_t n = s[0] < 0x80   ? 1
		   : s[0] < 0xc2 ? 0
		   : s[0] < 0xe0 ? 2
		   : s[0] < 0xf0 ? 3
		   : s[0] < 0xf5 ? 4
				 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return (0);
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return (0);
	return (n);
}

static void
put_quoted(struct json *j, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	put(j, "\"", 1);
	while (*s != '\0') {
		char escape[8];
		size_t n = utf8_length(s);

		if (*s == '"' || *s == '\\') {
			escape[0] = '\\';
			escape[1] = (char)*s;
			put(j, escape, 2);
		} else if (*s < 0x20) {
			put(j, escape,
			    (size_t)core_snprintf(escape, sizeof(escape), "\\u%04x", *s));
		} else if (n == 0) {
			put(j, "\xef\xbf\xbd", 3);
		} else
			put(j, (const char *)s, n);
		s += n == 0 ? 1 : n;
	}
	put(j, "\"", 1);
}

static void
put_key(struct json *j, const char *key)
{
	if (j->comma)
		put(j, ",", 1);
	j->comma = true;
	if (key != NULL) {
		put_quoted(j, key);
		put(j, ":", 1);
	}
}

void
json_open(struct json *j, const char *key, char bracket)
{
	put_key(j, key);
	put(j, &bracket, 1);
	j->comma = false;
}

void
json_close(struct json *j, char bracket)
{
	put(j, &bracket, 1);
	j->comma = true;
}

void
json_put_string(struct json *j, const char *key, const char *value)
{
	put_key(j, key);
	put_quoted(j, value);
}

void
json_put_number(struct json *j, const char *key, uint64_t value)
{
	char text[24];
	uint64_t most = (uint64_t)INT64_MAX;

	put_key(j, key);
	put(j, text,
	    (size_t)core_snprintf(
		text, sizeof(text), "%llu", (unsigned long long)MIN(value, most)));
}

void
json_put_bool(struct json *j, const char *key, bool value)
{
	put_key(j, key);
	put(j, value ? "true" : "false", value ? 4 : 5);
}
