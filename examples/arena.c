#include <stdio.h>
#include <cooper/cooper.h>
#include <cooper/vmem.h>

int
main(void)
{
	vmem_addr_t one, run;

	if (cooper_start(NULL) != 0)
		return (puts(cooper_start_error()), 1);
	vmem_t *ports = vmem_create("ports", 1024, 64512, 1, 0, M_WAITOK);
	/* Any port, each time the next one; and 16 in a row, aligned to 16, between 5000 and 5999. */
	if (vmem_alloc(ports, 1, M_WAITOK | M_NEXTFIT, &one) != 0 ||
	    vmem_xalloc(ports, 16, 16, 0, 0, 5000, 5999, M_NOWAIT | M_FIRSTFIT, &run) != 0)
		return (1);
	printf("port %zu, ports %zu to %zu, %zu left\n", (size_t)one, (size_t)run, (size_t)run + 15,
	    (size_t)vmem_size(ports, VMEM_FREE));
	vmem_xfree(ports, run, 16);
	vmem_free(ports, one, 1);
	vmem_destroy(ports);
}
