/*
 * Large blocks: what is kept of them and given back, and how they grow. Resident memory and page
 * faults are the kernel's figures for this process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "check.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static int debug; /* that shape keeps nothing and moves nothing */

static long
faults(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (ru.ru_minflt);
}

static size_t
resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	size_t pages = 0;

	check(f != NULL && fscanf(f, "%*s %zu", &pages) == 1);
	fclose(f);
	return (pages * 4 * KIB);
}

static unsigned
mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned n = 0;

	check(f != NULL);
	for (int c; (c = getc(f)) != EOF;)
		n += c == '\n';
	fclose(f);
	return (n);
}

/* Each page its own byte. */
static void
mark(unsigned char *p, size_t from, size_t to)
{
	for (size_t at = from; at < to; at += 4 * KIB)
		p[at] = (unsigned char)(at >> 12) + 1;
}

static int
marked(const unsigned char *p, size_t size)
{
	for (size_t at = 0; at < size; at += 4 * KIB)
		if (p[at] != (unsigned char)((unsigned char)(at >> 12) + 1))
			return (0);
	return (1);
}

static void
a_pair_does_not_fault_each_time(void)
{
	static const size_t sizes[] = { 66 * KIB, 200 * KIB, 1000 * KIB };

	for (unsigned i = 0; i < 3; i++) {
		long before = faults();

		for (unsigned round = 0; round < 200; round++) {
			unsigned char *p = malloc(sizes[i]);

			mark(p, 0, sizes[i]);
			free(p);
		}
		check(debug || faults() - before < 1000);
	}
}

static void
sizes_waste_an_eighth_at_most(void)
{
	for (size_t size = 64 * KIB + 1; size < 3 * MIB; size += 3001) {
		void *p = malloc(size), *q;
		size_t usable = malloc_usable_size(p);

		check(usable >= size && (usable - size) * 8 <= size);
		free(p);
		q = malloc(size); /* perhaps the kept one */
		usable = malloc_usable_size(q);
		check(usable >= size && (usable - size) * 4 <= size + 4 * KIB);
		free(q);
	}
}

static void
what_is_kept_is_bounded_and_given_back(void)
{
	unsigned char *p[64];
	size_t before, after;

	malloc_trim(0);
	before = resident();
	for (unsigned i = 0; i < 64; i++) {
		p[i] = malloc(500 * KIB);
		mark(p[i], 0, 500 * KIB);
	}
	check(resident() > before + 30 * MIB);
	for (unsigned i = 0; i < 64; i++)
		free(p[i]);
	after = resident();
	check(after < before + 6 * MIB);
	malloc_trim(0);
	check(resident() < before + 1 * MIB);
}

static void
calloc_touches_nothing(void)
{
	size_t before = resident();
	unsigned char *p = calloc(64, MIB);

	check(p != NULL && resident() < before + MIB);
	check(p[0] == 0 && p[64 * MIB - 1] == 0);
	free(p);
}

static void
freed_twice_is_found(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		void *volatile p = malloc(300 * KIB);

		check(freopen("/dev/null", "w", stderr) != NULL);
		free(p);
		free(p);
		_exit(0);
	}
	check(
	    waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void
growth_keeps_contents_and_copies_nothing(void)
{
	size_t size = 130 * KIB, most = 40 * MIB;
	unsigned char *p = malloc(size);
	long before;

	mark(p, 0, size);
	before = faults();
	while (size < most) {
		size_t larger = size + size / 16 + 1;

		p = realloc(p, larger);
		check(p != NULL && malloc_usable_size(p) >= larger);
		mark(p, (size + 4 * KIB - 1) & ~(4 * KIB - 1), larger);
		size = larger;
	}
	check(marked(p, size));
	/* A page at its first touch each; copying would touch all of them a few times more. */
	check(debug || faults() - before < (long)(most / (4 * KIB)) * 5 / 4);
	while (size > 200 * KIB) {
		size = size * 2 / 5;
		p = realloc(p, size);
		check(p != NULL && marked(p, size));
	}
	free(p);
}

static void
moved_blocks_leave_no_mappings(void)
{
	unsigned before = 0;
	unsigned char *p[40];

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 40; i++) {
			p[i] = malloc(200 * KIB + i * 5000);
			mark(p[i], 0, 200 * KIB);
		}
		for (unsigned i = 0; i < 40; i++) {
			p[i] = realloc(p[i], MIB + i * 7000);
			check(p[i] != NULL && marked(p[i], 200 * KIB));
		}
		for (unsigned i = 0; i < 40; i++)
			free(p[i]);
		if (round == 0)
			before = mappings();
	}
	check(mappings() <= before + 10);
}

static void
moved_blocks_stay_private_over_fork(void)
{
	unsigned char *p = malloc(300 * KIB);
	int status;
	pid_t pid;

	mark(p, 0, 300 * KIB);
	p = realloc(p, 2 * MIB);
	mark(p, 300 * KIB, 2 * MIB);
	if ((pid = fork()) == 0) {
		check(marked(p, 2 * MIB));
		memset(p, 0, 2 * MIB);
		p = realloc(p, 5 * MIB);
		check(p != NULL && p[MIB] == 0);
		free(p);
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	check(marked(p, 2 * MIB));
	free(p);
}

static void
growth_of_aligned_blocks(void)
{
	unsigned char *p = aligned_alloc(MIB, 2 * MIB);

	mark(p, 0, 2 * MIB);
	p = realloc(p, 3 * MIB);
	check(p != NULL && marked(p, 2 * MIB));
	p = realloc(p, 30 * MIB);
	check(p != NULL && marked(p, 2 * MIB));
	free(p);
}

static void
too_much_leaves_the_block_alone(void)
{
	unsigned char *p = malloc(200 * KIB);
	volatile size_t more = (size_t)1 << (sizeof(size_t) == 8 ? 46 : 31);

	mark(p, 0, 200 * KIB);
	p = realloc(p, 400 * KIB);
	errno = 0;
	check(realloc(p, more) == NULL && errno == ENOMEM);
	check(marked(p, 200 * KIB) && malloc_usable_size(p) >= 400 * KIB);
	free(p);
}

static void
figures_follow_growth(void)
{
	struct mallinfo2 before = mallinfo2(), during;
	void *p = malloc(200 * KIB);

	p = realloc(p, 700 * KIB);
	p = realloc(p, 5 * MIB);
	during = mallinfo2();
	check(during.hblks == before.hblks + 1 && during.hblkhd == before.hblkhd + 5 * MIB);
	p = realloc(p, 2 * MIB);
	check(mallinfo2().hblkhd == before.hblkhd + 2 * MIB);
	free(p);
	check(mallinfo2().hblks == before.hblks && mallinfo2().hblkhd == before.hblkhd);
}

int
main(int argc, char **argv)
{
	static const struct check_case cases[] = { CASE(a_pair_does_not_fault_each_time),
		CASE(sizes_waste_an_eighth_at_most), CASE(what_is_kept_is_bounded_and_given_back),
		CASE(calloc_touches_nothing), CASE(freed_twice_is_found),
		CASE(growth_keeps_contents_and_copies_nothing),
		CASE(moved_blocks_leave_no_mappings), CASE(moved_blocks_stay_private_over_fork),
		CASE(growth_of_aligned_blocks), CASE(too_much_leaves_the_block_alone),
		CASE(figures_follow_growth) };
	const char *options = getenv("COOPER_OPTIONS");

	debug = options != NULL && strstr(options, "debug") != NULL;
	return (check_run(cases, sizeof(cases) / sizeof(cases[0]), argc > 1 ? argv[1] : NULL));
}
