/* See callbacks.h. */
#include "callbacks.h"
#include "harness.h"

int
import_arg(void *arg, void **store, int count, int domain, int flags)
{
	(void)domain;
	(void)flags;
	for (int i = 0; i < count; i++)
		store[i] = arg;
	return (count);
}

void
release_arg(void *arg, void **store, int count)
{
	for (int i = 0; i < count; i++)
		TEST_MUST(store[i] == arg);
}

int
init_nothing(void *mem, int size, int flags)
{
	(void)mem;
	(void)size;
	(void)flags;
	return (0);
}

void
fini_nothing(void *mem, int size)
{
	(void)mem;
	(void)size;
}
