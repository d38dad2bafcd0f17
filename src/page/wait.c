/*
 * Waiting for pages: one queue a domain and class, and one a class for those whom any domain will
 * do. All are the channel "vmwait", guarded by vm_lock (rank WAIT).
 *
 * No wakeup is lost. A waiter (1) counts itself in vm_waiters and notes vm_events, under vm_lock;
 * (2) looks at the domain, under its lock; (3) sleeps, under vm_lock, unless vm_events has moved.
 * Whoever frees pages looks at vm_waiters under the domain's lock after adding them. If he did so
 * before (2), the waiter saw the pages; if after, he saw the waiter, and moves vm_events under
 * vm_lock: before (3), and the waiter looks again, or after, and it is woken.
 *
 * A free wakes the oldest of each queue that can use a page, and each that wakes and leaves more
 * than nothing wakes the next: no herd, and none is stranded behind one who did not take its page.
 */
#include "page/page_int.h"

#define PASS_INTERVAL_MIN 1000000ull   /* ns: between fruitless passes of one waiter; doubles ... */
#define PASS_INTERVAL_MAX 128000000ull /* ... up to this */

#define ANY COOPER_MAXDOMAIN

CORE_STATE struct mtx vm_lock;
CORE_STATE uint32_t vm_waiters;
CORE_STATE uint64_t vm_waits[COOPER_MAXDOMAIN];
CORE_STATE static uint32_t vm_elsewhere = 1; /* vm_wait_elsewhere() calls; never 0 */
CORE_STATE static uint64_t vm_events;        /* things a waiter must not sleep through */
CORE_STATE static struct waitq vm_queue[COOPER_MAXDOMAIN + 1][PAGE_CLASSES];

void
wait_start(void)
{
	mtx_init(&vm_lock, "vmwait", RANK_WAIT);
	for (unsigned i = 0; i <= ANY; i++)
		for (unsigned pclass = 0; pclass < PAGE_CLASSES; pclass++)
			waitq_init(&vm_queue[i][pclass], "vmwait");
}

bool
page_any_grants(int domain, enum page_class pclass)
{
	if (domain >= 0)
		return (page_grants(page_domain_of(domain, "vm_wait"), pclass, 1));
	for (unsigned i = 0; i < page_ndomains(); i++)
		if (page_grants(&page_domains[i], pclass, 1))
			return (true);
	return (false);
}

uint64_t
vm_page_frees(int domain)
{
	uint64_t frees = 0;

	for (unsigned i = 0; i < page_ndomains(); i++) {
		struct page_domain *d = &page_domains[i];

		if (domain >= 0 && (unsigned)domain != i)
			continue;
		mtx_lock(&d->lock);
		frees += d->frees;
		mtx_unlock(&d->lock);
	}
	return (frees);
}

/* ---- waking ------------------------------------------------------------------------------------- */

void
page_wake(int domain)
{
	mtx_lock(&vm_lock);
	vm_events++;
	for (unsigned pclass = 0; pclass < PAGE_CLASSES; pclass++)
		if (page_grants(&page_domains[domain], pclass, 1)) {
			(void)waitq_wake_one(&vm_queue[domain][pclass]);
			(void)waitq_wake_one(&vm_queue[ANY][pclass]);
		}
	mtx_unlock(&vm_lock);
}

void
page_wake_all_locked(void)
{
	vm_events++;
	for (unsigned i = 0; i <= ANY; i++)
		for (unsigned pclass = 0; pclass < PAGE_CLASSES; pclass++)
			(void)waitq_wake_all(&vm_queue[i][pclass]);
}

void
wait_fork_child_locked(void)
{
	vm_waiters = 0; /* sync_fork_child() has emptied the queues */
}

/* ---- what comes back elsewhere ---------------------------------------------------------------------- */

void
vm_wait_watch(void)
{
	machine_thread_state()->watched = atomic_load_acquire(&vm_elsewhere);
}

void
vm_wait_unwatch(void)
{
	machine_thread_state()->watched = 0;
}

void
vm_wait_elsewhere(void)
{
	void (*freed)(int) = page_freed_hook;

	mtx_lock(&vm_lock);
	atomic_store_release(&vm_elsewhere, vm_elsewhere + 2); /* odd: never 0 */
	page_wake_all_locked();
	mtx_unlock(&vm_lock);
	atomic_fence_seq(); /* against the one in kmem_wait_begin(): written, then looked */
	if (freed != NULL)
		freed(-1);
}

bool
vm_wait_seen_elsewhere(void)
{
	uint32_t watched = machine_thread_state()->watched;

	return (watched != 0 && watched != atomic_load_acquire(&vm_elsewhere));
}

/* ---- sleeping ----------------------------------------------------------------------------------- */

/* Step (1): count this thread until wait_end(). */
static void
wait_begin(void)
{
	mtx_lock(&vm_lock);
	atomic_store_relaxed(&vm_waiters, vm_waiters + 1);
	mtx_unlock(&vm_lock);
}

static void
wait_end(void)
{
	mtx_lock(&vm_lock);
	atomic_store_relaxed(&vm_waiters, vm_waiters - 1);
	mtx_unlock(&vm_lock);
}

/* To be read before step (2). */
static uint64_t
wait_events(void)
{
	uint64_t events;

	mtx_lock(&vm_lock);
	events = vm_events;
	mtx_unlock(&vm_lock);
	return (events);
}

/* Step (2): the lock makes the look one that a free either comes before or after. */
static bool
wait_look(int domain, enum page_class pclass, uint64_t *frees)
{
	*frees = vm_page_frees(domain);
	return (page_any_grants(domain, pclass));
}

/* Step (3). False at the deadline. */
static bool
wait_sleep(int domain, enum page_class pclass, uint64_t events, uint64_t deadline)
{
	struct waitq *q = &vm_queue[domain < 0 ? ANY : domain][pclass];
	int error = 0;

	mtx_lock(&vm_lock);
	if (events == vm_events) {
		vm_waits[MAX(domain, 0)]++;
		error = waitq_sleep(q, &vm_lock, 1, deadline);
		if (error == 0 && page_any_grants(domain, pclass) && !FAULT(page_wakeup_lost))
			(void)waitq_wake_one(q);
	}
	mtx_unlock(&vm_lock);
	return (error == 0);
}

bool
vm_wait_domain(int domain)
{
	uint64_t before, events, frees;

	if (page_any_grants(domain, PAGE_SYSTEM))
		return (true);
	if (machine_thread_state()->in_reclaim)
		return (false);
	sync_assert_may_sleep(__func__);
	if (page_daemon_request(domain, &before))
		return (page_any_grants(domain, PAGE_SYSTEM));
	wait_begin();
	while ((events = wait_events(), !wait_look(domain, PAGE_SYSTEM, &frees)) &&
	       page_daemon_passes() == before)
		(void)wait_sleep(domain, PAGE_SYSTEM, events, 0);
	wait_end();
	return (page_any_grants(domain, PAGE_SYSTEM));
}

void
vm_wait_free(int domain, enum page_class pclass, uint64_t seen)
{
	uint64_t interval = PASS_INTERVAL_MIN, events, frees;

	MUST(!machine_thread_state()->in_reclaim, "%s: domain %d: called from a reclaim pass",
	    __func__, domain);
	sync_assert_may_sleep(__func__);
	wait_begin();
	(void)page_daemon_kick(domain); /* its thread repeats passes while it sees waiters */
	while (events = wait_events(),
	    (!wait_look(domain, pclass, &frees) || frees == seen) && !vm_wait_seen_elsewhere()) {
		bool ours = !page_daemon_present(); /* no thread: the passes are for us to repeat */

		if (wait_sleep(domain, pclass, events, ours ? machine_now() + interval : 0) ||
		    !ours)
			continue;
		if (page_daemon_pass(domain, PRESSURE_SEVERE) > 0)
			interval = PASS_INTERVAL_MIN;
		else
			interval = MIN(interval * 2, PASS_INTERVAL_MAX);
	}
	wait_end();
}
