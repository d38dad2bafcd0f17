/*
 * The ground floor: text, arithmetic on powers of two, lists, injected failures.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "base/base.h"
#include "base/list.h"

/* ---- text: against libc's snprintf ------------------------------------------------------------------ */

#define SAME(...)                                                                   \
	do {                                                                        \
		char ours[128], theirs[128];                                        \
		int n = core_snprintf(ours, sizeof(ours), __VA_ARGS__);             \
                                                                                    \
		assert_int_equal(n, snprintf(theirs, sizeof(theirs), __VA_ARGS__)); \
		assert_string_equal(ours, theirs);                                  \
	} while (0)

static void
text_like_libc(void **state)
{
	static const uint64_t values[] = { 0, 1, 9, 10, 11, 99, 100, 65535, 65536, 99999, 655360,
		UINT32_MAX, UINT32_MAX + 1ull, 999999999999ull, INT64_MAX, UINT64_MAX - 1,
		UINT64_MAX };

	(void)state;
	for (unsigned i = 0; i < nitems(values); i++) {
		unsigned long long v = values[i];

		SAME("%llu %llx %lld", v, v, (long long)v);
		SAME("%u %x %d", (unsigned)v, (unsigned)v, (int)v);
		SAME("%lu %lx %ld", (unsigned long)v, (unsigned long)v, (long)v);
		SAME("%zu %zx", (size_t)v, (size_t)v);
		SAME("[%5llu] [%-5llu] [%05llu] [%25llx] [%025lld]", v, v, v, v, (long long)v);
		SAME("[%*d] [%-*d]", 12, (int)v, 12, (int)v);
	}
	SAME("%d %05d %-5d|", INT_MIN, -42, -42);
	SAME("%s|%8s|%-8s|%.2s|%.*s|%8.3s", "abc", "abc", "abc", "abc", 1, "abc", "abcdef");
	SAME("%c%c %% 100%%", 'x', 'y');
	SAME("%p", (void *)(uintptr_t)0x1234);
	SAME("%s", "");
}

static void
text_is_cut_and_counted(void **state)
{
	char buf[8];

	(void)state;
	memset(buf, 'z', sizeof(buf));
	assert_int_equal(core_snprintf(buf, 5, "%s-%d", "abcdef", 42), 9);
	assert_string_equal(buf, "abcd");
	assert_int_equal(buf[5], 'z');
	assert_int_equal(core_snprintf(buf, 0, "%d", 12345), 5);
	assert_int_equal(buf[0], 'a');
	assert_int_equal(core_snprintf(buf, 1, "x"), 1);
	assert_string_equal(buf, "");
}

static void
stop_saying_so(void *arg)
{
	core_panic("zone %s: item %p has %d", "widgets", arg, -3);
}

static void
panic_is_one_line(void **state)
{
	(void)state;
	expect_stop(stop_saying_so, (void *)(uintptr_t)0xbeef,
	    "cooper: zone widgets: item 0xbeef has -3\n");
}

/* ---- arithmetic ------------------------------------------------------------------------------------- */

static void
powers_of_two(void **state)
{
	(void)state;
	assert_int_equal(fls_size(0), 0);
	assert_int_equal(ffs_size(0), 0);
	for (unsigned bit = 0; bit < 8 * sizeof(size_t); bit++) {
		size_t v = (size_t)1 << bit;

		assert_int_equal(fls_size(v), bit + 1);
		assert_int_equal(ffs_size(v), bit + 1);
		assert_int_equal(fls_size(v | 1), bit + 1);
		assert_true(is_pow2(v));
		assert_int_equal(is_pow2(v | 1), bit == 0);
	}
	assert_false(is_pow2((size_t)0));
	assert_int_equal(round_up(13u, 8), 16);
	assert_int_equal(round_up(16u, 8), 16);
	assert_int_equal(round_down(23u, 8), 16);
	/* A 64-bit value rounded by an int keeps its upper half. */
	assert_true(round_down((uint64_t)0x123456789aull, 0x1000) == 0x1234567000ull);
	assert_int_equal(howmany(9, 4), 3);
}

/* ---- lists ------------------------------------------------------------------------------------------ */

struct node {
	int value;
	struct list link;
};

static void
expect_order(struct list *head, const char *order)
{
	LIST_EACH (l, head) {
		assert_int_equal(list_entry(l, struct node, link)->value, *order - '0');
		assert_ptr_equal(l->next->prev, l);
		order++;
	}
	assert_int_equal(*order, '\0');
}

static void
lists_keep_order(void **state)
{
	struct list a = LIST_INIT(a), b = LIST_INIT(b);
	struct node n[5];

	(void)state;
	for (int i = 0; i < 5; i++)
		n[i].value = i;
	assert_true(list_empty(&a));
	assert_null(list_pop(&a));
	assert_null(list_first(&a, struct node, link));
	list_append(&a, &n[1].link);
	list_append(&a, &n[2].link);
	list_push(&a, &n[0].link);
	expect_order(&a, "012");
	list_remove(&n[1].link);
	list_remove(&n[1].link); /* harmless */
	expect_order(&a, "02");
	list_append(&b, &n[3].link);
	list_append(&b, &n[4].link);
	list_splice(&a, &b);
	expect_order(&a, "0234");
	assert_true(list_empty(&b));
	list_splice(&a, &b);
	expect_order(&a, "0234");
	LIST_EACH_SAFE (l, &a)
		if (list_entry(l, struct node, link)->value % 2 == 0)
			list_remove(l);
	expect_order(&a, "3");
	assert_ptr_equal(list_pop(&a), &n[3].link);
	assert_true(list_empty(&a));
}

/* ---- injected failures -------------------------------------------------------------------------------- */

static void
kth_request_fails_once(void **state)
{
	(void)state;
	cooper_inject_failure(0);
	for (int i = 0; i < 5; i++)
		assert_false(inject_failure());
	assert_int_equal(cooper_inject_failure(3), 0);
	for (int i = 1; i <= 6; i++)
		assert_int_equal(inject_failure(), i == 3);
	assert_int_equal(cooper_inject_failure(0), 6);
	assert_false(inject_failure());
	assert_int_equal(cooper_inject_failure(3 | COOPER_INJECT_ON), 0);
	for (unsigned i = 1; i <= 6; i++)
		assert_int_equal(inject_failure(), i >= 3);
	assert_int_equal(cooper_inject_failure(0), 6);
	assert_false(inject_failure());
}

/* An operation of three requests that forgets to give the second back when the third fails. */
struct clumsy {
	int taken;
	bool leaks;
};

static bool
clumsy_attempt(void *arg)
{
	struct clumsy *c = arg;

	for (int i = 0; i < 3; i++) {
		if (inject_failure()) {
			c->taken -= c->leaks && i == 2 ? 1 : i;
			return (false);
		}
		c->taken++;
	}
	return (true);
}

static void
clumsy_undo(void *arg)
{
	((struct clumsy *)arg)->taken -= 3;
}

static void
clumsy_snapshot(void *out, void *arg)
{
	memcpy(out, &((struct clumsy *)arg)->taken, sizeof(int));
}

static void
run_leaky(void *arg)
{
	struct inject_case c = { clumsy_attempt, clumsy_undo, clumsy_snapshot, sizeof(int), arg };

	inject_each(&c);
}

static void
injection_loop_finds_leak(void **state)
{
	struct clumsy tidy = { 0, false }, leaky = { 0, true };
	struct inject_case c = { clumsy_attempt, clumsy_undo, clumsy_snapshot, sizeof(int), &tidy };

	(void)state;
	assert_int_equal(inject_each(&c), 3);
	assert_int_equal(tidy.taken, 0);
	expect_stop(
	    run_leaky, &leaky, "failure of request 3 of 3 left byte 0 of the snapshot changed");
}

TEST_MAIN(cmocka_unit_test(text_like_libc), cmocka_unit_test(text_is_cut_and_counted),
    cmocka_unit_test(panic_is_one_line), cmocka_unit_test(powers_of_two),
    cmocka_unit_test(lists_keep_order), cmocka_unit_test(kth_request_fails_once),
    cmocka_unit_test(injection_loop_finds_leak))
