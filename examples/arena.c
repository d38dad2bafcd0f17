/* An arena of TCP ports: any free one, or one that fits a condition. */
#include <cooper/cooper.h>
#include <cooper/vmem.h>

int
main(void)
{
	vmem_addr_t port, pair;

	if (cooper_start(NULL) != 0)
		return (1);
	vmem_t *ports = vmem_create("ports", 1024, 65536 - 1024, 1, 0, M_WAITOK);
	if (vmem_alloc(ports, 1, M_BESTFIT | M_NOWAIT, &port) != 0)
		return (1);
	/* two neighbours, the first even, at or above 10000 */
	if (vmem_xalloc(ports, 2, 2, 0, 0, 10000, VMEM_ADDR_MAX, M_BESTFIT | M_NOWAIT, &pair) != 0)
		return (1);
	vmem_xfree(ports, pair, 2);
	vmem_free(ports, port, 1);
	vmem_destroy(ports);
	return (0);
}
