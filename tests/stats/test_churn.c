/*
 * The collector while everything that it walks comes and goes: it always ends, and never faults.
 */
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "base/atomic.h"
#include "harness.h"
#include "stats/posix/save.h"
#include <cooper/uma.h>
#include <cooper/vmem.h>

#define LOOKS 200

static bool stop;
static uma_zone_t limited;

static void *
zones(void *arg)
{
	(void)arg;
	while (!atomic_load_acquire(&stop)) {
		uma_zone_t zone =
		    uma_zcreate("coming and going", 200, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
		void *item[20];

		for (unsigned i = 0; i < nitems(item); i++)
			item[i] = uma_zalloc(zone, M_WAITOK);
		for (unsigned i = 0; i < nitems(item); i++)
			uma_zfree(zone, item[i]);
		uma_zdestroy(zone);
	}
	return (NULL);
}

static void *
arenas(void *arg)
{
	(void)arg;
	while (!atomic_load_acquire(&stop)) {
		vmem_t *vm = vmem_create("coming and going", 16, 4096, 1, 0, M_WAITOK);
		vmem_addr_t at[20];

		for (unsigned i = 0; i < nitems(at); i++)
			TEST_MUST(vmem_alloc(vm, i + 1, M_WAITOK | M_FIRSTFIT, &at[i]) == 0);
		for (unsigned i = 0; i < nitems(at); i++)
			vmem_free(vm, at[i], i + 1);
		vmem_destroy(vm);
	}
	return (NULL);
}

static void *
sleepers(void *arg)
{
	(void)arg;
	while (!atomic_load_acquire(&stop))
		uma_zfree(limited, uma_zalloc(limited, M_WAITOK));
	return (NULL);
}

static void
see(void *arg, enum stats_section s, const void *record)
{
	unsigned *count = arg;
	const struct stats_kind *kind = &stats_kinds[s];

	count[s]++;
	for (unsigned i = 0; i < kind->nfields; i++)
		if (kind->fields[i].type == STATS_STRING)
			assert_non_null(memchr((const char *)record + kind->fields[i].offset, '\0',
			    kind->fields[i].size));
}

static void
walks_end_while_all_changes(void **state)
{
	void *(*const work[])(void *) = { zones, arenas, sleepers, sleepers };
	pthread_t thread[nitems(work)];
	unsigned count[STATS_SECTIONS] = { 0 };
	struct stats_visitor out = { see, count };
	pid_t self = getpid();

	(void)state;
	limited = uma_zcreate("limited", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	assert_int_equal(uma_zone_set_max(limited, 1), 1);
	for (unsigned i = 0; i < nitems(work); i++)
		assert_int_equal(pthread_create(&thread[i], NULL, work[i], NULL), 0);
	for (unsigned i = 0; i < LOOKS; i++) {
		struct stats_collector c = { .peek = stats_peek_pid,
			.peek_arg = &self,
			.root = (uintptr_t)&cooper_stats_root,
			.now = machine_now(),
			.max_tags = 1000,
			.sections = STATS_ALL };

		assert_null(stats_collect(&c, &out));
	}
	atomic_store_release(&stop, true);
	for (unsigned i = 0; i < nitems(work); i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	uma_zdestroy(limited);
	assert_int_equal(count[STATS_PROCESS], LOOKS);
	assert_int_equal(count[STATS_TOTALS], LOOKS);
	assert_int_equal(count[STATS_DOMAINS], LOOKS * cooper_shape()->ndomains);
	assert_true(count[STATS_ZONES] >= LOOKS);
	assert_true(count[STATS_ARENAS] >= LOOKS);
}

TEST_MAIN(cmocka_unit_test(walks_end_while_all_changes))
