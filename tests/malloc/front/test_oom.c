/*
 * Running out of memory through malloc(3): to be run with a small physmem. NULL and ENOMEM after
 * reclaim has run dry, in every call, and everything works again afterwards.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>

#include "check.h"

static unsigned long
exhaust(size_t size, void **list)
{
	unsigned long n = 0;
	void **p;

	errno = 0;
	while ((p = malloc(size)) != NULL) {
		*p = *list;
		*list = p;
		n++;
	}
	check(errno == ENOMEM);
	return (n);
}

static void
release(void **list)
{
	void *p;

	while ((p = *list) != NULL) {
		*list = *(void **)p;
		free(p);
	}
}

static void
all_sizes_run_out_and_come_back(void)
{
	static const size_t sizes[] = { 64, 1000, 4096, 30000, 100000, 1 << 20 };

	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			void *list = NULL, *p = NULL;
			unsigned long n = exhaust(sizes[i], &list);

			/* Caches of other sizes were given up for these: most of memory is theirs. */
			check(n * sizes[i] > (size_t)8 << 20);
			errno = 0;
			check(calloc(1, 4 << 20) == NULL && errno == ENOMEM);
			check(posix_memalign(&p, 4096, 4 << 20) == ENOMEM && p == NULL);
			release(&list);
		}
}

static void *
fight(void *arg)
{
	for (unsigned i = 0; i < 5; i++) {
		void *list = NULL;

		(void)exhaust((size_t)(uintptr_t)arg, &list);
		release(&list);
	}
	return (NULL);
}

static void
threads_fight_for_the_last_page(void)
{
	static const uintptr_t sizes[] = { 5000, 40000, 200000 };
	pthread_t t[3];

	for (unsigned i = 0; i < 3; i++)
		check(pthread_create(&t[i], NULL, fight, (void *)sizes[i]) == 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	all_sizes_run_out_and_come_back();
}

int
main(int argc, char **argv)
{
	static const struct check_case cases[] = { CASE(all_sizes_run_out_and_come_back),
		CASE(threads_fight_for_the_last_page) };

	return (check_run(cases, 2, argc > 1 ? argv[1] : NULL));
}
