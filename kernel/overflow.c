/*
 * A thread that calls itself until its stack ends: the machine must say so, and which thread it was.
 */
#include "x86.h"
#include <limits.h>
#include "kernel.h"

static NOINLINE unsigned
deeper(unsigned depth)
{
	volatile char room[64];

	room[0] = (char)depth;
	if (depth < UINT_MAX)
		depth = deeper(depth + 1);
	return (depth + (unsigned)room[0]);
}

static void
deep(void *arg)
{
	(void)arg;
	(void)deeper(0);
}

int
kernel_overflow(void)
{
	int error = cooper_start(NULL);

	if (error != 0) {
		x86_printf("kernel: cannot start: %s\n", cooper_start_error());
		return (error);
	}
	MUST(x86_thread_start("deep", -1, deep, NULL) != NULL, "no thread");
	for (;;)
		x86_sleep(1000000);
}
