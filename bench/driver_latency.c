/*
 * How long one allocation from a zone takes while another thread drains all zones' caches, those of the
 * CPUs too, over and over (uma_reclaim(UMA_RECLAIM_DRAIN_CPU)): its 99.99th percentile and its worst.
 * Beside it the same without any drain. A third thread fills the caches that are drained.
 *
 * What other programs do to us is left out: allocations are timed in groups, and a group in which the
 * kernel took the CPU from the thread does not count. Groups in which it slept by itself, on a lock, do.
 *
 * usage: driver_latency i386|amd64 [SECONDS]      prints "NAME VALUE ns" a line
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cooper/cooper.h>
#include <cooper/uma.h>

#include "clock.h"

#define GROUP  50 /* allocations, then as many frees */
#define FILLED 20000
#define MOST   (4u << 20) /* samples */

static uma_zone_t zone, other;
static _Atomic bool done;
static _Atomic unsigned long drains;

static void *
drain(void *arg)
{
	while (!atomic_load_explicit(&done, memory_order_relaxed)) {
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		atomic_fetch_add_explicit(&drains, 1, memory_order_relaxed);
	}
	return (arg);
}

/* Items of both zones come and go, so that each drain finds much to do. */
static void *
fill(void *arg)
{
	static void *held[FILLED];

	while (!atomic_load_explicit(&done, memory_order_relaxed)) {
		for (unsigned i = 0; i < FILLED; i++)
			held[i] = uma_zalloc(i % 2 == 0 ? zone : other, M_NOWAIT);
		for (unsigned i = 0; i < FILLED; i++)
			uma_zfree(i % 2 == 0 ? zone : other, held[i]);
	}
	return (arg);
}

static long
preemptions(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_THREAD, &usage) != 0)
		abort();
	return (usage.ru_nivcsw);
}

/* Samples of single allocations; how many. */
static unsigned
sample(double *ns, double seconds)
{
	double end = now_ns() + seconds * 1e9;
	void *held[GROUP];
	unsigned n = 0;

	while (now_ns() < end && n + GROUP <= MOST) {
		long before = preemptions();
		double last = now_ns();

		for (unsigned i = 0; i < GROUP; i++) {
			double now;

			held[i] = uma_zalloc(zone, M_NOWAIT);
			now = now_ns();
			ns[n + i] = now - last;
			last = now;
		}
		if (preemptions() == before)
			n += GROUP;
		for (unsigned i = 0; i < GROUP; i++)
			uma_zfree(zone, held[i]);
	}
	return (n);
}

static void
print(const char *how, double *ns, unsigned n)
{
	if (n < 10000) {
		fprintf(stderr, "driver_latency: too few allocations without preemption: %u\n", n);
		exit(1);
	}
	qsort(ns, n, sizeof(ns[0]), by_value);
	printf("zone_latency_%s_p9999 %.0f ns\n", how, ns[(size_t)((double)n * 0.9999)]);
	printf("zone_latency_%s_worst %.0f ns\n", how, ns[n - 1]);
}

int
main(int argc, char **argv)
{
	struct machine_shape shape = { .ndomains = 1, .physmem = 512 << 20 };
	double seconds = getenv("BENCH_QUICK") != NULL ? 0.5 : 1.5;
	double *ns = malloc(MOST * sizeof(*ns));
	pthread_t thread[2];
	unsigned n;

	if (ns == NULL || argc < 2 || argc > 3 ||
	    (strcmp(argv[1], "i386") != 0 && strcmp(argv[1], "amd64") != 0)) {
		fprintf(stderr, "usage: driver_latency i386|amd64 [SECONDS]\n");
		return (2);
	}
	if (argc == 3)
		seconds = strtod(argv[2], NULL);
	shape.ncpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	shape.direct_map = strcmp(argv[1], "amd64") == 0;
	shape.kva_size = (vm_size_t)512 << 20;
	if (cooper_start(&shape) != 0) {
		fprintf(stderr, "driver_latency: %s\n", cooper_start_error());
		return (1);
	}
	zone = uma_zcreate("measured", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	other = uma_zcreate("other", 256, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	memset(ns, 0, MOST * sizeof(*ns)); /* its pages are there */
	sample(ns, 0.1);
	n = sample(ns, seconds);
	print("quiet", ns, n);
	if (pthread_create(&thread[0], NULL, drain, NULL) != 0 ||
	    pthread_create(&thread[1], NULL, fill, NULL) != 0)
		abort();
	n = sample(ns, seconds);
	atomic_store(&done, true);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	if (drains == 0) {
		fprintf(stderr, "driver_latency: no drain ended meanwhile\n");
		return (1);
	}
	print("draining", ns, n);
	return (0);
}
