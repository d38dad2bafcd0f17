/*
 * kmem's own start, and the one line that says why a start or an arena graph was refused. Both run in
 * one thread before anything else of the core: nothing here is locked.
 */
#include <cooper/cooper.h>
#include "base/base.h"
#include "kmem/kmem_int.h"

CORE_STATE static char refusal[192];

int
start_refuse(int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	core_vsnprintf(refusal, sizeof(refusal), fmt, ap);
	va_end(ap);
	return (error);
}

const char *
cooper_start_error(void)
{
	return (refusal);
}

int
kmem_start(void)
{
	int error;

	kmem_wait_start();
	if ((error = kmem_arenas_start()) != 0)
		return (error);
	tags_use_graph();
	vmem_set_table_memory(&kmem_table_memory);
	return (0);
}
