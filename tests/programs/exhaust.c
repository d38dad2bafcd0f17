/*
 * A program that uses its address space up, under a limit that it gives itself: what malloc says then, and
 * that all of it is good again when something comes back. It prints the same on any allocator that
 * keeps to malloc(3).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LIMIT  ((rlim_t)256 << 20)
#define BLOCKS (1 << 17)
#define LEAST  ((size_t)32 << 20) /* that must be had of the limit */

static unsigned char *block[BLOCKS];

static size_t
size_of(unsigned i)
{
	return (i % 64 == 0 ? 100000 : 16 + i % 13 * 300);
}

/* From `from` on, as many as there are; returns the first that was refused. */
static unsigned
fill(unsigned from, size_t *bytes)
{
	unsigned i;

	for (i = from; i < BLOCKS; i++) {
		errno = 0;
		if ((block[i] = malloc(size_of(i))) == NULL)
			break;
		memset(block[i], (int)(i % 251), size_of(i));
		*bytes += size_of(i);
	}
	return (i);
}

static unsigned
damaged(unsigned n)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < n; i++)
		for (size_t at = 0; block[i] != NULL && at < size_of(i); at += 13)
			bad += block[i][at] != i % 251;
	return (bad);
}

int
main(int argc, char **argv)
{
	struct rlimit limit = { LIMIT, LIMIT };
	size_t bytes = 0, more = 0;
	unsigned n;

	if (argc == 1) { /* the allocator has looked at the limit already: begin again under it */
		if (setrlimit(RLIMIT_AS, &limit) != 0)
			return (1);
		execl(argv[0], argv[0], "limited", (char *)NULL);
		return (1);
	}
	n = fill(0, &bytes);
	printf("refused: %s\n", n == BLOCKS ? "never" : strerror(errno));
	printf("before that: %s\n", bytes >= LEAST ? "enough" : "little");
	errno = 0;
	printf("calloc: %s\n", calloc(1000, 1000000) == NULL ? strerror(errno) : "a block");
	printf("damaged: %u\n", damaged(n));
	for (unsigned i = 0; i < n; i += 2) {
		free(block[i]);
		block[i] = NULL;
	}
	for (unsigned i = 0; i < n / 2; i += 2)
		if ((block[i] = malloc(size_of(i))) != NULL)
			memset(block[i], (int)(i % 251), size_of(i));
		else
			printf("block %u: %s\n", i, strerror(errno));
	printf("damaged: %u\n", damaged(n));
	for (unsigned i = 0; i < n; i++)
		free(block[i]);
	n = fill(0, &more);
	printf("again: %s\n", more >= bytes / 10 * 9 ? "as much" : "less");
	return (argv[1][0] == 'l' ? 0 : 1);
}
