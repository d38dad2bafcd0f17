/*
 * The functions of malloc(3), posix_memalign(3), malloc_usable_size(3) and C23's sized frees.
 * Semantics are glibc's where the standard leaves a choice: realloc(p, 0) frees p and returns NULL,
 * memalign() rounds its alignment up to a power of two, malloc(0) is a block of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "front.h"

FRONT_EXPORT void *
malloc(size_t size)
{
	return (front_malloc(size));
}

FRONT_EXPORT void
free(void *p)
{
	if (unlikely(!front_push(p)))
		front_free(p);
}

FRONT_EXPORT void *
calloc(size_t n, size_t size)
{
	size_t bytes;
	void *p;

	if (unlikely(__builtin_mul_overflow(n, size, &bytes)))
		bytes = SIZE_MAX;
	if (unlikely(!front_direct(bytes)))
		return (front_alloc_more(bytes, M_ZERO));
	p = front_pop(bytes);
	return (likely(p != NULL) ? memset(p, 0, bytes) : front_alloc(bytes, 0, M_ZERO));
}

FRONT_EXPORT void *
realloc(void *p, size_t size)
{
	if (p == NULL)
		return (malloc(size));
	if (size == 0) {
		free(p);
		return (NULL);
	}
	return (front_realloc(p, size));
}

FRONT_EXPORT void *
reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return (NULL);
	}
	return (realloc(p, bytes));
}

/* The sizes given back are only checked in the debug shape: nothing here needs them. */
FRONT_EXPORT void
free_sized(void *p, size_t size)
{
	CHECK(p == NULL || size <= front_size("free_sized", p),
	    "free_sized: block %p holds %zu bytes, not %zu", p, front_size("free_sized", p), size);
	free(p);
}

FRONT_EXPORT void
free_aligned_sized(void *p, size_t align, size_t size)
{
	CHECK(is_pow2(align) && ((uintptr_t)p & (align - 1)) == 0,
	    "free_aligned_sized: block %p is not aligned to %zu", p, align);
	free_sized(p, size);
}

/* ---- alignment: a power of two -------------------------------------------------------------------- */

static void *
alloc_aligned(size_t align, size_t size)
{
	unsigned class = front_started() ? malloc_class_aligned(size, align) : MALLOC_CLASSES;
	void *p = class < MALLOC_CLASSES ? front_pop_class(class) : NULL;

	return (likely(p != NULL) ? p : front_alloc(size, align, 0));
}

FRONT_EXPORT int
posix_memalign(void **out, size_t align, size_t size)
{
	int saved = errno;
	void *p;

	if (!is_pow2(align) || align % sizeof(void *) != 0)
		return (EINVAL);
	p = alloc_aligned(align, size);
	errno = saved;
	if (p == NULL)
		return (ENOMEM);
	*out = p;
	return (0);
}

FRONT_EXPORT void *
aligned_alloc(size_t align, size_t size)
{
	if (!is_pow2(align)) {
		errno = EINVAL;
		return (NULL);
	}
	return (alloc_aligned(align, size));
}

FRONT_EXPORT void *
memalign(size_t align, size_t size)
{
	if (align > SIZE_MAX / 2 + 1) {
		errno = EINVAL;
		return (NULL);
	}
	if (!is_pow2(align))
		align = align == 0 ? 1 : (size_t)1 << fls_size(align);
	return (alloc_aligned(align, size));
}

FRONT_EXPORT void *
valloc(size_t size)
{
	return (alloc_aligned(PAGE_SIZE, size));
}

FRONT_EXPORT void *
pvalloc(size_t size)
{
	return (alloc_aligned(
	    PAGE_SIZE, size <= PTRDIFF_MAX ? round_page(MAX(size, (size_t)1)) : size));
}

FRONT_EXPORT size_t
malloc_usable_size(void *p)
{
	return (front_size("malloc_usable_size", p));
}

/* ---- other names ------------------------------------------------------------------------------------
 * glibc's own names for its allocator. A program that calls them must meet the same memory.
 */
#define ALIAS(ret, name, target, ...) \
	FRONT_EXPORT ret name(__VA_ARGS__) __attribute__((alias(#target)))

ALIAS(void, cfree, free, void *);
ALIAS(void *, __libc_malloc, malloc, size_t);
ALIAS(void, __libc_free, free, void *);
ALIAS(void *, __libc_calloc, calloc, size_t, size_t);
ALIAS(void *, __libc_realloc, realloc, void *, size_t);
ALIAS(void *, __libc_memalign, memalign, size_t, size_t);
ALIAS(void *, __libc_valloc, valloc, size_t);
ALIAS(void *, __libc_pvalloc, pvalloc, size_t);
ALIAS(int, __posix_memalign, posix_memalign, void **, size_t, size_t);
