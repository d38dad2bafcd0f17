/*
 * What drivers that look at resident memory share: how much there is, and the strongest purge that
 * the allocator under them offers.
 */
#ifndef BENCH_RESIDENT_H
#define BENCH_RESIDENT_H

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* KiB resident, by the page tables. */
static double
resident(void)
{
	char text[4096], *at;
	int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	ssize_t n = file < 0 ? -1 : read(file, text, sizeof(text) - 1);

	if (n <= 0) {
		perror("/proc/self/smaps_rollup");
		exit(1);
	}
	close(file);
	text[n] = '\0';
	if ((at = strstr(text, "\nRss:")) == NULL)
		exit(1);
	return (strtod(at + 5, NULL));
}

/* Each allocator's call that gives back most; the others' are not there. */
static inline void
purge(void)
{
	int (*mallctl)(const char *, void *, size_t *, void *, size_t);
	void (*collect)(_Bool), (*release)(void);
	int (*trim)(size_t);

	*(void **)&mallctl = dlsym(RTLD_DEFAULT, "mallctl");
	*(void **)&collect = dlsym(RTLD_DEFAULT, "mi_collect");
	*(void **)&release = dlsym(RTLD_DEFAULT, "MallocExtension_ReleaseFreeMemory");
	*(void **)&trim = dlsym(RTLD_DEFAULT, "malloc_trim");
	if (mallctl != NULL) {
		mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
		if (mallctl("arena.4096.purge", NULL, NULL, NULL, 0) != 0) /* MALLCTL_ARENAS_ALL */
			fprintf(stderr, "mallctl refused to purge\n");
	}
	if (collect != NULL)
		collect(1);
	if (release != NULL)
		release();
	if (trim != NULL)
		trim(0);
}

#endif
