/* Everything. */
#include "harness.h"
#include "page/page.h"

int
harness_start(const struct machine_shape *shape, const char **why)
{
	int error = cooper_start(shape);

	*why = cooper_start_error();
	page_pressure_on = false;   /* nor for what else goes on on this host */
	(void)cooper_set_decay(-1); /* tests look at caches: nothing goes by itself */
	return (error);
}
