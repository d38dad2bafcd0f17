/*
 * Where what belongs to this command is: in the tree that it was built in, beside it, or where it was
 * installed.
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
own_directory(const char *command)
{
	char path[PATH_MAX + 1];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n <= 0)
		refuse("%s: /proc/self/exe cannot be read: %s", command, strerror(errno));
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash == NULL)
		refuse("%s: %s is not a path", command, path);
	slash[1] = '\0';
	return (xprintf("%s", path));
}

char *
beside_command(const char *command, const char *const *places, unsigned n)
{
	char *dir = own_directory(command), *path = NULL;

	for (unsigned i = 0; i < n && path == NULL; i++) {
		char *place = xprintf("%s%s", places[i][0] == '/' ? "" : dir, places[i]);

		path = realpath(place, NULL);
		free(place);
	}
	free(dir);
	return (path);
}

char *
preload_library(void)
{
	static const char *const places[] = { FRONT_IN_BUILD, "libcooper-malloc.so", FRONT_BESIDE,
		FRONT_INSTALLED };
	char *path = beside_command("run", places, nitems(places));

	if (path == NULL)
		refuse("run: libcooper-malloc.so is neither beside this command nor at %s",
		    FRONT_INSTALLED);
	if (strpbrk(path, ": \t\n") != NULL)
		refuse("run: the dynamic linker cannot be told \"%s\": a path without blanks and "
		       "colons "
		       "is accepted",
		    path);
	return (path);
}
