/*
 * Bits of a slab: which items it holds and, in the debug shape, which its users hold. The caller
 * holds the lock of the slab's keg domain, except that the second set is changed atomically by
 * whoever owns the item.
 */
#ifndef UMA_SLAB_H
#define UMA_SLAB_H

#include "uma/uma_int.h"

#define SLAB_WORD_BITS (8 * sizeof(size_t))

static inline unsigned
slab_words(unsigned ipers)
{
	return ((unsigned)howmany(ipers, SLAB_WORD_BITS));
}

static inline bool
slab_test(const struct slab *slab, unsigned i)
{
	return ((slab->free[i / SLAB_WORD_BITS] >> (i % SLAB_WORD_BITS)) & 1);
}

static inline void
slab_set(struct slab *slab, unsigned i)
{
	slab->free[i / SLAB_WORD_BITS] |= (size_t)1 << (i % SLAB_WORD_BITS);
}

static inline void
slab_clear(struct slab *slab, unsigned i)
{
	slab->free[i / SLAB_WORD_BITS] &= ~((size_t)1 << (i % SLAB_WORD_BITS));
}

/*
 * The highest item that is in the slab; there must be one. A bucket is filled in this order and popped from
 * its end: so its user gets rising addresses, as he will walk over them, and what others have just given
 * back here, in between what they still use, comes last.
 */
static inline unsigned
slab_last(const struct slab *slab, unsigned ipers)
{
	unsigned w = slab_words(ipers) - 1;

	while (slab->free[w] == 0)
		w--;
	return (w * SLAB_WORD_BITS + fls_size(slab->free[w]) - 1);
}

static inline void *
slab_item(const struct uma_keg *keg, const struct slab *slab, unsigned i)
{
	return (slab->data + (size_t)i * keg->rsize);
}

/* Does `item` lie in the slab? Then it needs no lookup; neighbours are often freed together. */
static inline bool
slab_spans(const struct uma_keg *keg, const struct slab *slab, const void *item)
{
	return ((uintptr_t)item - (uintptr_t)slab->data < (uintptr_t)keg->ipers * keg->rsize);
}

/* Which item of the slab is at `item`; false if none is (or none can be: unaligned, padding). */
static inline bool
slab_index(const struct uma_keg *keg, const struct slab *slab, const void *item, unsigned *i)
{
	uintptr_t off = (uintptr_t)item - (uintptr_t)slab->data;
	uintptr_t n = off / keg->rsize;

	*i = (unsigned)n;
	return (n < keg->ipers && n * keg->rsize == off);
}

/* The word of the second set that item i is in. */
static inline size_t *
slab_user_word(const struct uma_keg *keg, struct slab *slab, unsigned i)
{
	return (&slab->free[slab_words(keg->ipers) + i / SLAB_WORD_BITS]);
}

/* Debug: the user's bit of item i. */
static inline bool
slab_user_has(const struct uma_keg *keg, struct slab *slab, unsigned i)
{
	return ((atomic_load_relaxed(slab_user_word(keg, slab, i)) >> (i % SLAB_WORD_BITS)) & 1);
}

/* Debug: set or clear the user's bit of item i; returns what it was. */
static inline bool
slab_user_mark(const struct uma_keg *keg, struct slab *slab, unsigned i, bool set)
{
	size_t *word = slab_user_word(keg, slab, i), bit = (size_t)1 << (i % SLAB_WORD_BITS), old;

	old = set ? atomic_fetch_or_relaxed(word, bit) : atomic_fetch_and_relaxed(word, ~bit);
	return ((old & bit) != 0);
}

#endif
