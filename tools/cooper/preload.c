/*
 * Where libcooper-malloc.so is: in the tree that this command was built in, beside this command, or
 * where it was installed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tool.h"

/* The directory of this command, with its slash. */
static char *
own_directory(void)
{
	char path[PATH_MAX + 1];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n <= 0)
		refuse("run: /proc/self/exe cannot be read: %s", strerror(errno));
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash == NULL)
		refuse("run: %s is not a path", path);
	slash[1] = '\0';
	return (xprintf("%s", path));
}

char *
preload_library(void)
{
	char *dir = own_directory();
	char *candidates[] = { xprintf("%s" FRONT_IN_BUILD, dir),
		xprintf("%slibcooper-malloc.so", dir), xprintf("%s" FRONT_BESIDE, dir),
		xprintf(FRONT_INSTALLED) };
	char *path = NULL;

	for (size_t i = 0; i < nitems(candidates) && path == NULL; i++)
		path = realpath(candidates[i], NULL);
	if (path == NULL)
		refuse("run: libcooper-malloc.so is neither at %s nor at %s", candidates[0],
		    candidates[nitems(candidates) - 1]);
	if (strpbrk(path, ": \t\n") != NULL)
		refuse("run: the dynamic linker cannot be told \"%s\": a path without blanks and "
		       "colons "
		       "is accepted",
		    path);
	for (size_t i = 0; i < nitems(candidates); i++)
		free(candidates[i]);
	free(dir);
	return (path);
}
