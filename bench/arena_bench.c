/*
 * Arenas, measured: Cooper's beside two references (arena_ops.h) in one process, slice by slice in
 * turn, so that what else the machine does meets them alike. A row is the median of its slices; a
 * percentile, which whoever takes the processor in between ruins, the least.
 *
 * usage: arena_bench i386|amd64 [WORD ...]     words: 10k, 100k, 1m; first, best, next; churn: no
 *                                              constrained rows. Of what no word names, all
 *
 * prints "NAME VALUE" (ns), "NAME VALUE bytes"; and for a reference "PEER:NAME ...":
 *
 *	range_pair, range_pair_cached  one unit, taken and given back, in an empty arena; with caches
 *	range_churn_POLICY_N   mean of an alloc and a free in the state of arena_field.h
 *	range_p9999_POLICY_N   99.99th percentile of its allocs
 *	range_bytes_POLICY_N   metadata of a live segment in that state
 *	range_KIND_POLICY_N    a constrained alloc (and its free, if it found anything):
 *	    align64, nocross64, a64nc128; win16: somewhere in 17 units; a64win: aligned, in 128 units;
 *	    low: in the first half; full: where a live segment lies: it fails
 */
#include <string.h>

#include <cooper/cooper.h>

#include "arena_field.h"

#define SLICES    5
#define SLICE_NS  60e6 /* of a slice; at least SLICE_MIN operations */
#define SLICE_MIN 32
#define SAMPLES \
	(1u << 17) /* allocs that a percentile comes from, a slice; of the list, which is slow, fewer */

static const char *const policy_name[] = { "first", "best", "next" };

/* ---- a clock for single operations --------------------------------------------------------------- */

#if defined(__x86_64__) || defined(__i386__)
static inline uint64_t
ticks(void)
{
	unsigned aux;

	return (__builtin_ia32_rdtscp(&aux));
}
#else
static inline uint64_t
ticks(void)
{
	return ((uint64_t)now_ns());
}
#endif

static double ns_per_tick;
static uint64_t tick_cost; /* of reading it */

static void
clock_start(void)
{
	double start = now_ns();
	uint64_t first = ticks(), t;

	while (now_ns() - start < 2e7)
		;
	ns_per_tick = (now_ns() - start) / (double)(ticks() - first);
	tick_cost = UINT64_MAX;
	for (int i = 0; i < 1000; i++) {
		t = ticks();
		t = ticks() - t;
		tick_cost = t < tick_cost ? t : tick_cost;
	}
}

static inline double
ns_of(uint64_t t)
{
	return (t <= tick_cost ? 0 : (double)(t - tick_cost) * ns_per_tick);
}

static double percentile(struct field *f, int kind);

/* ---- rows ---------------------------------------------------------------------------------------------- */

static void
print_row(const struct arena_ops *ops, const char *row, double value, const char *unit)
{
	printf("%s%s%s %.3f%s\n", ops == &arena_cooper ? "" : ops->name,
	    ops == &arena_cooper ? "" : ":", row, value, unit);
	fflush(stdout);
}

static double
middle(double *v, bool least)
{
	qsort(v, SLICES, sizeof(v[0]), by_value);
	return (v[least ? 0 : SLICES / 2]);
}

/* Slices in turn, from contenders that have a field each; fn gives a slice's figure. */
static void
row(struct field *f, unsigned n, const char *name, double (*fn)(struct field *f, int kind),
    int kind)
{
	double v[4][SLICES];

	for (unsigned s = 0; s < SLICES; s++)
		for (unsigned i = 0; i < n; i++)
			v[i][s] = fn(&f[i], kind);
	for (unsigned i = 0; i < n; i++)
		if (kind < 0 || f[i].ops->xalloc != NULL)
			print_row(f[i].ops, name, middle(v[i], fn == percentile), "");
}

/* ---- churn ------------------------------------------------------------------------------------------------ */

static double
churn(struct field *f, int kind)
{
	double start = cpu_ns(), took;
	unsigned n = 0;

	(void)kind;
	do {
		for (unsigned i = 0; i < SLICE_MIN; i++)
			churn_one(f);
		n += SLICE_MIN;
	} while ((took = cpu_ns() - start) < SLICE_NS);
	return (took / n);
}

static int
by_ticks(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return ((x > y) - (x < y));
}

static double
percentile(struct field *f, int kind)
{
	static uint64_t sample[SAMPLES];
	double start = cpu_ns(), most = (f->ops == &arena_list ? 10 : 40) * SLICE_NS;
	unsigned n = 0;

	(void)kind;
	while (n < SAMPLES && (n % 1024 != 0 || cpu_ns() - start < most)) {
		uint32_t size = make_room(f);
		uint64_t t = ticks();
		struct range range;
		bool ok = f->ops->alloc(f->arena, size, f->policy, &range);

		sample[n++] = ticks() - t;
		if (ok)
			keep(f, &range);
		else
			drop_one(f);
	}
	qsort(sample, n, sizeof(sample[0]), by_ticks);
	return (ns_of(sample[n - 1 - n / 10000]));
}

static double
bytes(struct field *f)
{
	return ((double)f->ops->metadata(f->arena) / f->nlive);
}

/* ---- constrained ---------------------------------------------------------------------------------------------- */

enum kind { ALIGN, NOCROSS, ALIGN_NOCROSS, WINDOW, ALIGN_WINDOW, LOW, FULL, KINDS };
static const char *const kind_name[] = { "align64", "nocross64", "a64nc128", "win16", "a64win",
	"low", "full" };

static uint32_t
ask(struct field *f, enum kind kind, struct constraint *c)
{
	*c = (struct constraint){ .max = UINT64_MAX };
	if (kind == ALIGN || kind == ALIGN_NOCROSS || kind == ALIGN_WINDOW)
		c->align = 64;
	if (kind == NOCROSS || kind == ALIGN_NOCROSS)
		c->nocross = kind == NOCROSS ? 64 : 128;
	if (kind == WINDOW || kind == ALIGN_WINDOW) {
		c->min = FIELD_BASE + pick(f, (uint32_t)f->units - 128);
		c->max = c->min + (kind == WINDOW ? 16 : 127);
		return (1 + pick(f, 16));
	}
	if (kind == LOW)
		c->max = FIELD_BASE + f->units / 2;
	if (kind == FULL) {
		const struct range *range = &f->live[pick(f, f->nlive)];

		c->min = range->start;
		c->max = range->start + range->size - 1;
		return (1 + pick(f, range->size));
	}
	return (1 + pick(f, FIELD_SIZES));
}

/*
 * Each request meets another state, since a step of churn goes before. What the churn takes by itself
 * is measured after that and subtracted: in this thread's time, and not request by request, since
 * others may have the processor in between.
 */
static double
constrained(struct field *f, int kind)
{
	/* The list takes tenths of a second for a window among a million segments. */
	unsigned n = 0, i, least = f->ops == &arena_list ? 2 : SLICE_MIN;
	double start = cpu_ns(), both;

	if (f->ops->xalloc == NULL)
		return (-1);
	while (n % least != 0 || cpu_ns() - start < SLICE_NS) {
		struct constraint c;
		struct range range;
		uint32_t size;

		churn_one(f);
		size = ask(f, (enum kind)kind, &c);
		if (f->ops->xalloc(f->arena, size, f->policy, &c, &range))
			f->ops->free(f->arena, &range);
		n++;
	}
	both = cpu_ns() - start;
	start = cpu_ns();
	for (i = 0; i < n && (i % least != 0 || cpu_ns() - start < SLICE_NS); i++)
		churn_one(f);
	return (both / n - (cpu_ns() - start) / i);
}

/* ---- states -------------------------------------------------------------------------------------------------------- */

static void
measure_state(unsigned live, const char *label, enum arena_policy policy, bool churn_only)
{
	static const struct arena_ops *const everybody[] = { &arena_cooper, &arena_twolevel,
		&arena_twolevel_locked, &arena_list };
	struct field f[4];
	unsigned n = 0;
	char name[64];

	/* A reference that has one policy stands beside all. */
	for (unsigned i = 0; i < 4; i++)
		field_new(&f[n++], everybody[i], policy, live);
	snprintf(name, sizeof(name), "range_churn_%s_%s", policy_name[policy], label);
	row(f, n, name, churn, -1);
	snprintf(name, sizeof(name), "range_p9999_%s_%s", policy_name[policy], label);
	row(f, n, name, percentile, -1);
	snprintf(name, sizeof(name), "range_bytes_%s_%s", policy_name[policy], label);
	for (unsigned i = 0; i < n; i++)
		print_row(f[i].ops, name, bytes(&f[i]), " bytes");
	for (int kind = 0; kind < KINDS && policy != ARENA_NEXT && !churn_only; kind++) {
		snprintf(name, sizeof(name), "range_%s_%s_%s", kind_name[kind], policy_name[policy],
		    label);
		row(f, n, name, constrained, kind);
	}
	for (unsigned i = 0; i < n; i++)
		field_delete(&f[i]);
}

/* ---- pairs in an empty arena ------------------------------------------------------------------------------------------ */

static double
pair(struct field *f, int kind)
{
	double start = cpu_ns(), took;
	unsigned n = 0;

	(void)kind;
	do {
		for (unsigned i = 0; i < 4096; i++) {
			struct range range;

			if (!f->ops->alloc(f->arena, 1, f->policy, &range))
				abort();
			f->ops->free(f->arena, &range);
		}
		n += 4096;
	} while ((took = cpu_ns() - start) < SLICE_NS / 4);
	return (took / n);
}

static void
measure_pairs(void)
{
	static const struct arena_ops *const everybody[] = { &arena_cooper, &arena_twolevel,
		&arena_twolevel_locked, &arena_list };
	struct field f[4];

	for (unsigned i = 0; i < 4; i++)
		f[i] = (struct field){ .ops = everybody[i],
			.arena = everybody[i]->create(FIELD_BASE, 1 << 24, 16) };
	row(f, 4, "range_pair", pair, -1);
	f[0].ops->destroy(f[0].arena);
	f[0].arena = arena_cooper_cached(FIELD_BASE, 1 << 24);
	row(f, 4, "range_pair_cached", pair, -1);
	for (unsigned i = 0; i < 4; i++)
		f[i].ops->destroy(f[i].arena);
}

static bool
named(char **words, const char *word)
{
	for (; *words != NULL; words++)
		if (strcmp(*words, word) == 0)
			return (true);
	return (false);
}

/* Bit i: the i-th of three is wanted. */
static unsigned
wanted(char **words, const char *const three[3])
{
	unsigned set = 0;

	for (unsigned i = 0; i < 3; i++)
		set |= (unsigned)named(words, three[i]) << i;
	return (set == 0 ? 7 : set);
}

int
main(int argc, char **argv)
{
	static const char *const labels[] = { "10k", "100k", "1m" };
	static const unsigned live[] = { 10000, 100000, 1000000 };
	unsigned states, policies;
	struct machine_shape shape = { .ncpus = 2, .ndomains = 1, .physmem = 512 << 20 };

	if (argc < 2 || (strcmp(argv[1], "i386") != 0 && strcmp(argv[1], "amd64") != 0)) {
		fprintf(stderr,
		    "usage: arena_bench i386|amd64 [10k|100k|1m|first|best|next|churn ...]\n");
		return (2);
	}
	shape.direct_map = strcmp(argv[1], "amd64") == 0;
	shape.kva_size = (vm_size_t)512 << 20;
	if (cooper_start(&shape) != 0) {
		fprintf(stderr, "arena_bench: %s\n", cooper_start_error());
		return (1);
	}
	clock_start();
	measure_pairs();
	states = wanted(argv + 2, labels);
	policies = wanted(argv + 2, policy_name);
	for (unsigned s = 0; s < 3; s++)
		for (unsigned policy = 0; policy < ARENA_POLICIES; policy++)
			if (states >> s & 1 && policies >> policy & 1)
				measure_state(live[s], labels[s], (enum arena_policy)policy,
				    named(argv + 2, "churn"));
	return (0);
}
