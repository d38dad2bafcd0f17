/*
 * Fork: the child gets a copy of the memory and one thread. For that copy to be whole, the forking
 * thread holds every lock of the core while the process splits.
 *
 * Locks are taken in rising rank like by anybody else: each mtx, then the machine's. The registry's lock is held from the first mtx to
 * the end, so the set of locks stands still; but a thread may want the registry while it holds a
 * mtx (mtx_init() of something new under a lock), so a mtx that does not come soon makes us let
 * everything go and start again, rather than wait for each other.
 */
#include "sync/sync_int.h"

#define PATIENCE   64    /* looks at one lock before all are let go */
#define LOOK_AGAIN 20000 /* ns between them */

CORE_STATE static bool held; /* between prepare and parent or child; by the forking thread */

static void
nap(void)
{
	uint64_t until = machine_now() + LOOK_AGAIN;

	while (machine_now() < until)
		machine_park(until);
}

static bool
take(struct mtx *m)
{
	for (unsigned looks = 0; looks < PATIENCE; looks++) {
		if (machine_trylock(&m->lock) || FAULT(fork_goes_past_held_locks))
			return (true);
		nap();
	}
	return (false);
}

/* Let go of each mtx before `end` in the registry's order; NULL: of all. */
static void
release_until(const struct mtx *end)
{
	for (unsigned rank = 0; rank < RANK_COUNT; rank++)
		LIST_EACH (l, &mtx_registry[rank]) {
			struct mtx *m = list_entry(l, struct mtx, registry);

			if (m == end)
				return;
			machine_unlock(&m->lock);
		}
}

static bool
take_all(void)
{
	for (unsigned rank = 0; rank < RANK_COUNT; rank++)
		LIST_EACH (l, &mtx_registry[rank]) {
			struct mtx *m = list_entry(l, struct mtx, registry);

			if (!take(m)) {
				release_until(m);
				return (false);
			}
		}
	return (true);
}

void
sync_fork_prepare(void)
{
	if (machine_alone())
		return;
	for (;;) {
		machine_lock(&registry_lock);
		if (take_all())
			break;
		machine_unlock(&registry_lock);
		nap();
	}
	machine_fork_prepare();
	held = true;
}

void
sync_fork_parent(void)
{
	if (!held)
		return;
	held = false;
	machine_fork_parent();
	release_until(NULL);
	machine_unlock(&registry_lock);
}

void
sync_fork_child(void)
{
	machine_fork_child();
	if (!held)
		return;
	held = false;
	for (unsigned rank = 0; rank < RANK_COUNT; rank++)
		LIST_EACH (l, &mtx_registry[rank])
			list_entry(l, struct mtx, registry)->lock = (struct machine_lock){ 0 };
	registry_lock = (struct machine_lock){ 0 };
	waitq_forget_sleepers();
}
