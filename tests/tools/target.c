/*
 * A process with known contents, for `cooper stat PID` to look at:
 *
 *	zone  "test objects"  100 bytes, no limit: 70 allocated, 20 of them freed, 50 in use
 *	zone  "test limit"    limit 1, in use 1; one thread sleeps for a second one
 *	arena "test ids"      1..1000, two segments of 10 taken
 *
 * It has a core of its own, and signs on the board of its run with it. Says "ready" when all of that is so, then waits for the end of its standard input, lets the sleeper
 * go, and ends.
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include <cooper/cooper.h>
#include <cooper/uma.h>
#include <cooper/vmem.h>

#include "machine/posix/options.h"
#include "stats/posix/save.h"

#define MUST_BE(cond)                                                 \
	do {                                                          \
		if (!(cond)) {                                        \
			fprintf(stderr, "target: %s fails\n", #cond); \
			_exit(3);                                     \
		}                                                     \
	} while (0)

static uma_zone_t limited;

static void *
sleeper(void *arg)
{
	(void)arg;
	uma_zfree(limited, uma_zalloc(limited, M_WAITOK));
	return (NULL);
}

int
main(void)
{
	static void *items[70];
	uma_zone_t zone;
	vmem_addr_t id;
	vmem_t *ids;
	pthread_t thread;
	void *only;
	char c;

	if (cooper_start(NULL) != 0) {
		fprintf(stderr, "target: %s\n", cooper_start_error());
		return (3);
	}
	if (machine_options()->stats[0] != '\0')
		stats_run_start(machine_options()->stats);
	zone = uma_zcreate("test objects", 100, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	for (int i = 0; i < 70; i++)
		MUST_BE((items[i] = uma_zalloc(zone, M_WAITOK)) != NULL);
	for (int i = 0; i < 20; i++)
		uma_zfree(zone, items[i]);
	ids = vmem_create("test ids", 1, 1000, 1, 0, M_WAITOK);
	MUST_BE(vmem_alloc(ids, 10, M_WAITOK | M_FIRSTFIT, &id) == 0);
	MUST_BE(vmem_alloc(ids, 10, M_WAITOK | M_FIRSTFIT, &id) == 0);
	limited = uma_zcreate("test limit", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	MUST_BE(uma_zone_set_max(limited, 1) == 1);
	only = uma_zalloc(limited, M_WAITOK);
	MUST_BE(pthread_create(&thread, NULL, sleeper, NULL) == 0);
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	uma_zfree(limited, only);
	MUST_BE(pthread_join(thread, NULL) == 0);
	return (0);
}
