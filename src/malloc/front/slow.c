/*
 * What the fast paths leave: a class's first use, empty and full caches, large blocks, shortage, and
 * addresses that are not ours.
 *
 * Foreign addresses exist: ld.so serves itself before it switches to us, another C library may live
 * in another namespace, and the start-up serves its own thread from boot memory. They are outside
 * of the page map; freeing them does nothing, realloc copies what can be read of them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cooper/kmem.h>
#include "front.h"
#include "machine/posix/posix.h"
#include "uma/uma_int.h"

struct front_fast front_fast;

/* ---- the fast paths' tables ------------------------------------------------------------------------ */

/* What opens the paths is written last. */
void
front_fast_start(void)
{
	for (size_t i = 0; i < nitems(front_fast.parts); i++)
		front_fast.parts[i] = front_fast.closed;
	front_fast.map.base = malloc_map[0].base;
	front_fast.map.code = malloc_map[0].code;
	atomic_store_release(&front_fast.map.pages, malloc_map[0].pages);
	atomic_store_release(&front_fast.direct, (size_t)FRONT_DIRECT + 1);
}

/* From now on the class is served on the fast paths. */
static void
publish(unsigned class, uma_zone_t zone)
{
	struct percpu **by_code = &front_fast.parts[MALLOC_CODE_CLASS + class];

	if (atomic_load_relaxed(by_code) == zone->part)
		return;
	for (size_t i = 0; i <= FRONT_DIRECT / FRONT_STEP; i++)
		if (malloc_class(MAX(i * FRONT_STEP, (size_t)1)) == class)
			atomic_store_release(&front_fast.parts[FRONT_CODES + i], zone->part);
	atomic_store_release(by_code, zone->part);
}

/* ---- allocation ------------------------------------------------------------------------------------ */

/*
 * The class's zone, made at its first use unless pages are so short that making it might wait for
 * some: a larger class serves then.
 */
static uma_zone_t
zone_of(unsigned class)
{
	uma_zone_t zone = malloc_zone_near(class);

	if (unlikely(zone == NULL || zone != malloc_zones[class])) {
		if (machine_thread_state()->in_reclaim || vm_page_count_severe(-1))
			return (zone);
		zone = malloc_zone_make(class);
	}
	publish(class, zone);
	return (zone);
}

static void *
try_alloc(size_t size, size_t align, int flags)
{
	unsigned class = malloc_class_aligned(MAX(size, (size_t)1), MAX(align, (size_t)1));
	uma_zone_t zone;

	if (class < MALLOC_CLASSES && (zone = zone_of(class)) != NULL)
		return (uma_zalloc(zone, flags));
	return (front_large_alloc(size, align, flags));
}

/*
 * Gain memory for another try, harder each time; false: nothing is left to be tried. A request that
 * the whole of physical memory could not meet is not worth anybody's caches.
 */
static bool
reclaim(unsigned attempt, size_t size)
{
	if (size > cooper_shape()->physmem)
		return (false);
	switch (attempt) {
	case 0:
		(void)front_large_purge();
		(void)page_daemon_pass(-1, PRESSURE_MIN);
		return (true);
	case 1:
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		return (true);
	default:
		return (false);
	}
}

/*
 * The process has grown beyond what most need: now the cgroups' limit matters, and what is above it is
 * not our memory. Nor is a sixteenth below it: code, stacks, tables and others in the cgroup count, too,
 * and a NULL is better than a kill. Not if the options say how much there is.
 */
static NOINLINE void
keep_to_limit(void)
{
	uint64_t limit = posix_memory_limit();

	limit -= limit / 16;
	atomic_store_relaxed(&posix_limit_later, false);
	atomic_store_relaxed(&posix_limit_due, false);
	if (limit < cooper_shape()->physmem && (machine_options()->given & OPTION_PHYSMEM) == 0)
		(void)page_forgo((unsigned long)(limit >> PAGE_SHIFT));
}

/* Of a class that is in use, and touches no errno. */
static void *
reload(size_t size) /* front_direct() says so */
{
	uma_zone_t zone = atomic_load_acquire(&malloc_zones[malloc_class(MAX(size, (size_t)1))]);

	return (zone == NULL ? NULL : uma_zalloc_reload(zone, NULL));
}

NOINLINE void *
front_alloc(size_t size, size_t align, int flags)
{
	int saved;
	void *p;

	if (align == 0 && flags == 0 && front_direct(size) && (p = reload(size)) != NULL)
		return (p);
	saved = errno;
	p = NULL;
	if (unlikely(!front_start())) {
		p = machine_boot_alloc(size, MAX(align, (size_t)16)); /* reads as zero */
	} else if (size <= PTRDIFF_MAX) {
		if (unlikely(atomic_load_relaxed(&posix_limit_due)))
			keep_to_limit();
		for (unsigned attempt = 0;; attempt++) {
			p = try_alloc(size, align, flags | M_NOWAIT);
			if (p != NULL || !reclaim(attempt, size))
				break;
		}
		if (p == NULL)
			malloc_count_failure(front_type, false);
	}
	errno = p != NULL ? saved : ENOMEM;
	return (p);
}

NOINLINE void *
front_alloc_more(size_t size, int flags)
{
	void *p;

	if (unlikely(size > MALLOC_SMALL_MAX || !front_started()))
		return (front_alloc(size, 0, flags));
	p = front_pop_class(malloc_class(size));
	if (unlikely(p == NULL))
		return (front_alloc(size, 0, flags));
	return ((flags & M_ZERO) != 0 ? memset(p, 0, size) : p);
}

/* ---- free and realloc ------------------------------------------------------------------------------ */

static bool
foreign(const void *p)
{
	return (malloc_map_at((vm_offset_t)p) == NULL);
}

NOINLINE void
front_free(void *p)
{
	const uint8_t *place = p == NULL ? NULL : malloc_map_at((vm_offset_t)p);
	unsigned code;
	int saved;

	if (place == NULL) /* none, or foreign */
		return;
	code = *place;
	if (malloc_code_is_class(code) &&
	    uma_zfree_reload(malloc_zones[code - MALLOC_CODE_CLASS], p, NULL))
		return;
	saved = errno;
	MUST(code != MALLOC_CODE_NONE, "free: address %p is not an allocated block", p);
	if (malloc_code_is_class(code))
		uma_zfree(malloc_zones[code - MALLOC_CODE_CLASS], p);
	else
		front_large_free(p, code);
	errno = saved;
}

size_t
front_size(const char *func, const void *p)
{
	return (p == NULL || foreign(p) ? 0 : malloc_block_size(func, p, malloc_code(p)));
}

/* Nobody knows how large a foreign block is: take what is readable of the new size. */
static void *
realloc_foreign(void *p, size_t size)
{
	void *q = front_alloc(size, 0, 0);
	int saved = errno;

	for (size_t done = 0; q != NULL && done < size;) {
		size_t n = MIN(size - done, PAGE_SIZE - (((uintptr_t)p + done) & PAGE_MASK));
		struct iovec to = { (char *)q + done, n }, from = { (char *)p + done, n };

		if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != (ssize_t)n)
			break;
		done += n;
	}
	errno = saved;
	return (q);
}

void *
front_realloc(void *p, size_t size)
{
	unsigned code;
	size_t old;
	void *q;
	int saved;

	if (unlikely(foreign(p)))
		return (realloc_foreign(p, size));
	code = malloc_code(p);
	old = malloc_block_size("realloc", p, code);
	if (size <= old && (size > old / 2 || old == malloc_class_size(0)))
		return (p);
	if (!malloc_code_is_class(code)) {
		saved = errno;
		q = front_large_resize(p, old, size, code);
		errno = saved;
		if (q != NULL)
			return (q);
	}
	q = front_malloc(size);
	if (q == NULL)
		return (NULL);
	memcpy(q, p, MIN(old, size));
	if (!front_push(p))
		front_free(p);
	return (q);
}
