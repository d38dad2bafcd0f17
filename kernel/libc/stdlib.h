/*
 * A small heap for the tests' own books, in memory that no part of Cooper has; and sorting.
 */
#ifndef KERNEL_STDLIB_H
#define KERNEL_STDLIB_H

#include <stddef.h>

void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t size);
void free(void *p);
void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *));
void *bsearch(const void *key, const void *base, size_t n, size_t size,
    int (*compare)(const void *, const void *));
char *getenv(const char *name); /* there is no environment: NULL */
unsigned long long strtoull(const char *text, char **end, int base); /* base 10 */
int atoi(const char *text);
__attribute__((noreturn)) void abort(void);

#endif
