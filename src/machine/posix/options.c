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

static int
refuse(struct machine_options *o, const char **why, struct word w, const char *accepted)
{
	core_snprintf(o->why, sizeof(o->why), "option \"%.*s\": %s", (int)MIN(w.len, (size_t)40),
	    w.text, accepted);
	*why = o->why;
	return (COOPER_EINVAL);
}

static int
parse_size(struct machine_options *o, const char **why, struct word w, struct word value,
    uint64_t *out)
{
	if (!word_number(value, MAX_MEMORY, true, out) || *out < MIN_MEMORY)
		return (refuse(o, why, w,
		    sizeof(void *) == 4 ? "a size from 1M to 2048M (K, M, G)" :
					  "a size from 1M to 4T (K, M, G, T)"));
	*out = trunc_page(*out);
	return (0);
}

static int
parse_count(struct machine_options *o, const char **why, struct word w, struct word value,
    uint64_t max, const char *accepted, unsigned *out)
{
	uint64_t n;

	if (!word_number(value, max, false, &n) || n == 0)
		return (refuse(o, why, w, accepted));
	*out = (unsigned)n;
	return (0);
}

static int
parse_bool(struct machine_options *o, const char **why, struct word w, struct word value, bool *out)
{
	if (value.text != NULL && !word_is(value, "0") && !word_is(value, "1"))
		return (refuse(o, why, w, "0 or 1"));
	*out = value.text == NULL || word_is(value, "1");
	return (0);
}

static int
parse_stats(struct machine_options *o, const char **why, struct word w, struct word value)
{
	if (value.len == 0 || value.len >= sizeof(o->stats))
		return (refuse(o, why, w, "a file name of at most 255 characters"));
	for (size_t i = 0; i < value.len; i++)
		o->stats[i] = value.text[i];
	o->stats[value.len] = '\0';
	return (0);
}

static int
parse_word(struct machine_options *o, const char **why, struct word w)
{
	struct word name = w, value = {NULL, 0};
	uint64_t size;
	bool rseq;
	int error;

	for (size_t i = 0; i < w.len; i++)
		if (w.text[i] == '=') {
			name.len = i;
			value = (struct word){w.text + i + 1, w.len - i - 1};
			break;
		}
	if (word_is(name, "shape")) {
		o->given |= OPTION_SHAPE;
		o->shape.direct_map = word_is(value, "amd64");
		if (!o->shape.direct_map && !word_is(value, "i386"))
			return (refuse(o, why, w, "shape is i386 or amd64"));
		return (0);
	}
	if (word_is(name, "physmem")) {
		o->given |= OPTION_PHYSMEM;
		return (parse_size(o, why, w, value, &o->shape.physmem));
	}
	if (word_is(name, "kva")) {
		o->given |= OPTION_KVA;
		error = parse_size(o, why, w, value, &size);
		o->shape.kva_size = error == 0 ? (vm_size_t)size : 0;
		return (error);
	}
	if (word_is(name, "cpus")) {
		o->given |= OPTION_CPUS;
		return (parse_count(o, why, w, value, COOPER_MAXCPU, "cpus are 1 to 256",
		    &o->shape.ncpus));
	}
	if (word_is(name, "domains")) {
		o->given |= OPTION_DOMAINS;
		return (parse_count(o, why, w, value, COOPER_MAXDOMAIN, "domains are 1 to 8",
		    &o->shape.ndomains));
	}
	if (word_is(name, "debug")) {
		o->given |= OPTION_DEBUG;
		return (parse_bool(o, why, w, value, &o->shape.debug));
	}
	if (word_is(name, "daemon")) {
		o->given |= OPTION_DAEMON;
		return (parse_bool(o, why, w, value, &o->shape.daemon));
	}
	if (word_is(name, "pin")) {
		o->given |= OPTION_PIN;
		return (parse_bool(o, why, w, value, &o->shape.pin));
	}
	if (word_is(name, "rseq")) {
		o->given |= OPTION_RSEQ;
		error = parse_bool(o, why, w, value, &rseq);
		o->no_rseq = !rseq;
		return (error);
	}
	if (word_is(name, "stats")) {
		o->given |= OPTION_STATS;
		return (parse_stats(o, why, w, value));
	}
	return (refuse(o, why, w,
	    "unknown; known are shape physmem kva cpus domains debug daemon pin rseq stats"));
}

static bool
separates(char c)
{
	return (c == ',' || c == ' ' || c == '\t' || c == '\n');
}

int
machine_options_parse(const char *text, struct machine_options *o, const char **why)
{
	int error;

	*o = (struct machine_options){0};
	while (*text != '\0') {
		struct word w = {text, 0};

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
