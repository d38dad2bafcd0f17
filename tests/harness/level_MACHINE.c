/* The machine and the locks. */
#include "harness.h"

int
harness_start(const struct machine_shape *shape, const char **why)
{
	int error = machine_start(shape, why);

	if (error == 0)
		sync_start();
	return (error);
}
