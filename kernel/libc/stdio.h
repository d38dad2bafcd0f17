/*
 * What tests print with, on the console.
 */
#ifndef KERNEL_STDIO_H
#define KERNEL_STDIO_H

#include <stddef.h>

__attribute__((format(printf, 1, 2))) int kernel_printf(const char *fmt, ...);
__attribute__((format(printf, 3, 4))) int snprintf(char *buf, size_t size, const char *fmt, ...);
#define printf(...)        kernel_printf(__VA_ARGS__)
#define stderr             NULL
#define stdout             NULL
#define fprintf(file, ...) kernel_printf(__VA_ARGS__)
#define fflush(file)       ((void)0)

#endif
