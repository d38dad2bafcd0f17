/*
 * Making and unmaking slabs: memory from the keg's back end, a header, items initialised. Nothing
 * here holds a lock across a back end, init or fini; a slab on its way belongs to its maker alone.
 *
 * A failure at any step undoes the steps before it, in reverse.
 */
#include "uma/slab.h"

/* VTOSLAB slabs of start-up memory, which has no struct vm_page. Grows during start-up only. */
CORE_STATE
struct slab *uma_boot_slabs;
CORE_STATE
unsigned long uma_total;

static void
account(long pages)
{
	(void)atomic_fetch_add(&uma_total, (unsigned long)pages << PAGE_SHIFT);
}

static struct slab *
header_alloc(struct uma_keg *keg, char *mem, int flags)
{
	if ((keg->flags & ZF_OFFPAGE) == 0)
		return ((struct slab *)(void *)(mem + keg->pgoff));
	if ((flags & M_WAITOK) == 0 && inject_failure())
		return (NULL);
	return (zone_alloc_item(uma_slab_zones[keg->ipers > SLAB_MAX_SETSIZE / 2], NULL,
	    UMA_ANYDOMAIN, false, flags & ~(M_ZERO | M_NEVERFREED)));
}

static void
header_free(struct uma_keg *keg, struct slab *slab)
{
	if ((keg->flags & ZF_OFFPAGE) != 0)
		zone_free_item(
		    uma_slab_zones[keg->ipers > SLAB_MAX_SETSIZE / 2], slab, NULL, SKIP_NONE);
}

/* Let page -> slab answer for this memory, or no longer (slab NULL). */
static void
pages_point_at(struct uma_keg *keg, char *mem, struct slab *slab)
{
	struct vm_page *m;

	for (unsigned i = 0; i < keg->ppera; i++) {
		m = page_of_va((vm_offset_t)mem + ptoa(i));
		if (m != NULL)
			m->slab = slab;
	}
}

static void
header_fill(struct uma_keg *keg, struct slab *slab, char *mem, int domain, uint8_t sflag)
{
	unsigned words = slab_words(keg->ipers);
	struct vm_page *m;

	m = (keg->flags & UMA_ZONE_NOTPAGE) != 0 ? NULL : page_of_va((vm_offset_t)mem);
	list_init(&slab->link);
	slab->zone = keg->primary;
	slab->data = mem;
	slab->hash_next = NULL;
	slab->nfree = (uint16_t)keg->ipers;
	slab->flags = sflag;
	slab->domain = (uint8_t)(m != NULL ? m->domain : domain < 0 ? 0 : domain);
	memset(slab->free, 0, words * sizeof(size_t) * (core_debug ? 2 : 1));
	for (unsigned i = 0; i < keg->ipers; i++)
		slab_set(slab, i);
	if ((keg->flags & ZF_VTOSLAB) != 0 && m == NULL) {
		slab->hash_next = uma_boot_slabs;
		atomic_store_release(&uma_boot_slabs, slab);
	}
}

static void
items_fini(struct uma_keg *keg, struct slab *slab, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if ((keg->flags & ZF_TRASH) != 0)
			trash_check("slab release", keg->name, slab_item(keg, slab, i), keg->size);
		if (keg->fini != NULL)
			keg->fini(slab_item(keg, slab, i), (int)keg->size);
	}
}

/* Initialise all items; on an error those done are finished again and false is returned. */
static bool
items_init(struct uma_keg *keg, struct slab *slab, int flags)
{
	for (unsigned i = 0; i < keg->ipers; i++) {
		if ((keg->flags & ZF_TRASH) != 0)
			trash_fill(slab_item(keg, slab, i), keg->size);
		if (keg->init != NULL &&
		    keg->init(slab_item(keg, slab, i), (int)keg->size, flags) != 0) {
			items_fini(keg, slab, i);
			return (false);
		}
	}
	return (true);
}

static void
mem_free(struct uma_keg *keg, char *mem, uint8_t sflag)
{
	if ((sflag & UMA_SLAB_BOOT) != 0)
		return;
	account(-(long)keg->ppera);
	if ((keg->flags & ZF_VTOSLAB) != 0)
		pages_point_at(keg, mem, NULL);
	keg->freef(mem, ptoa(keg->ppera), sflag);
}

/*
 * May a slab be waited for? A back end that the zone brought along must know itself; ours could be
 * asked for ever for more than the machine has.
 */
static bool
may_come(const struct uma_keg *keg, int domain)
{
	return (uma_backend.possible == NULL || (keg->flags & ZF_OWNALLOC) != 0 ||
		uma_backend.possible(domain, ptoa((vm_size_t)keg->ppera)));
}

/*
 * A new slab, on no list yet; domain -1: any. NULL: no memory, no header, or init failed. For
 * M_WAITOK too, when the back end has waited and says: look again; unless *hopeless: init has failed
 * for M_WAITOK, or no slab can ever be had.
 */
struct slab *
slab_make(struct uma_keg *keg, int domain, int flags, bool *hopeless)
{
	struct slab *slab;
	uint8_t sflag = 0;
	char *mem;
	int aflags;

	if ((flags & M_WAITOK) == 0 && inject_failure())
		return (NULL);
	uma_tend(flags);
	if (!atomic_load_relaxed(&keg->used))
		atomic_store_relaxed(&keg->used, true);
	aflags = flags & ~(M_ZERO | M_NEVERFREED);
	if ((keg->flags & UMA_ZONE_ZINIT) != 0)
		aflags |= M_ZERO;
	if ((keg->flags & UMA_ZONE_NODUMP) != 0)
		aflags |= M_NODUMP;
	if ((keg->flags & (UMA_ZONE_NOFREE | ZF_RESKVA)) == UMA_ZONE_NOFREE)
		aflags |= M_NEVERFREED;

	mem = keg->allocf(keg->primary, ptoa(keg->ppera), domain, &sflag, aflags);
	if (mem == NULL) {
		*hopeless = (flags & M_WAITOK) != 0 && !may_come(keg, domain);
		return (NULL);
	}
	account((long)keg->ppera);
	if ((sflag & UMA_SLAB_BOOT) != 0)
		keg->boot_pages += keg->ppera;
	slab = header_alloc(keg, mem, flags);
	if (slab == NULL) {
		mem_free(keg, mem, sflag);
		return (NULL);
	}
	header_fill(keg, slab, mem, domain, sflag);
	if ((keg->flags & ZF_VTOSLAB) != 0)
		pages_point_at(keg, mem, slab);
	if (!items_init(keg, slab, flags)) {
		*hopeless = (flags & M_WAITOK) != 0;
		mem_free(keg, mem, sflag);
		header_free(keg, slab);
		return (NULL);
	}
	return (slab);
}

/* Give a slab back whose items are all in it and which is on no list any more. */
void
slab_destroy(struct uma_keg *keg, struct slab *slab)
{
	char *mem = slab->data;
	uint8_t sflag = slab->flags;

	items_fini(keg, slab, keg->ipers);
	header_free(keg, slab);
	mem_free(keg, mem, sflag);
}

/* ---- from an item to its slab --------------------------------------------------------------------- */

static struct slab *
boot_slab_of(const struct uma_keg *keg, const void *item)
{
	struct slab *s;

	for (s = atomic_load_acquire(&uma_boot_slabs); s != NULL; s = s->hash_next)
		if ((uintptr_t)item - (uintptr_t)s->data < ptoa(keg->ppera) &&
		    s->zone == keg->primary)
			return (s);
	return (NULL);
}

/* The slab an item of this keg lives in; NULL if that cannot be. Takes no keg lock but for HASH. */
struct slab *
keg_slab_of(struct uma_keg *keg, const void *item)
{
	struct vm_page *m;
	struct slab *slab;

	if ((keg->flags & ZF_VTOSLAB) != 0) {
		m = page_of_va((vm_offset_t)item);
		if (m == NULL)
			return (boot_slab_of(keg, item));
		slab = (m->owner & PAGE_OWNER_MASK) == PAGE_OWNER_SLAB ? m->slab : NULL;
	} else if ((keg->flags & ZF_HASH) != 0) {
		slab = keg_hash_find(keg, item);
	} else {
		slab = (struct slab *)(trunc_page((uintptr_t)item) + keg->pgoff);
	}
	return (slab != NULL && slab->zone == keg->primary ? slab : NULL);
}

/* ---- the hash of NOTPAGE kegs, keyed by the slab's first page; domain 0's lock ---------------------- */

static struct slab **
hash_slot(struct uma_keg *keg, uintptr_t page)
{
	return (&keg->hash[atop(page) & (keg->hash_size - 1)]);
}

void
keg_hash_insert(struct uma_keg *keg, struct slab *slab)
{
	struct slab **slot = hash_slot(keg, (uintptr_t)slab->data);

	slab->hash_next = *slot;
	*slot = slab;
	keg->hash_slabs++;
}

void
keg_hash_remove(struct uma_keg *keg, struct slab *slab)
{
	struct slab **at = hash_slot(keg, (uintptr_t)slab->data);

	while (*at != slab)
		at = &(*at)->hash_next;
	*at = slab->hash_next;
	keg->hash_slabs--;
}

/* Items of a slab of many pages start on any of them: step back to the slab's first. */
struct slab *
keg_hash_find(struct uma_keg *keg, const void *item)
{
	uintptr_t page = trunc_page((uintptr_t)item);
	struct slab *s = NULL;

	mtx_lock(&keg->domain[0].lock);
	for (unsigned i = 0; i < keg->ppera && s == NULL; i++, page -= PAGE_SIZE)
		for (s = *hash_slot(keg, page); s != NULL && (uintptr_t)s->data != page;)
			s = s->hash_next;
	mtx_unlock(&keg->domain[0].lock);
	return (s);
}

/* Double the table when it holds more slabs than slots. From the timer only: it allocates. */
void
keg_hash_grow(struct uma_keg *keg)
{
	struct slab **table, **old;
	uint32_t size = keg->hash_size * 2, old_size;
	uint8_t sflag, old_sflag;
	struct slab *s, *next;

	if ((keg->flags & ZF_HASH) == 0 || keg->hash_slabs <= keg->hash_size)
		return;
	table = uma_pages_alloc(size * sizeof(*table), M_NOWAIT | M_ZERO, &sflag);
	if (table == NULL)
		return;
	mtx_lock(&keg->domain[0].lock);
	old = keg->hash;
	old_size = keg->hash_size;
	old_sflag = keg->hash_sflag;
	if (old_size * 2 == size) {
		keg->hash = table;
		keg->hash_size = size;
		keg->hash_sflag = sflag;
		for (uint32_t i = 0; i < old_size; i++)
			for (s = old[i]; s != NULL; s = next) {
				next = s->hash_next;
				s->hash_next = *hash_slot(keg, (uintptr_t)s->data);
				*hash_slot(keg, (uintptr_t)s->data) = s;
			}
		table = old;
		size = old_size;
		sflag = old_sflag;
	}
	mtx_unlock(&keg->domain[0].lock);
	uma_pages_free(table, size * sizeof(*table), sflag);
}

/* ---- whole pages for the room's tables --------------------------------------------------------------- */

void *
uma_pages_alloc(vm_size_t bytes, int flags, uint8_t *sflag)
{
	void *mem;

	*sflag = 0;
	bytes = round_page(bytes);
	if ((flags & M_WAITOK) == 0 && inject_failure())
		return (NULL);
	do {
		mem = uma_backend.page.alloc(NULL, bytes, UMA_ANYDOMAIN, sflag, flags);
	} while (mem == NULL && (flags & M_WAITOK) != 0);
	if (mem != NULL)
		account((long)atop(bytes));
	return (mem);
}

void
uma_pages_free(void *mem, vm_size_t bytes, uint8_t sflag)
{
	if ((sflag & UMA_SLAB_BOOT) != 0)
		return;
	bytes = round_page(bytes);
	account(-(long)atop(bytes));
	uma_backend.page.free(mem, bytes, sflag);
}
