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

/* ---- allocation ------------------------------------------------------------------------------------ */

/*
 * The class's zone, made at its first use unless pages are so short that making it might wait for
 * some: a larger class serves then.
 */
static uma_zone_t
zone_of(unsigned class)
{
	uma_zone_t zone = malloc_zone_near(class);

	if (likely(zone != NULL && zone == malloc_zones[class]))
		return (zone);
	if (machine_thread_state()->in_reclaim || vm_page_count_severe(-1))
		return (zone);
	return (malloc_zone_make(class));
}

static void *
try_alloc(size_t size, size_t align, int flags)
{
	unsigned class = malloc_class_aligned(MAX(size, (size_t)1), MAX(align, (size_t)1));
	uma_zone_t zone;
	void *p;

	if (class < MALLOC_CLASSES && (zone = zone_of(class)) != NULL)
		return (uma_zalloc(zone, flags));
	p = malloc_large_alloc(size, align, NULL, flags);
	if (p != NULL)
		malloc_count_alloc(front_type, malloc_large_size(p), true);
	return (p);
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
		(void)page_daemon_pass(-1, PRESSURE_MIN);
		return (true);
	case 1:
		uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
		return (true);
	default:
		return (false);
	}
}

NOINLINE void *
front_alloc(size_t size, size_t align, int flags)
{
	int saved = errno;
	void *p = NULL;

	if (unlikely(!front_start())) {
		p = machine_boot_alloc(size, MAX(align, (size_t)16)); /* reads as zero */
	} else if (size <= PTRDIFF_MAX) {
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

/* ---- free and realloc ------------------------------------------------------------------------------ */

static bool
foreign(const void *p)
{
	return (malloc_map_at((vm_offset_t)p) == NULL);
}

NOINLINE void
front_free(void *p)
{
	int saved = errno;
	unsigned code;

	if (p == NULL || foreign(p))
		return;
	code = malloc_code(p);
	MUST(code != MALLOC_CODE_NONE, "free: address %p is not an allocated block", p);
	if (malloc_code_is_class(code)) {
		uma_zfree(malloc_zones[code - MALLOC_CODE_CLASS], p);
	} else {
		malloc_count_free(front_type, malloc_large_size(p));
		malloc_large_free(p, code);
	}
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
	size_t old;
	void *q;

	if (unlikely(foreign(p)))
		return (realloc_foreign(p, size));
	old = malloc_block_size("realloc", p, malloc_code(p));
	if (size <= old && (size > old / 2 || old == malloc_class_size(0)))
		return (p);
	q = front_pop(size);
	if (q == NULL && (q = front_alloc(size, 0, 0)) == NULL)
		return (NULL);
	memcpy(q, p, MIN(old, size));
	if (!front_push(p))
		front_free(p);
	return (q);
}
