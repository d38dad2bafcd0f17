/*
 * A library to be loaded and unloaded by test_preload.c: allocates when it comes, keeps a block
 * while it is there, frees when it goes.
 */
#include <stdlib.h>
#include <string.h>

static __thread char *mine; /* of a size that needs a dynamic thread vector */
static __thread char room[4000];
static char *kept;

__attribute__((constructor)) static void
come(void)
{
	kept = strdup("kept by the plugin");
	free(malloc(100000));
}

__attribute__((destructor)) static void
go(void)
{
	free(kept);
	free(mine);
}

__attribute__((visibility("default"))) char *
plugin_give(size_t size)
{
	free(mine);
	mine = malloc(10);
	memset(room, 1, sizeof(room));
	return (strdup(kept + (size & 1)));
}
