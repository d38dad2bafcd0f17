/*
 * Pressure: the cgroup's files and PSI as levels, hysteresis, the limit, the program's own source, and what
 * handlers are told. The files are the test's own, in the shape of a cgroup's.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cooper/uma.h>
#include "harness.h"
#include "page/page.h"
#include "posix.h"

static char folder[] = "/tmp/cooper-cgroup.XXXXXX";

static void
put(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void
quiet(void)
{
	put("memory.events", "low 0\nhigh 5\nmax 0\noom 0\noom_kill 0\n");
	put("memory.current", "1000000\n");
	put("memory.high", "2000000\n");
	put("memory.max", "max\n");
}

static void
begin(void)
{
	char path[128];

	if (posix_options.given & OPTION_PRESSURE)
		return;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/memory.pressure", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	quiet();
	posix_options.given |= OPTION_PRESSURE;
	core_snprintf(posix_options.pressure, sizeof(posix_options.pressure), "%s", folder);
}

static struct machine_pressure
look(void)
{
	struct machine_pressure p;

	assert_true(machine_pressure_read(&p));
	return (p);
}

/* ---- files ------------------------------------------------------------------------------------------- */

static void
files_become_levels(void **state)
{
	struct machine_pressure p;

	(void)state;
	begin();
	assert_int_equal(look().level, 0); /* what happened before the first look is past */
	put("memory.current", "1950000\n");
	p = look();
	assert_int_equal(p.level, 1);
	assert_int_equal(p.wanted, 200000); /* down to 7/8 of 2,000,000 */
	put("memory.current", "2000000\n");
	assert_int_equal(look().level, 2);
	assert_false(look().event);
	put("memory.current", "1000000\n");
	put("memory.events", "low 0\nhigh 6\nmax 0\noom 0\noom_kill 0\n");
	p = look();
	assert_true(p.level == 2 && p.event);
	assert_int_equal(look().level, 0); /* once told, it is no news */
	put("memory.events", "low 0\nhigh 6\nmax 1\noom 0\noom_kill 0\n");
	assert_int_equal(look().level, 3);
	put("memory.high", "max\n");
	put("memory.max", "1000000\n");
	assert_int_equal(look().level, 1);
	quiet();
	(void)look();
}

/* ---- the program's loop -------------------------------------------------------------------------------- */

static void
a_descriptor_tells(void **state)
{
	struct pollfd fd = { .events = POLLIN };
	char path[128];
	int fifo;

	(void)state;
	begin();
	(void)look();
	fd.fd = cooper_pressure_fd();
	assert_true(fd.fd >= 0);
	assert_int_equal(cooper_pressure_fd(), fd.fd);
	assert_int_equal(poll(&fd, 1, 0), 0);
	snprintf(path, sizeof(path), "%s/memory.pressure", folder);
	fifo = open(path, O_WRONLY | O_NONBLOCK);
	assert_true(fifo >= 0);
	assert_int_equal(write(fifo, "x", 1), 1);
	assert_int_equal(poll(&fd, 1, -1), 1);
	assert_true(look().event);
	assert_int_equal(poll(&fd, 1, 0), 0);
	close(fifo);
}

/* ---- levels -------------------------------------------------------------------------------------------- */

static struct cooper_pressure told;
static unsigned calls;

static void
on_pressure(const struct cooper_pressure *p, void *arg)
{
	TEST_MUST(arg == &calls);
	told = *p;
	calls++;
}

static void
old_handler(enum page_pressure level, int domain, void *arg)
{
	(void)domain;
	*(enum page_pressure *)arg = level;
}

static enum cooper_pressure_level source_level;

static enum cooper_pressure_level
source(uint64_t *wanted, void *arg)
{
	*wanted = *(uint64_t *)arg;
	return (source_level);
}

static void
handlers_are_told(void **state)
{
	struct cooper_lowmem_handler h = { .fn = on_pressure, .arg = &calls };
	enum page_pressure old = PRESSURE_NONE;
	struct lowmem_handler o = { .fn = old_handler, .arg = &old };
	uint64_t wanted = 12345;

	(void)state;
	begin();
	quiet();
	(void)look();
	cooper_lowmem_register(&h);
	lowmem_register(&o);
	cooper_set_pressure_source(source, &wanted);
	calls = 0;
	source_level = COOPER_PRESSURE_NONE;
	assert_int_equal(cooper_pressure_poll(), COOPER_PRESSURE_NONE);
	assert_int_equal(calls, 0);
	source_level = COOPER_PRESSURE_CRITICAL;
	assert_int_equal(cooper_pressure_poll(), COOPER_PRESSURE_CRITICAL);
	assert_int_equal(calls, 1);
	assert_int_equal(told.level, COOPER_PRESSURE_CRITICAL);
	assert_int_equal(told.wanted, 12345);
	assert_true(told.deadline + 1000000000ull * 3600 > machine_now());
	assert_int_equal(told.domain, -1);
	assert_int_equal(old, PRESSURE_SEVERE);
	/* It falls a step at a time, and not at once. */
	source_level = COOPER_PRESSURE_NONE;
	assert_int_equal(cooper_pressure_poll(), COOPER_PRESSURE_CRITICAL);
	while (cooper_pressure_poll() == COOPER_PRESSURE_CRITICAL)
		usleep(10000);
	assert_int_equal(cooper_pressure_level(), COOPER_PRESSURE_MEDIUM);
	assert_int_equal(calls, 1);
	cooper_set_pressure_source(NULL, NULL);
	/* A pass for want of pages says what the watermarks want. */
	(void)page_daemon_pass(0, PRESSURE_MIN);
	assert_int_equal(calls, 2);
	assert_int_equal(told.level, COOPER_PRESSURE_MEDIUM);
	assert_int_equal(told.domain, 0);
	lowmem_unregister(&o);
	cooper_lowmem_unregister(&h);
}

static void
a_limit_has_a_band(void **state)
{
	(void)state;
	assert_int_equal(page_pressure_of_limit(139, 160, PRESSURE_NONE), PRESSURE_NONE);
	assert_int_equal(page_pressure_of_limit(140, 160, PRESSURE_NONE), PRESSURE_LOW);
	assert_int_equal(page_pressure_of_limit(131, 160, PRESSURE_LOW), PRESSURE_LOW);
	assert_int_equal(page_pressure_of_limit(129, 160, PRESSURE_LOW), PRESSURE_NONE);
	assert_int_equal(page_pressure_of_limit(160, 160, PRESSURE_NONE), PRESSURE_MIN);
	assert_int_equal(page_pressure_of_limit(151, 160, PRESSURE_MIN), PRESSURE_MIN);
	assert_int_equal(page_pressure_of_limit(149, 160, PRESSURE_MIN), PRESSURE_LOW);
	assert_int_equal(page_pressure_of_limit(180, 160, PRESSURE_NONE), PRESSURE_SEVERE);
}

/* ---- what it is for --------------------------------------------------------------------------------------- */

#define OBJECTS 12000 /* of 2 KiB: 70 % of them are in caches */

/* memory.high is met with 70 % of the memory in caches: one look later they are empty. */
static void
one_event_brings_it_under(void **state)
{
	uma_zone_t zone = uma_zcreate("cached", 2048, NULL, NULL, NULL, NULL, 7, 0);
	static void *item[OBJECTS];
	unsigned long full;

	(void)state;
	begin();
	quiet();
	(void)look();
	for (unsigned i = 0; i < OBJECTS; i++)
		item[i] = uma_zalloc(zone, M_WAITOK);
	for (unsigned i = OBJECTS * 3 / 10; i < OBJECTS; i++)
		uma_zfree(zone, item[i]);
	full = uma_size();
	put("memory.events", "low 0\nhigh 7\nmax 0\noom 0\noom_kill 0\n");
	(void)cooper_pressure_poll();
	assert_true(uma_size() < full / 2);
	assert_true(cooper_cached() < full / 8);
	for (unsigned i = 0; i < OBJECTS * 3 / 10; i++)
		uma_zfree(zone, item[i]);
	uma_zdestroy(zone);
}

#define ROUND 1000

static uma_zone_t round_zone;

static void
round_of(int flags)
{
	static void *item[ROUND];

	for (unsigned i = 0; i < ROUND; i++)
		assert_non_null(item[i] = uma_zalloc(round_zone, flags));
	for (unsigned i = 0; i < ROUND; i++)
		uma_zfree(round_zone, item[i]);
}

/* Who may not sleep has seen the event. The handlers hear of it from the first that may, if only from a cache. */
static void
handlers_are_not_forgotten(void **state)
{
	struct cooper_lowmem_handler h = { .fn = on_pressure, .arg = &calls };

	(void)state;
	begin();
	quiet();
	page_pressure_on = true;
	source_level = COOPER_PRESSURE_NONE;
	while (cooper_pressure_poll() != COOPER_PRESSURE_NONE)
		usleep(10000);
	round_zone = uma_zcreate("round", 2048, NULL, NULL, NULL, NULL, 7, 0);
	round_of(M_NOWAIT);
	cooper_lowmem_register(&h);
	calls = 0;
	put("memory.events", "low 0\nhigh 8\nmax 0\noom 0\noom_kill 0\n");
	while (cooper_pressure_level() == COOPER_PRESSURE_NONE)
		round_of(M_NOWAIT);
	assert_int_equal(calls, 0);
	round_of(M_NOWAIT); /* the pass has emptied the caches; they are full again */
	round_of(M_WAITOK);
	assert_int_equal(calls, 1);
	round_of(M_WAITOK);
	assert_int_equal(calls, 1);
	page_pressure_on = false;
	cooper_lowmem_unregister(&h);
	uma_zdestroy(round_zone);
}

static void
clean_up(void **state)
{
	static const char *const names[] = { "memory.events", "memory.current", "memory.high",
		"memory.max", "memory.pressure" };
	char path[128];

	(void)state;
	for (unsigned i = 0; i < nitems(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(folder), 0);
}

TEST_MAIN(cmocka_unit_test(files_become_levels), cmocka_unit_test(a_descriptor_tells),
    cmocka_unit_test(handlers_are_told), cmocka_unit_test(a_limit_has_a_band),
    cmocka_unit_test(one_event_brings_it_under), cmocka_unit_test(handlers_are_not_forgotten),
    cmocka_unit_test(clean_up))
