/*
 * cooper lab: the laboratory is a program of its own, cooper-lab, since it has the core once more, on
 * another machine. It lies in the tree that this command was built in, beside it, or where it was
 * installed.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "tool.h"

int
lab_command(int argc, char **argv)
{
	static const char *const places[] = { LAB_IN_BUILD, "cooper-lab", LAB_BESIDE,
		LAB_INSTALLED };
	char *path = beside_command("lab", places, nitems(places));

	(void)argc;
	if (path == NULL)
		refuse("lab: the laboratory, cooper-lab, is neither in this tree nor at %s",
		    LAB_INSTALLED);
	execv(path, argv);
	refuse("lab: %s cannot be executed: %s", path, strerror(errno));
}
