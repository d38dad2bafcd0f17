/*
 * The part of cmocka that Cooper's tests use, for a machine without a C library. A failed assertion
 * leaves the test; the others go on.
 */
#ifndef KERNEL_CMOCKA_H
#define KERNEL_CMOCKA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct CMUnitTest {
	const char *name;
	void (*test_func)(void **state);
	int (*setup_func)(void **state);
	int (*teardown_func)(void **state);
	void *initial_state;
};
#define cmocka_unit_test(f)             \
	{                               \
#f, f, NULL, NULL, NULL \
	}
#define cmocka_unit_test_setup(f, setup) \
	{                                \
#f, f, setup, NULL, NULL \
	}
#define cmocka_unit_test_setup_teardown(f, up, down) \
	{                                            \
#f, f, up, down, NULL                \
	}

__attribute__((noreturn, format(printf, 3, 4))) void kernel_test_failed(
    const char *file, int line, const char *fmt, ...);
bool kernel_same_text(const char *a, const char *b);

#define KERNEL_WORD(x) ((unsigned long long)(uintmax_t)(uintptr_t)(x))
#define KERNEL_COMPARE(a, op, b)                                                                \
	do {                                                                                    \
		uintmax_t left_ = (uintmax_t)(a), right_ = (uintmax_t)(b);                      \
		if (!(left_ op right_))                                                         \
			kernel_test_failed(__FILE__, __LINE__, "%s is 0x%llx, %s 0x%llx", #a,   \
			    (unsigned long long)left_, "not " #op, (unsigned long long)right_); \
	} while (0)

#define assert_true(c)                                                              \
	do {                                                                        \
		if (!(c))                                                           \
			kernel_test_failed(__FILE__, __LINE__, "not true: %s", #c); \
	} while (0)
#define assert_false(c)              assert_true(!(c))
#define assert_null(p)               assert_true((p) == NULL)
#define assert_non_null(p)           assert_true((p) != NULL)
#define assert_int_equal(a, b)       KERNEL_COMPARE(a, ==, b)
#define assert_int_not_equal(a, b)   KERNEL_COMPARE(a, !=, b)
#define assert_ptr_equal(a, b)       KERNEL_COMPARE((uintptr_t)(a), ==, (uintptr_t)(b))
#define assert_ptr_not_equal(a, b)   KERNEL_COMPARE((uintptr_t)(a), !=, (uintptr_t)(b))
#define assert_string_equal(a, b)    assert_true(kernel_same_text(a, b))
#define assert_memory_equal(a, b, n) assert_true(__builtin_memcmp(a, b, n) == 0)
#define assert_in_range(v, low, high)                                                             \
	do {                                                                                      \
		uintmax_t value_ = (uintmax_t)(v), low_ = (low), high_ = (high);                  \
		if (value_ < low_ || value_ > high_)                                              \
			kernel_test_failed(__FILE__, __LINE__, "%s is 0x%llx, not in %s..%s", #v, \
			    (unsigned long long)value_, #low, #high);                             \
	} while (0)
#define fail()        kernel_test_failed(__FILE__, __LINE__, "failed")
#define fail_msg(...) kernel_test_failed(__FILE__, __LINE__, __VA_ARGS__)
#define print_message kernel_printf
#define print_error   kernel_printf
__attribute__((format(printf, 1, 2))) int kernel_printf(const char *fmt, ...);

#endif
