/* See kmem_test.h. */
#include <stdio.h>
#include <stdlib.h>
#include "kmem_test.h"

struct child {
	struct machine_shape shape;
	void (*body)(void);
};

static void
start_and_run(void *arg)
{
	struct child *c = arg;

	if (cooper_start(&c->shape) != 0) {
		fprintf(stderr, "start: %s\n", cooper_start_error());
		abort();
	}
	if (c->shape.pin)
		machine_bind(0);
	c->body();
}

void
on_exact_shape(const struct machine_shape *shape, void (*body)(void))
{
	struct child c = { *shape, body };

	if (!harness_can(shape))
		printf(
		    "# this machine has no shape of %u CPUs, %llu KiB and %zu KiB of addresses\n",
		    shape->ncpus, (unsigned long long)shape->physmem >> 10, shape->kva_size >> 10);
	else
		in_child(start_and_run, &c);
}

void
on_shape(uint64_t physmem, vm_size_t kva, void (*body)(void))
{
	struct machine_shape shape = harness_shape;

	if (physmem != 0)
		shape.physmem = physmem;
	if (kva != 0)
		shape.kva_size = kva;
	on_exact_shape(&shape, body);
}

struct machine_shape
mapped_shape(uint64_t physmem, vm_size_t kva)
{
	struct machine_shape shape = harness_shape;

	shape.direct_map = false;
	shape.physmem = physmem;
	shape.kva_size = kva;
	return (shape);
}

/* ---- pictures --------------------------------------------------------------------------------------- */

unsigned long
free_pages(void)
{
	struct page_domain_stat st;
	unsigned long n = 0;

	for (unsigned d = 0; d < cooper_shape()->ndomains; d++) {
		page_stat(d, &st);
		n += st.free;
	}
	return (n);
}

unsigned long
tags_in_slabs(void)
{
	unsigned long n = 0;

	for (unsigned d = 0; d < cooper_shape()->ndomains; d++)
		n += tag_zone->keg->domain[d].free_items;
	return (n);
}

unsigned long
tag_slab_pages(void)
{
	unsigned long n = 0;

	for (unsigned d = 0; d < cooper_shape()->ndomains; d++)
		n += tag_zone->keg->domain[d].pages;
	return (n);
}

static bool
count_segment(enum vmem_segment_type type, vmem_addr_t addr, vmem_size_t size, void *arg)
{
	(void)type;
	(void)addr;
	(void)size;
	++*(unsigned long *)arg;
	return (true);
}

void
picture_take(struct picture *p)
{
	memset(p, 0, sizeof(*p));
	p->free_pages = free_pages();
	for (unsigned s = 0; s < SOURCE_COUNT; s++) {
		struct kmem_arena *ka = kmem_arena_of(s);

		if (ka == NULL)
			continue;
		p->allocated[s] = vmem_size(ka->vm, VMEM_ALLOC);
		p->free[s] = vmem_size(ka->vm, VMEM_FREE);
		vmem_walk(ka->vm, count_segment, &p->segments);
	}
}

/* A slab of reserved tags may have moved to another arena: spans are the root's, and sums count. */
void
picture_equal(const struct picture *a, const struct picture *b)
{
	vm_size_t in_use_a = 0, in_use_b = 0;

	assert_int_equal(a->free_pages, b->free_pages);
	for (unsigned s = SOURCE_ROOT + 1; s < SOURCE_COUNT; s++) {
		in_use_a += a->allocated[s];
		in_use_b += b->allocated[s];
	}
	assert_int_equal(in_use_a, in_use_b);
	assert_true(b->allocated[SOURCE_ROOT] <=
		    a->allocated[SOURCE_ROOT] + cooper_shape()->ndomains * kva_quantum);
}

void
warm_up(void)
{
	static vm_offset_t va[3000];
	unsigned n = 0;

	for (unsigned cpu = 0; cooper_shape()->pin && cpu < cooper_shape()->ncpus; cpu++) {
		machine_bind((int)cpu);
		while (tag_zone->keg->domain[machine_cpu_domain(cpu)].pages == 0 && n < 3000 &&
		       (va[n] = kva_alloc(PAGE_SIZE)) != 0)
			n++;
	}
	while (n > 0)
		kva_free(va[--n], PAGE_SIZE);
	if (cooper_shape()->pin)
		machine_bind(0);
	settle();
}

void
settle(void)
{
	while (page_daemon_pass(-1, PRESSURE_SEVERE) != 0)
		;
}

/* ---- shortage --------------------------------------------------------------------------------------- */

void
hoard_pages(struct hoard *h, unsigned long leave)
{
	unsigned long most = free_pages();

	h->n = 0;
	h->pa = malloc(most * sizeof(h->pa[0]));
	TEST_MUST(h->pa != NULL);
	for (unsigned d = 0; d < cooper_shape()->ndomains; d++)
		while (free_pages() > leave && h->n < most) {
			struct vm_page *m = vm_page_alloc((int)d, M_NOWAIT | M_USE_RESERVE);

			if (m == NULL)
				break;
			h->pa[h->n++] = page_paddr(m);
		}
}

void
hoard_release(struct hoard *h, unsigned long n)
{
	while (n-- > 0 && h->n > 0)
		vm_page_free_bulk(&h->pa[--h->n], 1);
}

void
hoard_end(struct hoard *h)
{
	hoard_release(h, h->n);
	free(h->pa);
}
