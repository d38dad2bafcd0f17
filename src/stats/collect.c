/*
 * The collector's frame: the root, the order of sections, reading the target, walking its lists;
 * and the sections that need nothing more: shape, channels, sleepers, totals.
 */
#include "stats/collect.h"
#include "stats/layout.h"

/*
 * By volatile words or bytes: what is read may be changed meanwhile, and names are read in pieces that
 * go beyond their ends, neither of which a sanitizer may see as an error of ours.
 */
__attribute__((no_sanitize("address", "thread"))) bool
stats_peek_self(void *arg, uintptr_t addr, void *buf, size_t len)
{
	const volatile unsigned char *from = (const void *)addr;
	unsigned char *to = buf;

	(void)arg;
	if (addr < PAGE_SIZE)
		return (false);
	if (((addr | (uintptr_t)buf | len) & (sizeof(size_t) - 1)) == 0)
		for (size_t i = 0; i < len; i += sizeof(size_t))
			*(size_t *)(void *)(to + i) = *(const volatile size_t *)(from + i);
	else
		for (size_t i = 0; i < len; i++)
			to[i] = from[i];
	return (true);
}

void
stats_emit(struct stats_collector *c, enum stats_section section, const void *record)
{
	if (stats_wanted(c, section))
		c->out.record(c->out.arg, section, record);
}

/*
 * Damage is told when its time comes in the order of sections, last; until then the first few wait
 * here. A walk ends at its first damage, so there is at most one for each section and zone limit.
 */
void
stats_damaged(struct stats_collector *c, enum stats_section section, const char *fmt, ...)
{
	struct stats_damage *d;
	va_list ap;

	if (c->ndamage == nitems(c->damage))
		return;
	d = &c->damage[c->ndamage++];
	stats_set_name(d->section, stats_kinds[section].name);
	va_start(ap, fmt);
	core_vsnprintf(d->what, sizeof(d->what), fmt, ap);
	va_end(ap);
}

void
stats_peek_name(struct stats_collector *c, char *dst, uintptr_t addr)
{
	size_t got = 0;

	/* Piece by piece, none across a page: the string may be the last thing that is mapped. */
	while (got < STATS_NAME - 1) {
		size_t n = MIN(STATS_NAME - 1 - got, 64 - (addr + got) % 64);

		if (!c->peek(c->peek_arg, addr + got, dst + got, n))
			break;
		for (size_t i = 0; i < n; i++)
			if (dst[got + i] == '\0')
				return;
		got += n;
	}
	if (got == 0)
		dst[got++] = '?';
	dst[got] = '\0';
}

/* ---- lists ------------------------------------------------------------------------------------- */

void
stats_walk_start(struct stats_walk *w, struct stats_collector *c, enum stats_section section,
    const struct list *head)
{
	struct list l;

	*w = (struct stats_walk){ .c = c, .section = section, .head = (uintptr_t)head, .power = 1 };
	w->next = w->mark = w->head;
	if (!PEEK(c, head, &l))
		stats_damaged(
		    c, section, "the list's head at %p cannot be read", (const void *)head);
	else if (l.next != NULL) /* NULL: the room has not been started */
		w->next = (uintptr_t)l.next;
}

bool
stats_walk_next(struct stats_walk *w)
{
	struct list l;

	if (w->next == w->head)
		return (false);
	w->at = w->next;
	if (!PEEK(w->c, w->at, &l)) {
		stats_damaged(w->c, w->section, "link %p cannot be read; the list ends after %u",
		    (void *)w->at, w->steps);
		return (false);
	}
	if ((uintptr_t)l.next == w->at) {
		stats_damaged(w->c, w->section,
		    "the list changed under the reader; it ends after %u", w->steps);
		return (false);
	}
	if (w->at == w->mark || w->steps >= STATS_MAXWALK) {
		stats_damaged(
		    w->c, w->section, "the list runs in a circle; left after %u", w->steps);
		return (false);
	}
	if (++w->steps == w->power) {
		w->mark = w->at;
		w->power *= 2;
	}
	w->next = (uintptr_t)l.next;
	return (true);
}

/* ---- the small sections ------------------------------------------------------------------------ */

static bool
collect_shape(struct stats_collector *c)
{
	struct machine_shape s;

	if (!PEEK(c, c->head.shape, &s))
		return (false);
	c->ncpus = MIN(s.ncpus, (unsigned)COOPER_MAXCPU);
	c->ndomains = MIN(s.ndomains, (unsigned)COOPER_MAXDOMAIN);
	c->record.shape = (struct stats_shape){ .cpus = s.ncpus,
		.domains = s.ndomains,
		.direct_map = s.direct_map,
		.debug = s.debug,
		.daemon = s.daemon,
		.pin = s.pin,
		.physmem = s.physmem,
		.kva = s.kva_size };
	stats_emit(c, STATS_SHAPE, &c->record);
	return (true);
}

/* How many sleep on channels of this name now. */
static uint64_t
count_sleepers(struct stats_collector *c, const char *name)
{
	struct stats_walk w;
	uint64_t n = 0;

	stats_walk_start(&w, c, STATS_CHANNELS, c->head.waiting);
	while (stats_walk_next(&w)) {
		struct waitq q;
		char other[STATS_NAME];

		if (!PEEK(c, list_entry((struct list *)w.at, struct waitq, table), &q))
			break;
		stats_peek_name(c, other, (uintptr_t)q.name);
		for (unsigned i = 0; other[i] == name[i]; i++)
			if (name[i] == '\0') {
				n += q.nwaiters;
				break;
			}
	}
	return (n);
}

static void
collect_channels(struct stats_collector *c)
{
	struct stats_walk w;

	stats_walk_start(&w, c, STATS_CHANNELS, c->head.channels);
	while (stats_walk_next(&w)) {
		struct stats_channel *r = &c->record.channel;
		struct channel ch;

		if (!PEEK(c, list_entry((struct list *)w.at, struct channel, link), &ch))
			break;
		*r = (struct stats_channel){ .sleeps = ch.sleeps,
			.timeouts = ch.timeouts,
			.total_ns = ch.total_ns,
			.max_ns = ch.max_ns };
		stats_set_name(r->name, ch.name);
		r->sleeping = count_sleepers(c, r->name);
		c->totals.sleeps += ch.sleeps;
		stats_emit(c, STATS_CHANNELS, r);
	}
}

static void
collect_queue(struct stats_collector *c, const struct waitq *q, uintptr_t addr)
{
	struct stats_walk w;

	stats_walk_start(
	    &w, c, STATS_WAITS, (const struct list *)(addr + offsetof(struct waitq, waiters)));
	while (stats_walk_next(&w)) {
		struct stats_wait *r = &c->record.wait;
		struct waiter waiter;

		if (!PEEK(c, list_entry((struct list *)w.at, struct waiter, link), &waiter))
			break;
		*r = (struct stats_wait){ .thread = waiter.id,
			.need = waiter.need,
			.age_ns = stats_less(c->now, waiter.since) };
		stats_peek_name(c, r->channel, (uintptr_t)q->name);
		stats_emit(c, STATS_WAITS, r);
	}
}

static void
collect_waits(struct stats_collector *c)
{
	struct stats_walk w;

	stats_walk_start(&w, c, STATS_WAITS, c->head.waiting);
	while (stats_walk_next(&w)) {
		struct waitq q;
		uintptr_t addr = (uintptr_t)list_entry((struct list *)w.at, struct waitq, table);

		if (!PEEK(c, addr, &q))
			break;
		collect_queue(c, &q, addr);
	}
}

static void
collect_cpus(struct stats_collector *c)
{
	for (unsigned i = 0; c->cpus != NULL && i < c->ncpus; i++)
		if (c->cpus[i].cached != 0)
			stats_emit(c, STATS_CPUS, &c->cpus[i]);
}

/* ---- all of it --------------------------------------------------------------------------------- */

static const char *
read_root(struct stats_collector *c)
{
	if (!PEEK(c, c->root, &c->head))
		return ("its memory cannot be read");
	if (memcmp(c->head.magic, STATS_MAGIC, sizeof(c->head.magic)) != 0)
		return ("not a Cooper: the root of its statistics is something else");
	if (c->head.word != 8 * sizeof(void *))
		return (c->head.word == 32
			    ? "a 32-bit process: use a cooper command built for 32 bits"
			    : "a 64-bit process: use a cooper command built for 64 bits");
	if (c->head.layout != STATS_LAYOUT)
		return ("it runs another build of Cooper: use the cooper command of that build");
	c->head.version[sizeof(c->head.version) - 1] = '\0';
	return (NULL);
}

const char *
stats_collect(struct stats_collector *c, const struct stats_visitor *out)
{
	const char *why = read_root(c);

	if (why != NULL)
		return (why);
	c->out = *out;
	c->ndamage = 0;
	c->totals = (struct stats_totals){ 0 };
	c->front = (struct stats_type){ 0 };
	c->memory = (struct stats_memory){ 0 };
	c->slab_pages = c->boot_pages = c->boot_counted = 0;
	for (unsigned i = 0; c->cpus != NULL && i < COOPER_MAXCPU; i++)
		c->cpus[i] = (struct stats_cpu){ .cpu = i };
	c->process.word = c->head.word;
	stats_set_name(c->process.version, c->head.version);
	stats_emit(c, STATS_PROCESS, &c->process);
	if (!collect_shape(c))
		stats_damaged(
		    c, STATS_SHAPE, "the shape at %p cannot be read", (const void *)c->head.shape);
	if (c->sections & (STATS_BIT(ZONES) | STATS_BIT(TYPES) | STATS_BIT(CPUS) |
			      STATS_BIT(TOTALS) | STATS_BIT(MEMORY))) {
		stats_collect_zones(c);
		stats_collect_types(c);
	}
	if (c->sections & STATS_BIT(ARENAS))
		stats_collect_arenas(c);
	if (c->sections & (STATS_BIT(DOMAINS) | STATS_BIT(TOTALS)))
		stats_collect_domains(c);
	if (c->sections & (STATS_BIT(CHANNELS) | STATS_BIT(TOTALS)))
		collect_channels(c);
	if (c->sections & STATS_BIT(WAITS))
		collect_waits(c);
	collect_cpus(c);
	if (c->sections & STATS_BIT(MEMORY))
		stats_collect_memory(c);
	stats_emit(c, STATS_TOTALS, &c->totals);
	for (unsigned i = 0; i < c->ndamage; i++)
		stats_emit(c, STATS_DAMAGE, &c->damage[i]);
	return (NULL);
}
