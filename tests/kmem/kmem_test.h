/*
 * What the tests of kmem share: starting on a shape of their own, in a child, and pictures of what
 * the kernel arenas, the tags and the pages hold, to be compared.
 */
#ifndef KMEM_TEST_H
#define KMEM_TEST_H

#include <string.h>
#include <sys/wait.h>

#include "harness.h"
#include <cooper/kmem.h>
#include <cooper/uma.h>
#include <cooper/vmem.h>
#include "kmem/kmem_int.h"
#include "page/page.h"
#include "uma/uma_int.h"

/*
 * body() in a child, on the command line's shape with this much physical memory and address space
 * (0: as on the command line).
 */
void on_shape(uint64_t physmem, vm_size_t kva, void (*body)(void));
/* The same on exactly this shape. */
void on_exact_shape(const struct machine_shape *shape, void (*body)(void));
/* The command line's shape, without a direct map: where the circle is. */
struct machine_shape mapped_shape(uint64_t physmem, vm_size_t kva);

/* Everything of kmem's that a failed request, or a storm and its end, must leave as it was. */
struct picture {
	unsigned long free_pages;
	vm_size_t allocated[SOURCE_COUNT]; /* of each kernel arena, bytes */
	vm_size_t free[SOURCE_COUNT];
	unsigned long
	    segments; /* of all kernel arenas; not compared: a kept slab may lie elsewhere */
};
void picture_take(struct picture *p);
void picture_equal(const struct picture *a, const struct picture *b);

unsigned long free_pages(void);
unsigned long tags_in_slabs(void); /* free items in the tag zone's slabs */
unsigned long tag_slab_pages(void);

/* Reclaim until that gives nothing more. */
void settle(void);
/* The same, after each domain has come to its slab of reserved tags: from then on that is all. */
void warm_up(void);

/* Take every page and give them back: a shortage to order. */
struct hoard {
	vm_paddr_t *pa;
	unsigned long n;
};
void hoard_pages(struct hoard *h, unsigned long leave);
void hoard_release(struct hoard *h, unsigned long n); /* so many of them */
void hoard_end(struct hoard *h);

#endif
