/*
 * The shape in force. The machine takes it in machine_start(), before anything else runs, and it
 * never changes afterwards: everybody reads it without a lock.
 */
#include <cooper/cooper.h>
#include "base/base.h"

CORE_STATE struct machine_shape core_shape;
CORE_STATE bool core_debug = false;

void
core_set_shape(const struct machine_shape *shape)
{
	core_shape = *shape;
	core_debug = shape->debug;
}

const struct machine_shape *
cooper_shape(void)
{
	return (&core_shape);
}
