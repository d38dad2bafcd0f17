/*
 * What a program asks of malloc, measured. The same binary runs under each allocator: whichever
 * LD_PRELOAD puts in front of glibc's.
 *
 * usage: driver_malloc           prints "NAME NANOSECONDS" a line
 *        driver_malloc spawn N PROGRAM  starts PROGRAM N times under $BENCH_PRELOAD
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#define BATCH 128

extern char **environ;

static void
pairs(unsigned long n, void *size)
{
	for (unsigned long i = 0; i < n; i++) {
		char *p = malloc(*(size_t *)size);

		*p = 1;
		USE(p);
		free(p);
	}
}

/* n operations are n pairs, in batches that are freed last in, first out. */
static void
lifo(unsigned long n, void *size)
{
	char *p[BATCH];

	for (unsigned long done = 0; done < n; done += BATCH) {
		for (unsigned i = 0; i < BATCH; i++) {
			p[i] = malloc(*(size_t *)size);
			*p[i] = 1;
		}
		USE(p);
		for (unsigned i = BATCH; i-- > 0;)
			free(p[i]);
	}
}

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
	me->took = now_ns();
	pairs(CROWD_PAIRS, &me->size);
	me->took = now_ns() - me->took;
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

/* A program from its start to its end, under the allocator that BENCH_PRELOAD names. */
static int
spawn(unsigned long n, char *program)
{
	const char *preload = getenv("BENCH_PRELOAD");
	char *argv[] = { program, NULL };
	double start;

	if (preload != NULL && *preload != '\0')
		setenv("LD_PRELOAD", preload, 1);
	start = now_ns();
	for (unsigned long i = 0; i < n; i++) {
		pid_t pid;
		int status;

		if (posix_spawn(&pid, program, NULL, NULL, argv, environ) != 0 ||
		    waitpid(pid, &status, 0) != pid || status != 0) {
			fprintf(stderr, "%s failed\n", program);
			return (1);
		}
	}
	report("start_up", (now_ns() - start) / (double)n);
	return (0);
}

int
main(int argc, char **argv)
{
	static const size_t sizes[] = { 16, 64, 256, 1024 };
	static const size_t lifo_sizes[] = { 64, 256 };
	char name[64];

	if (argc == 4 && strcmp(argv[1], "spawn") == 0)
		return (spawn(strtoul(argv[2], NULL, 10), argv[3]));
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i];

		snprintf(name, sizeof(name), "malloc_pair_%zu", size);
		report(name, measure(pairs, &size));
	}
	for (unsigned i = 0; i < sizeof(lifo_sizes) / sizeof(lifo_sizes[0]); i++) {
		size_t size = lifo_sizes[i];

		snprintf(name, sizeof(name), "malloc_lifo_%zu", size);
		report(name, measure(lifo, &size));
	}
	report("malloc_pair_64_2_threads", two_threads(64));
	return (0);
}
