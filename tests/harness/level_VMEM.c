/* ... and zones and arenas, over the harness's slab source. */
#include "harness.h"
#include "slabs.h"
#include "vmem/tag_source.h"

int
harness_start(const struct machine_shape *shape, const char **why)
{
	return (slabs_start_zones(shape, why, vmem_startup));
}
