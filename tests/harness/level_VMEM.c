/* ... and zones and arenas, over the harness's slab source. */
#include "harness.h"
#include "slabs.h"
#include "page/page.h"
#include "vmem/tag_source.h"

int
harness_start(const struct machine_shape *shape, const char **why)
{
	int error = machine_start(shape, why);

	if (error != 0)
		return (error);
	sync_start();
	error = page_start(why);
	if (error != 0)
		return (error);
	slabs_start();
	uma_startup1();
	vmem_startup();
	uma_startup2(&slabs_backend);
	uma_startup3();
	return (0);
}
