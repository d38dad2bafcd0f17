/*
 * The serial line, the end of the machine, and the loader's command line.
 *
 * Printing takes a spin lock with interrupts off, a whole text at a time, so that lines of several CPUs
 * do not mix; after a panic it takes none, since the holder may be the one that died.
 */
#include "base/atomic.h"
#include "x86.h"
#include "io.h"

#define COM1       0x3f8
#define DEBUG_EXIT 0xf4 /* the emulator's isa-debug-exit device: status (value << 1) | 1 */

const char *x86_options = "";
static struct spin console_lock;
static bool dying;
void (*x86_on_panic)(const char *line);

void
x86_console_start(void)
{
	outb(COM1 + 1, 0x00); /* no interrupts */
	outb(COM1 + 3, 0x80); /* divisor: 115200 baud */
	outb(COM1 + 0, 0x01);
	outb(COM1 + 1, 0x00);
	outb(COM1 + 3, 0x03); /* 8 bits, no parity, one stop bit */
	outb(COM1 + 2, 0xc7); /* queues on and empty */
	outb(COM1 + 4, 0x0b);
}

static void
put(char c)
{
	for (unsigned spins = 0; (inb(COM1 + 5) & 0x20) == 0 && spins < 100000; spins++)
		__builtin_ia32_pause();
	outb(COM1, (uint8_t)c);
}

void
machine_print(const char *text, size_t len)
{
	uintptr_t flags = x86_irq_off();
	bool locked = !__atomic_load_n(&dying, __ATOMIC_RELAXED);

	if (x86_try_print(text, len)) {
		x86_irq_restore(flags);
		return;
	}
	if (locked)
		spin_lock(&console_lock);
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			put('\r');
		put(text[i]);
	}
	if (locked)
		spin_unlock(&console_lock);
	x86_irq_restore(flags);
}

void
x86_printf(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = core_vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	machine_print(line, MIN((size_t)len, sizeof(line) - 1));
}

/* ---- the end -------------------------------------------------------------------------------------- */

void
x86_exit(int status)
{
	x86_irq_off();
	x86_stop_others();
	outb(DEBUG_EXIT, status == 0 ? 0x10 : 0x11); /* seen outside as 33 and 35 */
	for (;;)
		__asm__ volatile("hlt");
}

void
machine_panic(const char *line)
{
	x86_irq_off();
	if (x86_trying()) {
		x86_printf("cooper: %s\n", line);
		x86_try_ended(X86_PANICKED);
	}
	if (x86_on_panic != NULL)
		x86_on_panic(line);
	if (__atomic_exchange_n(&dying, true, __ATOMIC_ACQ_REL))
		for (;;) /* another CPU is at it */
			__asm__ volatile("hlt");
	x86_stop_others();
	x86_printf("cooper: %s\n", line);
	if (x86_last_words != NULL)
		x86_last_words();
	x86_exit(1);
}

/* ---- options ----------------------------------------------------------------------------------------- */

static bool
begins(const char *text, const char *with)
{
	while (*with != '\0')
		if (*text++ != *with++)
			return (false);
	return (true);
}

const char *
x86_option(const char *key)
{
	size_t len = 0;

	while (key[len] != '\0')
		len++;
	for (const char *p = x86_options; *p != '\0';) {
		if (begins(p, key)) {
			if (p[len] == '=')
				return (p + len + 1);
			if (p[len] == '\0' || p[len] == ' ')
				return (p + len);
		}
		while (*p != '\0' && *p != ' ')
			p++;
		while (*p == ' ')
			p++;
	}
	return (NULL);
}

uint64_t
x86_option_size(const char *key, uint64_t otherwise)
{
	const char *p = x86_option(key);

	return (p == NULL || *p < '0' || *p > '9' ? otherwise : x86_size(p));
}

uint64_t
x86_size(const char *p)
{
	uint64_t n = 0;

	while (*p >= '0' && *p <= '9')
		n = n * 10 + (uint64_t)(*p++ - '0');
	return (*p == 'K' ? n << 10 : *p == 'M' ? n << 20 : *p == 'G' ? n << 30 : n);
}
