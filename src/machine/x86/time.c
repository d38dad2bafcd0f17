/*
 * Time: the CPU's counter, calibrated once against the interval timer. The counters of all CPUs run
 * together on machines since about 2008, and in the emulator.
 */
#include "io.h"
#include "x86.h"

#define PIT_HZ      1193182u
#define CALIBRATION 20u /* parts of a second */

static uint64_t tsc_start;
static uint32_t ns_per_tick; /* of the counter, times 2^24 */

/* Ticks of the counter in 1/CALIBRATION s, by the timer's channel 2, which needs no interrupt. */
static uint64_t
calibrate(void)
{
	uint16_t count = (uint16_t)(PIT_HZ / CALIBRATION);
	uint64_t start;

	outb(0x61, (uint8_t)((inb(0x61) & ~2u) | 1u)); /* gate on, speaker off */
	outb(0x43, 0xb0);                              /* channel 2, both bytes, count down once */
	outb(0x42, (uint8_t)count);
	outb(0x42, (uint8_t)(count >> 8));
	start = rdtsc();
	while ((inb(0x61) & 0x20) == 0)
		__builtin_ia32_pause();
	return (rdtsc() - start);
}

void
x86_time_start(void)
{
	uint32_t ticks = (uint32_t)(calibrate() >> 8); /* of 256 counts; fits: up to 20 THz */
	uint32_t ns = 1000000000u / CALIBRATION;

	/* 2^24 ns / counts = (2^16 ns) / (counts / 256): a 64 by 32 bit division, in two 32-bit steps. */
	uint32_t high = ns / ticks, rest = ns % ticks;

	ns_per_tick = high << 16;
	for (unsigned bit = 16; bit-- > 0;) {
		bool carry = rest >> 31;

		rest <<= 1;
		if (carry || rest >= ticks) {
			rest -= ticks;
			ns_per_tick |= 1u << bit;
		}
	}
	tsc_start = rdtsc();
}

uint64_t
machine_now(void)
{
	uint64_t ticks = rdtsc() - tsc_start;
	uint64_t low = (ticks & 0xffffffffu) * ns_per_tick, high = (ticks >> 32) * ns_per_tick;

	return ((low >> 24) + (high << 8) + 1); /* 0 means "no time" to the core */
}
