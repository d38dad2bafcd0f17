/*
 * See slabs.h. One machine_lock guards the bitmap: it is not part of the core's order.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "slabs.h"
#include "page/page.h"

#define SLAB_DIRECT UMA_SLAB_PRIV /* from the direct map */

static struct machine_lock lock;
static vm_offset_t base;
static unsigned long npages, used, next;
static bool *taken;

static void
window_start(void)
{
	vm_size_t size;

	machine_kva(&base, &size);
	npages = (unsigned long)atop(size);
	taken = calloc(npages, sizeof(*taken));
	TEST_MUST(taken != NULL);
}

unsigned long
slabs_kva_used(void)
{
	return (__atomic_load_n(&used, __ATOMIC_RELAXED));
}

/* ---- addresses ---------------------------------------------------------------------------------------- */

/* Next fit: from where the last search ended, once round. */
static vm_offset_t
kva(vm_size_t bytes)
{
	unsigned long n = (unsigned long)atop(round_page(bytes)), run = 0, at, looked;
	vm_offset_t va = 0;

	if (inject_failure())
		return (0);
	machine_lock(&lock);
	for (at = next, looked = 0; looked < npages + n && run < n; at++, looked++) {
		if (at == npages)
			at = run = 0;
		run = taken[at] ? 0 : run + 1;
	}
	if (run == n) {
		memset(taken + at - n, true, n);
		used += n;
		next = at == npages ? 0 : at;
		va = base + ptoa(at - n);
	}
	machine_unlock(&lock);
	return (va);
}

static void
kva_free(vm_offset_t va, vm_size_t bytes)
{
	unsigned long n = (unsigned long)atop(round_page(bytes));

	machine_lock(&lock);
	memset(taken + atop(va - base), false, n);
	used -= n;
	machine_unlock(&lock);
}

/* ---- pages ---------------------------------------------------------------------------------------------- */

/* A page of the domain, -1: of any. */
static struct vm_page *
any_page(int domain, int flags)
{
	struct vm_page *m = NULL;

	if (domain >= 0)
		return (vm_page_alloc(domain, flags));
	for (unsigned d = 0; m == NULL && d < page_ndomains(); d++)
		m = vm_page_alloc((int)d, flags);
	return (m);
}

static void
unback(vm_offset_t va, vm_size_t bytes)
{
	for (vm_offset_t end = va + bytes; va < end; va += PAGE_SIZE) {
		struct vm_page *m = page_of_va(va);

		machine_unmap(va, 1);
		vm_page_free(m);
	}
}

static int
back(vm_offset_t va, vm_size_t bytes, int domain, int flags)
{
	for (vm_size_t done = 0; done < bytes; done += PAGE_SIZE) {
		struct vm_page *m = any_page(domain, flags);
		vm_paddr_t pa;

		if (m == NULL) {
			unback(va, done);
			return (COOPER_ENOMEM);
		}
		pa = page_paddr(m);
		machine_map(va + done, &pa, 1, false);
	}
	return (0);
}

/* Pages that were mapped just now read as zero, if that was asked for. */
static void *
zeroed(vm_offset_t va, vm_size_t bytes, int flags)
{
	if ((flags & M_ZERO) && !MACHINE_MAP_ZEROES && va != 0)
		memset((void *)va, 0, bytes);
	return ((void *)va);
}

/* ---- the sources ------------------------------------------------------------------------------------------ */

static void *
page_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait)
{
	vm_offset_t va = kva(bytes);

	(void)zone;
	*sflag = UMA_SLAB_KERNEL;
	if (va == 0)
		return (NULL);
	if (back(va, round_page(bytes), domain, wait) != 0) {
		kva_free(va, bytes);
		if (wait & M_WAITOK)
			vm_wait_domain(domain);
		return (NULL);
	}
	return (zeroed(va, bytes, wait));
}

static void
page_free(void *mem, vm_size_t bytes, uint8_t sflag)
{
	if (sflag & SLAB_DIRECT) {
		vm_page_free(page_of_va((vm_offset_t)mem));
		return;
	}
	unback((vm_offset_t)mem, round_page(bytes));
	kva_free((vm_offset_t)mem, bytes);
}

static void *
small_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait)
{
	struct vm_page *m;
	void *mem;

	if (!cooper_shape()->direct_map)
		return (page_alloc(zone, bytes, domain, sflag, wait));
	*sflag = SLAB_DIRECT;
	m = any_page(domain, wait);
	if (m == NULL) {
		if (wait & M_WAITOK)
			vm_wait_domain(domain);
		return (NULL);
	}
	mem = machine_direct(page_paddr(m));
	if ((wait & M_ZERO) && !(m->flags & PG_ZERO))
		memset(mem, 0, PAGE_SIZE);
	return (mem);
}

static void *
contig_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait)
{
	unsigned long n = (unsigned long)atop(round_page(bytes));
	vm_offset_t va = kva(bytes);
	struct vm_page *m = NULL;

	(void)zone;
	*sflag = UMA_SLAB_KERNEL;
	if (va == 0)
		return (NULL);
	for (unsigned d = 0; m == NULL && d < page_ndomains(); d++)
		if (domain < 0 || (int)d == domain)
			m = vm_page_alloc_contig((int)d, wait, n, 0, MACHINE_NOPAGE, PAGE_SIZE, 0);
	if (m == NULL) {
		kva_free(va, bytes);
		return (NULL);
	}
	for (unsigned long i = 0; i < n; i++) {
		vm_paddr_t pa = page_paddr(m) + ptoa(i);

		machine_map(va + ptoa(i), &pa, 1, false);
	}
	return (zeroed(va, bytes, wait));
}

/* `bytes` are all CPUs' parts together: each whole pages, from the CPU's domain. */
static void *
pcpu_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *sflag, int wait)
{
	unsigned ncpus = cooper_shape()->ncpus;
	vm_size_t part = bytes / ncpus;
	vm_offset_t va = kva(bytes);

	(void)zone;
	(void)domain;
	*sflag = UMA_SLAB_KERNEL;
	for (unsigned cpu = 0; va != 0 && cpu < ncpus; cpu++)
		if (back(va + cpu * part, part, (int)machine_cpu_domain(cpu), wait) != 0) {
			unback(va, cpu * part);
			kva_free(va, bytes);
			va = 0;
		}
	return (zeroed(va, bytes, wait));
}

const struct uma_backend slabs_backend = {
	.small = { small_alloc, page_free },
	.page = { page_alloc, page_free },
	.contig = { contig_alloc, page_free },
	.pcpu = { pcpu_alloc, page_free },
	.kva = kva,
	.kva_free = kva_free,
	.back = back,
	.unback = unback,
};

int
slabs_start_zones(const struct machine_shape *shape, const char **why, void (*arenas_start)(void))
{
	int error = machine_start(shape, why);

	if (error != 0)
		return (error);
	sync_start();
	error = page_start(why);
	if (error != 0)
		return (error);
	window_start();
	uma_startup1();
	if (arenas_start != NULL)
		arenas_start();
	uma_startup2(&slabs_backend);
	uma_startup3();
	return (0);
}
