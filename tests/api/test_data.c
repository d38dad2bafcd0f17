/*
 * What blocks hold: zero where zero was asked for, on memory that others have written; every byte usable
 * up to the last; and sizes, alignments and constraints at the ends of their ranges.
 */
#include <string.h>

#include <cooper/kmem.h>
#include <cooper/malloc.h>
#include <cooper/vmem.h>
#include "harness.h"
#include "page/page.h"
#include "uma/uma_int.h"

MALLOC_DEFINE(M_DATA, "data", "memory of the tests");

static bool
all_are(const void *p, size_t size, uint8_t byte)
{
	const uint8_t *b = p;

	return (size == 0 || (b[0] == byte && memcmp(b, b + 1, size - 1) == 0));
}

/* ---- M_ZERO -------------------------------------------------------------------------------------------- */

#define N 64

static void
zero_is_zero_on_reused_memory(void **state)
{
	static const size_t sizes[] = { 1, 16, 100, 1000, 4096, 5000, 20000, 65536, 65537, 300000 };
	uint8_t *p[N];

	(void)state;
	for (unsigned i = 0; i < nitems(sizes); i++)
		for (unsigned kind = 0; kind < 4; kind++)
			for (unsigned round = 0; round < 3; round++) {
				unsigned n = sizes[i] > 65536 ? 4 : N;

				for (unsigned k = 0; k < n; k++) {
					size_t usable;
					int flags = M_ZERO | (k % 2 ? M_NOWAIT : M_WAITOK);

					p[k] = kind == 0   ? cooper_malloc(sizes[i], M_DATA, flags)
					       : kind == 1 ? cooper_malloc_aligned(
								 sizes[i], 8192, M_DATA, flags)
					       : kind == 2
						   ? cooper_contigmalloc(sizes[i], M_DATA, flags, 0,
							 ~(vm_paddr_t)0, 0, 0)
						   : cooper_malloc_exec(sizes[i], M_DATA, flags);
					TEST_MUST(p[k] != NULL);
					usable = cooper_malloc_usable_size(p[k]);
					TEST_MUST(usable >= sizes[i]);
					TEST_MUST(all_are(p[k], sizes[i], 0));
					memset(p[k], 0xa5, usable);
				}
				for (unsigned k = 0; k < n; k++) {
					TEST_MUST(
					    all_are(p[k], cooper_malloc_usable_size(p[k]), 0xa5));
					cooper_free(p[k], M_DATA);
				}
				if (round == 1)
					uma_reclaim(UMA_RECLAIM_DRAIN_CPU);
			}
}

static void
zero_in_zones_of_every_kind(void **state)
{
	static const struct {
		size_t size;
		uint32_t flags;
	} kinds[] = { { 100, 0 }, { 4000, 0 }, { 9000, UMA_ZONE_CONTIG }, { 64, UMA_ZONE_PCPU },
		{ 300, UMA_ZONE_NOTPAGE }, { 100, UMA_ZONE_NOBUCKET }, { 40, UMA_ZONE_SMR },
		{ 100, UMA_ZONE_NOTOUCH }, { 7, 0 } };
	void *item[N];

	(void)state;
	for (unsigned i = 0; i < nitems(kinds); i++) {
		uma_zone_t zone =
		    uma_zcreate("zero", kinds[i].size, NULL, NULL, NULL, NULL, 7, kinds[i].flags);
		bool smr = (kinds[i].flags & UMA_ZONE_SMR) != 0;
		unsigned copies = kinds[i].flags & UMA_ZONE_PCPU ? cooper_shape()->ncpus : 1;

		for (unsigned round = 0; round < 4; round++) {
			for (unsigned k = 0; k < N; k++) {
				item[k] = smr ? uma_zalloc_smr(zone, M_WAITOK | M_ZERO)
					      : uma_zalloc(zone, M_WAITOK | M_ZERO);
				for (unsigned c = 0; c < copies; c++) {
					char *copy = (char *)item[k] + ptoa(c);

					TEST_MUST(all_are(copy, kinds[i].size, 0));
					memset(copy, 0x5a, kinds[i].size);
				}
			}
			for (unsigned k = 0; k < N; k++)
				if (smr)
					uma_zfree_smr(zone, item[k]);
				else
					uma_zfree(zone, item[k]);
			if (round == 2)
				uma_zone_reclaim(zone, UMA_RECLAIM_DRAIN_CPU);
		}
		uma_zdestroy(zone);
	}
}

/* ZINIT: zero when it enters the zone, on pages that others have written. */
static void
zinit_is_zero_on_used_pages(void **state)
{
	uma_zone_t dirty = uma_zcreate("dirty", 512, NULL, NULL, NULL, NULL, 7, 0);
	uma_zone_t zone;
	void *item[512];

	(void)state;
	for (unsigned k = 0; k < nitems(item); k++)
		memset(item[k] = uma_zalloc(dirty, M_WAITOK), 0x77, 512);
	for (unsigned k = 0; k < nitems(item); k++)
		uma_zfree(dirty, item[k]);
	uma_zdestroy(dirty);
	zone = uma_zcreate("zinit", 512, NULL, NULL, NULL, NULL, 7, UMA_ZONE_ZINIT);
	for (unsigned k = 0; k < nitems(item); k++) {
		item[k] = uma_zalloc(zone, M_WAITOK);
		TEST_MUST(all_are(item[k], 512, 0));
	}
	for (unsigned k = 0; k < nitems(item); k++)
		uma_zfree(zone, item[k]);
	uma_zdestroy(zone);
}

/* ---- realloc -------------------------------------------------------------------------------------------- */

static void
realloc_keeps_what_any_block_held(void **state)
{
	static const size_t sizes[] = { 1, 15, 100, 3000, 10000, 65536, 70000, 200000 };

	(void)state;
	for (unsigned from = 0; from < nitems(sizes); from++)
		for (unsigned to = 0; to < nitems(sizes); to++)
			for (unsigned kind = 0; kind < 4; kind++) {
				size_t least = MIN(sizes[from], sizes[to]);
				uint8_t *p =
				    kind == 0   ? cooper_malloc(sizes[from], M_DATA, M_WAITOK)
				    : kind == 1 ? cooper_malloc_aligned(
						      sizes[from], 16384, M_DATA, M_WAITOK)
				    : kind == 2 ? cooper_contigmalloc(sizes[from], M_DATA, M_WAITOK,
						      0, ~(vm_paddr_t)0, 0, 0)
						: cooper_malloc_exec(sizes[from], M_DATA, M_WAITOK);

				TEST_MUST(p != NULL);
				for (size_t b = 0; b < sizes[from]; b++)
					p[b] = (uint8_t)(b * 13 + kind);
				p = cooper_realloc(p, sizes[to], M_DATA, M_WAITOK);
				TEST_MUST(p != NULL);
				for (size_t b = 0; b < least; b++)
					TEST_MUST(p[b] == (uint8_t)(b * 13 + kind));
				memset(p, 1, cooper_malloc_usable_size(p));
				cooper_free(p, M_DATA);
			}
}

/* ---- ends of ranges ---------------------------------------------------------------------------------------- */

static void
alignments_are_kept(void **state)
{
	(void)state;
	for (size_t align = 1; align <= (size_t)1 << 20; align *= 2)
		for (size_t size = 0; size <= 100000; size = size * 3 + 1) {
			void *p = cooper_malloc_aligned(size, align, M_DATA, M_WAITOK);

			TEST_MUST(p != NULL && ((uintptr_t)p & (align - 1)) == 0);
			memset(p, 0xee, cooper_malloc_usable_size(p));
			cooper_free(p, M_DATA);
		}
}

/* Alignment and line at the top of the range: what fits is given, though the worst case is over a word. */
static void
arenas_near_the_top(void **state)
{
	const vmem_size_t half = SIZE_MAX / 2 + 1, quarter = half / 2;
	vmem_t *vm = vmem_create("top", 0, SIZE_MAX - 15, 16, 0, M_WAITOK);
	vmem_addr_t a, b;

	(void)state;
	assert_non_null(vm);
	assert_int_equal(vmem_xalloc(vm, half, half, 0, half, VMEM_ADDR_MIN, VMEM_ADDR_MAX,
			     M_NOWAIT | M_BESTFIT, &a),
	    0);
	assert_int_equal(a, 0);
	assert_int_equal(vmem_xalloc(vm, quarter - 16, half, quarter, half, VMEM_ADDR_MIN,
			     VMEM_ADDR_MAX, M_NOWAIT | M_BESTFIT, &b),
	    0);
	assert_true(b == half + quarter);
	assert_int_equal(vmem_size(vm, VMEM_MAXFREE), quarter);
	vmem_xfree(vm, a, half);
	vmem_xfree(vm, b, quarter - 16);
	assert_int_equal(vmem_alloc(vm, SIZE_MAX - 15, M_NOWAIT | M_FIRSTFIT, &a), 0);
	assert_int_equal(vmem_alloc(vm, 1, M_NOWAIT | M_TOPDOWN, &b), COOPER_ENOMEM);
	vmem_free(vm, a, SIZE_MAX - 15);
	vmem_destroy(vm);
}

/* A zone's own smr is not the one that it was given. */
static void
a_shared_smr_outlives_its_zones(void **state)
{
	struct smr *smr = smr_create("shared", 0, 0);
	uma_zone_t own = uma_zcreate("own", 64, NULL, NULL, NULL, NULL, 7, UMA_ZONE_SMR);
	uma_zone_t two = uma_zcreate("two", 64, NULL, NULL, NULL, NULL, 7, 0);

	(void)state;
	uma_zone_set_smr(two, smr);
	assert_ptr_equal(uma_zone_get_smr(two), smr);
	assert_ptr_not_equal(uma_zone_get_smr(own), smr);
	uma_zfree_smr(two, uma_zalloc_smr(two, M_WAITOK));
	uma_zdestroy(two);
	uma_zdestroy(own);
	smr_enter(smr);
	smr_exit(smr);
	smr_synchronize(smr);
	smr_destroy(smr);
}

/* Each thread frees what another took. */
struct exchange {
	void *slot[4][N];
};

static void
exchanger(struct test_thread *t)
{
	static const size_t sizes[] = { 16, 100, 4096, 70000 };
	struct exchange *x = t->arg;
	unsigned next = (t->index + 1) % t->count;

	for (unsigned round = 0; round < 30; round++) {
		for (unsigned i = 0; i < N; i++) {
			size_t size = sizes[i % 4];
			char *p = cooper_malloc(size, M_DATA, M_WAITOK);

			memset(p, (int)(t->index + 1), size);
			x->slot[t->index][i] = p;
		}
		thread_barrier(t);
		for (unsigned i = 0; i < N; i++) {
			char *p = x->slot[next][i];

			TEST_MUST(all_are(p, sizes[i % 4], (uint8_t)(next + 1)));
			cooper_free(p, M_DATA);
		}
		thread_barrier(t);
	}
}

static void
blocks_are_freed_by_other_threads(void **state)
{
	static struct exchange x;

	(void)state;
	run_threads(4, exchanger, &x);
}

TEST_MAIN(cmocka_unit_test(zero_is_zero_on_reused_memory),
    cmocka_unit_test(zero_in_zones_of_every_kind), cmocka_unit_test(zinit_is_zero_on_used_pages),
    cmocka_unit_test(realloc_keeps_what_any_block_held), cmocka_unit_test(alignments_are_kept),
    cmocka_unit_test(arenas_near_the_top), cmocka_unit_test(a_shared_smr_outlives_its_zones),
    cmocka_unit_test(blocks_are_freed_by_other_threads))
