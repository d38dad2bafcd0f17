/*
 * The four functions that a freestanding compiler may call by itself, by the string instructions.
 * Built so that the compiler does not see itself in them (-fno-tree-loop-distribute-patterns).
 */
#include <stddef.h>

#ifdef __x86_64__
#define WORD "q"
#else
#define WORD "l"
#endif

void *memcpy(void *__restrict to, const void *__restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);

void *
memcpy(void *__restrict to, const void *__restrict from, size_t n)
{
	size_t words = n / sizeof(long), rest = n % sizeof(long);
	void *at = to;

	__asm__ volatile("rep movs" WORD : "+D"(at), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(rest) : : "memory");
	return (to);
}

void *
memmove(void *to, const void *from, size_t n)
{
	char *t = to;
	const char *f = from;

	if (t <= f || t >= f + n)
		return (memcpy(to, from, n));
	while (n-- > 0)
		t[n] = f[n];
	return (to);
}

void *
memset(void *to, int byte, size_t n)
{
	size_t words = n / sizeof(long), rest = n % sizeof(long);
	unsigned long pattern = ~0ul / 255 * (unsigned char)byte;
	void *at = to;

	__asm__ volatile("rep stos" WORD : "+D"(at), "+c"(words) : "a"(pattern) : "memory");
	__asm__ volatile("rep stosb" : "+D"(at), "+c"(rest) : "a"(pattern) : "memory");
	return (to);
}

int
memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n > 0; n--, x++, y++)
		if (*x != *y)
			return (*x - *y);
	return (0);
}
