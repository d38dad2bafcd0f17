/*
 * SMR under fire: readers walk a table of items while writers replace and poison them. No reader
 * ever sees a poisoned item. Readers move between CPUs inside their sections.
 */
#include <stdlib.h>

#include "harness.h"
#include "smr/smr_int.h"

#define SLOTS   16
#define ROUNDS  TEST_STEPS(2000) /* at least, and until the readers have made their number */
#define SEEN    TEST_STEPS(10000)
#define PENDING 32
#define ALIVE   0x600dcafeu
#define DEAD    0xdeadc0deu

struct item {
	uint32_t magic[8];
};

struct table {
	smr_t smr;
	struct item *slot[SLOTS];
	uint32_t writers_left;
	uint32_t seen; /* read sections so far */
	int flags;
};

static struct item *
new_item(void)
{
	struct item *it = malloc(sizeof(*it));

	TEST_MUST(it != NULL);
	for (unsigned i = 0; i < 8; i++)
		__atomic_store_n(&it->magic[i], ALIVE, __ATOMIC_RELAXED);
	return (it);
}

static void
kill_item(struct item *it)
{
	for (unsigned i = 0; i < 8; i++)
		__atomic_store_n(&it->magic[i], DEAD, __ATOMIC_RELAXED);
	free(it);
}

static void
read_slots(struct test_thread *t, uint64_t *seed)
{
	struct table *tab = t->arg;
	unsigned ncpus = cooper_shape()->ncpus;
	bool lazy = (tab->flags & SMR_LAZY) != 0;

	while (atomic_load_relaxed(&tab->writers_left) > 0) {
		uint64_t dice = test_random(seed);
		struct item *it;

		(lazy ? smr_lazy_enter : smr_enter)(tab->smr);
		it = atomic_load_acquire(&tab->slot[dice % SLOTS]);
		if (dice >> 8 & 1 && cooper_shape()->pin)
			machine_bind((int)((dice >> 16) % ncpus));
		if ((dice >> 32) % 64 == 0) /* preempted in the section */
			machine_park(machine_now() + 20000);
		for (unsigned i = 0; i < 8; i++)
			TEST_MUST(__atomic_load_n(&it->magic[i], __ATOMIC_RELAXED) == ALIVE);
		(lazy ? smr_lazy_exit : smr_exit)(tab->smr);
		atomic_add_relaxed(&tab->seen, 1u);
	}
}

/* Half of the items are waited for, half are kept until a poll says yes. */
static void
write_slots(struct test_thread *t, uint64_t *seed)
{
	struct table *tab = t->arg;
	struct {
		struct item *item;
		smr_seq_t goal;
	} pending[PENDING];
	unsigned n = 0;
	bool over = false;

	for (unsigned round = 0; !over || n > 0; round++) {
		uint64_t dice = test_random(seed);

		over = round >= ROUNDS && atomic_load_relaxed(&tab->seen) >= SEEN;
		if (!over && n < PENDING) {
			struct item *old = atomic_exchange(&tab->slot[dice % SLOTS], new_item());
			smr_seq_t goal = smr_advance(tab->smr);

			if (dice >> 8 & 1 && (tab->flags & SMR_LAZY) == 0) {
				smr_wait(tab->smr, goal);
				kill_item(old);
			} else {
				pending[n].item = old;
				pending[n++].goal = goal;
			}
		}
		for (unsigned i = n; i-- > 0;)
			if (smr_poll(
				tab->smr, pending[i].goal, over && (tab->flags & SMR_LAZY) == 0)) {
				kill_item(pending[i].item);
				pending[i] = pending[--n];
			}
	}
	atomic_fetch_sub(&tab->writers_left, 1u);
}

static void
reader_or_writer(struct test_thread *t)
{
	uint64_t seed = t->index + 1;

	thread_barrier(t);
	if (t->index < 2)
		write_slots(t, &seed);
	else
		read_slots(t, &seed);
}

static void
fight(int limit, int flags, smr_seq_t start)
{
	struct table tab = { .smr = smr_create("table", limit, flags), .flags = flags };

	assert_non_null(tab.smr);
	if (start != 0)
		tab.smr->wr = tab.smr->rd = start;
	tab.writers_left = 2;
	for (unsigned i = 0; i < SLOTS; i++)
		tab.slot[i] = new_item();
	run_threads(6, reader_or_writer, &tab);
	assert_true(tab.seen >= SEEN);
	for (unsigned i = 0; i < SLOTS; i++)
		kill_item(tab.slot[i]);
	for (unsigned i = 0; i < tab.smr->ncpus; i++)
		assert_int_equal(tab.smr->cpu[i].in[0] | tab.smr->cpu[i].in[1], 0);
	smr_destroy(tab.smr);
}

static void
no_reader_sees_freed_memory(void **state)
{
	(void)state;
	fight(0, 0, 0);
}

static void
nor_in_a_deferred_context(void **state)
{
	(void)state;
	fight(10, SMR_DEFERRED, 0);
}

static void
nor_in_a_lazy_context(void **state)
{
	(void)state;
	fight(0, SMR_LAZY, 0);
}

static void
nor_across_the_wrap(void **state)
{
	(void)state;
	fight(0, 0, UINT32_MAX - 2000);
}

TEST_MAIN(cmocka_unit_test(no_reader_sees_freed_memory),
    cmocka_unit_test(nor_in_a_deferred_context), cmocka_unit_test(nor_in_a_lazy_context),
    cmocka_unit_test(nor_across_the_wrap))
