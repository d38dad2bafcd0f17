/* Everything. */
#include "harness.h"

int
harness_start(const struct machine_shape *shape, const char **why)
{
	int error = cooper_start(shape);

	*why = cooper_start_error();
	return (error);
}
