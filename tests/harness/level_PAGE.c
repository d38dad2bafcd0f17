/* ... and pages. */
#include "harness.h"
#include "page/page.h"

int
harness_start(const struct machine_shape *shape, const char **why)
{
	int error = machine_start(shape, why);

	if (error != 0)
		return (error);
	sync_start();
	return (page_start(why));
}
