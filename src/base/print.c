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
	char length; /* 'l', 'z', LONG_LONG or 0 */
	unsigned width;
	int precision; /* -1: none */
};
#define LONG_LONG 'L'

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
	put_padded(
	    o, p, (size_t)(text + sizeof(text) - p), &rest, spec->zero && !spec->left ? '0' : ' ');
}

/* The number after `*` or in digits at *fmt. */
static int
spec_number(const char **fmt, va_list *ap)
{
	int n = 0;

	if (**fmt == '*') {
		++*fmt;
		return (va_arg(*ap, int));
	}
	for (; **fmt >= '0' && **fmt <= '9'; ++*fmt)
		n = n * 10 + (**fmt - '0');
	return (n);
}

/* What stands between the % and the conversion, which *fmt is left at. */
static struct spec
parse_spec(const char **fmt, va_list *ap)
{
	struct spec spec = { .precision = -1 };
	int width;

	for (; **fmt == '-' || **fmt == '0'; ++*fmt) {
		spec.left |= **fmt == '-';
		spec.zero |= **fmt == '0';
	}
	width = spec_number(fmt, ap);
	spec.left |= width < 0;
	spec.width = width < 0 ? 0u - (unsigned)width : (unsigned)width;
	if (**fmt == '.') {
		++*fmt;
		spec.precision = spec_number(fmt, ap);
	}
	for (; **fmt == 'l' || **fmt == 'z'; ++*fmt)
		spec.length = spec.length == 'l' ? LONG_LONG : **fmt;
	return (spec);
}

static long long
signed_arg(char length, va_list *ap)
{
	switch (length) {
	case LONG_LONG:
		return (va_arg(*ap, long long));
	case 'l':
		return (va_arg(*ap, long));
	case 'z':
		return (va_arg(*ap, ptrdiff_t));
	default:
		return (va_arg(*ap, int));
	}
}

static unsigned long long
unsigned_arg(char length, va_list *ap)
{
	switch (length) {
	case LONG_LONG:
		return (va_arg(*ap, unsigned long long));
	case 'l':
		return (va_arg(*ap, unsigned long));
	case 'z':
		return (va_arg(*ap, size_t));
	default:
		return (va_arg(*ap, unsigned));
	}
}

static void
put_string(struct out *o, const char *s, const struct spec *spec)
{
	size_t len = 0;

	if (s == NULL)
		s = "(null)";
	while ((spec->precision < 0 || len < (size_t)spec->precision) && s[len] != '\0')
		len++;
	put_padded(o, s, len, spec, ' ');
}

static void
convert(struct out *o, char conversion, const struct spec *spec, va_list *ap)
{
	long long v;
	char c;

	switch (conversion) {
	case 'd':
	case 'i':
		v = signed_arg(spec->length, ap);
		put_number(o, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, false, spec);
		break;
	case 'u':
	case 'x':
		put_number(o, unsigned_arg(spec->length, ap), false, conversion == 'x', spec);
		break;
	case 'p':
		put(o, '0');
		put(o, 'x');
		put_number(o, (uintptr_t)va_arg(*ap, void *), false, true, spec);
		break;
	case 's':
		put_string(o, va_arg(*ap, const char *), spec);
		break;
	case 'c':
		c = (char)va_arg(*ap, int);
		put_padded(o, &c, 1, spec, ' ');
		break;
	case '%':
		put(o, '%');
		break;
	default: /* not ours: as it stands */
		put(o, '%');
		put(o, conversion);
	}
}

int
core_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct out o = { buf, size, 0 };
	va_list args; /* a parameter's address would be of another type where va_list is an array */

	va_copy(args, ap);
	while (*fmt != '\0') {
		struct spec spec;

		if (*fmt != '%') {
			put(&o, *fmt++);
			continue;
		}
		fmt++;
		spec = parse_spec(&fmt, &args);
		if (*fmt != '\0')
			convert(&o, *fmt++, &spec, &args);
	}
	va_end(args);
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

static void
warn(const char *fmt, va_list ap)
{
	char line[LINE_MAX];
	size_t len;

	len = (size_t)core_vsnprintf(line, sizeof(line) - 1, fmt, ap);
	len = MIN(len, sizeof(line) - 2);
	line[len] = '\n';
	machine_print(line, len + 1);
}

void
core_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	warn(fmt, ap);
	va_end(ap);
}

NOINLINE bool
core_misuse(const char *fmt, ...)
{
	char line[LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	if (core_debug) {
		core_vsnprintf(line, sizeof(line), fmt, ap);
		machine_panic(line);
	}
	warn(fmt, ap);
	va_end(ap);
	return (true);
}
