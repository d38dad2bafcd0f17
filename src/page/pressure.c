/*
 * Pressure: whatever says that memory is short outside of the core becomes one level, here.
 *
 *	machine's files (cgroup, PSI)  \
 *	limit in bytes                  > the highest of them: `raw`  -> level -> a pass, page_discard_free()
 *	the program's callback         /
 *
 * HYSTERESIS. The level rises at once to raw, and falls a step after each HOLD in which raw stayed below
 * it; the limit's own thresholds have a band besides. A pass runs when raw rises above the level, when
 * a source says that something has happened, and, while raw is not none, after each HOLD again.
 *
 * WHO LOOKS. Requests that are slow anyway, at most each POLL; the daemon's thread; the program, when
 * cooper_pressure_fd() is readable or as it likes. A request that may not sleep runs no handler: the
 * thread is asked for the pass if there is one, else the zones without callbacks are emptied at once
 * (page_plain_hook) and the handlers are owed a pass, which the next who may sleep runs: the next that misses
 * its CPU's cache, even if the caches of all CPUs have what it wants (uma/cache.c).
 *
 * `looked` is taken by compare-and-swap: who moves it looks. `looking` guards the rest against the
 * program's own calls; nothing here waits for it.
 */
#include "page/page_int.h"

#define POLL     100000000ull  /* ns between looks of requests */
#define HOLD     1000000000ull /* ns a level stays */
#define DEADLINE 100000000ull  /* ns that handlers are told to take at most */

CORE_STATE bool page_pressure_on, page_pressure_owed;
CORE_STATE void (*page_plain_hook)(enum page_pressure level);

CORE_STATE static uint64_t limit; /* bytes; atomic */
CORE_STATE static cooper_pressure_source_t *callback;
CORE_STATE static void *callback_arg;

CORE_STATE static uint64_t looked;          /* atomic; 0: not yet */
CORE_STATE static uint32_t looking;         /* atomic: a thread is at it */
CORE_STATE static enum page_pressure level; /* atomic */
CORE_STATE static enum page_pressure limit_level;
CORE_STATE static uint64_t held;   /* since when raw has been below level */
CORE_STATE static uint64_t passed; /* the last pass */

/* ---- sources -------------------------------------------------------------------------------------- */

/* Bytes of pages that are out, and of free ones that have contents. */
static uint64_t
bytes_in_use(void)
{
	uint64_t pages = 0;

	for (unsigned i = 0; i < page_ndomains(); i++) {
		struct page_domain *d = &page_domains[i];

		pages += d->total - atomic_load_relaxed(&d->free);
		pages += PAGE_HAS_CACHE ? atomic_load_relaxed(&d->dirty) : 0;
	}
	return (pages << PAGE_SHIFT);
}

/* Sixteenths of the limit at which a level begins, and below which it ends. */
static const uint8_t begins[] = { 0, 14, 16, 18 }, ends[] = { 0, 13, 15, 17 };

enum page_pressure
page_pressure_of_limit(uint64_t used, uint64_t most, enum page_pressure now)
{
	enum page_pressure is = PRESSURE_NONE;

	for (unsigned i = PRESSURE_LOW; i <= PRESSURE_SEVERE; i++)
		if (used >= most / 16 * (i <= (unsigned)now ? ends[i] : begins[i]))
			is = i;
	return (is);
}

static void
add(struct machine_pressure *sum, unsigned is, uint64_t wanted, bool event)
{
	sum->level = MAX(sum->level, MIN(is, (unsigned)PRESSURE_SEVERE));
	sum->wanted = MAX(sum->wanted, is != PRESSURE_NONE ? wanted : 0);
	sum->event |= event && is != PRESSURE_NONE;
}

static struct machine_pressure
read_sources(void)
{
	cooper_pressure_source_t *fn = atomic_load_acquire(&callback);
	uint64_t most = atomic_load_relaxed(&limit), wanted = 0;
	struct machine_pressure sum = { 0 }, m = { 0 };

	if (machine_pressure_read(&m))
		add(&sum, m.level, m.wanted, m.event);
	else if (most == 0 && fn == NULL)
		atomic_store_relaxed(&page_pressure_on, false); /* there is nothing to look at */
	if (most != 0) {
		uint64_t used = bytes_in_use(), keep = most / 16 * ends[1];

		limit_level = page_pressure_of_limit(used, most, limit_level);
		add(&sum, limit_level, used > keep ? used - keep : 0, false);
	}
	if (fn != NULL) {
		unsigned is = fn(&wanted, callback_arg);

		add(&sum, is, wanted, false);
	}
	return (sum);
}

/* ---- the level ------------------------------------------------------------------------------------- */

/* What raw makes of the level; true: a pass is due. */
static bool
settle(const struct machine_pressure *raw, uint64_t now)
{
	enum page_pressure was = level, is = raw->level;
	bool due = is > was || raw->event;

	if (is >= was)
		held = now;
	else if (now - held >= HOLD) {
		held = now;
		is = was - 1;
	} else {
		is = was;
	}
	atomic_store_relaxed(&level, is);
	due |= raw->level != PRESSURE_NONE && now - passed >= HOLD;
	if (due)
		passed = now;
	return (due);
}

static void
act(const struct machine_pressure *raw, bool sleep)
{
	enum page_pressure is = MAX(level, PRESSURE_LOW);
	void (*plain)(enum page_pressure) = page_plain_hook;
	struct cooper_pressure p = { .level = (enum cooper_pressure_level)is,
		.domain = -1,
		.wanted = raw->wanted,
		.deadline = machine_now() + DEADLINE };

	if (sleep) {
		atomic_store_relaxed(&page_pressure_owed, false);
		(void)page_daemon_pass_for(&p);
	} else {
		atomic_store_relaxed(&page_pressure_owed, true);
		if (plain != NULL)
			plain(is);
	}
	(void)page_discard_free(~0ul);
}

static bool
look(bool sleep)
{
	struct machine_pressure raw;
	uint32_t nobody = 0;

	if (machine_thread_state()->in_reclaim || !atomic_cas(&looking, &nobody, 1u))
		return (false);
	raw = read_sources();
	if (settle(&raw, machine_now()) || (page_pressure_owed && sleep))
		act(&raw, sleep);
	atomic_store_release(&looking, 0u);
	return (true);
}

void
page_pressure_tend(uint64_t now, bool sleep)
{
	uint64_t then = atomic_load_relaxed(&looked);

	if (then == 0) /* the clock is noted: a start that did so would pay for looking at it */
		(void)atomic_cas(&looked, &then, now);
	else if (now - then >= POLL ? atomic_cas(&looked, &then, now)
				    : sleep && atomic_load_relaxed(&page_pressure_owed))
		(void)look(sleep);
}

void
page_pressure_fork_child(void)
{
	looking = 0;
}

void
page_pressure_start(bool files, uint64_t bytes)
{
	looked = 0;
	limit = bytes;
	atomic_store_relaxed(&page_pressure_on, files || bytes != 0);
}

/* ---- for programs ------------------------------------------------------------------------------------ */

enum cooper_pressure_level
cooper_pressure_poll(void)
{
	(void)look(true);
	return (cooper_pressure_level());
}

enum cooper_pressure_level
cooper_pressure_level(void)
{
	return ((enum cooper_pressure_level)atomic_load_relaxed(&level));
}

int
cooper_pressure_fd(void)
{
	return (machine_pressure_fd());
}

uint64_t
cooper_set_limit(uint64_t bytes)
{
	uint64_t old = atomic_load_relaxed(&limit);

	atomic_store_relaxed(&limit, bytes);
	if (bytes != 0)
		atomic_store_relaxed(&page_pressure_on, true);
	return (old);
}

void
cooper_set_pressure_source(cooper_pressure_source_t *fn, void *arg)
{
	atomic_store_release(&callback, NULL);
	callback_arg = arg;
	atomic_store_release(&callback, fn);
	if (fn != NULL)
		atomic_store_relaxed(&page_pressure_on, true);
}

/* ---- handlers of programs: the page daemon's, with what it was asked for ---------------------------------- */

static struct lowmem_handler *
own_part(struct cooper_lowmem_handler *h)
{
	_Static_assert(
	    sizeof(struct lowmem_handler) <= sizeof(h->own), "it has room for what is ours");
	return ((struct lowmem_handler *)(void *)h->own);
}

static void
call_handler(enum page_pressure is, int domain, void *arg)
{
	struct cooper_lowmem_handler *h = arg;
	struct cooper_pressure p = page_daemon_asked(is, domain);

	h->fn(&p, h->arg);
}

void
cooper_lowmem_register(struct cooper_lowmem_handler *h)
{
	struct lowmem_handler *own = own_part(h);

	*own = (struct lowmem_handler){ .fn = call_handler, .arg = h };
	lowmem_register(own);
}

void
cooper_lowmem_unregister(struct cooper_lowmem_handler *h)
{
	lowmem_unregister(own_part(h));
}
