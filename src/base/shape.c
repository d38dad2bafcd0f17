/*
 * The shape in force. The machine takes it in machine_start(), before anything else runs, and it
 * never changes afterwards: everybody reads it without a lock.
 */
#include <cooper/cooper.h>
#include "base/base.h"

CORE_STATE static struct machine_shape shape_in_force;
CORE_STATE bool core_debug = false;

void
core_set_shape(const struct machine_shape *shape)
{
	shape_in_force = *shape;
	core_debug = shape->debug;
}

const struct machine_shape *
cooper_shape(void)
{
	return (&shape_in_force);
}
