/*
 * 64-bit atomics, which the compiler calls where it may not use the vector registers: all by compare
 * and exchange of eight bytes, with full order.
 */
#include <stdbool.h>
#include <stdint.h>

uint64_t __atomic_load_8(const volatile void *p, int order);
void __atomic_store_8(volatile void *p, uint64_t value, int order);
uint64_t __atomic_exchange_8(volatile void *p, uint64_t value, int order);
uint64_t __atomic_fetch_add_8(volatile void *p, uint64_t value, int order);
uint64_t __atomic_fetch_sub_8(volatile void *p, uint64_t value, int order);
bool __atomic_compare_exchange_8(
    volatile void *p, void *expected, uint64_t desired, bool weak, int success, int failure);

/* Stores `desired` if *p was `expected`; returns what it was. */
static inline uint64_t
cmpxchg8b(volatile void *p, uint64_t expected, uint64_t desired)
{
	__asm__ volatile("lock cmpxchg8b %1"
			 : "+A"(expected), "+m"(*(volatile uint64_t *)p)
			 : "b"((uint32_t)desired), "c"((uint32_t)(desired >> 32))
			 : "memory", "cc");
	return (expected);
}

uint64_t
__atomic_load_8(const volatile void *p, int order)
{
	(void)order;
	return (cmpxchg8b((volatile void *)(uintptr_t)p, 0, 0));
}

uint64_t
__atomic_exchange_8(volatile void *p, uint64_t value, int order)
{
	uint64_t seen = 0, old;

	(void)order;
	while ((old = cmpxchg8b(p, seen, value)) != seen)
		seen = old;
	return (old);
}

void
__atomic_store_8(volatile void *p, uint64_t value, int order)
{
	(void)__atomic_exchange_8(p, value, order);
}

uint64_t
__atomic_fetch_add_8(volatile void *p, uint64_t value, int order)
{
	uint64_t seen = 0, old;

	(void)order;
	while ((old = cmpxchg8b(p, seen, seen + value)) != seen)
		seen = old;
	return (old);
}

uint64_t
__atomic_fetch_sub_8(volatile void *p, uint64_t value, int order)
{
	return (__atomic_fetch_add_8(p, -value, order));
}

bool
__atomic_compare_exchange_8(
    volatile void *p, void *expected, uint64_t desired, bool weak, int success, int failure)
{
	uint64_t *want = expected, old = cmpxchg8b(p, *want, desired);

	(void)weak;
	(void)success;
	(void)failure;
	if (old == *want)
		return (true);
	*want = old;
	return (false);
}
