/*
 * The few functions of a C library that the tests use.
 *
 * The heap is one list of blocks in order of address, first fit, merged when freed; heap_lock guards
 * it. Tests keep their own books there, so that what they count of Cooper is Cooper's alone.
 */
#include "x86.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "kernel.h"

struct block {
	size_t size; /* of all of it, this head too */
	bool free;
	char spare[16 - sizeof(size_t) - 1];
};
_Static_assert(sizeof(struct block) == 16, "what follows is aligned");

static struct machine_lock heap_lock;
static char *heap, *heap_end;

bool
kernel_heap_start(size_t bytes)
{
	heap = x86_memory_keep(bytes);
	if (heap == NULL)
		return (false);
	heap_end = heap + bytes;
	*(struct block *)heap = (struct block){ .size = bytes, .free = true };
	return (true);
}

static struct block *
next_of(struct block *b)
{
	return ((struct block *)((char *)b + b->size));
}

static void
merge(struct block *b)
{
	while ((char *)next_of(b) < heap_end && next_of(b)->free)
		b->size += next_of(b)->size;
}

static void *
take(struct block *b, size_t size)
{
	if (b->size - size >= 2 * sizeof(*b)) {
		struct block rest = { .size = b->size - size, .free = true };

		b->size = size;
		*next_of(b) = rest;
	}
	b->free = false;
	return (b + 1);
}

/* Behind this address the heap is one free block, or nothing. */
char *
kernel_heap_top(void)
{
	char *top = heap;

	machine_lock(&heap_lock);
	for (struct block *b = (struct block *)heap; (char *)b < heap_end; b = next_of(b)) {
		if (b->free)
			merge(b);
		top = (char *)(b->free ? b + 1 : next_of(b));
	}
	machine_unlock(&heap_lock);
	return (top);
}

char *
kernel_heap_end(void)
{
	return (heap_end);
}

void *
malloc(size_t size)
{
	void *p = NULL;

	size = ((size + 15) & ~(size_t)15) + sizeof(struct block);
	machine_lock(&heap_lock);
	for (struct block *b = (struct block *)heap; p == NULL && (char *)b < heap_end;
	     b = next_of(b)) {
		if (!b->free)
			continue;
		merge(b);
		if (b->size >= size)
			p = take(b, size);
	}
	machine_unlock(&heap_lock);
	return (p);
}

void *
calloc(size_t n, size_t size)
{
	void *p = malloc(n * size);

	if (p != NULL)
		memset(p, 0, n * size);
	return (p);
}

void
free(void *p)
{
	struct block *b = p;

	if (b == NULL)
		return;
	machine_lock(&heap_lock);
	b[-1].free = true;
	machine_unlock(&heap_lock);
}

void *
realloc(void *p, size_t size)
{
	struct block *b = p;
	void *q = malloc(size);

	if (p == NULL || q == NULL)
		return (q);
	memcpy(q, p, MIN(size, b[-1].size - sizeof(*b)));
	free(p);
	return (q);
}

static void
swap(char *a, char *b, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char c = a[i];

		a[i] = b[i];
		b[i] = c;
	}
}

/* Let element i of a heap of n sink to its place. */
static void
sink(char *base, size_t i, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	for (size_t child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && compare(base + child * size, base + (child + 1) * size) < 0)
			child++;
		if (compare(base + i * size, base + child * size) >= 0)
			return;
		swap(base + i * size, base + child * size, size);
	}
}

void
qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	for (size_t i = n / 2; i-- > 0;)
		sink(base, i, n, size, compare);
	for (size_t i = n; i-- > 1;) {
		swap(base, (char *)base + i * size, size);
		sink(base, 0, i, size, compare);
	}
}

void *
bsearch(const void *key, const void *base, size_t n, size_t size,
    int (*compare)(const void *, const void *))
{
	const char *low = base;

	while (n > 0) {
		const char *middle = low + n / 2 * size;
		int c = compare(key, middle);

		if (c == 0)
			return ((void *)(uintptr_t)middle);
		if (c > 0) {
			low = middle + size;
			n--;
		}
		n /= 2;
	}
	return (NULL);
}

char *
getenv(const char *name)
{
	(void)name;
	return (NULL);
}

unsigned long long
strtoull(const char *text, char **end, int base)
{
	unsigned long long n = 0;

	(void)base;
	while (*text >= '0' && *text <= '9')
		n = n * 10 + (unsigned long long)(*text++ - '0');
	if (end != NULL)
		*end = (char *)(uintptr_t)text;
	return (n);
}

int
atoi(const char *text)
{
	return ((int)strtoull(text, NULL, 10));
}

void
abort(void)
{
	core_panic("abort");
}

size_t
strlen(const char *s)
{
	size_t n = 0;

	while (s[n] != '\0')
		n++;
	return (n);
}

int
strncmp(const char *a, const char *b, size_t n)
{
	for (; n > 0; n--, a++, b++)
		if (*a != *b || *a == '\0')
			return ((unsigned char)*a - (unsigned char)*b);
	return (0);
}

int
strcmp(const char *a, const char *b)
{
	return (strncmp(a, b, SIZE_MAX));
}

char *
strcpy(char *to, const char *from)
{
	return (memcpy(to, from, strlen(from) + 1));
}

char *
strcat(char *to, const char *from)
{
	strcpy(to + strlen(to), from);
	return (to);
}

char *
strstr(const char *text, const char *what)
{
	size_t n = strlen(what);

	for (; *text != '\0' || n == 0; text++) {
		if (strncmp(text, what, n) == 0)
			return ((char *)(uintptr_t)text);
		if (*text == '\0')
			break;
	}
	return (NULL);
}

char *
strchr(const char *text, int c)
{
	for (; *text != (char)c; text++)
		if (*text == '\0')
			return (NULL);
	return ((char *)(uintptr_t)text);
}

int
snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = core_vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return (len);
}

int
kernel_printf(const char *fmt, ...)
{
	char line[400];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = core_vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	machine_print(line, MIN((size_t)len, sizeof(line) - 1));
	return (len);
}

int
usleep(unsigned us)
{
	x86_sleep(us);
	return (0);
}

unsigned
alarm(unsigned seconds)
{
	(void)seconds;
	return (0);
}

int
sched_yield(void)
{
	x86_yield();
	return (0);
}
