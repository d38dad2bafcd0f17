/*
 * The bare x86 machines' fast path of the per-CPU caches: with interrupts off nothing else runs on
 * this CPU, and its stacks are nobody else's: who wants to close one from another CPU asks this one
 * to (percpu.c). So a plain load and store will do.
 */
#ifndef MACHINE_PERCPU_INLINE_H
#define MACHINE_PERCPU_INLINE_H

#include "machine/machine.h"
#include "machine/percpu.h" /* which takes this file in before it supplies the rest */

static ALWAYS_INLINE uintptr_t
x86_irq_off(void)
{
	uintptr_t flags;

	__asm__ volatile("pushf; pop %0; cli" : "=r"(flags) : : "memory");
	return (flags);
}

static ALWAYS_INLINE void
x86_irq_restore(uintptr_t flags)
{
	__asm__ volatile("push %0; popf" : : "r"(flags) : "memory", "cc");
}

/* The CPU we are on: third word of its area. */
static ALWAYS_INLINE unsigned
x86_cpu_index(void)
{
	unsigned index;

	__asm__ volatile("movl " X86_PERCPU ":%c1, %0" : "=r"(index) : "i"(2 * sizeof(void *)));
	return (index);
}

/* The pops are in the upper part of the word, the count in its lower 16 bits. */
static ALWAYS_INLINE void *
percpu_pop(struct percpu *zone_cache)
{
	uintptr_t flags = x86_irq_off();
	struct percpu_stack *s = &zone_cache[x86_cpu_index()].alloc;
	uint64_t word = s->word;
	uint16_t count = (uint16_t)word;
	void *item = NULL;

	if (count != 0 && count != PERCPU_CLOSED) {
		item = s->items[count - 1];
		s->word = word + ((uint64_t)1 << 16) - 1;
	}
	x86_irq_restore(flags);
	return (item);
}

static ALWAYS_INLINE bool
x86_push(struct percpu_stack *first, void *item)
{
	uintptr_t flags = x86_irq_off();
	struct percpu_stack *s =
	    (struct percpu_stack *)((char *)first + (size_t)x86_cpu_index() * PERCPU_STRIDE);
	uint16_t count = (uint16_t)s->word;
	bool room = count < s->max; /* never of a closed one */

	if (room) {
		s->items[count] = item;
		s->word++;
	}
	x86_irq_restore(flags);
	return (room);
}

static ALWAYS_INLINE bool
percpu_push(struct percpu *zone_cache, void *item)
{
	return (x86_push(&zone_cache->alloc, item));
}

static ALWAYS_INLINE bool
percpu_push_free(struct percpu *zone_cache, void *item)
{
	return (x86_push(&zone_cache->free, item));
}

#endif
