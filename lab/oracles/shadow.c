/*
 * The shadow: what has been handed out and not come back. Ranges by arena, items by address, pages
 * by number. From it: nothing is handed out twice, nothing is freed that nobody has, and nothing is
 * written (or, in an SMR zone, reused) after it was freed.
 *
 * Freed items and pages hold a pattern where nobody else may want to write: items of zones that keep
 * nothing in them between a free and an allocation, and all pages. A page's generation says whether an item's pattern may still be there: a slab that has gone and come
 * again was somebody else's in between.
 *
 * Made new for each run by number: what carries another run's is void.
 */
#include <stdlib.h>
#include <string.h>

#include "lab/oracles/oracles_int.h"
#include "smr/smr_int.h"

/* ---- ranges: for each arena an array in order of addresses ----------------------------------------- */

struct range {
	vmem_addr_t addr;
	vmem_size_t size;
	uint8_t fiber;
};

struct arena_shadow {
	const vmem_t *vm;
	uint64_t run;
	struct range *range;
	unsigned n, room;
	vmem_size_t bytes;
};

#define ARENAS 128
static struct arena_shadow arenas[ARENAS];

static struct arena_shadow *
arena_of(const vmem_t *vm, bool make)
{
	struct arena_shadow *spare = NULL;

	for (unsigned i = 0; i < ARENAS; i++) {
		struct arena_shadow *a = &arenas[i];

		if (a->run != oracles_run || a->vm == NULL) {
			if (spare == NULL)
				spare = a;
			if (a->run != oracles_run)
				break; /* they are taken in order */
		} else if (a->vm == vm)
			return (a);
	}
	if (!make || spare == NULL)
		return (NULL);
	spare->vm = vm;
	spare->run = oracles_run;
	spare->n = 0;
	spare->bytes = 0;
	return (spare);
}

/* The first range that ends after addr. */
static unsigned
range_at(const struct arena_shadow *a, vmem_addr_t addr)
{
	unsigned lo = 0, hi = a->n;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (a->range[mid].addr + (a->range[mid].size - 1) < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return (lo);
}

static const char *
name_of(unsigned fiber)
{
	struct sim_fiber_info info;

	sim_fiber(fiber, &info);
	return (info.name);
}

void (*shadow_hands)(const char *of, uint64_t address, uint64_t size, bool out);

static void
tell(const char *of, uintptr_t address, size_t size, bool out)
{
	if (shadow_hands != NULL && oracles_on)
		shadow_hands(of, address, size, out);
}

void
shadow_range_out(vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	struct arena_shadow *a;
	unsigned i;

	tell(vm->name, addr, size, true);
	if (!oracles_on || (a = arena_of(vm, true)) == NULL)
		return;
	i = range_at(a, addr);
	if (i < a->n && a->range[i].addr <= addr + (size - 1)) {
		oracle_broken(LAB_OVERLAP,
		    "arena \"%s\": %#zx + %#zx was handed out to %s while %s has %#zx + %#zx",
		    vm->name, (size_t)addr, (size_t)size, name_of(sim_self()),
		    name_of(a->range[i].fiber), (size_t)a->range[i].addr, (size_t)a->range[i].size);
		return;
	}
	if (a->n == a->room) {
		a->room = a->room == 0 ? 64 : 2 * a->room;
		a->range = realloc(a->range, a->room * sizeof(*a->range));
	}
	memmove(&a->range[i + 1], &a->range[i], (a->n - i) * sizeof(*a->range));
	a->range[i] = (struct range){ addr, size, (uint8_t)sim_self() };
	a->n++;
	a->bytes += size;
}

void
shadow_range_in(vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	struct arena_shadow *a;
	unsigned i;

	tell(vm->name, addr, size, false);
	if (!oracles_on)
		return;
	a = arena_of(vm, false);
	i = a == NULL ? 0 : range_at(a, addr);
	if (a == NULL || i == a->n || a->range[i].addr != addr || a->range[i].size != size) {
		oracle_broken(LAB_OVERLAP, "arena \"%s\": %s frees %#zx + %#zx, which nobody has",
		    vm->name, name_of(sim_self()), (size_t)addr, (size_t)size);
		return;
	}
	a->bytes -= size;
	a->n--;
	memmove(&a->range[i], &a->range[i + 1], (a->n - i) * sizeof(*a->range));
}

void
shadow_arena_gone(vmem_t *vm)
{
	struct arena_shadow *a = arena_of(vm, false);

	if (a != NULL) {
		a->vm = NULL;
		a->n = 0;
		a->bytes = 0;
	}
}

vmem_size_t
shadow_ranges(const vmem_t *vm)
{
	const struct arena_shadow *a = arena_of(vm, false);

	return (a == NULL ? 0 : a->bytes);
}

/* ---- pages ------------------------------------------------------------------------------------------- */

struct page_shadow {
	uint64_t run;
	uint64_t gen; /* from one free to the next; no other page's */
	bool out, poisoned;
};

static struct page_shadow *pages;
static uint32_t npages;
static uint64_t generations;
static uint64_t pages_out[COOPER_MAXDOMAIN];

#define POISON 0x5ca1ab1e5ca1ab1eull

static void
poison_fill(void *at, size_t size)
{
	uint64_t *p = at;

	for (size_t i = 0; i < size / sizeof(*p); i++)
		p[i] = POISON;
}

/* The first byte of the word that is not the pattern's; size if all are. */
static size_t
poison_broken(const void *at, size_t size)
{
	const uint64_t *p = at;

	for (size_t i = 0; i < size / sizeof(*p); i++)
		if (p[i] != POISON)
			return (i * sizeof(*p));
	return (size);
}

static struct page_shadow *
page_of(const struct vm_page *m)
{
	uint32_t pn = page_number(m);
	struct page_shadow *p;

	if (pn >= npages) {
		pages = realloc(pages, page_count * sizeof(*pages));
		memset(pages + npages, 0, (page_count - npages) * sizeof(*pages));
		npages = page_count;
	}
	p = &pages[pn];
	if (p->run != oracles_run)
		*p = (struct page_shadow){ .run = oracles_run, .gen = ++generations };
	return (p);
}

/* Nobody has written to a page while it was free. */
static void
check_page(const struct vm_page *m)
{
	const char *frame = sim_frame(page_paddr(m));
	size_t at = poison_broken(frame, PAGE_SIZE);

	if (at < PAGE_SIZE)
		oracle_broken(LAB_FREED,
		    "page %#llx was written after it was freed: %#llx at offset %zu",
		    (unsigned long long)page_paddr(m),
		    (unsigned long long)*(const uint64_t *)(frame + at), at);
}

void
shadow_pages_out(struct vm_page *m, unsigned long n)
{
	struct page_shadow *p;

	if (!oracles_on)
		return;
	pages_out[m->domain] += n;
	for (; n > 0; n--, m++) {
		p = page_of(m);
		if (p->out) {
			oracle_broken(LAB_OVERLAP, "page %#llx was handed out twice",
			    (unsigned long long)page_paddr(m));
			return;
		}
		p->out = true;
		if (p->poisoned) {
			p->poisoned = false;
			check_page(m);
		}
	}
}

void
shadow_pages_in(struct vm_page *m, unsigned long n)
{
	struct page_shadow *p;

	if (!oracles_on || m == NULL)
		return;
	pages_out[m->domain] -= n;
	for (; n > 0; n--, m++) {
		p = page_of(m);
		if (!p->out) {
			oracle_broken(LAB_OVERLAP, "page %#llx is freed, which nobody has",
			    (unsigned long long)page_paddr(m));
			return;
		}
		p->out = false;
		p->gen = ++generations;
		poison_fill(sim_frame(page_paddr(m)), PAGE_SIZE);
		p->poisoned = true;
		touch_page_freed(m);
	}
}

bool
shadow_page_is_free(const struct vm_page *m)
{
	return (page_of(m)->poisoned);
}

void
shadow_page_touched(const struct vm_page *m, uintptr_t at, bool write)
{
	oracle_broken(LAB_FREED, "page %#llx was %s after it was freed, by %s, at offset %zu",
	    (unsigned long long)page_paddr(m), write ? "written" : "read", name_of(sim_self()),
	    (size_t)(at & PAGE_MASK));
}

uint64_t
shadow_pages(unsigned domain)
{
	return (pages_out[domain]);
}

/* The generation of the page under an item; 0: none is. */
static uint64_t
generation(const void *item)
{
	struct vm_page *m;
	vm_paddr_t pa;

	if (!sim_mapped((uintptr_t)item, &pa) || (m = page_of_paddr(pa)) == NULL)
		return (0);
	return (page_of(m)->gen);
}

/* ---- items ------------------------------------------------------------------------------------------- */

struct item_shadow {
	uintptr_t item;
	const void *owner; /* the zone, if it has no keg: what its items are is its own affair */
	uint64_t run;
	struct uma_zone *zone; /* that it was handed out from last; NULL: it is gone */
	bool out, poisoned;
	uint8_t fiber;
	uint64_t freed;   /* when, by the count of frees, */
	uint32_t size;    /* and how many bytes */
	uint64_t gen;     /* poisoned: of its page */
	uint64_t readers; /* SMR: fibers that were in a section when it was freed, */
	uint64_t section; /* none of which was entered later than this */
};

struct zone_shadow {
	const struct uma_zone *zone;
	uint64_t run;
	uint64_t out;
	bool users;  /* the scenario made it */
	bool ranges; /* an arena's quantum cache: what it has is the arena's */
};

#define ZONES 1024
static struct item_shadow *items;
static size_t nitems_used, nitems_room; /* a power of two */
static struct zone_shadow zones[ZONES];
static uint64_t sections; /* entered in all */
static uint64_t frees;

static size_t
hash_of(uintptr_t a, uintptr_t b)
{
	uint64_t h = ((uint64_t)a ^ (uint64_t)b * 3) * 0x9e3779b97f4a7c15ull;

	return ((size_t)(h >> 32 ^ h >> 11));
}

static struct item_shadow *
slot_of(uintptr_t item, const void *owner)
{
	size_t i = hash_of(item, (uintptr_t)owner);

	for (;; i++) {
		struct item_shadow *s = &items[i & (nitems_room - 1)];

		if (s->run != oracles_run || (s->item == item && s->owner == owner))
			return (s);
	}
}

static void
items_grow(void)
{
	struct item_shadow *old = items;
	size_t n = nitems_room;

	nitems_room = n == 0 ? 1024 : 2 * n;
	items = calloc(nitems_room, sizeof(*items));
	for (size_t i = 0; i < n; i++)
		if (old[i].run == oracles_run)
			*slot_of(old[i].item, old[i].owner) = old[i];
	free(old);
}

static struct item_shadow *
item_of(const struct uma_zone *zone, const void *item, bool make)
{
	const void *owner = zone->keg == NULL ? zone : NULL;
	struct item_shadow *s;

	if (2 * nitems_used >= nitems_room)
		items_grow();
	s = slot_of((uintptr_t)item, owner);
	if (s->run == oracles_run)
		return (s);
	if (!make)
		return (NULL);
	nitems_used++;
	*s = (struct item_shadow){ .item = (uintptr_t)item, .owner = owner, .run = oracles_run };
	return (s);
}

static struct zone_shadow *
zone_of(const struct uma_zone *zone)
{
	size_t i = hash_of((uintptr_t)zone, 0);

	for (;; i++) {
		struct zone_shadow *z = &zones[i % ZONES];

		if (z->run != oracles_run)
			*z = (struct zone_shadow){ .zone = zone, .run = oracles_run };
		if (z->zone == zone)
			return (z);
	}
}

uint64_t
shadow_items(const struct uma_zone *zone)
{
	return (zone_of(zone)->out);
}

/* May the shadow write into this zone's free items? */
static bool
may_poison(const struct uma_zone *zone)
{
	const uint32_t keeps = UMA_ZONE_ZINIT | UMA_ZONE_NOTOUCH | UMA_ZONE_SMR | UMA_ZONE_PCPU |
			       ZF_TRASH | ZF_INTERNAL;

	return (zone->keg != NULL && ((zone->flags | zone->keg->flags) & keeps) == 0 &&
		zone->ctor == NULL && zone->dtor == NULL && zone->zinit == NULL &&
		zone->zfini == NULL && zone->keg->init == NULL && zone->keg->fini == NULL);
}

/*
 * Are this zone's items forbidden ground once they are freed? Those of a NOFREE zone stay what they are,
 * and some count on that; where those for each CPU lie is not known here.
 */
static bool
keeps_map(const struct uma_zone *zone)
{
	return (zone->keg != NULL &&
		((zone->flags | zone->keg->flags) & (UMA_ZONE_NOFREE | UMA_ZONE_PCPU)) == 0);
}

static bool
in_section(const struct uma_zone *zone)
{
	struct sim_fiber_info info;

	sim_fiber(sim_self(), &info);
	for (uint32_t i = 0; i < info.thread->smr_nest; i++)
		if (info.thread->smr[i].smr == zone->smr)
			return (true);
	return (false);
}

/* The item that was freed here last: its page may have been cut otherwise before. */
static const struct item_shadow *
freed_at(uintptr_t at)
{
	const struct item_shadow *found = NULL;

	for (size_t i = 0; i < nitems_room; i++) {
		const struct item_shadow *s = &items[i];

		if (s->run == oracles_run && s->owner == NULL && !s->out && at >= s->item &&
		    at - s->item < s->size && (found == NULL || s->freed > found->freed))
			found = s;
	}
	return (found);
}

void
shadow_item_touched(uintptr_t at, bool write)
{
	const struct item_shadow *s = freed_at(at);
	const struct uma_zone *zone;

	if (s == NULL)
		return;
	zone = s->zone;
	if (zone != NULL && (zone->flags & UMA_ZONE_SMR) != 0 && !write && in_section(zone))
		return; /* that is what sections are for */
	oracle_broken(LAB_FREED,
	    "zone \"%s\": item %#zx was %s after it was freed, by %s, at offset %zu",
	    zone != NULL ? zone->name : "(destroyed)", (size_t)s->item, write ? "written" : "read",
	    name_of(sim_self()), (size_t)(at - s->item));
}

static void
check_poison(const struct uma_zone *zone, const struct item_shadow *s)
{
	size_t at = poison_broken((const void *)s->item, zone->size);

	if (at < (zone->size & ~(size_t)7))
		oracle_broken(LAB_FREED,
		    "zone \"%s\": item %#zx was written after it was freed: %#llx at offset %zu",
		    zone->name, (size_t)s->item,
		    (unsigned long long)*(const uint64_t *)(s->item + at), at);
}

/* Is a reader still in the section that it was in when the item was freed? */
static void
check_readers(const struct uma_zone *zone, const struct item_shadow *s)
{
	struct sim_fiber_info info;

	for (uint64_t set = s->readers; set != 0; set &= set - 1) {
		unsigned f = (unsigned)__builtin_ctzll(set);

		sim_fiber(f, &info);
		if (info.state == SIM_ENDED || oracle_fibers[f].section > s->section)
			continue;
		for (uint32_t i = 0; i < info.thread->smr_nest; i++)
			if (info.thread->smr[i].smr == zone->smr)
				oracle_broken(LAB_FREED,
				    "zone \"%s\": item %#zx is reused while %s is still in the "
				    "read "
				    "section in which it may have found it",
				    zone->name, (size_t)s->item, info.name);
	}
}

void
shadow_item_out(uma_zone_t zone, void *item, int flags)
{
	struct item_shadow *s;

	tell(zone->name, (uintptr_t)item, zone->size, true);
	if (!oracles_on || zone_of(zone)->ranges)
		return;
	s = item_of(zone, item, true);
	if (s->out) {
		oracle_broken(LAB_OVERLAP,
		    "zone \"%s\": item %#zx was handed out to %s while %s has it (zone \"%s\")",
		    zone->name, (size_t)item, name_of(sim_self()), name_of(s->fiber),
		    s->zone->name);
		return;
	}
	if (s->poisoned && (flags & M_ZERO) == 0 && may_poison(zone) && s->gen == generation(item))
		check_poison(zone, s);
	if (s->readers != 0)
		check_readers(zone, s);
	if (keeps_map(zone))
		touch_item(s->item, zone->size, false);
	s->out = true;
	s->poisoned = false;
	s->readers = 0;
	s->zone = zone;
	s->fiber = (uint8_t)sim_self();
	zone_of(zone)->out++;
}

static void
note_readers(uma_zone_t zone, struct item_shadow *s)
{
	struct sim_fiber_info info;

	s->readers = 0;
	s->section = sections;
	for (unsigned f = 0; f < sim_fibers(); f++) {
		sim_fiber(f, &info);
		if (info.state == SIM_ENDED || info.thread == NULL)
			continue;
		for (uint32_t i = 0; i < info.thread->smr_nest; i++)
			if (info.thread->smr[i].smr == zone->smr)
				s->readers |= (uint64_t)1 << f;
	}
}

static void
item_in(uma_zone_t zone, struct item_shadow *s)
{
	if (keeps_map(zone))
		touch_item(s->item, zone->size, true);
	s->freed = ++frees;
	s->size = zone->size;
	s->out = false;
	zone_of(s->zone)->out--;
	if ((zone->flags & UMA_ZONE_SMR) != 0)
		note_readers(zone, s);
}

void
shadow_item_in(uma_zone_t zone, void *item)
{
	struct item_shadow *s;

	tell(zone->name, (uintptr_t)item, zone->size, false);
	if (!oracles_on || zone_of(zone)->ranges)
		return;
	s = item_of(zone, item, false);
	if (s == NULL || !s->out) {
		oracle_broken(LAB_OVERLAP, "zone \"%s\": %s frees item %#zx, which nobody has",
		    zone->name, name_of(sim_self()), (size_t)item);
		return;
	}
	item_in(zone, s);
	if (may_poison(zone) && (s->gen = generation(item)) != 0) {
		poison_fill(item, zone->size);
		s->poisoned = true;
	}
}

void
shadow_item_home(uma_zone_t zone, void *item)
{
	struct item_shadow *s;

	tell(zone->name, (uintptr_t)item, zone->size, false);
	if (oracles_on && (s = item_of(zone, item, false)) != NULL && s->out)
		item_in(zone, s);
}

void
shadow_zone_gone(uma_zone_t zone)
{
	for (size_t i = 0; i < nitems_room; i++)
		if (items[i].run == oracles_run && items[i].zone == zone) {
			items[i].out = items[i].poisoned = false;
			items[i].readers = 0;
			items[i].zone = NULL;
		}
	zone_of(zone)->out = 0;
	zone_of(zone)->users = false;
}

void
shadow_zone_comes(uma_zone_t zone, bool users)
{
	struct zone_shadow *z = zone_of(zone);

	z->users = users;
	z->ranges = !users && (zone->flags & ZF_CACHE) != 0;
}

bool
shadow_zone_has_ranges(const struct uma_zone *zone)
{
	return (zone_of(zone)->ranges);
}

bool
shadow_zone_is_users(const struct uma_zone *zone)
{
	return (zone_of(zone)->users);
}

void
shadow_section(void)
{
	oracle_me()->section = ++sections;
}

void
shadow_begin(void)
{
	nitems_used = 0;
	sections = 0;
	memset(pages_out, 0, sizeof(pages_out));
	touch_begin();
}
