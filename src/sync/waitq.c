/*
 * Waiting that can be seen: queues, the table of queues with sleepers, the counters of channels.
 *
 * Locks: a queue is its caller's, under the caller's mtx. The TABLE lock guards sync_waiting,
 * sync_channels and, together with the caller's mtx, each queue's list of waiters: whoever changes
 * that list holds both, so a reader needs only one.
 *
 * What stays true: a waiter lives on its thread's stack, and its thread takes the caller's mtx
 * before it goes; so a waker, who holds that mtx, never touches a waiter or a thread that is gone.
 * No wakeup is lost: the waiter is on the list before the mtx is dropped, and a permit given before
 * it parks makes the park return at once.
 */
#include "sync/sync_int.h"
#include "base/atomic.h"

#define MAX_CHANNELS 256 /* names of dead arenas stay; beyond this many, one last name serves all */

CORE_STATE static struct mtx table_lock;
CORE_STATE struct list sync_channels;
CORE_STATE struct list sync_waiting;
CORE_STATE static unsigned nchannels = 0;

void
waitq_start(void)
{
	list_init(&sync_channels);
	list_init(&sync_waiting);
	mtx_init(&table_lock, "wait table", RANK_TABLE);
}

void
waitq_init(struct waitq *q, const char *name)
{
	*q = (struct waitq){ .name = name };
	list_init(&q->waiters);
	list_init(&q->table);
}

void
waitq_destroy(struct waitq *q)
{
	CHECK(q->nwaiters == 0, "waitq_destroy: %s has %u sleepers", q->name, q->nwaiters);
}

/* ---- channels: TABLE held ----------------------------------------------------------------------- */

static bool
channel_has_name(const struct channel *ch, const char *name)
{
	unsigned i;

	for (i = 0; i < sizeof(ch->name) - 1 && name[i] != '\0'; i++)
		if (ch->name[i] != name[i])
			return (false);
	return (ch->name[i] == '\0');
}

static struct channel *
channel_find(const char *name)
{
	struct channel *ch;

	if (nchannels >= MAX_CHANNELS)
		name = "other";
	LIST_EACH (l, &sync_channels) {
		ch = list_entry(l, struct channel, link);
		if (channel_has_name(ch, name))
			return (ch);
	}
	ch = machine_boot_alloc(sizeof(*ch), _Alignof(struct channel));
	if (ch == NULL)
		return (NULL); /* the sleep goes uncounted */
	core_snprintf(ch->name, sizeof(ch->name), "%s", name);
	list_append(&sync_channels, &ch->link);
	nchannels++;
	return (ch);
}

static void
channel_count(struct channel *ch, uint64_t ns, bool timed_out)
{
	if (ch == NULL)
		return;
	ch->sleeps++;
	ch->timeouts += timed_out;
	ch->total_ns += ns;
	ch->max_ns = MAX(ch->max_ns, ns);
}

/* ---- sleeping and waking -------------------------------------------------------------------------- */

static void
enqueue(struct waitq *q, struct waiter *w)
{
	mtx_lock(&table_lock);
	if (q->channel == NULL)
		q->channel = channel_find(q->name);
	list_append(&q->waiters, &w->link);
	if (q->nwaiters++ == 0)
		list_append(&sync_waiting, &q->table);
	mtx_unlock(&table_lock);
}

static void
dequeue(struct waitq *q, struct waiter *w)
{
	list_remove(&w->link);
	if (--q->nwaiters == 0)
		list_remove(&q->table);
}

int
waitq_sleep(struct waitq *q, struct mtx *m, uint64_t need, uint64_t deadline)
{
	struct waiter w = { .thread = machine_thread_state(),
		.id = machine_thread_id(),
		.since = machine_now(),
		.need = need };
	bool timed_out;

	CHECK(mtx_owned(m), "waitq_sleep: %s: %s is not held", q->name, m->name);
	enqueue(q, &w);
	mtx_unlock(m);
	sync_assert_may_sleep(q->name);
	while (atomic_load_acquire(&w.woken) == 0 && (deadline == 0 || machine_now() < deadline))
		machine_park(deadline);
	mtx_lock(m);
	timed_out = w.woken == 0; /* final: only a holder of m wakes */
	mtx_lock(&table_lock);
	if (timed_out)
		dequeue(q, &w);
	channel_count(q->channel, machine_now() - w.since, timed_out);
	mtx_unlock(&table_lock);
	return (timed_out ? COOPER_ETIMEDOUT : 0);
}

static unsigned
wake(struct waitq *q, unsigned max)
{
	unsigned woken = 0;

	if (q->nwaiters == 0)
		return (0);
	mtx_lock(&table_lock);
	while (woken < max && q->nwaiters > 0) {
		struct waiter *w = list_first(&q->waiters, struct waiter, link);

		dequeue(q, w);
		atomic_store_release(&w->woken, 1);
		machine_unpark(w->thread);
		woken++;
	}
	mtx_unlock(&table_lock);
	return (woken);
}

unsigned
waitq_wake_one(struct waitq *q)
{
	return (wake(q, 1));
}

unsigned
waitq_wake_all(struct waitq *q)
{
	return (wake(q, UINT32_MAX));
}

/* ---- the table -------------------------------------------------------------------------------------- */

void
sync_each_wait(void (*fn)(const struct wait_info *, void *), void *arg)
{
	mtx_lock(&table_lock);
	LIST_EACH (l, &sync_waiting) {
		const struct waitq *q = list_entry(l, struct waitq, table);

		LIST_EACH (k, &q->waiters) {
			const struct waiter *w = list_entry(k, struct waiter, link);
			struct wait_info info = { q->name, w->id, w->since, w->need };

			fn(&info, arg);
		}
	}
	mtx_unlock(&table_lock);
}

void
sync_each_channel(void (*fn)(const struct channel *, void *), void *arg)
{
	mtx_lock(&table_lock);
	LIST_EACH (l, &sync_channels)
		fn(list_entry(l, struct channel, link), arg);
	mtx_unlock(&table_lock);
}

void
waitq_forget_sleepers(void)
{
	LIST_EACH_SAFE (l, &sync_waiting) {
		struct waitq *q = list_entry(l, struct waitq, table);

		list_init(&q->waiters);
		q->nwaiters = 0;
		list_remove(&q->table);
	}
}
