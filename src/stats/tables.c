/*
 * The tables for people: vmstat -z, vmstat -m and their kin, a row for each record. The same code
 * prints a live process, a saved file and a bare-metal console.
 */
#include "stats/stats.h"

#define ROW 200 /* longest line */

struct text {
	char buf[ROW];
	size_t len;
};

static void add(struct text *t, const char *fmt, ...) PRINTFLIKE(2, 3);

static void
add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = core_vsnprintf(t->buf + t->len, ROW - t->len, fmt, ap);
	va_end(ap);
	t->len = MIN(t->len + (size_t)MAX(n, 0), (size_t)ROW - 1);
}

/* A counter: exact, right-aligned, always preceded by a space. */
static void
add_number(struct text *t, int width, uint64_t v)
{
	add(t, " %*llu", width - 1, (unsigned long long)v);
}

/* A length: exact below 2^30, else rounded down to a unit that leaves at least 3 digits. */
static void
add_size(struct text *t, int width, uint64_t v)
{
	const char *unit = "KMGTPE";

	if (v < (uint64_t)1 << 30) {
		add_number(t, width, v);
		return;
	}
	for (v >>= 10; v >= 1000 << 10 && unit[1] != '\0'; unit++)
		v >>= 10;
	add(t, " %*llu%c", width - 2, (unsigned long long)v, *unit);
}

/* Nanoseconds as seconds with three decimals; by the digits, since 32 bits have no division. */
static void
add_seconds(struct text *t, int width, uint64_t ns)
{
	char digits[32];
	char seconds[32];
	int n = core_snprintf(digits, sizeof(digits), "%010llu", (unsigned long long)ns);
	int whole = n - 9;

	for (int i = 0; i < whole; i++)
		seconds[i] = digits[i];
	seconds[whole] = '.';
	for (int i = 0; i < 3; i++)
		seconds[whole + 1 + i] = digits[whole + i];
	seconds[whole + 4] = '\0';
	add(t, " %*s", width - 1, seconds);
}

static void
say(struct text *t, stats_print_t *print, void *arg)
{
	while (t->len > 0 && t->buf[t->len - 1] == ' ')
		t->len--;
	t->buf[t->len] = '\0';
	print(arg, t->buf);
	t->len = 0;
}

/* ---- zones: vmstat -z -------------------------------------------------------------------------- */

static const char zone_head[] =
    "ITEM                      SIZE    LIMIT      USED      FREE         REQ     FAIL    SLEEP  "
    "XDOMAIN    PAGES  BUCKET RESERVE";

static void
zone_row(const struct stats_zone *z, stats_print_t *print, void *arg)
{
	struct text t = { .len = 0 };

	add(&t, "%-22s", z->name);
	add_number(&t, 8, z->size);
	add_number(&t, 9, z->limit);
	add_number(&t, 10, z->used);
	add_number(&t, 10, z->free);
	add_number(&t, 12, z->requests);
	add_number(&t, 9, z->fails);
	add_number(&t, 9, z->sleeps);
	add_number(&t, 9, z->xdomain);
	add_number(&t, 9, z->pages);
	add_number(&t, 8, z->bucket_size);
	add_number(&t, 8, z->reserve);
	say(&t, print, arg);
	for (unsigned d = 0; z->ndomains > 1 && d < z->ndomains; d++) {
		const struct stats_zone_domain *zd = &z->domain[d];

		add(&t,
		    "  domain %llu: %llu cached, %llu of them in use lately; keg: %llu pages, "
		    "%llu free items, %llu free slabs",
		    (unsigned long long)zd->domain, (unsigned long long)zd->cached,
		    (unsigned long long)zd->wss, (unsigned long long)zd->keg_pages,
		    (unsigned long long)zd->keg_free, (unsigned long long)zd->keg_free_slabs);
		say(&t, print, arg);
	}
}

/* ---- malloc types: vmstat -m ------------------------------------------------------------------- */

static const char type_head[] = "Type                     InUse  MemUse      Requests  Size(s)";

static void
type_row(const struct stats_type *m, stats_print_t *print, void *arg)
{
	struct text t = { .len = 0 };
	char memuse[32];
	static const char *const units[] = { "", "K", "M", "G", "T", "P", "E" };
	const char *comma = "  ";

	core_snprintf(
	    memuse, sizeof(memuse), "%lluK", (unsigned long long)(m->memuse + 1023) >> 10);
	add(&t, "%-21s", m->name);
	add_number(&t, 9, m->inuse);
	add(&t, " %7s", memuse);
	add_number(&t, 14, m->requests);
	for (unsigned bit = 0; bit < STATS_LARGE; bit++) {
		if ((m->sizes >> bit & 1) == 0)
			continue;
		add(&t, "%s%u%s", comma, 1u << bit % 10, units[bit / 10]);
		comma = ",";
	}
	if (m->sizes >> STATS_LARGE != 0)
		add(&t, "%slarge", comma);
	say(&t, print, arg);
}

/* ---- arenas and their tags --------------------------------------------------------------------- */

static const char arena_head[] =
    "ARENA                PARENT            QUANTUM      SIZE     INUSE      FREE  IMPORTED   "
    "LARGEST    BUSY    FREE   SPANS   SPARE WAITERS";

static void
arena_row(const struct stats_arena *a, stats_print_t *print, void *arg)
{
	struct text t = { .len = 0 };

	add(&t, "%-20s %-16s", a->name, a->parent[0] == '\0' ? "-" : a->parent);
	add_size(&t, 9, a->quantum);
	add_size(&t, 10, a->size);
	add_size(&t, 10, a->inuse);
	add_size(&t, 10, a->free);
	add_size(&t, 10, a->imported);
	add_size(&t, 10, a->largest);
	add_number(&t, 8, a->tags_busy);
	add_number(&t, 8, a->tags_free);
	add_number(&t, 8, a->tags_span);
	add_number(&t, 8, a->tags_spare);
	add_number(&t, 8, a->waiters);
	say(&t, print, arg);
	for (unsigned i = 0; i < a->nclasses; i++) {
		const struct stats_class *h = &a->histogram[i];

		add(&t, "    from");
		add_size(&t, 11, h->size);
		add(&t, ": %llu free, %llu busy", (unsigned long long)h->free,
		    (unsigned long long)h->busy);
		say(&t, print, arg);
	}
}

/* ---- pages ------------------------------------------------------------------------------------- */

static const char domain_head[] = "DOMAIN     PAGES      FREE     FRESH   NOFREE   TARGET      MIN "
				  "  SEVERE     INTR       ALLOCS  "
				  "      FREES    FAILS    WAITS   PASSES";

static void
domain_row(const struct stats_domain *d, stats_print_t *print, void *arg)
{
	struct text t = { .len = 0 };

	add(&t, "%-6llu", (unsigned long long)d->domain);
	add_number(&t, 10, d->total);
	add_number(&t, 10, d->free);
	add_number(&t, 10, d->fresh);
	add_number(&t, 9, d->nofree);
	add_number(&t, 9, d->target);
	add_number(&t, 9, d->min);
	add_number(&t, 9, d->severe);
	add_number(&t, 9, d->interrupt);
	add_number(&t, 13, d->allocs);
	add_number(&t, 13, d->frees);
	add_number(&t, 9, d->fails + d->contig_fails);
	add_number(&t, 9, d->waits);
	add_number(&t, 9, d->passes);
	say(&t, print, arg);
}

/* ---- channels and sleepers --------------------------------------------------------------------- */

static const char channel_head[] =
    "CHANNEL              SLEEPING       SLEEPS     TIMEOUTS   TOTAL(S)     MAX(S)";

static void
channel_row(const struct stats_channel *c, stats_print_t *print, void *arg)
{
	struct text t = { .len = 0 };

	add(&t, "%-20s", c->name);
	add_number(&t, 9, c->sleeping);
	add_number(&t, 13, c->sleeps);
	add_number(&t, 13, c->timeouts);
	add_seconds(&t, 11, c->total_ns);
	add_seconds(&t, 11, c->max_ns);
	say(&t, print, arg);
}

static const char wait_head[] = "SLEEPS ON                THREAD     AGE(S)         NEED";

static void
wait_row(const struct stats_wait *w, stats_print_t *print, void *arg)
{
	struct text t = { .len = 0 };

	add(&t, "%-20s", w->channel);
	add_number(&t, 11, w->thread);
	add_seconds(&t, 11, w->age_ns);
	add_number(&t, 13, w->need);
	say(&t, print, arg);
}

/* ---- the equation ------------------------------------------------------------------------------ */

static const char memory_head[] = "MEMORY                    BYTES";

static void
memory_row(const struct stats_memory *m, stats_print_t *print, void *arg)
{
	const struct {
		const char *name;
		uint64_t bytes;
	} term[] = { { "live", m->live }, { "+ large", m->large },
		{ "+ CPU caches", m->cpu_caches }, { "+ depots", m->depot_caches },
		{ "+ free in slabs", m->slab_free }, { "+ page cache", m->page_cache },
		{ "+ metadata", m->metadata }, { "+ fragmentation", m->fragmentation },
		{ "+ unaccounted", m->unaccounted }, { "- untouched", m->untouched },
		{ "= resident", m->resident } };
	struct text t = { .len = 0 };

	for (unsigned i = 0; i < nitems(term); i++) {
		add(&t, "%-16s", term[i].name);
		add_number(&t, 15, term[i].bytes);
		say(&t, print, arg);
	}
	for (unsigned d = 0; m->ndomains > 1 && d < m->ndomains; d++) {
		add(&t, "  domain %llu: %llu in depots, %llu free in slabs, %llu page cache",
		    (unsigned long long)m->domain[d].domain,
		    (unsigned long long)m->domain[d].depot_caches,
		    (unsigned long long)m->domain[d].slab_free,
		    (unsigned long long)m->domain[d].page_cache);
		say(&t, print, arg);
	}
}

static const char cpu_head[] = "CPU        CACHED          BYTES";

static void
cpu_row(const struct stats_cpu *c, stats_print_t *print, void *arg)
{
	struct text t = { .len = 0 };

	add(&t, "%-4llu", (unsigned long long)c->cpu);
	add_number(&t, 13, c->cached);
	add_number(&t, 15, c->memory);
	say(&t, print, arg);
}

static void
damage_row(const struct stats_damage *d, stats_print_t *print, void *arg)
{
	struct text t = { .len = 0 };

	add(&t, "damaged: %s: %s", d->section, d->what);
	say(&t, print, arg);
}

/* ---- all of them ------------------------------------------------------------------------------- */

void
stats_table_head(enum stats_section s, stats_print_t *print, void *arg)
{
	static const char *const heads[STATS_SECTIONS] = {
		[STATS_ZONES] = zone_head,
		[STATS_TYPES] = type_head,
		[STATS_ARENAS] = arena_head,
		[STATS_DOMAINS] = domain_head,
		[STATS_CHANNELS] = channel_head,
		[STATS_WAITS] = wait_head,
		[STATS_CPUS] = cpu_head,
		[STATS_MEMORY] = memory_head,
	};

	if (heads[s] != NULL)
		print(arg, heads[s]);
}

void
stats_table_row(enum stats_section s, const void *record, stats_print_t *print, void *arg)
{
	switch (s) {
	case STATS_ZONES:
		zone_row(record, print, arg);
		break;
	case STATS_TYPES:
		type_row(record, print, arg);
		break;
	case STATS_ARENAS:
		arena_row(record, print, arg);
		break;
	case STATS_DOMAINS:
		domain_row(record, print, arg);
		break;
	case STATS_CHANNELS:
		channel_row(record, print, arg);
		break;
	case STATS_WAITS:
		wait_row(record, print, arg);
		break;
	case STATS_CPUS:
		cpu_row(record, print, arg);
		break;
	case STATS_MEMORY:
		memory_row(record, print, arg);
		break;
	case STATS_DAMAGE:
		damage_row(record, print, arg);
		break;
	default: /* process, shape and totals have no table */
		break;
	}
}

struct printer {
	stats_print_t *print;
	void *arg;
	unsigned headed; /* sections whose heading is out */
};

static void
print_record(void *arg, enum stats_section s, const void *record)
{
	struct printer *p = arg;

	if ((p->headed & 1u << s) == 0)
		stats_table_head(s, p->print, p->arg);
	p->headed |= 1u << s;
	stats_table_row(s, record, p->print, p->arg);
}

void
stats_print_tables(stats_print_t *print, void *arg)
{
	struct printer p = { print, arg, 0 };
	struct stats_visitor out = { print_record, &p };
	struct stats_collector c = { .peek = stats_peek_self,
		.sections = STATS_ALL,
		.root = (uintptr_t)&cooper_stats_root,
		.now = machine_now() };
	const char *why = stats_collect(&c, &out);

	if (why != NULL)
		print(arg, why);
}
