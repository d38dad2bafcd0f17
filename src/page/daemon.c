/*
 * The page daemon: a pass asks the lowmem handlers, then UMA, for pages; at most one runs at a time.
 *
 * A pass runs in the daemon's thread if the shape has one, or in a thread that needs pages. vm_lock
 * guards `daemon`, the list of handlers included; the pass itself holds no lock, and marks its
 * thread in_reclaim, so that what it calls cannot wait for memory.
 *
 * No pause is fixed (H7). A domain wakes the daemon when it falls below `kick_at`: its target, or,
 * while passes cannot lift it there, three quarters of what the last left free: the fewer pages are
 * left, the sooner. Refused requests wake it too, each at first, then ever fewer while passes gain
 * nothing. As long as threads sleep for pages passes are repeated, at an interval that doubles with
 * each fruitless one.
 */
#include "page/page_int.h"

#define RETRY_MIN     1000000ull   /* ns: the interval after a fruitful pass, with sleepers */
#define RETRY_MAX     128000000ull /* ns: and the longest */
#define PRESSURE_LOOK 250000000ull /* ns between the thread's looks at sources of pressure */
#define FAIL_SKIP_MAX 1023u        /* failures ignored between fruitless passes, at most */

CORE_STATE void (*page_reclaim_hook)(enum page_pressure level, int domain);
CORE_STATE void (*page_timer_hook)(void);

struct page_daemon {
	struct list handlers; /* struct lowmem_handler */
	struct waitq work;    /* the daemon's thread, idle */
	struct waitq over;    /* who waits for the end of a pass */
	bool running;         /* a pass runs */
	bool present;         /* there is a thread */
	uint32_t wanted;      /* mask of domains that ask for a pass */
	uint64_t passes;      /* ended */
	unsigned long gained; /* by the last one */
	struct cooper_pressure
	    asked; /* who asked for a pass with more than a level: the running one's */
};
CORE_STATE static struct page_daemon daemon;

static void daemon_thread(void *arg);

void
daemon_start(void)
{
	list_init(&daemon.handlers);
	waitq_init(&daemon.work, "pagedaemon");
	waitq_init(&daemon.over, "pagepass");
}

void
page_daemon_start(void)
{
	if (!cooper_shape()->daemon || daemon.present)
		return;
	atomic_store_relaxed(&daemon.present, true);
	if (!machine_thread_start("pagedaemon", daemon_thread, NULL))
		atomic_store_relaxed(&daemon.present, false);
}

bool
page_daemon_present(void)
{
	return (atomic_load_relaxed(&daemon.present));
}

uint64_t
page_daemon_passes(void)
{
	uint64_t passes;

	mtx_lock(&vm_lock);
	passes = daemon.passes;
	mtx_unlock(&vm_lock);
	return (passes);
}

static enum page_pressure
domain_pressure(const struct page_domain *d)
{
	uint32_t avail = atomic_load_relaxed(&d->free);

	return (avail >= d->target   ? PRESSURE_NONE
		: avail >= d->min    ? PRESSURE_LOW
		: avail >= d->severe ? PRESSURE_MIN
				     : PRESSURE_SEVERE);
}

/* The least of the domains that will do: while one has pages, there is no hurry. */
enum page_pressure
page_pressure_of(int domain)
{
	enum page_pressure least = PRESSURE_SEVERE;

	if (domain >= 0)
		return (domain_pressure(&page_domains[domain]));
	for (unsigned i = 0; i < page_ndomains(); i++)
		if ((page_memory & 1u << i) != 0)
			least = MIN(least, domain_pressure(&page_domains[i]));
	return (least);
}

/* ---- handlers ------------------------------------------------------------------------------------- */

void
lowmem_register(struct lowmem_handler *h)
{
	mtx_lock(&vm_lock);
	list_append(&daemon.handlers, &h->link);
	mtx_unlock(&vm_lock);
}

void
lowmem_unregister(struct lowmem_handler *h)
{
	MUST(!machine_thread_state()->in_reclaim, "%s: called from a pass", __func__);
	sync_assert_may_sleep(__func__);
	mtx_lock(&vm_lock);
	while (daemon.running)
		(void)waitq_sleep(&daemon.over, &vm_lock, 0, 0);
	list_remove(&h->link);
	mtx_unlock(&vm_lock);
}

/* Handlers leave the list only while no pass runs, so the walk needs the lock for steps alone. */
static void
call_handlers(enum page_pressure level, int domain)
{
	struct list *l;

	mtx_lock(&vm_lock);
	for (l = daemon.handlers.next; l != &daemon.handlers; l = l->next) {
		struct lowmem_handler *h = list_entry(l, struct lowmem_handler, link);

		mtx_unlock(&vm_lock);
		h->fn(level, domain, h->arg);
		mtx_lock(&vm_lock);
	}
	mtx_unlock(&vm_lock);
}

/* ---- a pass --------------------------------------------------------------------------------------- */

/* When shall the domain wake the daemon next? */
static void
settle(struct page_domain *d, unsigned long gained)
{
	mtx_lock(&d->lock);
	d->passes++;
	d->kick_at = d->free >= d->target ? d->target : d->free - howmany(d->free, 4);
	d->fail_skip = gained > 0 ? 0 : MIN(d->fail_skip * 2 + 1, FAIL_SKIP_MAX);
	d->fail_left = MIN(d->fail_left, d->fail_skip);
	mtx_unlock(&d->lock);
}

/* The body; daemon.running is ours. */
static unsigned long
run_pass(int domain, enum page_pressure level)
{
	void (*reclaim)(enum page_pressure, int) = page_reclaim_hook;
	uint64_t before = vm_page_frees(domain);
	unsigned long gained;

	machine_thread_state()->in_reclaim = true;
	call_handlers(level, domain);
	if (reclaim != NULL)
		reclaim(level, domain);
	machine_thread_state()->in_reclaim = false;
	gained = (unsigned long)(vm_page_frees(domain) - before);

	for (unsigned i = 0; i < page_ndomains(); i++)
		if (domain < 0 || (unsigned)domain == i)
			settle(&page_domains[i], gained);
	mtx_lock(&vm_lock);
	daemon.running = false;
	daemon.asked = (struct cooper_pressure){ 0 };
	daemon.passes++;
	daemon.gained = gained;
	(void)waitq_wake_all(&daemon.over);
	if (!FAULT(page_wakeup_lost))
		page_wake_all_locked();
	mtx_unlock(&vm_lock);
	return (gained);
}

unsigned long
page_daemon_pass(int domain, enum page_pressure level)
{
	unsigned long gained;
	uint64_t passes;

	if (domain >= 0)
		(void)page_domain_of(domain, __func__);
	if (machine_thread_state()->in_reclaim)
		return (0);
	sync_assert_may_sleep(__func__);
	mtx_lock(&vm_lock);
	if (!daemon.running) {
		daemon.running = true;
		mtx_unlock(&vm_lock);
		return (run_pass(domain, level));
	}
	for (passes = daemon.passes; daemon.running && daemon.passes == passes;)
		(void)waitq_sleep(&daemon.over, &vm_lock, 0, 0);
	gained = daemon.gained;
	mtx_unlock(&vm_lock);
	return (gained);
}

/* Note the wish and wake the thread; vm_lock held. */
static void
want_locked(int domain)
{
	daemon.wanted |= domain < 0 ? page_memory : 1u << domain;
	(void)waitq_wake_one(&daemon.work);
}

bool
page_daemon_kick(int domain)
{
	if (!page_daemon_present())
		return (false);
	mtx_lock(&vm_lock);
	want_locked(domain);
	mtx_unlock(&vm_lock);
	return (true);
}

bool
page_daemon_request(int domain, uint64_t *before)
{
	mtx_lock(&vm_lock);
	*before = daemon.passes;
	if (daemon.present)
		want_locked(domain);
	if (daemon.present || daemon.running) {
		mtx_unlock(&vm_lock);
		return (false);
	}
	daemon.running = true;
	mtx_unlock(&vm_lock);
	(void)run_pass(domain, MAX(page_pressure_of(domain), PRESSURE_MIN));
	return (true);
}

/* ---- the thread ----------------------------------------------------------------------------------- */

/*
 * Sleep until there is work, or until `timer`, or, while there are sleepers, until `retry`. Returns
 * the mask of domains that ask for a pass; *waiters: are there sleepers?
 */
static uint32_t
await_work(uint64_t timer, uint64_t retry, bool *waiters)
{
	uint64_t deadline;
	uint32_t wanted;

	mtx_lock(&vm_lock);
	deadline = vm_waiters != 0 ? MIN(timer, retry) : timer;
	if (daemon.wanted == 0 && machine_now() < deadline)
		(void)waitq_sleep(&daemon.work, &vm_lock, 0, deadline);
	wanted = daemon.wanted;
	daemon.wanted = 0;
	*waiters = vm_waiters != 0;
	mtx_unlock(&vm_lock);
	return (wanted);
}

void
page_daemon_look(void)
{
	if (!page_daemon_present())
		return;
	mtx_lock(&vm_lock);
	(void)waitq_wake_one(&daemon.work);
	mtx_unlock(&vm_lock);
}

/*
 * What the watermarks want: the pages up to the target; in as much time as a waiter's first interval.
 * Within a pass.
 */
struct cooper_pressure
page_daemon_asked(enum page_pressure level, int domain)
{
	struct cooper_pressure p = daemon.asked;

	if (p.deadline != 0)
		return (p);
	p = (struct cooper_pressure){ .level = (enum cooper_pressure_level)level,
		.domain = domain,
		.deadline = machine_now() + RETRY_MAX };
	for (unsigned i = 0; i < page_ndomains(); i++) {
		const struct page_domain *d = &page_domains[i];
		uint32_t avail = atomic_load_relaxed(&d->free);

		if ((domain < 0 || (unsigned)domain == i) && avail < d->target)
			p.wanted += ptoa(d->target - avail);
	}
	return (p);
}

unsigned long
page_daemon_pass_for(const struct cooper_pressure *p)
{
	enum page_pressure level = (enum page_pressure)p->level;

	if (machine_thread_state()->in_reclaim)
		return (0);
	mtx_lock(&vm_lock);
	while (daemon.running) /* it was not asked for this */
		(void)waitq_sleep(&daemon.over, &vm_lock, 0, 0);
	daemon.running = true;
	daemon.asked = *p;
	mtx_unlock(&vm_lock);
	return (run_pass(p->domain, level));
}

/* When does the thread look after the decay next? A shorter time than a millisecond is one. */
static uint64_t
decay_after(uint64_t now)
{
	int32_t ms = atomic_load_relaxed(&page_decay_ms);

	return (ms < 0 ? UINT64_MAX : now + (uint64_t)MAX(ms, 1) * 1000000);
}

/* The decay, if it is time; returns when it is next. */
static uint64_t
decay_when_due(uint64_t due)
{
	void (*hook)(void) = page_decay_hook;
	uint64_t next = decay_after(machine_now());

	if (next == UINT64_MAX || hook == NULL)
		return (UINT64_MAX);
	if (machine_now() < due)
		return (MIN(due, next));
	hook();
	return (decay_after(machine_now()));
}

/* The thread looks at the sources of pressure itself: it is there for programs that are idle. */
static uint64_t
pressure_at(void)
{
	return (
	    atomic_load_relaxed(&page_pressure_on) ? machine_now() + PRESSURE_LOOK : UINT64_MAX);
}

static void
daemon_thread(void *arg)
{
	uint64_t timer = machine_now() + PAGE_TIMER_NS, retry = 0, interval = RETRY_MIN;
	uint64_t decay = UINT64_MAX;

	(void)arg;
	for (;;) {
		bool waiters;
		uint32_t wanted =
		    await_work(MIN(MIN(timer, decay), pressure_at()), retry, &waiters);
		unsigned long gained = 0;

		for (int domain = 0; wanted >> domain != 0; domain++)
			if ((wanted & 1u << domain) != 0)
				gained += page_daemon_pass(domain, page_pressure_of(domain));
		if (wanted == 0 && waiters)
			gained = page_daemon_pass(-1, PRESSURE_SEVERE);
		interval = gained > 0 || !waiters ? RETRY_MIN : MIN(interval * 2, RETRY_MAX);
		retry = machine_now() + interval;
		decay = decay_when_due(decay);
		if (atomic_load_relaxed(&page_pressure_on))
			page_pressure_tend(machine_now(), true);
		if (machine_now() >= timer) {
			void (*hook)(void) = page_timer_hook;

			timer = machine_now() + PAGE_TIMER_NS;
			if (hook != NULL)
				hook();
		}
	}
}

void
page_fork_child(void)
{
	bool restart;

	mtx_lock(&vm_lock);
	restart = daemon.present;
	daemon.present = daemon.running = false;
	daemon.asked = (struct cooper_pressure){ 0 };
	page_pressure_fork_child();
	daemon.wanted = 0;
	wait_fork_child_locked();
	mtx_unlock(&vm_lock);
	if (restart)
		page_daemon_start();
}
