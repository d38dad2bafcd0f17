/*
 * Every internal request that may fail, made to fail: after it everything is as it was.
 */
#include "kmem_test.h"

/*
 * Free tags wherever they are: in slabs, in caches, on arenas' lists. Their number with the segments'
 * is what the slabs hold, so slabs and segments tell it; the reserve is looked at by itself.
 */
struct exact {
	struct picture picture;
	unsigned long tag_pages;
	bool reserve_whole;
};

static void
take_exact(void *out, void *arg)
{
	struct exact *e = out;

	(void)arg;
	settle();
	picture_take(&e->picture);
	e->tag_pages = tag_slab_pages();
	e->reserve_whole = cooper_shape()->direct_map || tags_in_slabs() >= tags_bound();
	tags_check("take_exact");
}

struct one {
	int what;
	void *p;
	uma_zone_t zone;
};
enum { MALLOC, MALLOC_EXEC, CONTIG, ATTR, KVA, BACK, ZONE, PCPU, BIGZONE };

static vm_offset_t range;

static bool
attempt(void *arg)
{
	struct one *o = arg;

	switch (o->what) {
	case MALLOC:
		o->p = kmem_malloc(300 * PAGE_SIZE, M_NOWAIT);
		break;
	case MALLOC_EXEC:
		o->p = kmem_malloc(2 * PAGE_SIZE, M_NOWAIT | M_EXEC);
		break;
	case CONTIG:
		o->p = kmem_alloc_contig(16 * PAGE_SIZE, M_NOWAIT, 0, ~(vm_paddr_t)0, 0, 0, 0);
		break;
	case ATTR:
		o->p = kmem_alloc_attr(5 * PAGE_SIZE, M_NOWAIT, 0, ~(vm_paddr_t)0, 0);
		break;
	case KVA:
		o->p = (void *)kva_alloc(PAGE_SIZE);
		break;
	case BACK:
		o->p = kmem_back(range, 40 * PAGE_SIZE, M_NOWAIT) == 0 ? (void *)range : NULL;
		break;
	case PCPU:
		o->p = uma_zalloc_pcpu(o->zone, M_NOWAIT);
		break;
	default:
		o->p = uma_zalloc(o->zone, M_NOWAIT);
	}
	return (o->p != NULL);
}

static void
undo(void *arg)
{
	struct one *o = arg;

	switch (o->what) {
	case MALLOC:
		kmem_free(o->p, 300 * PAGE_SIZE);
		break;
	case MALLOC_EXEC:
		kmem_free(o->p, 2 * PAGE_SIZE);
		break;
	case CONTIG:
		kmem_free(o->p, 16 * PAGE_SIZE);
		break;
	case ATTR:
		kmem_free(o->p, 5 * PAGE_SIZE);
		break;
	case KVA:
		kva_free((vm_offset_t)o->p, PAGE_SIZE);
		break;
	case BACK:
		kmem_unback(range, 40 * PAGE_SIZE);
		break;
	case PCPU:
		uma_zfree_pcpu(o->zone, o->p);
		break;
	default:
		uma_zfree(o->zone, o->p);
	}
	settle();
}

static void
inject(int what, uma_zone_t zone, unsigned least)
{
	struct one one = { what, NULL, zone };
	struct inject_case c = { attempt, undo, take_exact, sizeof(struct exact), &one };
	unsigned failed = inject_each(&c);

	if (failed < least)
		fail_msg("case %d: only %u injected failures were felt", what, failed);
}

static void
each_k(void)
{
	uma_zone_t small = uma_zcreate("small", 100, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	uma_zone_t pcpu =
	    uma_zcreate("pcpu", 64, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, UMA_ZONE_PCPU);
	uma_zone_t big =
	    uma_zcreate("big", 3 * PAGE_SIZE, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);

	range = kva_alloc(40 * PAGE_SIZE);
	TEST_MUST(range != 0);
	inject(MALLOC, NULL, 1);
	inject(MALLOC_EXEC, NULL, 1);
	inject(CONTIG, NULL, 1);
	inject(ATTR, NULL, 1);
	inject(KVA, NULL, 1);
	inject(BACK, NULL, 0);
	inject(ZONE, small, 0); /* one failure of a fill, and the single item is still had */
	inject(PCPU, pcpu, 0);
	inject(BIGZONE, big, 0);
}

static void
failure_at_each_k_changes_nothing(void **state)
{
	struct machine_shape shape = mapped_shape(16 << 20, 64 << 20);

	(void)state;
	on_shape(16 << 20, 64 << 20, each_k);
	on_exact_shape(&shape, each_k);
}

/* M_WAITOK rides over any single failure. */
static void
waitok_each_k(void)
{
	for (uint64_t k = 1;; k++) {
		uint64_t seen;
		void *p;

		settle();
		cooper_inject_failure(k);
		p = kmem_malloc(200 * PAGE_SIZE, M_WAITOK);
		seen = cooper_inject_failure(0);
		TEST_MUST(p != NULL);
		kmem_free(p, 200 * PAGE_SIZE);
		if (seen < k)
			break;
	}
}

static void
waitok_rides_over_failures(void **state)
{
	struct machine_shape shape = mapped_shape(16 << 20, 64 << 20);

	(void)state;
	on_shape(16 << 20, 64 << 20, waitok_each_k);
	on_exact_shape(&shape, waitok_each_k);
}

TEST_MAIN(cmocka_unit_test(failure_at_each_k_changes_nothing),
    cmocka_unit_test(waitok_rides_over_failures))
