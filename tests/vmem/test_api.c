/*
 * The public functions, one by one: what they give, what they refuse, what they show.
 */
#include <string.h>

#include "arena.h"

/* ---- create, sizes, looking ------------------------------------------------------------------------ */

static void
sizes(void **state)
{
	vmem_t *vm = vmem_create("sizes", 64, 1024, 16, 0, M_WAITOK);
	vmem_addr_t a, b;

	(void)state;
	assert_non_null(vm);
	assert_int_equal(vmem_roundup_size(vm, 1), 16);
	assert_int_equal(vmem_roundup_size(vm, 16), 16);
	a = arena_get(vm, 100, M_FIRSTFIT);
	b = arena_get(vm, 16, M_TOPDOWN);
	assert_int_equal(a, 64);
	assert_int_equal(b, 64 + 1024 - 16);
	assert_int_equal(vmem_size(vm, VMEM_ALLOC), 112 + 16);
	assert_int_equal(vmem_size(vm, VMEM_FREE), 1024 - 128);
	assert_int_equal(vmem_size(vm, VMEM_ALLOC | VMEM_FREE), 1024);
	assert_int_equal(vmem_size(vm, VMEM_MAXFREE), 1024 - 128);
	vmem_free(vm, a, 112); /* any size that rounds to the same */
	vmem_free(vm, b, 1);
	assert_int_equal(vmem_size(vm, VMEM_MAXFREE), 1024);
	vmem_destroy(vm);
}

/* Exact above what a node's code tells apart, and after each split. */
static void
maxfree_is_exact_for_large_sizes(void **state)
{
	vmem_t *vm = vmem_create("large", 4096, 0, 1, 0, M_WAITOK);
	vmem_size_t base = (vmem_size_t)5000 * 1000;

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(vmem_add(vm, (i + 1) * 2 * base, base + i, M_WAITOK), 0);
	for (unsigned i = 40; i-- > 0;) {
		vmem_addr_t addr;

		assert_int_equal(vmem_size(vm, VMEM_MAXFREE), base + i);
		assert_int_equal(vmem_alloc(vm, base + i, M_NOWAIT | M_BESTFIT, &addr), 0);
		assert_int_equal(addr, (i + 1) * 2 * base);
	}
	assert_int_equal(vmem_size(vm, VMEM_MAXFREE), 0);
	for (unsigned i = 0; i < 40; i++)
		vmem_free(vm, (i + 1) * 2 * base, base + i);
	vmem_destroy(vm);
}

struct walked {
	unsigned n, stop;
	struct {
		enum vmem_segment_type type;
		vmem_addr_t addr;
		vmem_size_t size;
	} seg[16];
};

static bool
walked(enum vmem_segment_type type, vmem_addr_t addr, vmem_size_t size, void *arg)
{
	struct walked *w = arg;

	w->seg[w->n].type = type;
	w->seg[w->n].addr = addr;
	w->seg[w->n].size = size;
	return (++w->n != w->stop);
}

static void
walk_and_whatis(void **state)
{
	vmem_t *vm = vmem_create("walk", 1000, 100, 1, 0, M_WAITOK);
	struct walked w = { 0 };
	enum vmem_segment_type type;
	vmem_addr_t start;
	vmem_size_t size;

	(void)state;
	assert_int_equal(vmem_add(vm, 100, 50, M_WAITOK), 0); /* below, so it comes first */
	assert_int_equal(
	    vmem_xalloc(vm, 10, 0, 0, 0, 1020, 1029, M_NOWAIT | M_FIRSTFIT, &start), 0);
	vmem_walk(vm, walked, &w);
	assert_int_equal(w.n, 6);
	assert_int_equal(w.seg[0].type, VMEM_SEG_SPAN_STATIC);
	assert_int_equal(w.seg[0].addr, 100);
	assert_int_equal(w.seg[0].size, 50);
	assert_int_equal(w.seg[1].type, VMEM_SEG_FREE);
	assert_int_equal(w.seg[2].addr, 1000);
	assert_int_equal(w.seg[2].size, 100);
	assert_int_equal(w.seg[4].type, VMEM_SEG_BUSY);
	assert_int_equal(w.seg[4].addr, 1020);
	assert_int_equal(w.seg[5].size, 70);
	w = (struct walked){ .stop = 2 };
	vmem_walk(vm, walked, &w);
	assert_int_equal(w.n, 2);
	for (vmem_addr_t addr = 90; addr < 1110; addr++) {
		bool in = (addr >= 100 && addr < 150) || (addr >= 1000 && addr < 1100);

		assert_int_equal(vmem_whatis(vm, addr, &type, &start, &size), in);
		if (in)
			assert_true(addr - start < size);
		if (in && addr >= 1020 && addr < 1030)
			assert_int_equal(type, VMEM_SEG_BUSY);
		else if (in)
			assert_int_equal(type, VMEM_SEG_FREE);
	}
	vmem_free(vm, 1020, 10);
	vmem_destroy(vm);
}

static void
gather(const char *line, void *arg)
{
	strcat(arg, line);
	strcat(arg, "\n");
}

static void
print(void **state)
{
	static char text[16384];
	vmem_t *vm = vmem_create("printed", 1, 100, 1, 0, M_WAITOK);

	(void)state;
	text[0] = '\0';
	(void)arena_get(vm, 7, M_FIRSTFIT);
	vmem_print(vm, gather, text);
	assert_non_null(
	    strstr(text, "arena \"printed\": quantum 1, size 100, in use 7, largest free 93\n"));
	assert_non_null(strstr(text, "tags: 1 busy, 1 free, 1 spans"));
	assert_non_null(strstr(text, "from 4: 1 busy, 0 free\n"));
	text[0] = '\0';
	vmem_printall(gather, text);
	assert_non_null(strstr(text, "\"printed\""));
	vmem_free(vm, 1, 7);
	vmem_destroy(vm);
	text[0] = '\0';
	vmem_printall(gather, text);
	assert_null(strstr(text, "\"printed\""));
}

/* ---- policies --------------------------------------------------------------------------------------- */

static void
policies(void **state)
{
	vmem_t *vm = vmem_create("ids", 1, 100, 1, 0, M_WAITOK);

	(void)state;
	assert_int_equal(arena_get(vm, 10, M_FIRSTFIT), 1);
	assert_int_equal(arena_get(vm, 10, M_NEXTFIT), 11);
	assert_int_equal(arena_get(vm, 10, M_TOPDOWN), 91);
	assert_int_equal(arena_get(vm, 10, M_NEXTFIT), 21);
	vmem_free(vm, 11, 10);
	assert_int_equal(arena_get(vm, 5, M_NEXTFIT), 31);  /* not the hole behind */
	assert_int_equal(arena_get(vm, 9, M_BESTFIT), 11);  /* but here */
	assert_int_equal(arena_get(vm, 55, M_NEXTFIT), 36); /* to the end */
	assert_int_equal(arena_get(vm, 1, M_NEXTFIT), 20);  /* around */
	assert_int_equal(vmem_size(vm, VMEM_FREE), 0);
	vmem_free(vm, 1, 10);
	vmem_free(vm, 91, 10);
	vmem_free(vm, 21, 10);
	vmem_free(vm, 31, 5);
	vmem_free(vm, 11, 9);
	vmem_free(vm, 36, 55);
	vmem_free(vm, 20, 1);
	assert_int_equal(vmem_size(vm, VMEM_MAXFREE), 100);
	vmem_destroy(vm);
}

/* Addresses at both ends of what a word holds. */
static void
the_ends_of_the_world(void **state)
{
	vmem_t *vm = vmem_create("ends", 0, 0, 16, 0, M_WAITOK);
	vmem_addr_t addr, top = VMEM_ADDR_MAX & ~(vmem_addr_t)15;

	(void)state;
	assert_int_equal(vmem_add(vm, 0, 64, M_WAITOK), 0);
	assert_int_equal(vmem_add(vm, top - 64, 64, M_WAITOK), 0);
	assert_int_equal(
	    vmem_alloc(vm, VMEM_ADDR_MAX - 3, M_NOWAIT | M_FIRSTFIT, &addr), COOPER_ENOMEM);
	assert_int_equal(arena_get(vm, 64, M_TOPDOWN), top - 64);
	assert_int_equal(
	    vmem_xalloc(vm, 32, 64, 0, 0, top - 32, VMEM_ADDR_MAX, M_NOWAIT | M_FIRSTFIT, &addr),
	    COOPER_ENOMEM);
	assert_int_equal(vmem_xalloc(vm, 32, (vmem_size_t)1 << (8 * sizeof(vmem_size_t) - 1), 0, 0,
			     ANYWHERE, M_NOWAIT | M_TOPDOWN, &addr),
	    0);
	assert_int_equal(addr, 0);
	vmem_xfree(vm, 0, 32);
	vmem_free(vm, top - 64, 64);
	vmem_destroy(vm);
}

/* ---- the caller's tags ----------------------------------------------------------------------------------- */

static vmem_t *vm;

static void
waits_for_a_tag(void *arg)
{
	vmem_addr_t addr;

	TEST_MUST(vmem_alloc(vm, 1, M_WAITOK | M_FIRSTFIT, &addr) == 0);
	*(vmem_addr_t *)arg = addr;
}

static void
tags_of_the_caller(void **state)
{
	static _Alignas(VMEM_STORAGE_ALIGN) char storage[VMEM_STORAGE];
	static char block[64 << 10], more[4096];
	struct side_thread *t;
	vmem_addr_t addr, got = 0;
	unsigned n;

	(void)state;
	vm = vmem_init((vmem_t *)storage, "own tags", 0, 0, 1, 0, M_NOWAIT);
	assert_ptr_equal(vm, storage);
	assert_int_equal(vmem_add_tags(vm, block, 8), COOPER_EINVAL);
	assert_int_equal(vmem_add_tags(vm, block + 1, sizeof(block) - 1), 0);
	assert_true(vm->table.room > TABLE_FIRST);
	assert_int_equal(vmem_add(vm, 1, 1 << 20, M_NOWAIT), 0);
	for (n = 0; vmem_alloc(vm, 1, M_NOWAIT | M_NEXTFIT, &addr) == 0; n++)
		if (n % 2 != 0)
			vmem_free(vm, addr, 1); /* leaves holes: each a tag */
	assert_true(n > 500);
	arena_check(vm);
	t = side_start(waits_for_a_tag, &got, -1);
	wait_for_sleepers("own tags", 1);
	assert_int_equal(vmem_add_tags(vm, more, sizeof(more)), 0);
	side_join(t);
	assert_int_not_equal(got, 0);
	arena_check(vm);
	vmem_destroy(vm);
	memset(block, 0, sizeof(block));
}

/* An arena that has taken tags elsewhere keeps to it. */
static void
tags_of_the_caller_too_late(void **state)
{
	static char block[4096];

	(void)state;
	vm = vmem_create("late", 1, 100, 1, 0, M_WAITOK);
	assert_int_equal(vmem_add_tags(vm, block, sizeof(block)), COOPER_EINVAL);
	vmem_destroy(vm);
}

/* ---- quantum caches ----------------------------------------------------------------------------------------- */

static void
quantum_caches(void **state)
{
	vmem_addr_t addr[64];

	(void)state;
	vm = vmem_create("cached", 4096, 1 << 20, 4096, 1 << 30, M_WAITOK);
	assert_int_equal(vm->nqcache, 16);
	assert_string_equal(vm->qcache[0].name, "cached-4096");
	assert_string_equal(vm->qcache[15].name, "cached-65536");
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < nitems(addr); i++)
			addr[i] = arena_get(vm, 4096 * (1 + i % 3), M_FIRSTFIT);
		for (unsigned i = 0; i < nitems(addr); i++)
			vmem_free(vm, addr[i], 4096 * (1 + i % 3));
	}
	/* What is cached is found when it is wanted. */
	addr[0] = 0;
	assert_int_equal(vmem_alloc(vm, 1 << 20, M_WAITOK | M_FIRSTFIT, &addr[0]), 0);
	assert_int_equal(addr[0], 4096);
	vmem_free(vm, addr[0], 1 << 20);
	assert_int_equal(vmem_size(vm, VMEM_ALLOC), 0);
	vmem_destroy(vm);
	vm = vmem_create("one", 4096, 1 << 20, 4096, 4096, M_WAITOK);
	assert_int_equal(vm->nqcache, 1);
	vmem_destroy(vm);
}

/* ---- what is refused ------------------------------------------------------------------------------------------- */

static vmem_addr_t out;

static int
no_policy(void *arg)
{
	(void)arg;
	return (vmem_alloc(vm, 1, M_NOWAIT, &out));
}

static int
two_policies(void *arg)
{
	(void)arg;
	return (vmem_alloc(vm, 1, M_NOWAIT | M_FIRSTFIT | M_BESTFIT, &out));
}

static int
wait_and_not(void *arg)
{
	(void)arg;
	return (vmem_alloc(vm, 1, M_NOWAIT | M_WAITOK | M_FIRSTFIT, &out));
}

static int
reserve_and_wait(void *arg)
{
	(void)arg;
	return (vmem_alloc(vm, 1, M_WAITOK | M_USE_RESERVE | M_FIRSTFIT, &out));
}

static int
size_zero(void *arg)
{
	(void)arg;
	return (vmem_alloc(vm, 0, M_NOWAIT | M_FIRSTFIT, &out));
}

struct constraints {
	vmem_size_t size, align, phase, nocross;
	vmem_addr_t min, max;
	int policy;
};

static int
constrained(void *arg)
{
	const struct constraints *c = arg;

	return (vmem_xalloc(vm, c->size, c->align, c->phase, c->nocross, c->min, c->max,
	    M_NOWAIT | c->policy, &out));
}

static int
add_overlapping(void *arg)
{
	return (vmem_add(vm, *(vmem_addr_t *)arg, 64, M_NOWAIT));
}

static void
misuse(void **state)
{
	static struct constraints bad[] = {
		{ 64, 48, 0, 0, ANYWHERE, M_FIRSTFIT },         /* align no power of two */
		{ 64, 8, 0, 0, ANYWHERE, M_FIRSTFIT },          /* below the quantum */
		{ 64, 64, 64, 0, ANYWHERE, M_FIRSTFIT },        /* phase not below align */
		{ 64, 64, 8, 0, ANYWHERE, M_FIRSTFIT },         /* phase no quanta */
		{ 64, 0, 0, 48, ANYWHERE, M_FIRSTFIT },         /* nocross no power of two */
		{ 64, 0, 0, 32, ANYWHERE, M_FIRSTFIT },         /* nocross below size */
		{ 64, 128, 96, 128, ANYWHERE, M_FIRSTFIT },     /* always crosses */
		{ 64, 0, 0, 0, 200, 100, M_FIRSTFIT },          /* window the wrong way round */
		{ 64, 0, 0, 0, 100, VMEM_ADDR_MAX, M_NEXTFIT }, /* next fit with a window */
	};
	static vmem_addr_t overlap[] = { 4096, 4096 + 1024 - 64, 4096 - 48, 8,
		VMEM_ADDR_MAX - 63 + 16 - 16 };
	int (*const calls[])(
	    void *) = { no_policy, two_policies, wait_and_not, reserve_and_wait, size_zero };

	(void)state;
	vm = vmem_create("misused", 4096, 1024, 16, 0, M_WAITOK);
	for (unsigned i = 0; i < nitems(calls); i++)
		if (!core_debug)
			assert_int_equal(calls[i](NULL), COOPER_EINVAL);
		else
			assert_int_equal(
			    expect_misuse(calls[i], NULL, "vmem_alloc: arena \"misused\""), 0);
	for (unsigned i = 0; i < nitems(bad); i++)
		if (!core_debug)
			assert_int_equal(constrained(&bad[i]), COOPER_EINVAL);
		else
			assert_int_equal(
			    expect_misuse(constrained, &bad[i], "vmem_xalloc: arena \"misused\""),
			    0);
	for (unsigned i = 0; i < nitems(overlap); i++)
		if (!core_debug)
			assert_int_equal(add_overlapping(&overlap[i]), COOPER_EINVAL);
		else
			assert_int_equal(expect_misuse(add_overlapping, &overlap[i],
					     "vmem_add: arena \"misused\""),
			    0);
	if (!core_debug)
		assert_null(vmem_create("odd", 0, 0, 3, 0, M_WAITOK));
	assert_int_equal(vmem_size(vm, VMEM_ALLOC | VMEM_FREE), 1024);
	arena_check(vm);
	vmem_destroy(vm);
}

TEST_MAIN(cmocka_unit_test(sizes), cmocka_unit_test(maxfree_is_exact_for_large_sizes),
    cmocka_unit_test(walk_and_whatis), cmocka_unit_test(print), cmocka_unit_test(policies),
    cmocka_unit_test(the_ends_of_the_world), cmocka_unit_test(tags_of_the_caller),
    cmocka_unit_test(tags_of_the_caller_too_late), cmocka_unit_test(quantum_caches),
    cmocka_unit_test(misuse))
