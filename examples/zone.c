#include <stdio.h>
#include <cooper/cooper.h>
#include <cooper/uma.h>

struct conn {
	int fd;
	char buffer[1000];
};

static int
conn_init(void *mem, int size, int flags) /* once for each object, not at each allocation */
{
	(void)size, (void)flags;
	((struct conn *)mem)->fd = -1;
	return (0);
}

int
main(void)
{
	if (cooper_start(NULL) != 0)
		return (puts(cooper_start_error()), 1);
	uma_zone_t conns =
	    uma_zcreate("conn", sizeof(struct conn), NULL, NULL, conn_init, NULL, UMA_ALIGN_PTR, 0);
	uma_zone_set_max(conns, 10000); /* exact; M_WAITOK sleeps at the limit, in order */
	struct conn *c = uma_zalloc(conns, M_WAITOK);
	printf("fd %d, %d in use\n", c->fd, uma_zone_get_cur(conns));
	uma_zfree(conns, c);
	uma_zdestroy(conns);
}
