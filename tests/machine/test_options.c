/*
 * COOPER_OPTIONS: what is accepted, what is refused and in which words; the default shape.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cooper/uma.h>
#include "harness.h"
#include "options.h"
#include "posix.h"

static struct machine_options o;

static void
accept(const char *text)
{
	const char *why = "";

	if (machine_options_parse(text, &o, &why) != 0)
		fail_msg("\"%s\" was refused: %s", text, why);
}

static void
refuse(const char *text, const char *because)
{
	const char *why = "";

	assert_int_equal(machine_options_parse(text, &o, &why), COOPER_EINVAL);
	if (strstr(why, because) == NULL)
		fail_msg("\"%s\" was refused with \"%s\", without \"%s\"", text, why, because);
	assert_null(strchr(why, '\n'));
}

static void
words_are_read(void **state)
{
	(void)state;
	accept("");
	assert_int_equal(o.given, 0);
	accept(" ,, ");
	assert_int_equal(o.given, 0);
	accept("shape=i386,physmem=64M,kva=1G,cpus=4,domains=2,debug,rseq=0,stats=/tmp/x.json");
	assert_int_equal(o.given, OPTION_SHAPE | OPTION_PHYSMEM | OPTION_KVA | OPTION_CPUS |
				      OPTION_DOMAINS | OPTION_DEBUG | OPTION_RSEQ | OPTION_STATS);
	assert_false(o.shape.direct_map);
	assert_true(o.shape.physmem == 64 << 20);
	assert_true(o.shape.kva_size == 1 << 30);
	assert_int_equal(o.shape.ncpus, 4);
	assert_int_equal(o.shape.ndomains, 2);
	assert_true(o.shape.debug);
	assert_false(o.rseq);
	assert_string_equal(o.stats, "/tmp/x.json");
	accept("shape=amd64 debug=0 daemon pin=1\trseq=1");
	assert_true(o.shape.direct_map && o.shape.daemon && o.shape.pin);
	assert_false(o.shape.debug || !o.rseq);
	assert_true(o.warnings && !(o.given & OPTION_WARNINGS));
	accept("warnings=0");
	assert_int_equal(o.given, OPTION_WARNINGS);
	assert_false(o.warnings);
	accept("warnings=0,warnings");
	assert_true(o.warnings);
}

static void
sizes_are_powers_of_1024(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = { { "physmem=1M", 1 << 20 }, { "physmem=1048577", 1 << 20 },
		{ "physmem=2048k", 2 << 20 }, { "physmem=2047M", 2047ull << 20 },
		{ "physmem=1g", 1 << 30 } };

	(void)state;
	for (unsigned i = 0; i < nitems(sizes); i++) {
		accept(sizes[i].text);
		assert_true(o.shape.physmem == sizes[i].bytes);
	}
}

static void
impossible_values_are_named(void **state)
{
	(void)state;
	refuse("foo", "option \"foo\": unknown; known are shape physmem");
	refuse("debug,physmemory=3G", "\"physmemory=3G\"");
	refuse("shape=vax", "shape is i386 or amd64");
	refuse("shape", "shape is i386 or amd64");
	refuse("physmem=", "a size from 1M");
	refuse("physmem", "a size from 1M");
	refuse("physmem=12Q", "a size from 1M");
	refuse("physmem=12MB", "a size from 1M");
	refuse("physmem=-1", "a size from 1M");
	refuse("physmem=1048575", "a size from 1M");
	refuse("physmem=5T", "a size from 1M");
	refuse("kva=99999999999999999999999999999999", "a size from 1M");
	refuse("kva=18446744073709551616", "a size from 1M");
	refuse("kva=16777216T", "a size from 1M");
	refuse("cpus=0", "cpus are 1 to 256");
	refuse("cpus=257", "cpus are 1 to 256");
	refuse("cpus=2K", "cpus are 1 to 256");
	refuse("domains=9", "domains are 1 to 8");
	refuse("cpus=2,domains=3", "domains=3: more than cpus=2");
	refuse("debug=yes", "0 or 1");
	refuse("debug=", "0 or 1");
	refuse("rseq=11", "0 or 1");
	refuse("warnings=no", "0 or 1");
	refuse("stats=", "a file name");
	refuse("a-very-long-word-that-goes-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on",
	    "\": unknown");
}

static void
options_lie_over_the_default(void **state)
{
	struct machine_shape shape = { .ncpus = 3,
		.ndomains = 1,
		.direct_map = true,
		.physmem = 8 << 20,
		.kva_size = 1 << 20 };

	(void)state;
	accept("cpus=5");
	machine_options_apply(&o, &shape);
	assert_int_equal(shape.ncpus, 5);
	assert_true(shape.physmem == 8 << 20 && shape.kva_size == 1 << 20 && shape.direct_map);
	accept("physmem=256M");
	machine_options_apply(&o, &shape);
	assert_true(shape.physmem == 256 << 20);
	assert_true(shape.kva_size == machine_default_kva(256 << 20));
	accept("physmem=256M,kva=2M,shape=i386");
	machine_options_apply(&o, &shape);
	assert_true(shape.kva_size == 2 << 20 && !shape.direct_map);
}

/* ---- the default shape -------------------------------------------------------------------------------- */

static void
expect_default(void *arg)
{
	struct machine_shape shape;
	const char *why = NULL;

	(void)arg;
	unsetenv("COOPER_OPTIONS");
	assert_int_equal(machine_default_shape(&shape, &why), 0);
	assert_string_equal(why, "");
	assert_in_range(shape.ncpus, 1, COOPER_MAXCPU);
	assert_int_equal(shape.ndomains, 1);
	assert_true(shape.direct_map);
	assert_false(shape.debug || shape.daemon || shape.pin);
	assert_true(shape.physmem >= 1 << 20 && shape.physmem % PAGE_SIZE == 0);
	assert_true(shape.physmem <= posix_host_memory());
	assert_int_equal(machine_start(&shape, &why), 0);
	assert_true(machine_cpu() < shape.ncpus);
	assert_memory_equal(cooper_shape(), &shape, sizeof(shape));
}

static void
default_is_the_host(void **state)
{
	(void)state;
	in_child(expect_default, NULL);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void
expect_within_limit(void *arg)
{
	struct rlimit limit = { 512 << 20, 512 << 20 };

	assert_int_equal(setrlimit(*(int *)arg, &limit), 0);
	expect_default(NULL);
	assert_true(cooper_shape()->physmem <= 512 << 20);
	if (cooper_shape()->direct_map)
		memset(machine_direct(POSIX_PHYS_BASE), 1, PAGE_SIZE);
}

static void
default_respects_ulimit(void **state)
{
	int as = RLIMIT_AS, data = RLIMIT_DATA;

	(void)state;
	in_child(expect_within_limit, &as);
	in_child(expect_within_limit, &data);
}
#endif

static void
expect_environment(void *arg)
{
	struct machine_shape shape;
	const char *why = NULL;

	(void)arg;
	setenv("COOPER_OPTIONS", "shape=i386,physmem=32M,cpus=7,rseq=0,warnings=0", 1);
	assert_int_equal(machine_default_shape(&shape, &why), 0);
	assert_true(!shape.direct_map && shape.physmem == 32 << 20 && shape.ncpus == 7);
	assert_true(shape.kva_size == machine_default_kva(32 << 20));
	assert_false(machine_options()->rseq);
	assert_false(machine_warnings_wanted());
	assert_int_equal(machine_start(&shape, &why), 0);
	assert_false(posix_real_cpus());
	setenv("COOPER_OPTIONS", "cpus=many", 1);
	assert_int_equal(machine_default_shape(&shape, &why), COOPER_EINVAL);
	assert_non_null(strstr(why, "cpus are 1 to 256"));
}

static void
environment_has_the_last_word(void **state)
{
	(void)state;
	in_child(expect_environment, NULL);
}

static void
expect_no_warnings(void *arg)
{
	(void)arg;
	setenv("COOPER_OPTIONS", "physmem=32M,warnings=0", 1);
	assert_int_equal(cooper_start(NULL), 0);
	assert_false(uma_set_warnings(true));
	assert_true(uma_set_warnings(true));
}

static void
warnings_are_off_from_the_start(void **state)
{
	(void)state;
	in_child(expect_no_warnings, NULL);
}

static void
expect_refused_shapes(void *arg)
{
	static const struct machine_shape good = {
		.ncpus = 2, .ndomains = 2, .physmem = 1 << 20, .kva_size = 1 << 20
	};
	const char *why;

	(void)arg;
#define REFUSED(field, value, text)                                         \
	do {                                                                \
		struct machine_shape bad = good;                            \
                                                                            \
		bad.field = (value);                                        \
		assert_int_equal(machine_start(&bad, &why), COOPER_EINVAL); \
		assert_non_null(strstr(why, text));                         \
	} while (0)
	REFUSED(ncpus, 0, "1 to 256 CPUs");
	REFUSED(ncpus, 257, "1 to 256 CPUs");
	REFUSED(ncpus, 1, "no more domains than CPUs");
	REFUSED(ndomains, 0, "1 to 8 domains");
	REFUSED(ndomains, 9, "1 to 8 domains");
	REFUSED(physmem, 0, "physical memory is whole pages");
	REFUSED(physmem, 4097, "physical memory is whole pages");
	REFUSED(physmem, 8ull << 40, "at most 4 TB");
	REFUSED(kva_size, 0, "kernel address space is whole pages");
	REFUSED(kva_size, 4095, "kernel address space is whole pages");
	assert_int_equal(machine_start(&good, &why), 0);
}

static void
impossible_shapes_are_refused(void **state)
{
	(void)state;
	in_child(expect_refused_shapes, NULL);
}

TEST_MAIN(cmocka_unit_test(words_are_read), cmocka_unit_test(sizes_are_powers_of_1024),
    cmocka_unit_test(impossible_values_are_named), cmocka_unit_test(options_lie_over_the_default),
    cmocka_unit_test(default_is_the_host),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    cmocka_unit_test(default_respects_ulimit),
#endif
    cmocka_unit_test(environment_has_the_last_word),
    cmocka_unit_test(warnings_are_off_from_the_start),
    cmocka_unit_test(impossible_shapes_are_refused))
