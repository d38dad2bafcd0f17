/* ... and zones, over the harness's slab source. */
#include "harness.h"
#include "slabs.h"

int
harness_start(const struct machine_shape *shape, const char **why)
{
	return (slabs_start_zones(shape, why, NULL));
}
