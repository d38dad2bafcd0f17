/*
 * A refill of tags that fails at any of its steps: the page, the address, each tag that an arena on
 * the way takes, the import. All that it had taken by then is back, exactly.
 */
#include "kmem_test.h"

static struct tag_source tags;
static struct vmem_btag *held[8192];

/* Take every tag that may be taken: caches are empty then, slabs at the reserve, arenas have no spare. */
static unsigned
hold_all(void)
{
	unsigned n = 0;

	vmem_trim();
	uma_zone_reclaim(tag_zone, UMA_RECLAIM_DRAIN_CPU);
	vmem_trim(); /* slabs that went back have left tags with the arenas */
	while (n < nitems(held) && (held[n] = tags.alloc(&tags, M_NOWAIT | M_NOVM)) != NULL)
		n++;
	TEST_MUST(n < nitems(held));
	return (n);
}

static void
let_go(unsigned n)
{
	while (n > 0)
		tags.free(&tags, held[--n]);
	settle();
}

struct state {
	struct picture picture;
	unsigned long in_slabs, slab_pages;
};

static void
look(struct state *s)
{
	memset(s, 0, sizeof(*s));
	picture_take(&s->picture);
	s->in_slabs = tags_in_slabs();
	s->slab_pages = tag_slab_pages();
}

/* Fail the refill at its k-th request, for each k. Returns how many failed with tags in hand. */
static unsigned
each_step(void)
{
	struct state before, after;
	unsigned n, failed = 0, with_tags = 0;
	struct vmem_btag *bt;
	uint64_t seen;

	tags_source_init(&tags, false);
	for (uint64_t k = 1;; k++) {
		n = hold_all();
		look(&before);
		tags_peak = 0;
		cooper_inject_failure(k);
		bt = tags.alloc(&tags, M_NOWAIT);
		seen = cooper_inject_failure(0);
		if (bt == NULL) {
			look(&after);
			TEST_MUST(memcmp(&before, &after, sizeof(before)) == 0);
			tags_check("each_step");
			failed++;
			with_tags += tags_peak > 0;
			/* Nothing is lost for the next: it succeeds from there. */
			TEST_MUST((bt = tags.alloc(&tags, M_NOWAIT)) != NULL);
		}
		tags.free(&tags, bt);
		let_go(n);
		if (seen < k)
			break;
	}
	TEST_MUST(failed >= 1);
	return (with_tags);
}

/* ---- graphs ------------------------------------------------------------------------------------------- */

static vm_offset_t va[8192];

static unsigned
fill_the_root(void)
{
	unsigned n = 0;

	while (n < nitems(va) && (va[n] = kva_alloc(PAGE_SIZE)) != 0)
		n++;
	TEST_MUST(n < nitems(va));
	return (n);
}

/* Everything is there: where one way fails another serves, so no failure has tags in hand at its end. */
static void
plenty(void)
{
	(void)each_step();
}

/* Only the domain's arena has room, in a span of its own; the root takes tags to find that it has none. */
static void
from_the_domain(void)
{
	void *p = kmem_malloc(PAGE_SIZE, M_WAITOK);
	unsigned n = fill_the_root();

	TEST_MUST(each_step() >= 4);
	while (n > 0)
		kva_free(va[--n], PAGE_SIZE);
	kmem_free(p, PAGE_SIZE);
}

/* The root has single pages, the domain's arena what is left beside its slabs of tags: no import. */
static void
from_fragments(void)
{
	unsigned n = fill_the_root();

	for (unsigned i = 0; i < n; i += 2)
		kva_free(va[i], PAGE_SIZE);
	(void)each_step();
	for (unsigned i = 1; i < n; i += 2)
		kva_free(va[i], PAGE_SIZE);
}

static void
a_refill_that_fails_with_tags_in_hand_gives_them_back(void **state)
{
	struct machine_shape shape = mapped_shape(16 << 20, 16 << 20);

	(void)state;
	for (shape.ndomains = 1; shape.ndomains <= 2; shape.ndomains++) {
		shape.ncpus = MAX(shape.ncpus, shape.ndomains);
		on_exact_shape(&shape, plenty);
		if (shape.ndomains == 1) /* else the other domain serves */
			on_exact_shape(&shape, from_the_domain);
		on_exact_shape(&shape, from_fragments);
	}
}

TEST_MAIN(cmocka_unit_test(a_refill_that_fails_with_tags_in_hand_gives_them_back))
