/*
 * Giving back: a program takes MIB MiB in blocks of 256 bytes, frees all of them, and calls the strongest
 * purge that its allocator offers: how long that takes, and how much is resident then beyond what was
 * before. Beside it, as `madvise`, one madvise(MADV_DONTNEED) over as many bytes of touched pages: what
 * the kernel asks for at least.
 *
 * usage: driver_trim [MIB]      prints "[PEER:]NAME VALUE UNIT" a line
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/mman.h>

#include "clock.h"
#include "resident.h"

#define BLOCK 256

static double
one_madvise(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	double took;

	/* Pages of the base size, as the allocators' are. */
	if (p == MAP_FAILED || madvise(p, bytes, MADV_NOHUGEPAGE) != 0)
		abort();
	for (size_t at = 0; at < bytes; at += 4096)
		p[at] = 1;
	took = thread_ns();
	if (madvise(p, bytes, MADV_DONTNEED) != 0)
		abort();
	took = thread_ns() - took;
	munmap(p, bytes);
	return (took / 1e6);
}

int
main(int argc, char **argv)
{
	size_t mib = argc > 1                        ? strtoul(argv[1], NULL, 10)
		     : getenv("BENCH_QUICK") != NULL ? 128
						     : 512;
	size_t count = (mib << 20) / BLOCK;
	void **block;
	double before, took;

	if (mib == 0 || mib > 4096) {
		fprintf(stderr, "usage: driver_trim [MIB], at most 4096\n");
		return (2);
	}
	block = mmap(NULL, count * sizeof(*block), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (block == MAP_FAILED)
		abort();
	printf("madvise:trim_time %.3f ms\n", one_madvise(mib << 20));
	free(malloc(BLOCK));
	before = resident();
	for (size_t i = 0; i < count; i++) {
		if ((block[i] = malloc(BLOCK)) == NULL)
			abort();
		memset(block[i], 1, BLOCK);
	}
	if (resident() - before < (double)(mib << 10)) {
		fprintf(stderr, "driver_trim: the blocks are not resident\n");
		return (1);
	}
	for (size_t i = 0; i < count; i++)
		free(block[i]);
	took = thread_ns();
	purge();
	took = thread_ns() - took;
	printf("trim_time %.3f ms\ntrim_left %.0f KiB\n", took / 1e6, resident() - before);
	return (0);
}
