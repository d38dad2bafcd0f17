/*
 * The JSON emitter and the description of records that it goes by.
 */
#include "harness.h"
#include "stats/json.h"
#include "stats/stats.h"

struct text {
	char buf[65536];
	size_t len;
};

static void
append(void *arg, const char *text, size_t len)
{
	struct text *t = arg;

	assert_true(t->len + len < sizeof(t->buf));
	memcpy(t->buf + t->len, text, len);
	t->len += len;
	t->buf[t->len] = '\0';
}

static struct text out;

static struct json
start(void)
{
	out.len = 0;
	return ((struct json){ .write = append, .arg = &out });
}

static void
json_commas_and_nesting(void **state)
{
	struct json j = start();

	(void)state;
	json_open(&j, NULL, '{');
	json_put_number(&j, "a", 1);
	json_open(&j, "b", '[');
	json_open(&j, NULL, '{');
	json_close(&j, '}');
	json_put_number(&j, NULL, 2);
	json_close(&j, ']');
	json_put_bool(&j, "c", true);
	json_put_bool(&j, "d", false);
	json_open(&j, "e", '[');
	json_close(&j, ']');
	json_close(&j, '}');
	assert_string_equal(out.buf, "{\"a\":1,\"b\":[{},2],\"c\":true,\"d\":false,\"e\":[]}");
}

static void
json_numbers_are_cut_to_signed(void **state)
{
	struct json j = start();

	(void)state;
	json_open(&j, NULL, '[');
	json_put_number(&j, NULL, 0);
	json_put_number(&j, NULL, INT64_MAX);
	json_put_number(&j, NULL, UINT64_MAX);
	json_close(&j, ']');
	assert_string_equal(out.buf, "[0,9223372036854775807,9223372036854775807]");
}

static void
json_text_is_escaped_and_utf8(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "\"\"" }, { "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "tab\tnl\n\x01", "\"tab\\u0009nl\\u000a\\u0001\"" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
		    "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ "\xff", "\"\xef\xbf\xbd\"" }, { "\xc3", "\"\xef\xbf\xbd\"" }, /* cut off */
		{ "\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },                 /* overlong */
		{ "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" }, /* surrogate */
	};

	(void)state;
	for (size_t i = 0; i < nitems(cases); i++) {
		struct json j = start();

		json_put_string(&j, NULL, cases[i].in);
		assert_string_equal(out.buf, cases[i].out);
	}
}

/* Every field lies inside its record, in order, and no two overlap. */
static void
check_kind(const struct stats_kind *kind)
{
	size_t end = 0;

	for (unsigned i = 0; i < kind->nfields; i++) {
		const struct stats_field *f = &kind->fields[i];

		assert_true(f->name[sizeof(f->name) - 1] == '\0');
		assert_true(f->offset >= end);
		end = f->offset + f->size;
		assert_true(end <= kind->size);
		if (f->type == STATS_NUMBER || f->type == STATS_FLAG)
			assert_int_equal(f->size, sizeof(uint64_t));
		if (f->type == STATS_LIST) {
			assert_int_equal(f->size % stats_sub(f)->size, 0);
			check_kind(stats_sub(f));
		}
	}
}

static void
descriptions_match_records(void **state)
{
	(void)state;
	for (unsigned s = 0; s < STATS_SECTIONS; s++)
		check_kind(&stats_kinds[s]);
}

static void
snapshot_has_all_wanted_sections(void **state)
{
	struct stats_json w;
	struct stats_wait wait = { .channel = "vmwait", .thread = 7, .age_ns = 5, .need = 1 };

	(void)state;
	out.len = 0;
	stats_json_start(&w, STATS_BIT(ZONES) | STATS_BIT(WAITS) | STATS_BIT(DAMAGE), append, &out);
	stats_json_record(&w, STATS_WAITS, &wait);
	wait.thread = 8;
	stats_json_record(&w, STATS_WAITS, &wait);
	stats_json_end(&w);
	assert_string_equal(out.buf,
	    "{\"cooper_stats\":1,\"zones\":[],\"waits\":["
	    "{\"channel\":\"vmwait\",\"thread\":7,\"age_ns\":5,\"need\":1},"
	    "{\"channel\":\"vmwait\",\"thread\":8,\"age_ns\":5,\"need\":1}],\"damage\":[]}\n");
}

TEST_MAIN(cmocka_unit_test(json_commas_and_nesting),
    cmocka_unit_test(json_numbers_are_cut_to_signed),
    cmocka_unit_test(json_text_is_escaped_and_utf8), cmocka_unit_test(descriptions_match_records),
    cmocka_unit_test(snapshot_has_all_wanted_sections))
