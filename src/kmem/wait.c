/*
 * Waiting for what a failed request lacks: tags, address space, or the pages under them.
 *
 * One lock guards the channels and the count of events. A waiter counts itself in before it tries;
 * an event is counted only while somebody is counted in. No wakeup is lost: what an event announces
 * was put back under some lock L (an arena's, a keg's, a domain's; for a CPU's cache: that part)
 * before the event looks at `page_freed_wanted`, which counts those between begin and end. An attempt
 * that did not find it held L before that, and had counted itself in before it took L; so the event sees
 * the waiter, and the count that the waiter compares before it sleeps moves. Two things are announced without an L: what comes back elsewhere
 * (vm_wait_seen_elsewhere()), and a CPU's cache used for the first time, which a drain skips without
 * locking it. There each side writes before it looks, in one order of all: hence the fence of
 * kmem_wait_begin() and the load of tell().
 *
 * Every kind of event wakes every waiter, but for the put-backs of kmem_tag_event(). Only threads in
 * distress are here, and which of the three would help one of them depends on what the arenas hold at
 * that moment.
 *
 * Memory may also come to rest where no event tells: in the caches of zones. So the first thing that
 * a waiter does is a reclaim pass, and passes are repeated while it waits, at intervals that double
 * while nothing changes. That is reclaim, not polling: what a pass frees makes an event like any
 * other.
 *
 * Who waits for several pages gathers them step by step and, if they do not suffice, gives them back;
 * two such could undo each other's work for ever. So of those who wait one at a time makes an attempt
 * (kmem_gather_lock), and it begins only if there is enough. It then fails only because pages went to
 * somebody who got what he wanted, or who may not wait and does not come again.
 */
#include "base/atomic.h"
#include "kmem/kmem_int.h"

#define PASS_INTERVAL_MIN ((uint64_t)1 * 1000 * 1000)   /* ns */
#define PASS_INTERVAL_MAX ((uint64_t)128 * 1000 * 1000) /* ns */

CORE_STATE static struct mtx wait_lock;
CORE_STATE struct mtx kmem_gather_lock;
CORE_STATE struct thread_state *kmem_turn;              /* under wait_lock */
CORE_STATE static struct waitq channels[KMEM_CHANNELS]; /* under wait_lock */
CORE_STATE static uint64_t events[KMEM_CHANNELS];       /* under wait_lock */

static const char *const channel_names[KMEM_CHANNELS] = {
	[KMEM_WAIT_TAGS] = "btalloc",
	[KMEM_WAIT_KVA] = "kva",
	[KMEM_WAIT_KVA_TAGS] = "btalloc",
	[KMEM_WAIT_TURN] = "btalloc",
};

static void
pages_freed(int domain)
{
	(void)domain;
	kmem_event();
}

void
kmem_wait_start(void)
{
	mtx_init(&wait_lock, "kmem wait", RANK_WAIT);
	mtx_init(&kmem_gather_lock, "kmem gather", RANK_GATHER);
	for (unsigned i = 0; i < KMEM_CHANNELS; i++)
		waitq_init(&channels[i], channel_names[i]);
	page_freed_hook = pages_freed;
}

void
kmem_wait_begin(struct kmem_waiter *w, enum kmem_channel channel)
{
	sync_assert_may_sleep("kmem_wait_begin");
	CHECK(!machine_thread_state()->in_reclaim, "%s: M_WAITOK in a reclaim pass",
	    channel_names[channel]);
	w->channel = &channels[channel];
	w->seen = 0;
	w->interval = 0;
	atomic_add_fetch(&page_freed_wanted, 1);
	atomic_fence_seq();
}

void
kmem_wait_end(struct kmem_waiter *w)
{
	(void)w;
	atomic_fetch_sub(&page_freed_wanted, 1);
}

/* Both channels have the same events, so what the waiter has seen of one it has seen of the other. */
void
kmem_wait_lacks_tags(struct kmem_waiter *w, bool tags)
{
	w->channel = &channels[tags ? KMEM_WAIT_KVA_TAGS : KMEM_WAIT_KVA];
}

/* Before an attempt: events from here on are news. */
void
kmem_wait_look(struct kmem_waiter *w)
{
	mtx_lock(&wait_lock);
	w->seen = events[w->channel - channels];
	mtx_unlock(&wait_lock);
}

/*
 * The attempt failed: return when it may succeed. The first call, and each that no event ended in
 * time, runs a reclaim pass and returns; a slab's wait ends also when its keg has an item again.
 */
void
kmem_wait(struct kmem_waiter *w, uint64_t need)
{
	bool timed_out = false;

	if (w->interval == 0) {
		w->interval = PASS_INTERVAL_MIN;
		(void)page_daemon_pass(-1, PRESSURE_SEVERE);
		return;
	}
	mtx_lock(&wait_lock);
	if (events[w->channel - channels] == w->seen && !vm_wait_seen_elsewhere())
		timed_out = waitq_sleep(w->channel, &wait_lock, need,
				machine_now() + w->interval) == COOPER_ETIMEDOUT;
	mtx_unlock(&wait_lock);
	if (!timed_out)
		return;
	if (page_daemon_pass(-1, PRESSURE_SEVERE) != 0)
		w->interval = PASS_INTERVAL_MIN;
	else
		w->interval = MIN(2 * w->interval, PASS_INTERVAL_MAX);
}

static void
tell(enum kmem_channel first, enum kmem_channel last)
{
	if (likely(atomic_load_seq(&page_freed_wanted) == 0))
		return;
	mtx_lock(&wait_lock);
	for (enum kmem_channel i = first; i <= last; i++) {
		events[i]++;
		(void)waitq_wake_all(&channels[i]);
	}
	mtx_unlock(&wait_lock);
}

void
kmem_event(void)
{
	tell(0, KMEM_CHANNELS - 1);
}

/*
 * A failed attempt of a waiter for addresses takes tags and puts them back. Were that an event on its
 * own channel it would never sleep, and two such would keep each other awake.
 */
void
kmem_tag_event(void)
{
	tell(KMEM_WAIT_TAGS, KMEM_WAIT_TAGS);
}

/* ---- the turn ---------------------------------------------------------------------------------------- */

void
kmem_turn_wait(struct kmem_waiter *w, uint64_t need)
{
	struct thread_state *me = machine_thread_state();

	mtx_lock(&wait_lock);
	if (kmem_turn == NULL)
		kmem_turn = me;
	me->tags_turn = kmem_turn == me;
	mtx_unlock(&wait_lock);
	if (!me->tags_turn)
		kmem_wait(w, need);
}

void
kmem_turn_end(void)
{
	struct thread_state *me = machine_thread_state();

	if (!me->tags_turn)
		return;
	me->tags_turn = false;
	mtx_lock(&wait_lock);
	kmem_turn = NULL;
	mtx_unlock(&wait_lock);
	tell(KMEM_WAIT_TURN, KMEM_WAIT_TURN);
}

/* After sync_fork_child(): whoever waited was another thread, and is gone. */
void
kmem_fork_child(void)
{
	page_freed_wanted = 0;
	kmem_turn = NULL;
}
