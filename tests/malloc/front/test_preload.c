/*
 * Under LD_PRELOAD: this program is linked with no allocator. It loads and unloads libraries that
 * allocate, forks, and interrupts its allocations with signals. argv[1] is the plugin.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "check.h"

static const char *plugin;

static void
libraries_come_and_go(void)
{
	for (unsigned i = 0; i < 50; i++) {
		void *library = dlopen(plugin, i % 2 ? RTLD_NOW : RTLD_LAZY | RTLD_LOCAL);
		char *(*give)(size_t);
		char *p;

		check(library != NULL);
		*(void **)&give = dlsym(library, "plugin_give");
		check(give != NULL);
		p = give(0);
		check(strcmp(p, "kept by the plugin") == 0);
		check(dlsym(library, "no such function") == NULL && dlerror() != NULL);
		check(dlclose(library) == 0);
		free(p); /* memory of a library that has gone */
	}
}

static void *
use_plugin(void *arg)
{
	char *(*give)(size_t);

	*(void **)&give = dlsym(arg, "plugin_give");
	for (unsigned i = 0; i < 100; i++)
		free(give(i));
	return (NULL);
}

static void
thread_storage_of_libraries(void)
{
	for (unsigned round = 0; round < 10; round++) {
		void *library = dlopen(plugin, RTLD_NOW);
		pthread_t t[4];

		for (unsigned i = 0; i < 4; i++)
			check(pthread_create(&t[i], NULL, use_plugin, library) == 0);
		for (unsigned i = 0; i < 4; i++)
			pthread_join(t[i], NULL);
		check(dlclose(library) == 0);
	}
}

/* The front itself may be closed as often as one likes: it stays. */
static void
front_stays(void)
{
	void *p = malloc(50), *self = dlopen("libcooper-malloc.so", RTLD_NOW | RTLD_NOLOAD);

	check(self != NULL);
	dlclose(self);
	dlclose(self);
	free(p);
	free(malloc(50));
}

/* ---- signals: a handler that allocates is undefined, but the fast path survives it ------------------- */

static volatile sig_atomic_t interrupts;

static void
interrupt(int sig)
{
	(void)sig;
	interrupts++;
}

static void
signals_interrupt_anything(void)
{
	struct sigaction act = { .sa_handler = interrupt, .sa_flags = SA_RESTART };
	struct itimerval often = { { 0, 100 }, { 0, 100 } }, never = { { 0, 0 }, { 0, 0 } };
	void *p[64] = { NULL };
	unsigned seed = 3;

	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (unsigned i = 0; i < 2000000 && interrupts < 2000; i++) {
		unsigned k = (unsigned)rand_r(&seed) % 64;

		if (p[k] != NULL)
			check(*(unsigned *)p[k] == k);
		free(p[k]);
		p[k] = malloc(8 + (size_t)rand_r(&seed) % 300);
		*(unsigned *)p[k] = k;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	for (unsigned k = 0; k < 64; k++)
		free(p[k]);
	check(interrupts > 0);
}

int
main(int argc, char **argv)
{
	static const struct check_case cases[] = { CASE(libraries_come_and_go),
		CASE(thread_storage_of_libraries), CASE(front_stays),
		CASE(signals_interrupt_anything) };

	check(argc > 1);
	plugin = argv[1];
	return (check_run(cases, sizeof(cases) / sizeof(cases[0]), argc > 2 ? argv[2] : NULL));
}
