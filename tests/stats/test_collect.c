/*
 * The collector over made-up structures: right sums, and no damage that it does not survive.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "harness.h"
#include "stats/layout.h"
#include "stats/posix/save.h"

/* What came out. */
struct seen {
	unsigned count[STATS_SECTIONS];
	union stats_record last[STATS_SECTIONS];
};

static void
see(void *arg, enum stats_section s, const void *record)
{
	struct seen *seen = arg;

	seen->count[s]++;
	memcpy(&seen->last[s], record, stats_kinds[s].size);
}

/* A core that was never started, to which tests hang what they want. */
static struct {
	struct cooper_stats_root root;
	struct machine_shape shape;
	struct list zones, arenas, kmem_arenas, channels, waiting;
	struct malloc_type *types;
	struct page_domain domains[COOPER_MAXDOMAIN];
	uint64_t vm_waits[COOPER_MAXDOMAIN];
} fake;

/* Memory that cannot be read. */
static uintptr_t bad_start, bad_end;

static bool
peek(void *arg, uintptr_t addr, void *buf, size_t len)
{
	pid_t self = getpid();

	(void)arg;
	if (addr < bad_end && addr + len > bad_start)
		return (false);
	return (stats_peek_pid(&self, addr, buf, len));
}

static int
set_up(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.shape = (struct machine_shape){ .ncpus = 2, .ndomains = 1 };
	list_init(&fake.zones);
	list_init(&fake.arenas);
	list_init(&fake.kmem_arenas);
	list_init(&fake.channels);
	list_init(&fake.waiting);
	fake.root = (struct cooper_stats_root){ .magic = STATS_MAGIC,
		.word = 8 * sizeof(void *),
		.layout = STATS_LAYOUT,
		.version = "1.2.3",
		.shape = &fake.shape,
		.zones = &fake.zones,
		.arenas = &fake.arenas,
		.kmem_arenas = &fake.kmem_arenas,
		.channels = &fake.channels,
		.waiting = &fake.waiting,
		.types = &fake.types,
		.domains = fake.domains,
		.vm_waits = fake.vm_waits };
	bad_start = bad_end = 0;
	return (0);
}

static const char *
collect(struct seen *seen)
{
	struct stats_visitor out = { see, seen };
	struct stats_collector c = { .peek = peek,
		.root = (uintptr_t)&fake.root,
		.now = 5000,
		.max_tags = 100,
		.sections = STATS_ALL };

	memset(seen, 0, sizeof(*seen));
	return (stats_collect(&c, &out));
}

static void
root_is_checked(void **state)
{
	struct seen seen;

	(void)state;
	assert_null(collect(&seen));
	assert_string_equal(seen.last[STATS_PROCESS].process.version, "1.2.3");
	fake.root.magic[0] = 'c';
	assert_non_null(strstr(collect(&seen), "not a Cooper"));
	set_up(state);
	fake.root.word ^= 96;
	assert_non_null(strstr(collect(&seen), "-bit process"));
	set_up(state);
	fake.root.layout++;
	assert_non_null(strstr(collect(&seen), "another build"));
	bad_start = (uintptr_t)&fake.root;
	bad_end = bad_start + 1;
	assert_non_null(strstr(collect(&seen), "cannot be read"));
	for (unsigned s = 0; s < STATS_SECTIONS; s++)
		assert_int_equal(seen.count[s], 0);
}

static void
a_core_that_was_not_started(void **state)
{
	struct seen seen;

	(void)state;
	memset(&fake.zones, 0, sizeof(fake.zones));
	memset(&fake.waiting, 0, sizeof(fake.waiting));
	assert_null(collect(&seen));
	assert_int_equal(seen.count[STATS_ZONES], 0);
	assert_int_equal(seen.count[STATS_DAMAGE], 0);
	assert_int_equal(seen.count[STATS_TOTALS], 1);
}

/* ---- lists ------------------------------------------------------------------------------------- */

static struct channel channels[8];

static void
hang_channels(unsigned n)
{
	memset(channels, 0, sizeof(channels));
	for (unsigned i = 0; i < n; i++) {
		core_snprintf(channels[i].name, sizeof(channels[i].name), "channel %u", i);
		channels[i].sleeps = i + 1;
		list_append(&fake.channels, &channels[i].link);
	}
}

static void
a_list_is_walked(void **state)
{
	struct seen seen;

	(void)state;
	hang_channels(8);
	assert_null(collect(&seen));
	assert_int_equal(seen.count[STATS_CHANNELS], 8);
	assert_string_equal(seen.last[STATS_CHANNELS].channel.name, "channel 7");
	assert_int_equal(seen.last[STATS_TOTALS].totals.sleeps, 36);
	assert_int_equal(seen.count[STATS_DAMAGE], 0);
}

static void
check_damage(const char *words, unsigned at_most)
{
	struct seen seen;

	assert_null(collect(&seen));
	assert_in_range(seen.count[STATS_CHANNELS], 0, at_most);
	assert_int_equal(seen.count[STATS_DAMAGE], 1);
	assert_string_equal(seen.last[STATS_DAMAGE].damage.section, "channels");
	assert_non_null(strstr(seen.last[STATS_DAMAGE].damage.what, words));
	assert_int_equal(seen.count[STATS_DOMAINS], 1); /* the rest is still there */
	assert_int_equal(seen.count[STATS_TOTALS], 1);
}

static void
a_circle_is_left(void **state)
{
	(void)state;
	for (unsigned to = 0; to < 8; to++) {
		set_up(state);
		hang_channels(8);
		channels[7].link.next = &channels[to].link;
		check_damage(to == 7 ? "changed under" : "circle", 40);
	}
}

static void
a_wild_link_ends_the_list(void **state)
{
	(void)state;
	hang_channels(8);
	channels[3].link.next = (struct list *)(uintptr_t)0x10;
	check_damage("0x10 cannot be read; the list ends after 4", 4);
	set_up(state);
	hang_channels(8);
	bad_start = (uintptr_t)&channels[5];
	bad_end = bad_start + sizeof(channels[5]);
	check_damage("the list ends after 5", 5);
	set_up(state);
	fake.root.channels = (struct list *)(uintptr_t)0x20;
	check_damage("head", 0);
}

static void
an_element_taken_off_ends_the_list(void **state)
{
	(void)state;
	hang_channels(8);
	list_init(&channels[2].link);
	check_damage("changed under the reader; it ends after 2", 2);
}

static void
sleepers_are_seen(void **state)
{
	struct seen seen;
	struct waitq q[2] = { { .name = "vmwait", .nwaiters = 1 },
		{ .name = "btalloc", .nwaiters = 2 } };
	struct waiter w[3] = { { .id = 7, .since = 1000, .need = 1 },
		{ .id = 8, .since = 4000, .need = 2 }, { .id = 9, .since = 9999, .need = 3 } };

	(void)state;
	hang_channels(1);
	core_snprintf(channels[0].name, sizeof(channels[0].name), "btalloc");
	for (unsigned i = 0; i < 2; i++) {
		list_init(&q[i].waiters);
		list_append(&fake.waiting, &q[i].table);
	}
	list_append(&q[0].waiters, &w[0].link);
	list_append(&q[1].waiters, &w[1].link);
	list_append(&q[1].waiters, &w[2].link);
	assert_null(collect(&seen));
	assert_int_equal(seen.count[STATS_WAITS], 3);
	assert_string_equal(seen.last[STATS_WAITS].wait.channel, "btalloc");
	assert_int_equal(seen.last[STATS_WAITS].wait.thread, 9);
	assert_int_equal(seen.last[STATS_WAITS].wait.age_ns, 0); /* it began after we looked */
	assert_int_equal(seen.last[STATS_CHANNELS].channel.sleeping, 2);
}

/* ---- zones ------------------------------------------------------------------------------------- */

static struct {
	struct uma_zone zone;
} z;
static struct uma_zdomain depot;
static union {
	struct uma_keg keg;
	char room[sizeof(struct uma_keg) + sizeof(struct uma_kdomain)];
} k;
static struct percpu part[2];

static void
hang_zone(void)
{
	memset(&z, 0, sizeof(z));
	memset(&k, 0, sizeof(k));
	memset(part, 0, sizeof(part));
	memset(&depot, 0, sizeof(depot));
	z.zone.name = "a zone";
	z.zone.size = 64;
	z.zone.keg = &k.keg;
	z.zone.cache = part;
	z.zone.cpus[0] = 3;
	z.zone.allocs = 10;
	z.zone.frees = 4;
	z.zone.domain = &depot;
	depot.nitems = 20;
	k.keg.rsize = 64;
	k.keg.domain[0].pages = 5;
	k.keg.domain[0].free_items = 300;
	/* CPU 0: open; 6 on the stack when it was opened, 3 popped and 2 pushed since. */
	part[0].alloc = (struct percpu_stack){ .word = 3u << 16 | 5, .count = 6, .open = true };
	part[0].pops = 100;
	part[0].pushes = 50;
	/* CPU 1: closed with 7 on it, 2 of other domains'. */
	part[1].alloc = (struct percpu_stack){ .word = PERCPU_CLOSED, .count = 7 };
	part[1].free.word = part[0].free.word = PERCPU_CLOSED;
	part[1].cross.count = 2;
	list_append(&fake.zones, &z.zone.link);
}

static void
a_zone_adds_up(void **state)
{
	struct seen seen;
	const struct stats_zone *r = &seen.last[STATS_ZONES].zone;

	(void)state;
	hang_zone();
	assert_null(collect(&seen));
	assert_int_equal(seen.count[STATS_ZONES], 1);
	assert_string_equal(r->name, "a zone");
	assert_int_equal(r->requests, 10 + 100 + 3);
	assert_int_equal(r->frees, 4 + 50 + 2);
	assert_int_equal(r->used, 113 - 56);
	assert_int_equal(r->cpu_cached, 5 + 7 + 2);
	assert_int_equal(r->free, 300 + 20 + 14);
	assert_int_equal(r->pages, 5);
}

static void
a_shared_keg_is_counted_once(void **state)
{
	struct seen seen;

	(void)state;
	hang_zone();
	z.zone.flags = UMA_ZONE_SECONDARY;
	assert_null(collect(&seen));
	assert_int_equal(seen.last[STATS_ZONES].zone.pages, 0);
	assert_int_equal(seen.last[STATS_ZONES].zone.free, 20 + 14);
	assert_int_equal(seen.last[STATS_ZONES].zone.rsize, 64);
}

static void
a_damaged_zone_is_told(void **state)
{
	struct seen seen;

	(void)state;
	hang_zone();
	z.zone.keg = (struct uma_keg *)(uintptr_t)0x30;
	z.zone.cache = (struct percpu *)(uintptr_t)0x1000;
	z.zone.name = (const char *)(uintptr_t)0x40;
	z.zone.domain = (struct uma_zdomain *)(uintptr_t)0x50;
	assert_null(collect(&seen));
	assert_int_equal(seen.count[STATS_ZONES], 1);
	assert_string_equal(seen.last[STATS_ZONES].zone.name, "?");
	assert_int_equal(seen.count[STATS_DAMAGE], 3); /* depots, parts, keg */
	assert_non_null(strstr(seen.last[STATS_DAMAGE].damage.what, "keg"));
}

/* ---- types, arenas, memory that ends ----------------------------------------------------------- */

static void
the_front_counts_by_its_zones(void **state)
{
	static struct malloc_type_stats large[2], other[2];
	struct malloc_type front = {
		.ks_shortdesc = "libc", .ks_stats = large, .ks_flags = MALLOC_TYPE_FRONT
	};
	struct malloc_type type = { .ks_shortdesc = "other", .ks_stats = other, .ks_next = &front };
	struct seen seen;

	(void)state;
	hang_zone();
	z.zone.flags = UMA_ZONE_MALLOC;
	fake.types = &type;
	large[1].numallocs = 1;
	large[1].memalloced = 100000;
	large[1].sizes = 1u << MALLOC_SIZES_LARGE;
	other[0].numallocs = 5;
	other[1].numfrees = 2;
	other[0].memalloced = 5 * 64;
	other[1].memfreed = 2 * 64;
	assert_null(collect(&seen));
	assert_int_equal(seen.count[STATS_TYPES], 2);
	assert_int_equal(seen.last[STATS_TYPES].type.requests, 113 - 5 + 1);
	assert_int_equal(seen.last[STATS_TYPES].type.frees, 56 - 2);
	assert_int_equal(seen.last[STATS_TYPES].type.memuse, (113 - 56) * 64 - 3 * 64 + 100000);
	assert_true(seen.last[STATS_TYPES].type.sizes == (1ull << STATS_LARGE | 1ull << 6));
	assert_int_equal(seen.last[STATS_TOTALS].totals.allocs, 113 + 1);
	front.ks_next = &type;
	assert_null(collect(&seen));
	assert_int_equal(seen.count[STATS_DAMAGE], 1);
}

static void
an_arena_that_lies_about_its_tags(void **state)
{
	static struct vmem vm;
	struct seen seen;

	(void)state;
	memset(&vm, 0, sizeof(vm));
	memcpy(vm.name, "ids", 4);
	vm.size = 100;
	vm.inuse = 30;
	vm.nbusy = 3;
	vm.base = 0x1000;
	vm.first = 5;
	vm.bins.tops = 1;
	vm.bins.subs[0] = 2;
	vm.bins.head[0][1] = 77;
	vm.nfree = 9;
	list_append(&fake.arenas, &vm.link);
	assert_null(collect(&seen));
	assert_int_equal(seen.count[STATS_ARENAS], 1);
	assert_int_equal(seen.last[STATS_ARENAS].arena.free, 70);
	assert_int_equal(seen.count[STATS_DAMAGE], 1);
	assert_non_null(strstr(seen.last[STATS_DAMAGE].damage.what, "of 12 tags"));
}

static void
an_arena_knows_its_parent(void **state)
{
	static struct vmem parent, child, kernel;
	struct kmem_arena root = { .vm = &parent }, ka = { .vm = &kernel, .parent = &root };
	struct seen seen;

	(void)state;
	memcpy(parent.name, "parent", 7);
	child.import = kernel.import = (vmem_import_t *)(uintptr_t)1;
	child.import_arg = &parent;
	kernel.import_arg = &ka;
	list_append(&fake.arenas, &parent.link);
	list_append(&fake.arenas, &child.link);
	list_append(&fake.kmem_arenas, &root.link);
	list_append(&fake.kmem_arenas, &ka.link);
	assert_null(collect(&seen));
	assert_string_equal(seen.last[STATS_ARENAS].arena.parent, "parent");
	list_append(&fake.arenas, &kernel.link);
	assert_null(collect(&seen));
	assert_string_equal(seen.last[STATS_ARENAS].arena.parent, "parent");
	child.import_arg = &child.wait;
	list_remove(&kernel.link);
	assert_null(collect(&seen));
	assert_string_equal(seen.last[STATS_ARENAS].arena.parent, "(function)");
	assert_int_equal(seen.count[STATS_DAMAGE], 0);
}

static void
a_name_at_the_end_of_memory(void **state)
{
	struct seen seen;
	char *page =
	    mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(page != MAP_FAILED);
	assert_int_equal(munmap(page + PAGE_SIZE, PAGE_SIZE), 0);
	hang_zone();
	memcpy(page + PAGE_SIZE - 4, "end", 4);
	z.zone.name = page + PAGE_SIZE - 4;
	assert_null(collect(&seen));
	assert_string_equal(seen.last[STATS_ZONES].zone.name, "end");
	page[PAGE_SIZE - 1] = '!';
	assert_null(collect(&seen));
	assert_string_equal(seen.last[STATS_ZONES].zone.name, "end!");
	assert_int_equal(munmap(page, PAGE_SIZE), 0);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

TEST_MAIN(TEST(root_is_checked), TEST(a_core_that_was_not_started), TEST(a_list_is_walked),
    TEST(a_circle_is_left), TEST(a_wild_link_ends_the_list),
    TEST(an_element_taken_off_ends_the_list), TEST(sleepers_are_seen), TEST(a_zone_adds_up),
    TEST(a_shared_keg_is_counted_once), TEST(a_damaged_zone_is_told),
    TEST(the_front_counts_by_its_zones), TEST(an_arena_that_lies_about_its_tags),
    TEST(an_arena_knows_its_parent), TEST(a_name_at_the_end_of_memory))
