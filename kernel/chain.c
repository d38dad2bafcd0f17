/*
 * Who waits for what: the table of waits, and for each channel the resource behind it, what is left of
 * that, and what it would take to make more. Reads the core's structures without locks: it is for a
 * machine that stands still.
 */
#include "x86.h"
#include "kmem/kmem_int.h"
#include "page/page_int.h"
#include "stats/stats.h"
#include "uma/uma_int.h"
#include "kernel.h"

static void
print_line(void *arg, const char *line)
{
	(void)arg;
	x86_printf("%s\n", line);
}

void
kernel_print_tables(void)
{
	stats_print_tables(print_line, NULL);
}

static unsigned
pages_free(void)
{
	unsigned n = 0;

	for (unsigned d = 0; d < page_ndomains(); d++)
		n += page_domains[d].free;
	return (n);
}

/* Free items in the slabs of the tag zone: what a refill can have. */
static unsigned
tags_free(void)
{
	unsigned n = 0;

	for (unsigned d = 0; tag_zone != NULL && d < page_ndomains(); d++)
		n += tag_zone->keg->domain[d].free_items;
	return (n);
}

static bool
same(const char *a, const char *b)
{
	for (; *a != '\0' && *a == *b; a++, b++)
		;
	return (*a == *b);
}

static void
explain(const char *channel)
{
	if (same(channel, "btalloc")) {
		x86_printf("    a boundary tag: %u free in slabs, a refill needs up to %u\n",
		    tags_free(), tags_bound());
		if (tags_free() < tags_bound())
			x86_printf(
			    "    more come with a slab of tags; the slab needs an address,\n"
			    "    the address needs tags: the reserve is gone, nobody can begin\n");
	} else if (same(channel, "vmwait"))
		x86_printf("    pages: %u free\n", pages_free());
	else if (same(channel, "kva"))
		x86_printf("    addresses of the window: whoever frees some wakes it\n");
	else
		x86_printf("    %s: whoever frees some wakes it\n", channel);
}

static void
print_wait(void *arg, enum stats_section section, const void *record)
{
	const struct stats_wait *w = record;

	(void)arg;
	(void)section;
	x86_printf("  thread %u sleeps on \"%s\" for %u ms; it needs %u\n", (unsigned)w->thread,
	    w->channel, (unsigned)(w->age_ns >> 20), (unsigned)w->need);
	explain(w->channel);
}

static void
print_thread(const struct thread *t, void *arg)
{
	static const char *const words[] = { "free", "runs", "is ready", "is parked",
		"waits for a lock" };

	(void)arg;
	x86_printf("  thread %u, %s, %s\n", (unsigned)t->id, t->name, words[t->status]);
}

void
chain_print(void)
{
	static struct stats_collector c;
	struct stats_visitor out = { .record = print_wait };

	x86_printf("threads:\n");
	x86_each_thread(print_thread, NULL);
	x86_printf("who waits for what:\n");
	c = (struct stats_collector){ .peek = stats_peek_self,
		.root = (uintptr_t)&cooper_stats_root,
		.now = machine_now(),
		.sections = STATS_BIT(WAITS) };
	(void)stats_collect(&c, &out);
	x86_printf("  free: %u pages, %u tags in slabs\n", pages_free(), tags_free());
}
