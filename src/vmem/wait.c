/*
 * Waiting for space in an arena, and being woken by what may have made some.
 *
 * A thread that will not take no for an answer counts itself first, notes how many events there have
 * been, makes an attempt, and sleeps only if there has been no event since: on its arena's queue,
 * whose channel is the arena's name. An event is a free, an added or imported span, or a returned tag.
 * It wakes the sleepers of its own arena, and those of every arena that imports, since their next import may now
 * succeed: the thread that waits in a child arena is never asleep inside the parent, where a free in
 * the child would not be noticed: an import function's M_WAITOK request to an arena fails instead
 * of sleeping, and the child sleeps.
 *
 * What a futile import puts back is a put-back, not an event: it changes nothing but for those who
 * failed while it was away. Who has made a futile import himself does not wake for put-backs, neither
 * his own nor others', or such threads would keep themselves and each other awake for ever (H1).
 *
 * Nothing is lost: who frees changes the arena under its lock and reads the count of sleepers after
 * that; a sleeper raises the count before its attempt takes that lock. So either the attempt
 * finds the space or the event finds the sleeper. Nor does space rest where no event tells of it: the
 * quantum caches are empty while anybody waits (qcache.c), and no import is held for nothing
 * (import.c). vmem_wait_lock (rank WAIT) guards queues and events.
 */
#include "vmem/vmem_int.h"

CORE_STATE static struct mtx vmem_wait_lock;
CORE_STATE static struct list slept_on; /* arenas, by `sleepers` */
CORE_STATE static struct arena_news news;
CORE_STATE uint32_t arena_sleepers; /* written under the lock, read without */

void
arena_wait_start(void)
{
	mtx_init(&vmem_wait_lock, "vmem wait", RANK_WAIT);
	list_init(&slept_on);
}

void
arena_wait_init(vmem_t *vm)
{
	waitq_init(&vm->wait, vm->name);
	list_init(&vm->sleepers);
}

void
arena_wait_destroy(vmem_t *vm)
{
	mtx_lock(&vmem_wait_lock);
	list_remove(&vm->sleepers);
	mtx_unlock(&vmem_wait_lock);
	CHECK(vm->wait.nwaiters == 0, "vmem_destroy: arena \"%s\" has %u sleepers", vm->name,
	    vm->wait.nwaiters);
	waitq_destroy(&vm->wait);
}

static struct arena_news
count_sleeper(int by)
{
	struct arena_news seen;

	mtx_lock(&vmem_wait_lock);
	atomic_store_relaxed(&arena_sleepers, arena_sleepers + (uint32_t)by);
	seen = news;
	mtx_unlock(&vmem_wait_lock);
	return (seen);
}

struct arena_news
arena_wait_begin(void)
{
	struct arena_news seen = count_sleeper(1);

	qcache_wait_begin();
	return (seen);
}

void
arena_wait_end(void)
{
	qcache_wait_end();
	(void)count_sleeper(-1);
}

static bool
is_news(vmem_t *vm, const struct arena_news *seen, const struct request *rq)
{
	bool futile = rq->futile && !FAULT(futile_importers_wake);

	return (news.events != seen->events || (!futile && news.putbacks != seen->putbacks) ||
		(rq->blind && atomic_load_relaxed(&vm->landings) != rq->landings));
}

void
arena_wait_sleep(vmem_t *vm, struct arena_news *seen, const struct request *rq)
{
	mtx_lock(&vmem_wait_lock);
	while (!is_news(vm, seen, rq)) {
		vm->counts.sleeps++;
		list_remove(&vm->sleepers);
		list_append(&slept_on, &vm->sleepers);
		waitq_sleep(&vm->wait, &vmem_wait_lock, rq->size, 0);
		if (vm->wait.nwaiters == 0)
			list_remove(&vm->sleepers);
	}
	*seen = news;
	mtx_unlock(&vmem_wait_lock);
}

void
arena_wait_tell(vmem_t *vm)
{
	mtx_lock(&vmem_wait_lock);
	if (machine_thread_state()->putting_back)
		news.putbacks++;
	else
		news.events++;
	LIST_EACH (l, &slept_on) {
		vmem_t *other = list_entry(l, vmem_t, sleepers);

		if (other == vm || (other->import != NULL && !FAULT(release_wakes_no_importer)))
			waitq_wake_all(&other->wait);
	}
	mtx_unlock(&vmem_wait_lock);
}

void
arena_wait_landed(vmem_t *vm)
{
	if (likely(atomic_load_relaxed(&arena_sleepers) == 0))
		return;
	mtx_lock(&vmem_wait_lock);
	waitq_wake_all(&vm->wait);
	mtx_unlock(&vmem_wait_lock);
}

/* After sync_fork_child(): who slept was another thread, and is gone. */
void
vmem_fork_child(void)
{
	arena_sleepers = spare_waiters = 0;
	qcache_fork_child();
	while (list_pop(&slept_on) != NULL)
		;
	LIST_EACH (l, &vmem_arenas) { /* nor does anybody fetch a table's chunk, or a span */
		list_entry(l, vmem_t, link)->table.busy = false;
		list_entry(l, vmem_t, link)->in_flight = 0;
	}
}
