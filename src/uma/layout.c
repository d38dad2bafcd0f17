/*
 * How a keg cuts slabs into items: a pure function of the item and the machine, so that a test can
 * ask it about every size.
 *
 * Two formats compete: the header inline, at the slab's end, or off-page in a zone of headers. The
 * first slab size at which one of them spends UMA_MIN_EFFICIENCY per cent on items wins; slabs grow
 * page by page for small items, item by item for large ones. How the header is found from an item
 * follows: by arithmetic if every item starts in the slab's first page and the header is inline,
 * else through struct vm_page, else (no vm_page) through a hash.
 */
#include "uma/uma_int.h"

#define MALLOC_EFFICIENCY 96                    /* per cent, of slabs of malloc's larger items */
#define MALLOC_SLAB       ((vm_size_t)64 << 10) /* bytes: unless they would exceed this */

struct candidate {
	vm_size_t bytes;  /* of the slab */
	vm_size_t header; /* bytes of an off-page header; 0 = inline */
	unsigned ipers;
	bool offpage;
};

vm_size_t
slab_header_size(unsigned ipers, bool debug)
{
	const unsigned bits = 8 * sizeof(size_t);

	return (sizeof(struct slab) + howmany(ipers, bits) * sizeof(size_t) * (debug ? 2 : 1));
}

/* The two zones of off-page headers: for up to half of the most items, and for all. */
vm_size_t
slab_zone_size(unsigned which, bool debug)
{
	return (slab_header_size(
	    (unsigned)(which == 0 ? SLAB_MAX_SETSIZE / 2 : SLAB_MAX_SETSIZE), debug));
}

/* Items that fit in `bytes`; the last one needs no padding behind it. */
static unsigned
items_in(vm_size_t bytes, vm_size_t size, vm_size_t rsize)
{
	vm_size_t n;

	if (bytes < size)
		return (0);
	n = (bytes - size) / rsize + 1;
	return ((unsigned)MIN(n, SLAB_MAX_SETSIZE));
}

static struct candidate
cut_offpage(const struct keg_question *q, vm_size_t rsize, vm_size_t bytes)
{
	struct candidate c = { .bytes = bytes, .offpage = true };

	c.ipers = items_in(bytes, q->size, rsize);
	c.header = slab_zone_size(c.ipers > SLAB_MAX_SETSIZE / 2, q->debug);
	return (c);
}

static struct candidate
cut_inline(const struct keg_question *q, vm_size_t rsize, vm_size_t bytes)
{
	struct candidate c = { .bytes = bytes };
	unsigned n;

	n = items_in(bytes, q->size, rsize);
	while (n > 0 && (n - 1) * rsize + q->size + slab_header_size(n, q->debug) > bytes)
		n--;
	c.ipers = n;
	return (c);
}

/* a spends strictly more of its memory on items than b. */
static bool
better(const struct candidate *a, const struct candidate *b)
{
	return ((uint64_t)a->ipers * (b->bytes + b->header) >
		(uint64_t)b->ipers * (a->bytes + a->header));
}

/*
 * Malloc's larger items are asked for in any number and already rounded up to a class: theirs spend
 * nearly all, while slabs stay within MALLOC_SLAB.
 */
static bool
efficient(const struct keg_question *q, const struct candidate *c, vm_size_t rsize)
{
	bool strict = (q->flags & UMA_ZONE_MALLOC) != 0 && rsize >= PAGE_SIZE / 4 &&
		      c->bytes + rsize <= MALLOC_SLAB;

	return (
	    (uint64_t)c->ipers * rsize * 100 >=
	    (uint64_t)(c->bytes + c->header) * (strict ? MALLOC_EFFICIENCY : UMA_MIN_EFFICIENCY));
}

/* The better format for slabs of `bytes`; inline if it is good enough, since it is found faster. */
static struct candidate
cut(const struct keg_question *q, vm_size_t rsize, vm_size_t bytes)
{
	struct candidate in = { .bytes = bytes }, off = { .bytes = bytes };

	if ((q->flags & (UMA_ZONE_NOTOUCH | UMA_ZONE_PCPU)) == 0) {
		in = cut_inline(q, rsize, bytes);
		if ((q->flags & (ZF_INTERNAL | UMA_ZONE_VM)) != 0 || efficient(q, &in, rsize))
			return (in);
	}
	off = cut_offpage(q, rsize, bytes);
	return (better(&off, &in) ? off : in);
}

/* CACHESPREAD: an odd number of lines an item, and enough pages that each line gets to be first. */
static struct candidate
cut_spread(const struct keg_question *q, vm_size_t *rsize)
{
	vm_size_t line = (vm_size_t)q->align + 1, bytes;

	if ((*rsize & line) == 0)
		*rsize += line;
	bytes = round_page(*rsize * (PAGE_SIZE / line));
	bytes = MAX(MIN(bytes, UMA_CACHESPREAD_MAX), round_page(*rsize));
	return (cut(q, *rsize, bytes));
}

/*
 * The room's own kegs and those below kmem never go off-page. Start-up memory has no struct
 * vm_page, so INTERNAL slabs are one page, or one item: then every item starts in the first page.
 */
static struct candidate
cut_grown(const struct keg_question *q, vm_size_t rsize)
{
	struct candidate best, c;
	vm_size_t bytes = round_page(q->size);

	best = cut(q, rsize, bytes);
	if (best.ipers == 0) /* inline only, and the header needs a page of its own */
		best = cut(q, rsize, bytes += PAGE_SIZE);
	if ((q->flags & (ZF_INTERNAL | UMA_ZONE_CONTIG)) != 0) {
		if ((q->flags & ZF_INTERNAL) != 0 && bytes > PAGE_SIZE)
			best.ipers = 1;
		return (best);
	}
	for (c = best; !efficient(q, &best, rsize) && c.ipers < SLAB_MAX_SETSIZE;) {
		bytes = rsize <= PAGE_SIZE ? bytes + PAGE_SIZE : round_page((c.ipers + 1) * rsize);
		if (bytes <= c.bytes)
			bytes = c.bytes + PAGE_SIZE;
		c = cut(q, rsize, bytes);
		if (better(&c, &best))
			best = c;
	}
	return (best);
}

/* False: no slab of such items can be made (a PCPU item over a page, a size beyond 32 bits). */
bool
keg_layout(const struct keg_question *q, struct keg_layout *out)
{
	struct keg_question ask = *q;
	struct candidate c;
	vm_size_t rsize;

	if (q->size == 0 || q->size > (UINT32_MAX >> 4) || q->align > (UINT32_MAX >> 4))
		return (false);
	ask.size = MAX(q->size, UMA_SMALLEST_UNIT);
	rsize = round_up(ask.size, (vm_size_t)q->align + 1);

	if ((q->flags & UMA_ZONE_PCPU) != 0) {
		if (rsize > PAGE_SIZE)
			return (false);
		c = cut_offpage(&ask, rsize, PAGE_SIZE);
		c.bytes = q->ncpus * PAGE_SIZE;
	} else if ((q->flags & UMA_ZONE_CACHESPREAD) != 0) {
		c = cut_spread(&ask, &rsize);
	} else {
		c = cut_grown(&ask, rsize);
	}
	if (c.ipers == 0)
		return (false);

	*out = (struct keg_layout){ .rsize = (uint32_t)rsize, .ipers = c.ipers };
	out->ppera = (uint32_t)atop(c.bytes);
	if (c.offpage)
		out->flags |= ZF_OFFPAGE;
	else
		out->pgoff = (uint32_t)(c.bytes - slab_header_size(c.ipers, q->debug));
	if (c.offpage || (c.ipers - 1) * rsize >= PAGE_SIZE || (q->flags & UMA_ZONE_MALLOC) != 0)
		out->flags |= (q->flags & UMA_ZONE_NOTPAGE) != 0 ? ZF_HASH : ZF_VTOSLAB;
	return (true);
}
