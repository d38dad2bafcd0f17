/*
 * What cooper_start() refuses, and how it says so.
 */
#include "kmem_test.h"

static struct machine_shape shape;
static const char *expected;

static void
refused(void *arg)
{
	(void)arg;
	TEST_MUST(cooper_start(&shape) == COOPER_EINVAL);
	if (strstr(cooper_start_error(), expected) == NULL)
		harness_fail(__FILE__, __LINE__, cooper_start_error());
	TEST_MUST(strchr(cooper_start_error(), '\n') == NULL);
	/* Nothing has begun: a good shape may still follow. */
	TEST_MUST(cooper_start(&harness_shape) == 0);
	TEST_MUST(cooper_start_error()[0] == '\0');
	TEST_MUST(cooper_start(&harness_shape) == COOPER_EBUSY);
}

#define REFUSED(field, value, text)      \
	do {                             \
		shape = harness_shape;   \
		shape.field = (value);   \
		expected = (text);       \
		in_child(refused, NULL); \
	} while (0)

static void
impossible_shapes_are_refused(void **state)
{
	(void)state;
	REFUSED(ncpus, 0, "ncpus 0");
	REFUSED(ncpus, COOPER_MAXCPU + 1, "ncpus 257");
	REFUSED(ndomains, 0, "ndomains 0");
	REFUSED(ndomains, COOPER_MAXDOMAIN + 1, "ndomains 9");
	REFUSED(ndomains, harness_shape.ncpus + 1, "ndomains");
	REFUSED(physmem, 0, "physmem 0");
	REFUSED(physmem, 64 << 10, "physmem 65536");
	REFUSED(kva_size, 0, "kva_size 0");
	REFUSED(kva_size, harness_shape.kva_size + 1, "multiple of the page size");
}

/* The address space must hold what the reserve and every CPU need. */
static void
small_address_spaces_are_refused(void **state)
{
	(void)state;
	REFUSED(kva_size, 16 * PAGE_SIZE, "too small for the tag reserve");
	shape = mapped_shape(256 << 20, 1 << 20);
	shape.ncpus = 256;
	expected = "too small for the tag reserve of 256 CPUs";
	in_child(refused, NULL);
}

static void
alloc_one_of_each(void)
{
	uma_zone_t zone = uma_zcreate("one", 100, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	vmem_t *vm = vmem_create("ids", 1, 1000, 1, 0, M_WAITOK | M_FIRSTFIT);
	vmem_addr_t id;
	void *p, *item;

	TEST_MUST(zone != NULL && vm != NULL);
	TEST_MUST((item = uma_zalloc(zone, M_WAITOK)) != NULL);
	TEST_MUST(vmem_alloc(vm, 7, M_WAITOK | M_FIRSTFIT, &id) == 0 && id >= 1);
	TEST_MUST((p = kmem_malloc(3 * PAGE_SIZE, M_WAITOK)) != NULL);
	kmem_free(p, 3 * PAGE_SIZE);
	vmem_free(vm, id, 7);
	vmem_destroy(vm);
	uma_zfree(zone, item);
	uma_zdestroy(zone);
}

/* The least that is not refused works: what the checks let through is enough. */
static void
least_shapes_work(void **state)
{
	static const unsigned cpus[] = { 1, 2, 8, 64, 256 };

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		for (unsigned map = 0; map < 2; map++) {
			struct machine_shape least = harness_shape;

			least.direct_map = map != 0;
			least.pin = true;
			least.ncpus = cpus[i];
			least.ndomains = cpus[i] > 1 ? 2 : 1;
			least.physmem = (64 * least.ndomains + 4 * least.ncpus) * PAGE_SIZE;
			least.kva_size = (64 + least.ndomains + 2 * least.ncpus) * PAGE_SIZE;
			on_exact_shape(&least, alloc_one_of_each);
		}
}

static void
own_shape(void *arg)
{
	(void)arg;
	TEST_MUST(cooper_start(NULL) == 0);
	TEST_MUST(cooper_shape()->ncpus >= 1 && cooper_shape()->physmem > 0);
	alloc_one_of_each();
}

static void
starts_on_what_the_machine_has(void **state)
{
	(void)state;
	in_child(own_shape, NULL);
}

TEST_MAIN(cmocka_unit_test(impossible_shapes_are_refused),
    cmocka_unit_test(small_address_spaces_are_refused), cmocka_unit_test(least_shapes_work),
    cmocka_unit_test(starts_on_what_the_machine_has))
