/*
 * Statistics of a core that runs, this one: what the collector finds is what the rooms say; the
 * tables that a kernel would print; saving, also by a forked child.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "harness.h"
#include "page/page.h"
#include "stats/posix/save.h"
#include <cooper/malloc.h>
#include <cooper/uma.h>
#include <cooper/vmem.h>

MALLOC_DEFINE(M_TEST, "test type", "for tests");

static uma_zone_t zone;
static void *items[300];

static void
take(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		items[i] = uma_zalloc(zone, M_WAITOK);
		assert_non_null(items[i]);
	}
}

static void
give(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		uma_zfree(zone, items[i]);
}

struct found {
	const char *name;
	struct stats_zone zone;
	struct stats_arena arena;
	struct stats_type type;
	unsigned damage, domains;
	uint64_t cached; /* of all CPUs */
};

static void
find(void *arg, enum stats_section s, const void *record)
{
	struct found *f = arg;

	if (s == STATS_ZONES && strcmp(((const struct stats_zone *)record)->name, f->name) == 0)
		f->zone = *(const struct stats_zone *)record;
	if (s == STATS_ARENAS && strcmp(((const struct stats_arena *)record)->name, f->name) == 0)
		f->arena = *(const struct stats_arena *)record;
	if (s == STATS_TYPES && strcmp(((const struct stats_type *)record)->name, f->name) == 0)
		f->type = *(const struct stats_type *)record;
	if (s == STATS_CPUS)
		f->cached += ((const struct stats_cpu *)record)->cached;
	f->damage += s == STATS_DAMAGE;
	f->domains += s == STATS_DOMAINS;
}

static struct found
look(const char *name)
{
	static struct stats_cpu cpus[COOPER_MAXCPU];
	struct found f = { .name = name };
	struct stats_visitor out = { find, &f };
	struct stats_collector c = { .peek = stats_peek_self,
		.root = (uintptr_t)&cooper_stats_root,
		.max_tags = 1000,
		.cpus = cpus,
		.sections = STATS_ALL };

	assert_null(stats_collect(&c, &out));
	assert_int_equal(f.damage, 0);
	assert_int_equal(f.domains, cooper_shape()->ndomains);
	return (f);
}

static void
zone_counters_are_exact(void **state)
{
	struct found f;

	(void)state;
	zone = uma_zcreate("test zone", 100, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	for (unsigned round = 1; round <= 3; round++) {
		take(0, 300);
		give(0, 120);
		f = look("test zone");
		assert_int_equal(f.zone.requests, round * 300);
		assert_int_equal(f.zone.frees, (round - 1) * 300 + 120);
		assert_int_equal(f.zone.used, 180);
		assert_int_equal(f.zone.used, uma_zone_get_cur(zone));
		assert_int_equal(
		    f.zone.pages / f.zone.slab_pages * f.zone.per_slab, f.zone.used + f.zone.free);
		assert_true(f.cached >= f.zone.cpu_cached);
		give(120, 300);
	}
	f = look("test zone");
	assert_int_equal(f.zone.used, 0);
	assert_int_equal(f.zone.size, 100);
	uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
	f = look("test zone");
	assert_int_equal(f.zone.requests, 900);
	assert_int_equal(f.zone.free, 0);
	assert_int_equal(f.zone.pages, 0);
}

static bool
count(enum vmem_segment_type type, vmem_addr_t addr, vmem_size_t size, void *arg)
{
	(void)addr;
	(void)size;
	*(uint64_t *)arg += type == VMEM_SEG_BUSY || type == VMEM_SEG_FREE;
	return (true);
}

static void
arena_is_what_vmem_says(void **state)
{
	vmem_addr_t at[40];
	vmem_t *vm = vmem_create("test arena", 1, 100000, 1, 0, M_WAITOK);
	struct found f;
	uint64_t segments = 0, rows = 0;

	(void)state;
	for (unsigned i = 0; i < nitems(at); i++)
		assert_int_equal(vmem_alloc(vm, 3 * i + 1, M_FIRSTFIT | M_WAITOK, &at[i]), 0);
	for (unsigned i = 0; i < nitems(at); i += 2)
		vmem_free(vm, at[i], 3 * i + 1);
	f = look("test arena");
	assert_int_equal(f.arena.size, 100000);
	assert_int_equal(f.arena.inuse, vmem_size(vm, VMEM_ALLOC));
	assert_int_equal(f.arena.free, vmem_size(vm, VMEM_FREE));
	assert_int_equal(f.arena.largest, vmem_size(vm, VMEM_MAXFREE));
	assert_int_equal(f.arena.imported, 0);
	assert_int_equal(f.arena.allocs, 40);
	assert_int_equal(f.arena.frees, 20);
	vmem_walk(vm, count, &segments);
	assert_int_equal(f.arena.tags_busy + f.arena.tags_free, segments);
	for (unsigned i = 0; i < f.arena.nclasses; i++)
		rows += f.arena.histogram[i].free + f.arena.histogram[i].busy;
	assert_int_equal(rows, segments);
	for (unsigned i = 1; i < nitems(at); i += 2)
		vmem_free(vm, at[i], 3 * i + 1);
	vmem_destroy(vm);
	assert_int_equal(look("test arena").arena.size, 0);
}

static int
import(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	return (vmem_xalloc(
	    arg, size, 0, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX, flags | M_FIRSTFIT, addrp));
}

static void
release(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	vmem_xfree(arg, addr, size);
}

static void
imports_and_parents(void **state)
{
	vmem_t *parent = vmem_create("test parent", 64, 6400, 1, 0, M_WAITOK);
	vmem_t *child = vmem_create("test child", 0, 0, 1, 0, M_WAITOK);
	vmem_addr_t addr;
	struct found f;

	(void)state;
	vmem_set_import(child, import, release, parent, 64);
	assert_int_equal(vmem_alloc(child, 10, M_WAITOK | M_FIRSTFIT, &addr), 0);
	f = look("test child");
	assert_string_equal(f.arena.parent, "test parent");
	assert_int_equal(f.arena.imported, 64);
	assert_int_equal(f.arena.imports, 1);
	vmem_free(child, addr, 10);
	vmem_destroy(child);
	vmem_destroy(parent);
}

static void
types_are_counted(void **state)
{
	struct found f;
	void *p = cooper_malloc(100, M_TEST, M_WAITOK),
	     *q = cooper_malloc(100000, M_TEST, M_WAITOK);

	(void)state;
	f = look("test type");
	assert_int_equal(f.type.inuse, 2);
	assert_int_equal(f.type.requests, 2);
	assert_true(f.type.memuse >= 100100);
	assert_true(f.type.sizes >> STATS_LARGE);
	cooper_free(p, M_TEST);
	cooper_free(q, M_TEST);
	f = look("test type");
	assert_int_equal(f.type.inuse, 0);
	assert_int_equal(f.type.memuse, 0);
}

/* ---- the equation --------------------------------------------------------------------------------- */

static struct stats_memory memory;
static uint64_t cpu_memory;

static void
see_memory(void *arg, enum stats_section s, const void *record)
{
	(void)arg;
	if (s == STATS_MEMORY)
		memory = *(const struct stats_memory *)record;
	if (s == STATS_CPUS)
		cpu_memory += ((const struct stats_cpu *)record)->memory;
}

static void
look_at_memory(void)
{
	static struct stats_cpu cpus[COOPER_MAXCPU];
	struct stats_visitor out = { see_memory, NULL };
	pid_t pid = getpid();
	struct stats_collector c = { .peek = stats_peek_pid,
		.peek_arg = &pid,
		.resident = stats_resident_pid,
		.root = (uintptr_t)&cooper_stats_root,
		.cpus = cpus,
		.sections = STATS_BIT(MEMORY) | STATS_BIT(CPUS) };
	uint64_t depots = 0, slabs = 0, cache = 0;

	cpu_memory = 0;
	assert_null(stats_collect(&c, &out));
	assert_int_equal(memory.live + memory.large + memory.cpu_caches + memory.depot_caches +
			     memory.slab_free + memory.page_cache + memory.metadata +
			     memory.fragmentation + memory.unaccounted - memory.untouched,
	    memory.resident);
	for (unsigned d = 0; d < memory.ndomains; d++) {
		depots += memory.domain[d].depot_caches;
		slabs += memory.domain[d].slab_free;
		cache += memory.domain[d].page_cache;
	}
	assert_int_equal(cpu_memory, memory.cpu_caches);
	assert_int_equal(depots, memory.depot_caches);
	assert_int_equal(slabs, memory.slab_free);
	assert_int_equal(cache, memory.page_cache);
}

/* What each term is about goes there, by as much; and the host knows of nothing else. */
static void
the_equation_sums(void **state)
{
	struct stats_memory before;
	static void *some[4000];
	uma_zone_t z = uma_zcreate("equation", 1000, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	char *block;

	(void)state;
	uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
	(void)page_discard_free(~0ul);
	look_at_memory();
	before = memory;
	for (unsigned i = 0; i < nitems(some); i++) {
		some[i] = uma_zalloc(z, M_WAITOK);
		assert_non_null(some[i]);
		memset(some[i], 1, 1000);
	}
	look_at_memory();
	assert_int_equal(memory.live - before.live, 4000 * 1000);
	assert_true(memory.resident - before.resident >= 4000 * 1000);
	assert_true(memory.unaccounted < 64 * PAGE_SIZE);
	before = memory;
	for (unsigned i = 0; i < nitems(some); i++)
		uma_zfree(z, some[i]);
	look_at_memory();
	assert_int_equal(before.live - memory.live, 4000 * 1000);
	assert_int_equal(memory.cpu_caches + memory.depot_caches + memory.slab_free -
			     before.cpu_caches - before.depot_caches - before.slab_free,
	    4000 * 1000);
	before = memory;
	block = cooper_malloc(1 << 20, M_TEST, M_WAITOK);
	look_at_memory();
	assert_in_range(memory.large - before.large, 1 << 20, (1 << 20) + 64 * PAGE_SIZE);
	assert_true(memory.untouched - before.untouched >= (1 << 20) - PAGE_SIZE);
	memset(block, 1, 1 << 20);
	look_at_memory();
	assert_true(memory.resident - before.resident >= 1 << 20);
	assert_in_range(memory.untouched + 64 * PAGE_SIZE - before.untouched, 0, 128 * PAGE_SIZE);
	assert_true(memory.unaccounted < 64 * PAGE_SIZE);
	cooper_free(block, M_TEST);
	uma_zdestroy(z);
}

/* ---- tables ------------------------------------------------------------------------------------ */

static void
see_line(void *arg, const char *line)
{
	static const char *const heads[] = { "ITEM ", "Type ", "ARENA ", "DOMAIN ", "test zone ",
		"kernel arena " };
	unsigned *seen = arg;

	assert_null(strchr(line, '\n'));
	assert_true(strlen(line) < 200);
	for (unsigned i = 0; i < nitems(heads); i++)
		if (strncmp(line, heads[i], strlen(heads[i])) == 0)
			*seen |= 1u << i;
	assert_int_not_equal(strncmp(line, "damaged", 7), 0);
}

static void
tables_are_printed(void **state)
{
	unsigned seen = 0;

	(void)state;
	stats_print_tables(see_line, &seen);
	assert_int_equal(seen, 0x3f);
}

/* ---- saving ------------------------------------------------------------------------------------ */

static char path[] = "/tmp/cooper-test.XXXXXX";
static char text[1 << 20];

/* A number of "test zone" in the n-th line of the file; -1: not there. */
static long
saved(unsigned line, const char *field)
{
	FILE *file = fopen(path, "r");
	char *at = NULL;

	assert_non_null(file);
	for (unsigned i = 0; i <= line; i++)
		if (fgets(text, sizeof(text), file) == NULL)
			text[0] = '\0';
	fclose(file);
	if (text[0] != '\0')
		at = strstr(text, "\"name\":\"test zone\"");
	if (at != NULL)
		at = strstr(at, field);
	return (at == NULL ? -1 : atol(at + strlen(field) + 2));
}

static void
saves_count_nothing_twice(void **state)
{
	int status;
	pid_t pid;

	uma_zone_t namesake = uma_zcreate("test zone", 100, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR,
	    0); /* later on the list, and never used */

	(void)state;
	assert_true((pid = mkstemp(path)) >= 0);
	close(pid);
	stats_run_start(path);
	take(0, 7);
	stats_save_exec(path);
	take(7, 10);
	stats_save_exec(path); /* only what came since */
	take(10, 15);
	pid = fork();
	if (pid == 0) {
		stats_run_fork_child();
		take(15, 17);
		stats_save(path);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	stats_save(path);
	assert_int_equal(saved(0, "requests"), 907);
	assert_int_equal(saved(0, "used"), 7);
	assert_int_equal(saved(1, "requests"), 3);
	assert_int_equal(saved(1, "used"), 10);
	assert_int_equal(saved(2, "requests"), 2);
	assert_int_equal(saved(2, "used"), 17);
	assert_int_equal(saved(3, "requests"), 5);
	assert_int_equal(saved(3, "used"), 15);
	assert_int_equal(saved(4, "used"), -1);
	give(0, 15);
	uma_zdestroy(zone);
	uma_zdestroy(namesake);
	assert_int_equal(unlink(path), 0);
}

static void
vforked_child_saves_nothing(void **state)
{
	FILE *file;
	pid_t pid;

	(void)state;
	pid = vfork();
	if (pid == 0) {
		stats_save(path);
		stats_save_exec(path);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	file = fopen(path, "r");
	assert_null(file);
	stats_save("/nonexistent/folder/file"); /* and what cannot be written is not */
}

TEST_MAIN(cmocka_unit_test(zone_counters_are_exact), cmocka_unit_test(arena_is_what_vmem_says),
    cmocka_unit_test(imports_and_parents), cmocka_unit_test(types_are_counted),
    cmocka_unit_test(the_equation_sums), cmocka_unit_test(tables_are_printed),
    cmocka_unit_test(saves_count_nothing_twice), cmocka_unit_test(vforked_child_saves_nothing))
