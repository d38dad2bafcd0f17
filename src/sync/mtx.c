/*
 * Mutexes: the machine's lock, a name, a place in the order and a counter of waits.
 *
 * What stays true: each initialised mtx is on the registry of its rank until it is destroyed. In
 * the debug shape a thread's held[] counts the locks it has of each rank, and mtx_lock() refuses one
 * whose rank is not above them all; so no two threads can each wait for the other.
 */
#include "sync/sync_int.h"
#include "base/atomic.h"

CORE_STATE struct list mtx_registry[RANK_COUNT];
CORE_STATE struct machine_lock registry_lock;

const char *
rank_name(enum lock_rank rank)
{
	static const char names[RANK_COUNT][8] = { "none", "TYPES", "ARENAS", "ZONES", "GATHER",
		"TAGS", "ARENA", "CROSS", "ZDOMAIN", "KEG", "SMR", "PAGE", "WAIT", "TABLE", "CPU" };

	return (rank < RANK_COUNT ? names[rank] : "unknown");
}

void
sync_start(void)
{
	for (unsigned rank = 0; rank < RANK_COUNT; rank++)
		list_init(&mtx_registry[rank]);
	waitq_start();
}

void
mtx_init(struct mtx *m, const char *name, enum lock_rank rank)
{
	MUST(rank > 0 && rank < RANK_CPU, "mtx_init: %s: rank %u is not a mutex's", name, rank);
	*m = (struct mtx){ .rank = (uint8_t)rank, .name = name };
	machine_lock(&registry_lock);
	list_append(&mtx_registry[rank], &m->registry);
	machine_unlock(&registry_lock);
}

void
mtx_destroy(struct mtx *m)
{
	machine_lock(&registry_lock); /* a fork holds m for a moment, and this one all the while */
	CHECK(atomic_load_relaxed(&m->lock.word) == 0, "mtx_destroy: %s is locked", m->name);
	list_remove(&m->registry);
	machine_unlock(&registry_lock);
}

void
rank_check(const char *func, const char *name, enum lock_rank rank)
{
	const struct thread_state *ts = machine_thread_state();

	CHECK(ts->entered_cpu == 0, "%s: %s (%s) taken while CPU %u's caches are entered", func,
	    name, rank_name(rank), ts->entered_cpu - 1);
	for (unsigned r = rank; r < RANK_COUNT; r++)
		CHECK(ts->held[r] == 0, "%s: %s (%s) taken while holding %s (%s)", func, name,
		    rank_name(rank), ts->last[r]->name, rank_name(r));
}

void
rank_note(const struct mtx *m, enum lock_rank rank)
{
	struct thread_state *ts = machine_thread_state();

	ts->held[rank]++;
	ts->last[rank] = m;
}

void
rank_forget(enum lock_rank rank)
{
	machine_thread_state()->held[rank]--;
}

static void
mtx_note_locked(struct mtx *m)
{
	atomic_store_relaxed(&m->owner, machine_thread_state());
	rank_note(m, m->rank);
}

void
mtx_lock(struct mtx *m)
{
	if (unlikely(core_debug)) {
		CHECK(!mtx_owned(m), "mtx_lock: %s is already held by this thread", m->name);
		rank_check("mtx_lock", m->name, m->rank);
	}
	if (unlikely(!machine_trylock(&m->lock))) {
		machine_lock(&m->lock);
		m->contended++;
	}
	if (unlikely(core_debug))
		mtx_note_locked(m);
}

bool
mtx_trylock(struct mtx *m)
{
	if (!machine_trylock(&m->lock))
		return (false);
	if (unlikely(core_debug))
		mtx_note_locked(m);
	return (true);
}

void
mtx_unlock(struct mtx *m)
{
	if (unlikely(core_debug)) {
		CHECK(mtx_owned(m), "mtx_unlock: %s is not held by this thread", m->name);
		atomic_store_relaxed(&m->owner, NULL);
		rank_forget(m->rank);
	}
	machine_unlock(&m->lock);
}

bool
mtx_owned(const struct mtx *m)
{
	if (unlikely(core_debug))
		return (atomic_load_relaxed(&m->owner) == machine_thread_state());
	return (atomic_load_relaxed(&m->lock.word) != 0);
}

void
sync_assert_may_sleep(const char *func)
{
	const struct thread_state *ts = machine_thread_state();

	if (likely(!core_debug))
		return;
	CHECK(ts->entered_cpu == 0, "%s: may sleep, but CPU %u's caches are entered", func,
	    ts->entered_cpu - 1);
	CHECK(ts->smr_nest == 0, "%s: may sleep, but %u SMR read sections are open", func,
	    ts->smr_nest);
	for (unsigned r = 1; r < RANK_COUNT; r++)
		CHECK(ts->held[r] == 0, "%s: may sleep, but %s (%s) is held", func,
		    ts->last[r]->name, rank_name(r));
}
