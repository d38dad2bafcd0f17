/*
 * What a program asks of malloc, measured. The same binary runs under each allocator: whichever
 * LD_PRELOAD puts in front of glibc's.
 *
 * usage: driver_malloc           prints "NAME NANOSECONDS ns" a line
 *        driver_malloc spawn N NAME PROGRAM...  starts PROGRAM N times under $BENCH_PRELOAD
 */
#define _GNU_SOURCE
#include <spawn.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static inline void *
take(void *size)
{
	return (malloc(*(size_t *)size));
}

static inline void
give(void *size, void *p)
{
	(void)size;
	free(p);
}

#include "patterns.h"

extern char **environ;

#define CROWD_PAIRS 200000

struct member {
	pthread_t thread;
	pthread_barrier_t *start;
	size_t size;
	double took;
};

static void *
crowd_member(void *arg)
{
	struct member *me = arg;

	pairs(1000, &me->size);
	pthread_barrier_wait(me->start);
	me->took = thread_ns();
	pairs(CROWD_PAIRS, &me->size);
	me->took = thread_ns() - me->took;
	return (NULL);
}

/* Two threads at once; the time of one pair of one thread. */
static double
two_threads(size_t size)
{
	pthread_barrier_t start;
	struct member member[2];
	double sum = 0;

	pthread_barrier_init(&start, NULL, 2);
	for (int i = 0; i < 2; i++) {
		member[i] = (struct member){ .start = &start, .size = size };
		if (pthread_create(&member[i].thread, NULL, crowd_member, &member[i]) != 0)
			abort();
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(member[i].thread, NULL);
		sum += member[i].took;
	}
	pthread_barrier_destroy(&start);
	return (sum / 2 / CROWD_PAIRS);
}

static double
cpu_ns(const struct rusage *usage)
{
	return (((double)usage->ru_utime.tv_sec + (double)usage->ru_stime.tv_sec) * 1e9 +
		((double)usage->ru_utime.tv_usec + (double)usage->ru_stime.tv_usec) * 1e3);
}

/*
 * A program from its start to its end, under the allocator that BENCH_PRELOAD names: the median of its
 * processor time, which has most of what the kernel does to start and to end it.
 */
static int
spawn(unsigned long n, const char *name, char **argv)
{
	const char *preload = getenv("BENCH_PRELOAD");
	double *took = calloc(n, sizeof(*took));

	if (took == NULL || n == 0)
		return (2);
	if (preload != NULL && *preload != '\0')
		setenv("LD_PRELOAD", preload, 1);
	for (unsigned long i = 0; i < n; i++) {
		pid_t pid;
		struct rusage usage;
		int status;

		if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) != 0 ||
		    wait4(pid, &status, 0, &usage) != pid || status != 0) {
			fprintf(stderr, "%s failed\n", argv[0]);
			return (1);
		}
		took[i] = cpu_ns(&usage) / 1e3;
	}
	printf("%s %.3f us\n", name, median_of(took, (unsigned)n));
	free(took);
	return (0);
}

int
main(int argc, char **argv)
{
	static const size_t sizes[] = { 16, 64, 256, 1024 };
	size_t small = 64;
	char name[64];

	if (argc >= 5 && strcmp(argv[1], "spawn") == 0)
		return (spawn(strtoul(argv[2], NULL, 10), argv[3], argv + 4));
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i];

		snprintf(name, sizeof(name), "malloc_pair_%zu", size);
		report(name, measure(pairs, &size));
	}
	all_batches("malloc", &small);
	report("malloc_pair_64_2_threads", two_threads(64));
	report("malloc_producer_consumer", producer_consumer(&small));
	return (0);
}
