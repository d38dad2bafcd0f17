/* Everything. */
#include "harness.h"

int
harness_start(const struct machine_shape *shape, const char **why)
{
	int error = cooper_start(shape);

	*why = cooper_start_error();
	(void)cooper_set_decay(-1); /* tests look at caches: nothing goes by itself */
	return (error);
}
