/*
 * COOPER_OPTIONS: a pure function over a string, see options.h.
 */
#include "base/base.h"
#include "options.h"
#include "machine/machine.h"

#define MIN_MEMORY ((uint64_t)1 << 20)
#define MAX_MEMORY ((uint64_t)(sizeof(void *) == 4 ? 2048 : 4u << 20) << 20) /* 2 GB, 4 TB */

/* A word of the list, or the value after its '='; not terminated. */
struct word {
	const char *text;
	size_t len;
};

static bool
word_is(struct word w, const char *name)
{
	size_t i;

	for (i = 0; i < w.len && name[i] != '\0'; i++)
		if (w.text[i] != name[i])
			return (false);
	return (i == w.len && name[i] == '\0');
}

/* A number with an optional suffix K, M, G or T, no larger than max. */
static bool
word_number(struct word w, uint64_t max, bool suffix, uint64_t *out)
{
	static const char suffixes[] = "KMGT";
	uint64_t v = 0;
	size_t i = 0;

	for (; i < w.len && w.text[i] >= '0' && w.text[i] <= '9'; i++) {
		if (v > (max >> 3)) /* v * 10 must not wrap; max is far below 2^60 */
			v = max >> 3;
		v = v * 10 + (uint64_t)(w.text[i] - '0');
	}
	if (i == 0)
		return (false);
	if (suffix && i < w.len)
		for (unsigned s = 0; s < 4; s++)
			if ((w.text[i] & ~0x20) == suffixes[s]) {
				unsigned shift = 10 * (s + 1);

				v = v > max >> shift ? max + 1 : v << shift;
				i++;
				break;
			}
	*out = v;
	return (i == w.len && v <= max);
}

/* ---- one word, "name" or "name=value" ------------------------------------------------------------ */

/* What an option's value is, and so which of the functions below takes it. */
enum option_type { SHAPE, MEMORY, KVA, COUNT, BOOL, DECAY, SIZE, TEXT };

/* Without a pointer, so that no process that starts has to relocate the table. */
struct option {
	char name[12];
	char accepted[48]; /* what to say to anything else; "": see accepted() */
	uint16_t bit;      /* OPTION_* */
	uint16_t field;    /* of struct machine_options */
	uint8_t type;
	uint32_t max; /* for counts, the highest; for texts, the size of the field */
};

/* `i386` or `amd64`: without or with a direct map. */
static bool
parse_shape(struct word value, void *field)
{
	bool *direct_map = field;

	*direct_map = word_is(value, "amd64");
	return (*direct_map || word_is(value, "i386"));
}

static bool
parse_physmem(struct word value, void *field)
{
	uint64_t *bytes = field;

	if (!word_number(value, MAX_MEMORY, true, bytes) || *bytes < MIN_MEMORY)
		return (false);
	*bytes &= ~(uint64_t)PAGE_MASK;
	return (true);
}

static bool
parse_kva(struct word value, void *field)
{
	uint64_t bytes = 0;
	bool good = parse_physmem(value, &bytes);

	*(vm_size_t *)field = (vm_size_t)bytes;
	return (good);
}

static bool
parse_count(struct word value, void *field, size_t max)
{
	uint64_t n = 0;
	bool good = word_number(value, max, false, &n) && n > 0;

	*(unsigned *)field = (unsigned)n;
	return (good);
}

static bool
parse_bool(struct word value, void *field)
{
	*(bool *)field = value.text == NULL || word_is(value, "1");
	return (value.text == NULL || value.len == 1) && (*(bool *)field || word_is(value, "0"));
}

/* Milliseconds, or -1. */
static bool
parse_decay(struct word value, void *field, size_t max)
{
	uint64_t ms = 0;

	*(int *)field = -1;
	if (word_is(value, "-1"))
		return (true);
	if (!word_number(value, max, false, &ms))
		return (false);
	*(int *)field = (int)ms;
	return (true);
}

static bool
parse_size(struct word value, void *field)
{
	return (word_number(value, MAX_MEMORY, true, field));
}

static bool
parse_text(struct word value, void *field, size_t max)
{
	if (value.len == 0 || value.len >= max)
		return (false);
	core_snprintf(field, max, "%.*s", (int)value.len, value.text);
	return (true);
}

#define FIELD(name) offsetof(struct machine_options, name)

/* clang-format off */
static const struct option options[] = {
	{ "shape", "shape is i386 or amd64", OPTION_SHAPE, FIELD(shape.direct_map), SHAPE, 0 },
	{ "physmem", "", OPTION_PHYSMEM, FIELD(shape.physmem), MEMORY, 0 },
	{ "kva", "", OPTION_KVA, FIELD(shape.kva_size), KVA, 0 },
	{ "cpus", "cpus are 1 to 256", OPTION_CPUS, FIELD(shape.ncpus), COUNT, COOPER_MAXCPU },
	{ "domains", "domains are 1 to 8", OPTION_DOMAINS, FIELD(shape.ndomains), COUNT, COOPER_MAXDOMAIN },
	{ "debug", "", OPTION_DEBUG, FIELD(shape.debug), BOOL, 0 },
	{ "daemon", "", OPTION_DAEMON, FIELD(shape.daemon), BOOL, 0 },
	{ "pin", "", OPTION_PIN, FIELD(shape.pin), BOOL, 0 },
	{ "rseq", "", OPTION_RSEQ, FIELD(rseq), BOOL, 0 },
	{ "warnings", "", OPTION_WARNINGS, FIELD(warnings), BOOL, 0 },
	{ "decay", "milliseconds up to a day, 0 at once, -1 never", OPTION_DECAY, FIELD(decay), DECAY, 86400000 },
	{ "ceiling", "", OPTION_CEILING, FIELD(ceiling), SIZE, 0 },
	{ "limit", "", OPTION_LIMIT, FIELD(limit), MEMORY, 0 },
	{ "pressure", "auto, 0, or a folder's name", OPTION_PRESSURE, FIELD(pressure), TEXT, OPTIONS_PATH },
	{ "stats", "a file name of at most 255 characters", OPTION_STATS, FIELD(stats), TEXT, OPTIONS_PATH },
};
/* clang-format on */

static bool
parse(const struct option *o, struct word value, void *field)
{
	switch ((enum option_type)o->type) {
	case SHAPE:
		return (parse_shape(value, field));
	case MEMORY:
		return (parse_physmem(value, field));
	case KVA:
		return (parse_kva(value, field));
	case COUNT:
		return (parse_count(value, field, o->max));
	case BOOL:
		return (parse_bool(value, field));
	case DECAY:
		return (parse_decay(value, field, o->max));
	case SIZE:
		return (parse_size(value, field));
	default:
		return (parse_text(value, field, o->max));
	}
}

static const char *
accepted(const struct option *o)
{
	if (o->accepted[0] != '\0')
		return (o->accepted);
	if (o->type == BOOL)
		return ("alone, or 0 or 1");
	if (o->type == SIZE)
		return (sizeof(void *) == 4 ? "a size up to 2G (suffixes K, M, G)"
					    : "a size up to 4T (suffixes K, M, G, T)");
	return (sizeof(void *) == 4 ? "a size from 1M to 2G (suffixes K, M, G)"
				    : "a size from 1M to 4T (suffixes K, M, G, T)");
}

static int
refuse(struct machine_options *o, const char **why, struct word w, const char *what)
{
	core_snprintf(o->why, sizeof(o->why), "option \"%.*s\": %s", (int)MIN(w.len, (size_t)40),
	    w.text, what);
	*why = o->why;
	return (COOPER_EINVAL);
}

static int
parse_word(struct machine_options *o, const char **why, struct word w)
{
	struct word name = w, value = { NULL, 0 };

	for (name.len = 0; name.len < w.len && w.text[name.len] != '='; name.len++)
		;
	if (name.len < w.len)
		value = (struct word){ w.text + name.len + 1, w.len - name.len - 1 };
	for (unsigned i = 0; i < nitems(options); i++) {
		const struct option *known = &options[i];

		if (!word_is(name, known->name))
			continue;
		o->given |= known->bit;
		if (!parse(known, value, (char *)o + known->field))
			return (refuse(o, why, w, accepted(known)));
		return (0);
	}
	return (refuse(o, why, w,
	    "unknown; known are shape physmem kva cpus domains debug daemon pin rseq warnings "
	    "decay ceiling limit pressure stats"));
}

/* ---- the list --------------------------------------------------------------------------------------- */

static bool
separates(char c)
{
	return (c == ',' || c == ' ' || c == '\t' || c == '\n');
}

int
machine_options_parse(const char *text, struct machine_options *o, const char **why)
{
	int error;

	*o = (struct machine_options){ .rseq = true, .warnings = true };
	while (*text != '\0') {
		struct word w = { text, 0 };

		while (w.text[w.len] != '\0' && !separates(w.text[w.len]))
			w.len++;
		text += w.len;
		if (*text != '\0')
			text++;
		if (w.len > 0 && (error = parse_word(o, why, w)) != 0)
			return (error);
	}
	if ((o->given & OPTION_CPUS) && o->shape.ndomains > o->shape.ncpus) {
		core_snprintf(o->why, sizeof(o->why), "option domains=%u: more than cpus=%u",
		    o->shape.ndomains, o->shape.ncpus);
		*why = o->why;
		return (COOPER_EINVAL);
	}
	return (0);
}

vm_size_t
machine_default_kva(uint64_t physmem)
{
	/* Twice the memory, so that fragments of addresses never run out first; a little at least. */
	uint64_t kva = MAX(2 * physmem, (uint64_t)64 << 20);

	return ((vm_size_t)(sizeof(void *) == 4 ? MIN(kva, (uint64_t)768 << 20) : kva));
}

void
machine_options_apply(const struct machine_options *o, struct machine_shape *shape)
{
	if (o->given & OPTION_SHAPE)
		shape->direct_map = o->shape.direct_map;
	if (o->given & OPTION_PHYSMEM) {
		shape->physmem = o->shape.physmem;
		shape->kva_size = machine_default_kva(shape->physmem);
	}
	if (o->given & OPTION_KVA)
		shape->kva_size = o->shape.kva_size;
	if (o->given & OPTION_CPUS)
		shape->ncpus = o->shape.ncpus;
	if (o->given & OPTION_DOMAINS)
		shape->ndomains = o->shape.ndomains;
	if (o->given & OPTION_DEBUG)
		shape->debug = o->shape.debug;
	if (o->given & OPTION_DAEMON)
		shape->daemon = o->shape.daemon;
	if (o->given & OPTION_PIN)
		shape->pin = o->shape.pin;
}
