/*
 * The baseline of a process: what its counters were at the last fork or save.
 *
 * Kept in a mapping of its own, which a forked child inherits like all its memory: an entry for each
 * record that has counters. Records come in nearly the same
 * order each time, so the search for an entry starts where the last one ended. Used by one thread at
 * a time: the one that forks or ends the process.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include "stats/posix/baseline.h"

#define BASELINE_WORDS 16384 /* room for the counters of a snapshot, 128 KiB; touched as used */

struct entry {
	uint64_t key;
	uint32_t words, pass; /* of this entry; the last pass that used it */
	uint64_t counter[];
};
#define ENTRY_WORDS (sizeof(struct entry) / sizeof(uint64_t))

static uint64_t *words;
static uint32_t passes;
static size_t nwords; /* in use */

static uint64_t
record_key(enum stats_section s, const void *record)
{
	const struct stats_kind *kind = &stats_kinds[s];
	uint64_t h = 0xcbf29ce484222325ull + s; /* FNV-1a */

	for (unsigned i = 0; i < kind->nfields; i++) {
		const struct stats_field *f = &kind->fields[i];
		const unsigned char *at = (const unsigned char *)record + f->offset;

		if (f->rule != STATS_KEY)
			continue;
		for (size_t k = 0; k < f->size && (f->type != STATS_STRING || at[k] != '\0'); k++)
			h = (h ^ at[k]) * 0x100000001b3ull;
	}
	return (h);
}

static unsigned
record_counters(enum stats_section s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < stats_kinds[s].nfields; i++)
		n += stats_kinds[s].fields[i].rule == STATS_COUNT;
	return (n);
}

/*
 * The entry of this key, made if there is none; NULL: no room. Each serves one record of a pass: two
 * records of one key (zones may share a name) have two entries.
 */
static struct entry *
baseline_entry(struct stats_baseline *v, uint64_t key, unsigned n)
{
	struct entry *e;

	for (size_t seen = 0, at = v->cursor; seen < nwords; seen += e->words) {
		if (at >= nwords)
			at = 0;
		e = (struct entry *)&words[at];
		at += e->words;
		if (e->key == key && e->pass != v->pass) {
			v->cursor = at;
			return (e);
		}
	}
	if (words == NULL || nwords + ENTRY_WORDS + n > BASELINE_WORDS)
		return (NULL);
	e = (struct entry *)&words[nwords]; /* zeroes */
	e->key = key;
	e->words = ENTRY_WORDS + n;
	nwords += e->words;
	return (e);
}

void
stats_baseline_record(void *arg, enum stats_section s, const void *record)
{
	struct stats_baseline *v = arg;
	const struct stats_kind *kind = &stats_kinds[s];
	unsigned n = record_counters(s);
	struct entry *e = n == 0 ? NULL : baseline_entry(v, record_key(s, record), n);
	uint64_t *old = e == NULL ? NULL : e->counter;
	union stats_record copy;

	if (e != NULL)
		e->pass = v->pass;
	memcpy(&copy, record, kind->size);
	for (unsigned i = 0; i < kind->nfields && old != NULL; i++) {
		const struct stats_field *f = &kind->fields[i];
		uint64_t *value = stats_number(f, &copy);
		uint64_t now = *value;

		if (f->rule != STATS_COUNT)
			continue;
		*value = now > *old ? now - *old : 0;
		*old++ = now;
	}
	if (v->next.record != NULL)
		v->next.record(v->next.arg, s, &copy);
}

struct stats_baseline
stats_baseline_start(void)
{
	void *at;

	if (words == NULL) {
		at = mmap(NULL, BASELINE_WORDS * sizeof(uint64_t), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		words = at == MAP_FAILED ? NULL : at;
	}
	return ((struct stats_baseline){ .pass = ++passes });
}
