/*
 * Each internal request that a call of malloc(3)'s family makes fails in turn, once and for good: the
 * call succeeds or says ENOMEM, what it was given is whole, and nothing is lost. This program has the
 * front in itself, so that it can tell the core what is to fail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <wchar.h>

#include <cooper/cooper.h>
#include "kmem/kmem_int.h"
#include "page/page.h"

#include "check.h"

#define KIB ((size_t)1 << 10)

struct call {
	const char *name;
	size_t given; /* bytes of the block that the call is given; 0: none */
	size_t size;
	void *(*fn)(void *p, size_t size);
};

/* Volatile, so that the compiler does not know what becomes of a size. */
static volatile size_t one = 1;

static void *
do_malloc(void *p, size_t size)
{
	(void)p;
	return (malloc(size));
}

static void *
do_calloc(void *p, size_t size)
{
	unsigned char *q = calloc(one, size);

	(void)p;
	for (size_t i = 0; q != NULL && i < size; i++)
		check(q[i] == 0);
	return (q);
}

static void *
do_realloc(void *p, size_t size)
{
	return (realloc(p, size));
}

static void *
do_reallocarray(void *p, size_t size)
{
	return (reallocarray(p, one, size));
}

static void *
do_aligned_alloc(void *p, size_t size)
{
	(void)p;
	return (aligned_alloc(256, size));
}

static void *
do_aligned_large(void *p, size_t size)
{
	(void)p;
	return (memalign(64 * KIB, size));
}

static void *
do_posix_memalign(void *p, size_t size)
{
	int error = posix_memalign(&p, 64, size);

	check(error == 0 || error == ENOMEM);
	errno = error;
	return (error == 0 ? p : NULL);
}

static void *
do_valloc(void *p, size_t size)
{
	(void)p;
	return (valloc(size));
}

static void *
do_strdup(void *p, size_t size)
{
	static char text[3000];

	(void)p;
	memset(text, 'x', size);
	text[size] = '\0';
	return (strdup(text));
}

static void *
do_wcsdup(void *p, size_t size)
{
	static wchar_t text[3000];

	(void)p;
	wmemset(text, L'x', size);
	text[size] = 0;
	return (wcsdup(text));
}

static const struct call calls[] = {
	{ "malloc", 0, 40, do_malloc },
	{ "malloc", 0, 700, do_malloc },
	{ "malloc", 0, 5000, do_malloc },
	{ "malloc", 0, 60 * KIB, do_malloc },
	{ "malloc", 0, 300 * KIB, do_malloc },
	{ "malloc", 0, 1200 * KIB, do_malloc },
	{ "calloc", 0, 300, do_calloc },
	{ "calloc", 0, 9000, do_calloc },
	{ "calloc", 0, 200 * KIB, do_calloc },
	{ "realloc", 0, 100, do_realloc },
	{ "realloc", 40, 2000, do_realloc },
	{ "realloc", 2000, 40, do_realloc },
	{ "realloc", 10000, 100 * KIB, do_realloc },
	{ "realloc", 100 * KIB, 10000, do_realloc },
	{ "realloc", 200 * KIB, 700 * KIB, do_realloc },
	{ "realloc", 900 * KIB, 1500 * KIB, do_realloc },
	{ "reallocarray", 300 * KIB, 400 * KIB, do_reallocarray },
	{ "aligned_alloc", 0, 512, do_aligned_alloc },
	{ "aligned_alloc", 0, 100 * KIB, do_aligned_alloc },
	{ "memalign", 0, 70 * KIB, do_aligned_large },
	{ "posix_memalign", 0, 200, do_posix_memalign },
	{ "valloc", 0, 6000, do_valloc },
	{ "strdup", 0, 900, do_strdup },
	{ "wcsdup", 0, 600, do_wcsdup },
};

struct books {
	size_t used, blocks, large;
	unsigned long pages; /* free ones */
	size_t addresses;    /* of the window, in use */
};

/* After everything that is only cached has gone back. */
static struct books
books(void)
{
	struct mallinfo2 m;
	struct page_domain_stat s;
	struct books b = { 0 };

	for (unsigned i = 0; i < 3; i++)
		(void)malloc_trim(0);
	m = mallinfo2();
	b.used = m.uordblks;
	b.blocks = m.hblks;
	b.large = m.hblkhd;
	for (unsigned d = 0; d < cooper_shape()->ndomains; d++) {
		page_stat(d, &s);
		b.pages += s.free;
	}
	b.addresses = vmem_size(kmem_arena_of(SOURCE_ROOT)->vm, VMEM_ALLOC);
	return (b);
}

static bool
same_memory(const struct books *a, const struct books *b)
{
	return (a->pages == b->pages && a->addresses == b->addresses);
}

/* The books, when they are as before, or will never be: the daemon's thread may have something in hands. */
static struct books
books_again(const struct books *before)
{
	struct books b = books();

	for (unsigned i = 0; i < 2000 && !same_memory(&b, before); i++) {
		usleep(1000);
		b = books();
	}
	return (b);
}

static void
fill(unsigned char *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(i * 7);
}

static void
intact(const unsigned char *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		check(p[i] == (unsigned char)(i * 7));
}

/* One call with failures armed. Returns how many internal requests it has made; *failed: it said so. */
static uint64_t
one_call(const struct call *c, uint64_t arm, bool *failed)
{
	unsigned char *given = c->given != 0 ? malloc(c->given) : NULL, *p;
	uint64_t seen;
	int error;

	fill(given, c->given);
	(void)malloc_trim(0); /* no cache answers for it */
	errno = 0;
	(void)cooper_inject_failure(arm);
	p = c->fn(given, c->size);
	error = errno;
	seen = cooper_inject_failure(0);
	*failed = p == NULL;
	if (p == NULL) {
		check(error == ENOMEM);
		intact(given, c->given);
		free(given);
	} else {
		intact(p, MIN(c->given, c->size));
		memset(p, 1, c->size);
		free(p);
	}
	return (seen);
}

/* For each k, of many pages for each 23rd, until the call has not as many requests. Returns how often it failed. */
static unsigned
each_failure(const struct call *c, uint64_t mode)
{
	struct books before = books(), after;
	unsigned failures = 0;
	bool failed = true;

	for (uint64_t k = 1, seen;; k += k < 50 ? 1 : 23) {
		seen = one_call(c, k | mode, &failed);
		failures += failed;
		after = books_again(&before);
		check(after.used == before.used && after.blocks == before.blocks &&
		      after.large == before.large);
		if (!same_memory(&after, &before))
			printf("# %s of %zu, request %llu: %lu pages free, before %lu; %zu bytes "
			       "of addresses, before %zu\n",
			    c->name, c->size, (unsigned long long)k, after.pages, before.pages,
			    after.addresses, before.addresses);
		check(same_memory(&after, &before));
		check(k < 3000);
		if (seen < k)
			break;
	}
	check(!failed); /* nothing was in its way in the end */
	return (failures);
}

static void
each_call_fails_at_each_request(void)
{
	unsigned failures = 0;
	bool failed;

	for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct call *c = &calls[i];

		for (unsigned warm = 0; warm < 2; warm++)
			(void)one_call(c, 0, &failed);
		check(each_failure(c, 0) ==
		      0); /* one failure is tried again, with what reclaim gave */
		failures = each_failure(c, COOPER_INJECT_ON);
		check(failures > 0);
		printf("# %s of %zu: NULL %u times\n", c->name, c->size, failures);
	}
}

/* Where a class has no zone yet: the call succeeds all the same. */
static void
first_use_of_a_class(void)
{
	bool failed;

	for (uint64_t k = 1; k < 40; k++) {
		struct call c = { "malloc", 0, 1030 + 70 * k, do_malloc };

		(void)one_call(&c, k % 20 + 1, &failed);
		check(!failed);
	}
}

int
main(int argc, char **argv)
{
	static const struct check_case cases[] = { CASE(first_use_of_a_class),
		CASE(each_call_fails_at_each_request) };

	return (check_run(cases, 2, argc > 1 ? argv[1] : NULL));
}
