/*
 * The kernel build of lab/workloads on the posix machine: the whole recording on many threads, with
 * little memory and a page daemon's handlers. What it checks by itself: no item has two owners. What is
 * checked here: it ends, everything is back at the end, and a damaged trace is refused.
 */
#include <sched.h>
#include <stdlib.h>

#include "../kmem/kmem_test.h"
#include "workloads/build_int.h"

static void
broken(const char *what, const char *object)
{
	fprintf(stderr, "kernel build: %s: %s\n", object, what);
	abort();
}

static void
pause_a_while(void)
{
	sched_yield();
}

static struct build_config
config(void)
{
	struct build_config c = build_config_default;

	c.fail = broken;
	c.pause = pause_a_while;
	c.exec_bytes = 64 << 10;
	c.execs = 8;
	c.pipes = 32;
	c.buffers = 160; /* more than memory holds */
	return (c);
}

/* ---- the whole of it --------------------------------------------------------------------------------- */

static void
low_memory(enum page_pressure level, int domain, void *arg)
{
	(void)domain;
	build_reclaim(arg, level == PRESSURE_SEVERE ? 0 : level == PRESSURE_MIN ? 1 : 2);
}

static void
work(struct test_thread *t)
{
	build_worker(t->arg);
}

static void
play(const struct build_config *c, unsigned workers, struct build_counts *counts)
{
	const char *why;
	struct build *b = build_create(&build_trace, c, &why);
	struct lowmem_handler handler = { .fn = low_memory, .arg = b };

	if (b == NULL)
		fprintf(stderr, "build_create: %s\n", why);
	TEST_MUST(b != NULL);
	lowmem_register(&handler);
	run_threads(workers, work, b);
	lowmem_unregister(&handler);
	build_counts(b, counts);
	build_destroy(b);
	tags_check("play");
}

/*
 * Four jobs at once hold up to 1.2 MiB, caches apart, and on 32 bits 0.9: with a third more all of them
 * can always go on, and only because the caches give way.
 */
#define WORKERS 4u
#define PHYSMEM ((sizeof(void *) == 8 ? 1600u : 1280u) << 10)
#define KVA     (12u << 20)

static void
whole_build(void)
{
	struct build_config c = config(), warm = config();
	struct build_counts counts;
	struct picture before, after;

	warm.events = 200;
	cooper_malloc_prepare();
	play(&warm, WORKERS, &counts);
	warm_up();
	picture_take(&before);
	play(&c, WORKERS, &counts);
	settle();
	picture_take(&after);
	/* A pass of the daemon's thread, which ours waits for and which may do less, puts the end off. */
	for (unsigned i = 0; i < 2000 && after.free_pages < before.free_pages; i++) {
		harness_nap();
		settle();
		picture_take(&after);
	}
	picture_equal(&before, &after);

	printf("# events %u processes %u execs %u maps %u lookups %u opens %u pipes %u "
	       "transfers %u\n# vnodes %u buffers %u recycled %u reclaimed %u waits %u short "
	       "%u\n",
	    counts.events, counts.processes, counts.execs, counts.maps, counts.lookups,
	    counts.opens, counts.pipes, counts.transfers, counts.vnodes, counts.buffers,
	    counts.recycled, counts.reclaimed, counts.buffer_waits, counts.short_pipes);
	fflush(stdout);
	/* All of it was played: programs, maps, files; and memory was so short that caches gave way. */
	TEST_MUST(counts.events == build_trace.nevents);
	TEST_MUST(counts.execs > 80 && counts.processes >= counts.execs);
	TEST_MUST(counts.maps > 3000 && counts.opens > 1000 && counts.transfers > 3000);
	TEST_MUST(counts.vnodes > 200 && counts.reclaimed > 0);
}

static void
whole_build_in_little_memory(void **state)
{
	(void)state;
	on_shape(PHYSMEM, KVA, whole_build);
}

static void
whole_build_with_a_page_daemon(void **state)
{
	struct machine_shape shape = harness_shape;

	(void)state;
	shape.physmem = PHYSMEM;
	shape.kva_size = KVA;
	shape.daemon = true;
	on_exact_shape(&shape, whole_build);
}

/* ---- what it must notice ------------------------------------------------------------------------------ */

/* Each field of each event, bent: refused, in one line, and nothing has been taken for it. */
static void
refuse_damage(void)
{
	struct build_event *event = malloc(build_trace.nevents * sizeof(event[0]));
	struct build_trace bent = build_trace;
	struct build_config c = config();
	unsigned char *byte = (unsigned char *)event;
	uint64_t seed = 1;
	struct picture before, after;
	const char *why = NULL;

	TEST_MUST(event != NULL && build_check(&build_trace) == NULL);
	memcpy(event, build_trace.event, build_trace.nevents * sizeof(event[0]));
	bent.event = event;
	picture_take(&before);
	for (unsigned i = 0; i < 500; i++) {
		size_t at = test_random(&seed) % (build_trace.nevents * sizeof(event[0]));
		unsigned char was = byte[at];

		byte[at] ^= (unsigned char)(1u << test_random(&seed) % 8);
		TEST_MUST(build_create(&bent, &c, &why) == NULL);
		TEST_MUST(strncmp(why, "damaged trace: ", 15) == 0 && strchr(why, '\n') == NULL);
		byte[at] = was;
	}
	bent.nevents--;
	TEST_MUST(build_create(&bent, &c, &why) == NULL && why != NULL);
	bent.nevents = 0;
	TEST_MUST(build_create(&bent, &c, &why) == NULL && why != NULL);
	picture_take(&after);
	picture_equal(&before, &after);
	free(event);
}

static void
damaged_traces_are_refused(void **state)
{
	(void)state;
	on_shape(PHYSMEM, KVA, refuse_damage);
}

/* Address space for the maps is not there: said, and all is as before. */
static void
refuse_room(void)
{
	struct build_config c = config();
	struct picture before, after;
	const char *why = NULL;

	warm_up();
	picture_take(&before);
	c.buffer_bytes = 64 << 20;
	TEST_MUST(build_create(&build_trace, &c, &why) == NULL);
	TEST_MUST(strcmp(why, "no address space for the build's maps") == 0);
	settle();
	picture_take(&after);
	picture_equal(&before, &after);
}

static void
no_room_is_said(void **state)
{
	(void)state;
	on_shape(PHYSMEM, KVA, refuse_room);
}

/* A word of somebody's item changes: found when it comes back. */
static void
scribble(void *arg)
{
	struct build_config c = config();
	const char *why;
	struct build *b;
	uint32_t *item;

	TEST_MUST(cooper_start(&harness_shape) == 0);
	b = build_create(&build_trace, &c, &why);
	item = object_alloc(b, KIND_NAMEI, M_WAITOK);
	if (arg == NULL)
		item[2 + 8 * 8] ^= 1; /* one of those that large items are checked by */
	else
		item[0] = 0x64656164;
	object_free(b, item);
}

static void
a_second_owner_is_seen(void **state)
{
	(void)state;
	expect_stop(scribble, NULL, "NAMEI: an item is overwritten");
	expect_stop(scribble, &state, "NAMEI: an item is free that is in use");
}

TEST_MAIN(cmocka_unit_test(whole_build_in_little_memory),
    cmocka_unit_test(whole_build_with_a_page_daemon), cmocka_unit_test(damaged_traces_are_refused),
    cmocka_unit_test(no_room_is_said), cmocka_unit_test(a_second_owner_is_seen))
