/*
 * Ported code keeps malloc(9)'s names: each macro of COOPER_MALLOC9_NAMES passes its arguments in the
 * manual's order.
 */
#include <string.h>

#include "harness.h"
#include "page/page.h"

#define COOPER_MALLOC9_NAMES
#include <cooper/malloc.h>

static MALLOC_DEFINE(M_NAMES, "names", "memory of the test of the names");
static struct domainset local = { .policy = DOMAINSET_FIXED };

static void
check(void *p, size_t size, size_t align)
{
	assert_non_null(p);
	assert_true(malloc_usable_size(p) >= size);
	assert_int_equal((uintptr_t)p % align, 0);
	assert_int_equal(((char *)p)[size - 1], 0);
	free(p, M_NAMES);
}

static void
plain_names(void **state)
{
	void *p;

	(void)state;
	check(malloc(100, M_NAMES, M_WAITOK | M_ZERO), 100, 16);
	check(mallocarray(3, 100, M_NAMES, M_WAITOK | M_ZERO), 300, 16);
	check(malloc_aligned(100, 512, M_NAMES, M_WAITOK | M_ZERO), 100, 512);
	check(malloc_exec(100, M_NAMES, M_WAITOK | M_ZERO), 100, PAGE_SIZE);
	check(contigmalloc(9000, M_NAMES, M_WAITOK | M_ZERO, 0, ~(vm_paddr_t)0, 0, 0), 9000,
	    PAGE_SIZE);
	p = realloc(NULL, 100, M_NAMES, M_WAITOK);
	p = reallocf(p, 500, M_NAMES, M_WAITOK);
	assert_true(malloc_usable_size(p) >= 500 && malloc_size(500) >= 500);
	zfree(p, M_NAMES);
	p = contigmalloc(9000, M_NAMES, M_WAITOK, 0, ~(vm_paddr_t)0, 0, 0);
	contigfree(p, 9000, M_NAMES);
}

static void
names_with_a_domain_set(void **state)
{
	int flags = M_WAITOK | M_ZERO;

	(void)state;
	check(malloc_domainset(100, M_NAMES, &local, flags), 100, 16);
	check(mallocarray_domainset(3, 100, M_NAMES, &local, flags), 300, 16);
	check(malloc_domainset_aligned(100, 512, M_NAMES, &local, flags), 100, 512);
	check(malloc_domainset_exec(100, M_NAMES, &local, flags), 100, PAGE_SIZE);
	check(contigmalloc_domainset(9000, M_NAMES, &local, flags, 0, ~(vm_paddr_t)0, 0, 0), 9000,
	    PAGE_SIZE);
}

TEST_MAIN(cmocka_unit_test(plain_names), cmocka_unit_test(names_with_a_domain_set))
