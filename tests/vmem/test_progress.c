/*
 * Who waits in an arena that imports: not for ever, not busily, and woken by what helps.
 */
#include <pthread.h>
#include <unistd.h>

#include "arena.h"
#include "uma/uma_int.h"

static struct pool *pool;
static vmem_t *parent, *child;
static unsigned imports;
static vmem_addr_t free_on_import; /* 64 of the child's, freed while the next import is away */
static pthread_barrier_t parked;   /* met twice by an import that has nothing to give */
static unsigned park_import;       /* which one: counts down to it */

static int
import(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	vmem_addr_t freed = __atomic_exchange_n(&free_on_import, 0, __ATOMIC_ACQ_REL);

	__atomic_fetch_add(&imports, 1, __ATOMIC_RELAXED);
	if (freed != 0)
		vmem_xfree(child, freed, 64);
	if (__atomic_load_n(&park_import, __ATOMIC_ACQUIRE) > 0 &&
	    __atomic_sub_fetch(&park_import, 1, __ATOMIC_ACQ_REL) == 0) {
		pthread_barrier_wait(&parked);
		pthread_barrier_wait(&parked);
		return (COOPER_ENOMEM);
	}
	return (vmem_xalloc(arg, size, 0, 0, 0, ANYWHERE,
	    (flags & (M_NOWAIT | M_WAITOK | M_NOVM | M_USE_RESERVE)) | M_FIRSTFIT, addrp));
}

static void
release(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	vmem_xfree(arg, addr, size);
}

static void
setup(vmem_size_t size, vmem_size_t quantum, bool releases)
{
	pool = pool_new(4096);
	imports = 0;
	parent = arena_new(pool, "above", 4096, size, 16);
	child = arena_new(pool, "below", 0, 0, 16);
	vmem_set_import(child, import, releases ? release : NULL, parent, quantum);
}

static void
teardown(void)
{
	arena_check(child);
	vmem_destroy(child);
	arena_check(parent);
	vmem_destroy(parent);
	pool_delete(pool);
}

struct want {
	vmem_size_t size;
	vmem_addr_t min, max, got;
	int error;
};

static void
take(void *arg)
{
	struct want *w = arg;

	w->error =
	    vmem_xalloc(child, w->size, 0, 0, 0, w->min, w->max, M_WAITOK | M_FIRSTFIT, &w->got);
}

/*
 * A window that is busy, and imports that come from elsewhere: each waiter imports in vain a bounded
 * number of times and sleeps. What it puts back wakes neither it nor the other.
 */
static void
H1_futile_importers_sleep(void **state)
{
	struct want w[2] = { { .size = 64, .min = 4096, .max = 4096 + 1023 },
		{ .size = 64, .min = 4096, .max = 4096 + 1023 } };
	struct side_thread *t[2];
	uint64_t sleeps;
	vmem_addr_t a;
	unsigned made;

	(void)state;
	setup(65536, 1024, true);
	a = arena_get(child, 1024, M_FIRSTFIT);
	assert_int_equal(a, 4096);
	for (int i = 0; i < 2; i++)
		t[i] = side_start(take, &w[i], -1);
	wait_for_sleepers("below", 2);
	made = __atomic_load_n(&imports, __ATOMIC_RELAXED);
	assert_true(made <= 1 + 2 * 3);
	sleeps = child->counts.sleeps;
	assert_true(sleeps <= 2 * 3);
	/* Both asleep, nothing happens: nothing may happen by itself either. */
	wait_for_sleepers("below", 2);
	assert_int_equal(__atomic_load_n(&imports, __ATOMIC_RELAXED), made);
	vmem_xfree(child, a, 1024);
	for (int i = 0; i < 2; i++) {
		side_join(t[i]);
		assert_int_equal(w[i].error, 0);
		assert_true(w[i].got >= w[i].min && w[i].got + 63 <= w[i].max);
	}
	for (int i = 0; i < 2; i++)
		vmem_xfree(child, w[i].got, 64);
	teardown();
}

/* The parent is full and the child empty: a span that is added to the child ends the wait. */
static void
add_to_child_ends_a_wait_for_the_parent(void **state)
{
	struct want w = { .size = 1024, .max = VMEM_ADDR_MAX };
	struct side_thread *t;
	vmem_addr_t all;

	(void)state;
	setup(4096, 1024, false);
	all = arena_get(parent, 4096, M_FIRSTFIT);
	t = side_start(take, &w, -1);
	wait_for_sleepers("below", 1);
	assert_int_equal(vmem_add(child, 1 << 20, 1024, M_NOWAIT), 0);
	side_join(t);
	assert_int_equal(w.error, 0);
	assert_int_equal(w.got, 1 << 20);
	vmem_xfree(child, w.got, 1024);
	vmem_xfree(parent, all, 4096);
	teardown();
}

/* ---- an import under way ----------------------------------------------------------------------------- */

static struct want second = { .size = 1024, .max = VMEM_ADDR_MAX };
static bool second_came; /* set before it is started: its own import asks */
static struct side_thread *second_thread;

/* The parent's last space is on its way: whoever wants some meanwhile finds none, and sleeps. */
static int
import_while_another_waits(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	int error = import(arg, size, flags, addrp);

	if (error != 0 || second_came)
		return (error);
	second_came = true;
	second_thread = side_start(take, &second, -1);
	wait_for_sleepers("below", 1);
	return (0);
}

/* What an import brings beyond its own request is for those who failed while it was away. */
static void
rest_of_an_import_ends_a_wait(void **state)
{
	struct want first = { .size = 1024, .max = VMEM_ADDR_MAX };

	(void)state;
	setup(4096, 4096, true);
	second_came = false;
	child->import = import_while_another_waits;
	take(&first);
	assert_int_equal(first.error, 0);
	side_join(second_thread);
	assert_int_equal(second.error, 0);
	vmem_xfree(child, first.got, 1024);
	vmem_xfree(child, second.got, 1024);
	teardown();
}

/*
 * The span that has the window is on its way, in the hands of an import; the waiter's own import brings
 * another one. He is not told "never" now, but when it has landed: he has the window, or it is gone.
 */
static struct want windowed;
static bool span_is_lost;
static vmem_addr_t lost_span;

static int
import_with_a_window(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	int error = import(arg, size, flags, addrp);

	if (error != 0 || second_came)
		return (error);
	second_came = true;
	windowed = (struct want){ .size = 64, .min = *addrp + 512, .max = *addrp + 1023 };
	second_thread = side_start(take, &windowed, -1);
	wait_for_sleepers("below", 1);
	if (!span_is_lost)
		return (0);
	lost_span = *addrp; /* stays where it is, which is no event */
	return (COOPER_ENOMEM);
}

static void
window_in_flight(bool lost)
{
	vmem_addr_t got;

	setup(4096, 1024, true);
	second_came = false;
	span_is_lost = lost;
	child->import = import_with_a_window;
	assert_int_equal(vmem_xalloc(child, 64, 0, 0, 0, ANYWHERE, M_NOWAIT | M_FIRSTFIT, &got),
	    lost ? COOPER_ENOMEM : 0);
	side_join(second_thread);
	assert_int_equal(windowed.error, lost ? COOPER_ENOMEM : 0);
	if (lost)
		vmem_xfree(parent, lost_span, 1024);
	else {
		assert_true(windowed.got >= windowed.min && windowed.got + 63 <= windowed.max);
		vmem_xfree(child, windowed.got, 64);
		vmem_xfree(child, got, 64);
	}
	assert_int_equal(child->in_flight, 0);
	teardown();
}

static void
a_window_in_flight_is_waited_for(void **state)
{
	(void)state;
	window_in_flight(false);
}

static void
a_window_that_never_lands_is_no(void **state)
{
	(void)state;
	window_in_flight(true);
}

/* And what comes back to the parent is imported, through two layers. */
static void
free_in_parent_ends_a_wait_in_child(void **state)
{
	struct want w = { .size = 1024, .max = VMEM_ADDR_MAX };
	struct side_thread *t;
	vmem_addr_t all;

	(void)state;
	setup(4096, 1024, true);
	all = arena_get(parent, 4096, M_FIRSTFIT);
	t = side_start(take, &w, -1);
	wait_for_sleepers("below", 1);
	vmem_xfree(parent, all, 4096);
	side_join(t);
	assert_int_equal(w.error, 0);
	vmem_xfree(child, w.got, 1024);
	teardown();
}

/*
 * While an import is away something is freed, and the request is served from there: the span that
 * came is free as a whole, and goes back to the parent, where the next request needs all there is.
 */
static void
an_import_that_was_not_needed_goes_back(void **state)
{
	struct want w = { .size = 4096, .max = VMEM_ADDR_MAX };
	struct side_thread *t;
	vmem_addr_t a[16], again;

	(void)state;
	setup(4096, 1024, true);
	for (unsigned i = 0; i < nitems(a); i++)
		a[i] = arena_get(child, 64, M_FIRSTFIT);
	assert_int_equal(imports, 1);
	free_on_import = a[3];
	again = arena_get(child, 64, M_FIRSTFIT);
	assert_int_equal(again, a[3]);
	assert_int_equal(imports, 2);
	assert_int_equal(vmem_size(child, VMEM_ALLOC | VMEM_FREE), 1024);
	assert_int_equal(vmem_size(parent, VMEM_ALLOC), 1024);
	arena_check(child);
	t = side_start(take, &w, -1);
	wait_for_sleepers("below", 1);
	for (unsigned i = 0; i < nitems(a); i++)
		vmem_xfree(child, a[i], 64);
	side_join(t);
	assert_int_equal(w.error, 0);
	vmem_xfree(child, w.got, 4096);
	teardown();
}

/* ---- quantum caches ----------------------------------------------------------------------------------- */

static vmem_t *cached; /* imports from the parent, with caches of up to 64 */

static void
setup_cached(vmem_size_t size, vmem_size_t quantum)
{
	setup(size, quantum, true);
	cached = vmem_create("cached", 0, 0, 16, 64, M_WAITOK);
	vmem_set_tags(cached, &pool->source);
	vmem_set_import(cached, import, release, parent, quantum);
	alarm(20); /* what waits for ever is to fail */
}

static void
teardown_cached(void)
{
	alarm(0);
	for (unsigned i = 0; i < cached->nqcache; i++) {
		uma_zone_reclaim(cached->qcache[i].zone, UMA_RECLAIM_DRAIN_CPU);
		assert_int_equal(uma_zone_get_cur(cached->qcache[i].zone), 0);
	}
	arena_check(cached);
	vmem_destroy(cached);
	teardown();
}

/* All that the parent has rests in the caches of an arena below it: who waits for it gets it. */
static void
what_rests_in_another_arenas_caches_ends_a_wait(void **state)
{
	vmem_t *waits[2];
	vmem_addr_t a;

	(void)state;
	setup_cached(4096, 1024);
	waits[0] = parent;
	waits[1] = child;
	for (unsigned i = 0; i < nitems(waits); i++) {
		a = arena_get(cached, 64, M_FIRSTFIT);
		vmem_free(cached, a, 64);
		assert_int_equal(vmem_size(parent, VMEM_FREE), 0);
		assert_int_equal(
		    vmem_xalloc(waits[i], 4096, 0, 0, 0, ANYWHERE, M_WAITOK | M_FIRSTFIT, &a), 0);
		assert_int_equal(vmem_size(cached, VMEM_ALLOC | VMEM_FREE), 0);
		vmem_xfree(waits[i], a, 4096);
	}
	teardown_cached();
}

static void
take_one_cached(void *arg)
{
	*(vmem_addr_t *)arg = arena_get(cached, 64, M_FIRSTFIT);
}

static void
take_most_of_parent(void *arg)
{
	TEST_MUST(vmem_xalloc(cached, 768, 0, 0, 0, ANYWHERE, M_WAITOK | M_FIRSTFIT,
		      (vmem_addr_t *)arg) == 0);
}

/*
 * One thread is filling a cache and has all that there is in its hands when another falls asleep,
 * having found the caches empty. The first keeps one address and gives the others up.
 */
static void
a_bucket_in_a_threads_hands_ends_a_wait(void **state)
{
	struct side_thread *filler, *waiter;
	vmem_addr_t one, most;

	(void)state;
	setup_cached(1024, 1024);
	TEST_MUST(pthread_barrier_init(&parked, NULL, 2) == 0);
	park_import = 2;
	filler = side_start(take_one_cached, &one, -1);
	pthread_barrier_wait(&parked);
	assert_int_equal(vmem_size(cached, VMEM_ALLOC), 1024);
	waiter = side_start(take_most_of_parent, &most, -1);
	wait_for_sleepers("cached", 1);
	pthread_barrier_wait(&parked);
	side_join(filler);
	side_join(waiter);
	pthread_barrier_destroy(&parked);
	vmem_xfree(cached, most, 768);
	vmem_free(cached, one, 64);
	teardown_cached();
}

static void
take_one_waiting(void *arg)
{
	TEST_MUST(vmem_alloc(cached, 64, M_WAITOK | M_FIRSTFIT, (vmem_addr_t *)arg) == 0);
}

/* However a user got it, the cache's zone counts it as his until he frees it. */
static void
the_zone_counts_what_came_past_it(void **state)
{
	struct quantum_cache *qc;
	struct side_thread *waiter;
	vmem_addr_t all, one, two;

	(void)state;
	setup_cached(1024, 1024);
	qc = &cached->qcache[3];
	TEST_MUST(vmem_xalloc(cached, 1024, 0, 0, 0, ANYWHERE, M_NOWAIT | M_FIRSTFIT, &all) == 0);
	waiter = side_start(take_one_waiting, &one, -1);
	wait_for_sleepers("cached", 1);
	vmem_xfree(cached, all, 1024);
	side_join(waiter);
	assert_int_equal(uma_zone_get_cur(qc->zone), 1);
	two = arena_get(cached, 64, M_FIRSTFIT);
	assert_int_equal(uma_zone_get_cur(qc->zone), 2);
	waiter = side_start(take_most_of_parent, &all, -1);
	side_join(waiter);
	assert_int_equal(uma_zone_get_cur(qc->zone), 2);
	vmem_xfree(cached, all, 768);
	vmem_free(cached, one, 64);
	vmem_free(cached, two, 64);
	assert_int_equal(uma_zone_get_cur(qc->zone), 0);
	teardown_cached();
}

/* The child of a fork has no waiter any more: caches serve again, and the next wait finds them so. */
static void
in_forked_child(void *arg)
{
	vmem_addr_t a;

	(void)arg;
	uma_fork_child();
	vmem_fork_child();
	TEST_MUST(cached->qcache[3].zone->sleepers == 0);
	a = arena_get(cached, 64, M_FIRSTFIT);
	vmem_free(cached, a, 64);
	TEST_MUST(vmem_size(cached, VMEM_ALLOC) == 1024);
	TEST_MUST(vmem_xalloc(cached, 1024, 0, 0, 0, ANYWHERE, M_WAITOK | M_FIRSTFIT, &a) == 0);
}

static void
a_forked_child_has_no_waiters(void **state)
{
	struct want w = { .size = 4096, .max = VMEM_ADDR_MAX };
	struct side_thread *waiter;
	vmem_addr_t a;

	(void)state;
	setup_cached(4096, 1024);
	a = arena_get(parent, 3072, M_FIRSTFIT);
	waiter = side_start(take, &w, -1);
	wait_for_sleepers("below", 1);
	assert_int_equal(cached->qcache[3].zone->sleepers, 1);
	in_child(in_forked_child, NULL);
	vmem_xfree(parent, a, 3072);
	side_join(waiter);
	assert_int_equal(cached->qcache[3].zone->sleepers, 0);
	vmem_xfree(child, w.got, 4096);
	teardown_cached();
}

/* An arena that is made or ends while a request waits for another: the same rules. */
static void
arenas_come_and_go_while_a_request_waits(void **state)
{
	struct want w = { .size = 1024, .max = VMEM_ADDR_MAX };
	struct side_thread *waiter;
	vmem_addr_t all, a;

	(void)state;
	setup(1024, 1024, true);
	all = arena_get(parent, 1024, M_FIRSTFIT);
	waiter = side_start(take, &w, -1);
	wait_for_sleepers("below", 1);
	cached = vmem_create("cached", 16, 1024, 16, 64, M_WAITOK);
	assert_non_null(cached);
	a = arena_get(cached, 64, M_FIRSTFIT);
	assert_int_equal(vmem_size(cached, VMEM_ALLOC), 64);
	vmem_free(cached, a, 64);
	assert_int_equal(vmem_size(cached, VMEM_ALLOC), 0);
	vmem_destroy(cached);
	cached = vmem_create("cached", 16, 1024, 16, 64, M_WAITOK);
	vmem_xfree(parent, all, 1024);
	side_join(waiter);
	assert_int_equal(cached->qcache[0].zone->sleepers, 0);
	a = arena_get(cached, 64, M_FIRSTFIT);
	vmem_free(cached, a, 64);
	assert_true(vmem_size(cached, VMEM_ALLOC) > 64); /* cached again */
	vmem_destroy(cached);
	vmem_xfree(child, w.got, 1024);
	teardown();
}

/* ---- the last tags ----------------------------------------------------------------------------------- */

/*
 * Two requests that have half of the last tags each when both come to need more: one has them all, and then
 * the other. That they share an arena a sleepers' test found, in one run of many; that they need not,
 * and may hold tags of one arena while they wait in another, follows.
 */
struct taker {
	vmem_t *vm;
	struct thread_state *me;
	unsigned tags; /* taken before the other had his part */
	struct side_thread *thread;
};
static struct taker takers[2];
static unsigned half;   /* of the tags */
static unsigned parted; /* takers that have theirs, or are served */

static struct taker *
this_taker(void)
{
	struct thread_state *me = machine_thread_state();

	for (unsigned i = 0; i < 2; i++)
		if (__atomic_load_n(&takers[i].me, __ATOMIC_SEQ_CST) == me)
			return (&takers[i]);
	return (NULL);
}

/* Nobody gets more than half before both have that. */
static struct vmem_btag *
half_for_each(struct tag_source *ts, int flags)
{
	struct taker *t = this_taker();

	if (t != NULL && __atomic_load_n(&parted, __ATOMIC_SEQ_CST) < 2) {
		if (t->tags < half) {
			t->tags++;
			return (pool_alloc(ts, flags));
		}
		if ((flags & M_NOVM) != 0)
			return (NULL);
		__atomic_add_fetch(&parted, 1, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&parted, __ATOMIC_SEQ_CST) < 2)
			harness_nap();
	}
	if ((flags & M_NOWAIT) == 0)
		harness_nap();
	return (pool_alloc(ts, flags));
}

static void
take_and_free(void *arg)
{
	struct taker *t = arg;
	vmem_addr_t addr;

	__atomic_store_n(&t->me, machine_thread_state(), __ATOMIC_SEQ_CST);
	TEST_MUST(vmem_alloc(t->vm, 64, M_WAITOK | M_FIRSTFIT, &addr) == 0);
	vmem_free(t->vm, addr, 64);
	vmem_trim(); /* as a reclaim pass of those who wait does */
	__atomic_store_n(&t->me, NULL, __ATOMIC_SEQ_CST);
}

/* One request from each arena; there are as many tags as one of them needs. */
static void
share_the_last_tags(vmem_t *a, vmem_t *b, unsigned tags)
{
	vmem_trim();
	pool->left = tags;
	half = tags / 2;
	parted = 0;
	pool->source.alloc = half_for_each;
	pool_take_turns(pool);
	for (unsigned i = 0; i < 2; i++) {
		takers[i] = (struct taker){ .vm = i == 0 ? a : b };
		takers[i].thread = side_start(take_and_free, &takers[i], -1);
	}
	for (unsigned i = 0; i < 2; i++)
		side_join(takers[i].thread);
	assert_int_equal(parted, 2);
}

static void
requests_of_one_arena_share_the_last_tags(void **state)
{
	vmem_t *vm;

	(void)state;
	pool = pool_new(64);
	vm = arena_new(pool, "one", 16, 1024, 16);
	share_the_last_tags(vm, vm, BT_MAXALLOC);
	arena_check(vm);
	vmem_destroy(vm);
	pool_delete(pool);
}

static void
requests_of_two_arenas_share_the_last_tags(void **state)
{
	vmem_t *vm[2];

	(void)state;
	pool = pool_new(64);
	for (unsigned i = 0; i < 2; i++)
		vm[i] = arena_new(pool, i == 0 ? "one" : "other", 16, 1024, 16);
	share_the_last_tags(vm[0], vm[1], BT_MAXALLOC);
	for (unsigned i = 0; i < 2; i++) {
		arena_check(vm[i]);
		vmem_destroy(vm[i]);
	}
	pool_delete(pool);
}

/* Each has what the child's part of a request takes, and needs as many again for the parent's. */
static void
requests_on_two_floors_share_the_last_tags(void **state)
{
	vmem_t *above[2], *below[2];

	(void)state;
	pool = pool_new(64);
	for (unsigned i = 0; i < 2; i++) {
		above[i] = arena_new(pool, "above", 4096, 4096, 16);
		below[i] = arena_new(pool, "below", 0, 0, 16);
		vmem_set_import(below[i], import, release, above[i], 1024);
	}
	share_the_last_tags(below[0], below[1], 2 * BT_MAXALLOC);
	for (unsigned i = 0; i < 2; i++) {
		arena_check(below[i]);
		vmem_destroy(below[i]);
		arena_check(above[i]);
		vmem_destroy(above[i]);
	}
	pool_delete(pool);
}

/* A way to the parent's space that must first be made, for which there are no tags yet. */
static int
add_and_import(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	if (__atomic_fetch_add(&imports, 1, __ATOMIC_SEQ_CST) == 0)
		__atomic_store_n(&parted, 1, __ATOMIC_SEQ_CST);
	if (vmem_size(arg, VMEM_MAXFREE) == 0 &&
	    vmem_add(arg, 4096, 1024, flags & (M_NOWAIT | M_WAITOK)) != 0)
		return (COOPER_ENOMEM);
	return (import(arg, size, flags, addrp));
}

/* The add fails for want of tags inside of the import; the child's request waits for them, not for space. */
static void
an_import_that_lacks_tags_waits_for_tags(void **state)
{
	struct taker *t = &takers[0];
	vmem_t *above, *below;

	(void)state;
	pool = pool_new(64);
	pool_take_turns(pool);
	imports = parted = 0;
	above = arena_new(pool, "above", 0, 0, 16);
	below = arena_new(pool, "below", 0, 0, 16);
	vmem_set_import(below, add_and_import, release, above, 1024);
	pool->left = BT_MAXALLOC; /* the child's part */
	*t = (struct taker){ .vm = below };
	t->thread = side_start(take_and_free, t, -1);
	while (__atomic_load_n(&parted, __ATOMIC_SEQ_CST) == 0)
		harness_nap();
	for (unsigned i = 0; i < 20; i++)
		harness_nap();
	machine_lock(&pool->lock);
	pool->left += 32;
	machine_unlock(&pool->lock);
	side_join(t->thread);
	arena_check(below);
	vmem_destroy(below);
	arena_check(above);
	vmem_destroy(above);
	pool_delete(pool);
}

TEST_MAIN(cmocka_unit_test(an_import_that_lacks_tags_waits_for_tags),
    cmocka_unit_test(what_rests_in_another_arenas_caches_ends_a_wait),
    cmocka_unit_test(a_bucket_in_a_threads_hands_ends_a_wait),
    cmocka_unit_test(the_zone_counts_what_came_past_it),
    cmocka_unit_test(arenas_come_and_go_while_a_request_waits),
    cmocka_unit_test(a_forked_child_has_no_waiters),
    cmocka_unit_test(an_import_that_was_not_needed_goes_back),
    cmocka_unit_test(H1_futile_importers_sleep),
    cmocka_unit_test(add_to_child_ends_a_wait_for_the_parent),
    cmocka_unit_test(rest_of_an_import_ends_a_wait),
    cmocka_unit_test(requests_of_one_arena_share_the_last_tags),
    cmocka_unit_test(requests_of_two_arenas_share_the_last_tags),
    cmocka_unit_test(requests_on_two_floors_share_the_last_tags),
    cmocka_unit_test(a_window_in_flight_is_waited_for),
    cmocka_unit_test(a_window_that_never_lands_is_no),
    cmocka_unit_test(free_in_parent_ends_a_wait_in_child))
