/*
 * Misuse of each public function, in both kinds of shape: cases.def, one line each.
 */
#include <string.h>

#include <cooper/kmem.h>
#include <cooper/malloc.h>
#include <cooper/smr.h>
#include "callbacks.h"
#include "harness.h"
#include "page/page.h"
#include "uma/uma_int.h"
#include "vmem/vmem_int.h"

MALLOC_DEFINE(M_CASES, "cases", "memory of the cases");
MALLOC_DEFINE(M_NEVER, "never", "never allocated");

enum kind { REFUSED, DEBUG, STOPS, ANSWER };

/* ---- what the cases work on --------------------------------------------------------------------------- */

static smr_t smr, lazy;
static vm_offset_t range; /* four pages of address space */
static char *block, *large;
static uma_zone_t zone, used_zone, big_zone, smr_zone, cache;
static vmem_t *arena, *empty;
static vmem_addr_t taken, addr;
static char storage[VMEM_STORAGE] ALIGNED(VMEM_STORAGE_ALIGN);
static struct domainset nowhere = { .policy = DOMAINSET_FIXED, .prefer = 99 };

static int
an_arena_import(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	(void)arg;
	(void)size;
	(void)flags;
	*addrp = 0;
	return (COOPER_ENOMEM);
}

static bool
enter_five(void)
{
	static smr_t many[5];

	for (unsigned i = 0; i < 5; i++) {
		many[i] = smr_create("many", 0, 0);
		smr_enter(many[i]);
	}
	return (true);
}

static bool
wait_inside(void)
{
	smr_seq_t goal = smr_advance(smr);

	smr_enter(smr);
	smr_wait(smr, goal);
	return (true);
}

static bool
free_kmem(size_t offset, size_t size)
{
	char *p = kmem_malloc(2 * PAGE_SIZE, M_WAITOK);

	kmem_free(p + offset, size);
	return (true);
}

/* Once: each case works on a copy, in a child. */
static int
make_things(void **state)
{
	(void)state;
	smr = smr_create("smr", 0, 0);
	lazy = smr_create("lazy", 0, SMR_LAZY);
	range = kva_alloc(4 * PAGE_SIZE);
	block = cooper_malloc(100, M_CASES, M_WAITOK);
	large = cooper_malloc(100000, M_CASES, M_WAITOK);
	zone = uma_zcreate("cases", 64, NULL, NULL, NULL, NULL, 7, 0);
	used_zone = uma_zcreate("cases-used", 64, NULL, NULL, NULL, NULL, 7, 0);
	uma_zfree(used_zone, uma_zalloc(used_zone, M_WAITOK));
	big_zone = uma_zcreate("cases-big", 3 * PAGE_SIZE, NULL, NULL, NULL, NULL, 7, 0);
	smr_zone = uma_zcreate("cases-smr", 64, NULL, NULL, NULL, NULL, 7, UMA_ZONE_SMR);
	cache = uma_zcache_create(
	    "cases-cache", 8, NULL, NULL, NULL, NULL, import_arg, release_arg, &cache, 0);
	arena = vmem_create("cases", 1024, 4096, 16, 0, M_WAITOK);
	empty = vmem_create("empty", 0, 0, 16, 0, M_WAITOK);
	return (vmem_alloc(arena, 32, M_WAITOK | M_BESTFIT, &taken));
}

/* ---- the table ------------------------------------------------------------------------------------------ */

static const struct row {
	int line;
	enum kind kind;
	const char *func, *text, *what;
} rows[] = {
#define CASE(kind, func, text, what) { __LINE__, kind, func, text, #what },
#include "cases.def"
#undef CASE
};

/* 1: as the table says for a shape that does not stop. */
static int
run(void *arg)
{
	switch (*(const int *)arg) {
#define CASE(kind, func, text, what) \
	case __LINE__:               \
		return (what);
#include "cases.def"
#undef CASE
	default:
		return (0);
	}
}

static void
run_stops(void *arg)
{
	(void)run(arg);
}

static void
run_answers(void *arg)
{
	TEST_MUST(run(arg) == 1);
}

static void
one_case(void **state)
{
	const struct row *row = *state;
	int line = row->line;

	switch (row->kind) {
	case STOPS:
		expect_stop(run_stops, &line, row->text);
		break;
	case ANSWER:
		in_child(run_answers, &line);
		break;
	case DEBUG:
		if (core_debug)
			expect_stop(run_stops, &line, row->text);
		break;
	case REFUSED:
		assert_int_equal(expect_misuse(run, &line, row->text), core_debug ? 0 : 1);
	}
}

int
main(int argc, char **argv)
{
	static struct CMUnitTest tests[nitems(rows)];
	static char names[nitems(rows)][120];

	for (unsigned i = 0; i < nitems(rows); i++) {
		snprintf(names[i], sizeof(names[i]), "%s: %s", rows[i].func, rows[i].what);
		tests[i] = (struct CMUnitTest){ .name = names[i],
			.test_func = one_case,
			.setup_func = i == 0 ? make_things : NULL,
			.initial_state = (void *)(uintptr_t)&rows[i] };
	}
	return (harness_main(argc, argv, tests, nitems(rows)));
}
