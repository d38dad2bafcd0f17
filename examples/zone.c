/* A zone of connections, 1000 at most. Who wants one more waits for its turn. */
#include <cooper/cooper.h>
#include <cooper/uma.h>

struct connection {
	int fd;
	char buffer[500];
};

int
main(void)
{
	uma_zone_t zone;
	struct connection *c;

	if (cooper_start(NULL) != 0)
		return (1);
	zone = uma_zcreate("connection", sizeof(*c), NULL, NULL, NULL, NULL, UMA_ALIGN_CACHE, 0);
	uma_zone_set_max(zone, 1000);
	c = uma_zalloc(zone, M_WAITOK | M_ZERO);
	c->fd = 3;
	uma_zfree(zone, c); /* this CPU keeps it at hand */
	uma_zdestroy(zone);
	return (0);
}
