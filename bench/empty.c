/* A program that does nothing, or (with an argument) one malloc: what is left is what starting costs. */
#include <stdlib.h>

int
main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		free(malloc(100));
	return (0);
}
