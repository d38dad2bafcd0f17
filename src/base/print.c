/*
 * Text without libc: a small vsnprintf, and the two voices of the core, core_panic() and
 * core_warn(). Both format into the stack and hand one line to the machine; neither allocates or
 * takes a lock, so they work anywhere, also half-way through start-up.
 */
#include "base/base.h"

#define LINE_MAX 256

/* Where the text goes: what does not fit is counted and dropped. */
struct out {
	char *buf;
	size_t size, len;
};

struct spec {
	bool left, zero;
	unsigned width;
	int precision; /* -1: none */
};

static void
put(struct out *o, char c)
{
	if (o->len + 1 < o->size)
		o->buf[o->len] = c;
	o->len++;
}

static void
put_padded(struct out *o, const char *s, size_t len, const struct spec *spec, char pad)
{
	size_t fill = spec->width > len ? spec->width - len : 0;

	if (!spec->left)
		for (; fill > 0; fill--)
			put(o, pad);
	for (size_t i = 0; i < len; i++)
		put(o, s[i]);
	for (; fill > 0; fill--)
		put(o, ' ');
}

/* v / 10, and the remainder: in 16-bit digits, since 32-bit machines have no 64-bit division. */
static uint64_t
divide_by_ten(uint64_t v, unsigned *digit)
{
	uint64_t quotient = 0;
	uint32_t rest = 0;

	for (int shift = 48; shift >= 0; shift -= 16) {
		rest = rest << 16 | (uint32_t)(v >> shift & 0xffff);
		quotient = quotient << 16 | rest / 10;
		rest %= 10;
	}
	*digit = rest;
	return (quotient);
}

static void
put_number(struct out *o, uint64_t v, bool negative, bool hex, const struct spec *spec)
{
	char text[24];
	char *p = text + sizeof(text);
	struct spec rest = *spec;
	unsigned digit;

	do {
		if (hex) {
			digit = v & 15;
			v >>= 4;
		} else
			v = divide_by_ten(v, &digit);
		*--p = "0123456789abcdef"[digit];
	} while (v != 0);
	if (negative && spec->zero && !spec->left) {
		put(o, '-'); /* the sign comes before the zeroes */
		if (rest.width > 0)
			rest.width--;
	} else if (negative)
		*--p = '-';
	put_padded(o, p, (size_t)(text + sizeof(text) - p), &rest,
	    spec->zero && !spec->left ? '0' : ' ');
}

/* The next argument of a number conversion; `size` is 0, 'l', 'L' (long long) or 'z'. */
#define NEXT_ARG(ap, size, T_int, T_long, T_llong, T_z)                                            \
	((size) == 'L'       ? (T_llong)va_arg(ap, T_llong)                                        \
	    : (size) == 'l' ? (T_llong)va_arg(ap, T_long)                                         \
	    : (size) == 'z' ? (T_llong)va_arg(ap, T_z)                                            \
			     : (T_llong)va_arg(ap, T_int))

int
core_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct out o = {buf, size, 0};

	for (; *fmt != '\0'; fmt++) {
		struct spec spec = {.precision = -1};
		char length = 0;

		if (*fmt != '%') {
			put(&o, *fmt);
			continue;
		}
		for (fmt++; *fmt == '-' || *fmt == '0'; fmt++) {
			spec.left |= *fmt == '-';
			spec.zero |= *fmt == '0';
		}
		if (*fmt == '*') {
			int width = va_arg(ap, int);

			spec.left |= width < 0;
			spec.width = width < 0 ? 0u - (unsigned)width : (unsigned)width;
			fmt++;
		}
		for (; *fmt >= '0' && *fmt <= '9'; fmt++)
			spec.width = spec.width * 10 + (unsigned)(*fmt - '0');
		if (*fmt == '.') {
			spec.precision = 0;
			if (*++fmt == '*') {
				spec.precision = va_arg(ap, int);
				fmt++;
			}
			for (; *fmt >= '0' && *fmt <= '9'; fmt++)
				spec.precision = spec.precision * 10 + (*fmt - '0');
		}
		if (*fmt == 'z' || *fmt == 'l')
			length = *fmt++;
		if (length == 'l' && *fmt == 'l') {
			length = 'L';
			fmt++;
		}
		switch (*fmt) {
		case 'd':
		case 'i': {
			long long v = NEXT_ARG(ap, length, int, long, long long, ptrdiff_t);

			put_number(&o, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, false, &spec);
			break;
		}
		case 'u':
		case 'x': {
			unsigned long long v = NEXT_ARG(ap, length, unsigned, unsigned long,
			    unsigned long long, size_t);

			put_number(&o, v, false, *fmt == 'x', &spec);
			break;
		}
		case 'p':
			put(&o, '0');
			put(&o, 'x');
			put_number(&o, (uintptr_t)va_arg(ap, void *), false, true, &spec);
			break;
		case 's': {
			const char *s = va_arg(ap, const char *);
			size_t len = 0;

			if (s == NULL)
				s = "(null)";
			while ((spec.precision < 0 || len < (size_t)spec.precision) && s[len] != '\0')
				len++;
			put_padded(&o, s, len, &spec, ' ');
			break;
		}
		case 'c': {
			char c = (char)va_arg(ap, int);

			put_padded(&o, &c, 1, &spec, ' ');
			break;
		}
		case '%':
			put(&o, '%');
			break;
		case '\0':
			fmt--; /* a lone % at the end: let the loop see the end */
			break;
		default:
			put(&o, '%');
			put(&o, *fmt);
		}
	}
	if (size > 0)
		buf[o.len < size ? o.len : size - 1] = '\0';
	return ((int)o.len);
}

int
core_snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = core_vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return (len);
}

void
core_panic(const char *fmt, ...)
{
	char line[LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	core_vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	machine_panic(line);
}

void
core_warn(const char *fmt, ...)
{
	char line[LINE_MAX];
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	len = (size_t)core_vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	len = MIN(len, sizeof(line) - 2);
	line[len] = '\n';
	machine_print(line, len + 1);
}
