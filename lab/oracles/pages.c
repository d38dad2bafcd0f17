/*
 * The page room's functions, which are not public but hand out what the shadow must know of, and the
 * locks' beginnings and ends. Wrapped like the public ones; no operations.
 */
#include "lab/oracles/oracles_int.h"

#define REAL(ret, fn, ...)            \
	ret __real_##fn(__VA_ARGS__); \
	ret __wrap_##fn(__VA_ARGS__)

/* ---- pages out and in ------------------------------------------------------------------------------ */

REAL(struct vm_page *, vm_page_alloc, int domain, int flags)
{
	struct vm_page *m = __real_vm_page_alloc(domain, flags);

	if (m != NULL)
		shadow_pages_out(m, 1);
	return (m);
}

REAL(struct vm_page *, vm_page_alloc_class, int domain, enum page_class pclass, int flags)
{
	struct vm_page *m = __real_vm_page_alloc_class(domain, pclass, flags);

	if (m != NULL)
		shadow_pages_out(m, 1);
	return (m);
}

REAL(unsigned, vm_page_alloc_bulk, int domain, int flags, unsigned n, vm_paddr_t *pa)
{
	unsigned got = __real_vm_page_alloc_bulk(domain, flags, n, pa);

	for (unsigned i = 0; i < got; i++)
		shadow_pages_out(page_of_paddr(pa[i]), 1);
	return (got);
}

REAL(struct vm_page *, vm_page_alloc_contig, int domain, int flags, unsigned long n, vm_paddr_t low,
    vm_paddr_t high, vm_size_t align, vm_paddr_t boundary)
{
	struct vm_page *m =
	    __real_vm_page_alloc_contig(domain, flags, n, low, high, align, boundary);

	if (m != NULL)
		shadow_pages_out(m, n);
	return (m);
}

REAL(void, vm_page_free, struct vm_page *m)
{
	shadow_pages_in(m, 1);
	__real_vm_page_free(m);
}

REAL(void, vm_page_free_contig, struct vm_page *m, unsigned long n)
{
	shadow_pages_in(m, n);
	__real_vm_page_free_contig(m, n);
}

REAL(void, vm_page_free_bulk, const vm_paddr_t *pa, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		shadow_pages_in(page_of_paddr(pa[i]), 1);
	__real_vm_page_free_bulk(pa, n);
}

REAL(void, vm_page_free_unmapped, const vm_paddr_t *pa, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		shadow_pages_in(page_of_paddr(pa[i]), 1);
	__real_vm_page_free_unmapped(pa, n);
}

/* ---- waiting for pages ------------------------------------------------------------------------------- */

static struct call
wait_call(const char *name, int domain, enum page_class pclass)
{
	return ((struct call){
	    .name = name, .kind = CALL_PAGES, .want = 1, .domain = domain, .pclass = pclass });
}

REAL(bool, vm_wait_domain, int domain)
{
	struct call call = wait_call("vm_wait_domain", domain, PAGE_SYSTEM);
	bool result;

	call_enter(&call);
	result = __real_vm_wait_domain(domain);
	call_leave(&call, result);
	return (result);
}

REAL(void, vm_wait_free, int domain, enum page_class pclass, uint64_t seen)
{
	struct call call = wait_call("vm_wait_free", domain, pclass);

	call_enter(&call);
	__real_vm_wait_free(domain, pclass, seen);
	call_leave(&call, 0);
}
