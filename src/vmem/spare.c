/*
 * Spare tags: those that an arena has and does not use, and the traffic with its tag source.
 *
 * A request sees to BT_MAXALLOC spare tags once, before it searches; nothing after that can fail for
 * want of tags (D26770). When it lets go of the lock its tags are in its purse, where nobody else finds
 * them. It waits for tags only when it holds none, or when it alone may (tag_source.h). A request that
 * fails puts back to the source what it took from there, so the arena is as it was; one that may use the
 * reserve also puts back what it did not use (R6). Freed tags become spare; those beyond spare_most() go
 * back to the source, with no lock held.
 *
 * How many segments there are goes up and down by chance about as the square root of their number. So an arena
 * keeps a spare tag for each 64 segments, and goes to the source, either way, for several at a time:
 * what one pair in hundreds would do is then done by one in tens of thousands.
 */
#include "base/atomic.h"
#include "vmem/vmem_int.h"

#define SPARE_STEP 32u /* tags that go one way or the other at a time */

CORE_STATE uint32_t spare_waiters;

/* A tag from outside; the first one decides what the arena's references reach. */
void
spare_adopt(vmem_t *vm, struct vmem_btag *bt)
{
	if (sizeof(uintptr_t) == 8 && vm->base == 0)
		vm->base = (uintptr_t)bt - BT_REACH / 2 - 1;
	MUST((uintptr_t)bt - vm->base < BT_REACH - sizeof(*bt),
	    "arena \"%s\": tag %p is too far from the others to be referred to", vm->name,
	    (void *)bt);
	spare_put(vm, bt);
}

static void
to_purse(vmem_t *vm, struct purse *purse)
{
	struct vmem_btag *bt = spare_take(vm);

	bt->spare_next = purse->tags;
	purse->tags = bt_ref(vm, bt);
	purse->n++;
}

static struct vmem_btag *
from_purse(vmem_t *vm, struct purse *purse)
{
	struct vmem_btag *bt = bt_at(vm, purse->tags);

	purse->tags = bt->spare_next;
	purse->n--;
	return (bt);
}

void
spare_hide(vmem_t *vm, struct purse *purse)
{
	while (purse->n < BT_MAXALLOC && vm->nspare > 0 && !FAULT(tags_left_in_sight))
		to_purse(vm, purse);
}

void
spare_show(vmem_t *vm, struct purse *purse)
{
	while (purse->n > 0)
		spare_put(vm, from_purse(vm, purse));
}

/* May this request wait here for a tag, with what it holds? */
static bool
may_wait(const struct tag_source *ts, int flags)
{
	return ((flags & M_NOWAIT) == 0 && (ts->wait == NULL || machine_thread_state()->tags_turn));
}

/* A tag that the source has to make, and may have to wait for. */
static struct vmem_btag *
fetch_unlocked(vmem_t *vm, struct purse *purse, int flags)
{
	struct tag_source *ts = vm->tags;
	struct vmem_btag *bt;

	spare_hide(vm, purse);
	mtx_unlock(&vm->lock);
	bt = ts->alloc(ts, flags);
	mtx_lock(&vm->lock);
	spare_show(vm, purse);
	return (bt);
}

/* What is at hand, for requests to come: none in a small arena, SPARE_STEP in a large one. */
static void
fill_more(vmem_t *vm, struct purse *purse)
{
	struct tag_source *ts = vm->tags;
	struct vmem_btag *bt;

	for (uint32_t n = MIN(vm->nbusy / 256, SPARE_STEP); n > 0; n--) {
		if ((bt = ts->alloc(ts, M_NOWAIT | M_NOVM)) == NULL)
			break;
		spare_adopt(vm, bt);
		purse->fresh++;
	}
}

int
spare_fill(vmem_t *vm, struct purse *purse, unsigned need, int flags)
{
	struct tag_source *ts = vm->tags;
	struct vmem_btag *bt;
	bool wait;
	int reserve;

	if (likely(vm->nspare >= need))
		return (0);
	if (ts == NULL)
		return (COOPER_ENOMEM);
	reserve = ts->reserve ? flags & M_USE_RESERVE : 0;
	wait = may_wait(ts, flags);
	while (vm->nspare < need) {
		bt = ts->alloc(ts, M_NOWAIT | M_NOVM | reserve);
		if (bt == NULL && FAULT(map_entry_recursion))
			bt = ts->alloc(ts, M_NOWAIT | reserve);
		if (bt == NULL) {
			if (flags & M_NOVM)
				return (COOPER_ENOMEM);
			bt = fetch_unlocked(vm, purse, (wait ? M_WAITOK : M_NOWAIT) | reserve);
		}
		if (bt != NULL) {
			spare_adopt(vm, bt);
			purse->fresh++;
		} else if (!wait) {
			if ((flags & M_NOWAIT) == 0)
				machine_thread_state()->lacks_tags = ts;
			return (COOPER_ENOMEM);
		}
	}
	if (reserve == 0 && atomic_load_relaxed(&spare_waiters) == 0)
		fill_more(vm, purse);
	return (0);
}

void
spare_unfill(vmem_t *vm, struct purse *purse)
{
	for (; purse->fresh > 0 && vm->nspare > 0; purse->fresh--)
		to_purse(vm, purse);
}

void
spare_trim(vmem_t *vm, struct purse *purse)
{
	uint32_t most = spare_most(vm);

	if (vm->nspare <= most || vm->own_tags)
		return;
	for (most -= MIN(most / 4, SPARE_STEP); vm->nspare > most;)
		to_purse(vm, purse);
}

void
spare_return(vmem_t *vm, struct purse *purse)
{
	while (purse->n > 0)
		vm->tags->free(vm->tags, from_purse(vm, purse));
}

void
spare_put_back(vmem_t *vm, struct purse *purse)
{
	struct thread_state *ts = machine_thread_state();
	bool saved = ts->putting_back;

	ts->putting_back = true;
	spare_return(vm, purse);
	ts->putting_back = saved;
}

/* ---- waiting for tags -------------------------------------------------------------------------------- */

struct spare_wait
spare_wait_none(void)
{
	machine_thread_state()->lacks_tags = NULL;
	return ((struct spare_wait){ .source = NULL });
}

bool
spare_again(struct spare_wait *w, int error)
{
	struct thread_state *me = machine_thread_state();
	struct tag_source *lacking = me->lacks_tags;

	/* Who is importing leaves it said: his child's attempt, which fails for it, waits. */
	if (error == 0 || lacking == NULL || me->importing != 0) {
		if (w->source != NULL) {
			w->source->wait_end(w->source, &w->waiter);
			atomic_fetch_sub(&spare_waiters, 1);
		}
		return (false);
	}
	me->lacks_tags = NULL;
	if (w->source == NULL) {
		w->source = lacking;
		atomic_add_fetch(&spare_waiters, 1);
		lacking->wait_begin(lacking, &w->waiter);
	} else
		w->source->wait(w->source, &w->waiter);
	return (true);
}
