/*
 * Starting the house, ground floor first.
 *
 * cooper_start() runs once, in one thread, before anything else of the core: nothing here is locked.
 * It does next to nothing that grows with memory, CPUs or address space, since short-lived processes
 * pay it: tables are touched when they are first used. Why it was refused, kmem keeps (kmem/start.c).
 */
#include <cooper/cooper.h>
#include "base/base.h"
#include "kmem/kmem_int.h"
#include "malloc/malloc_int.h" /* the last room to be started */
#include "page/page.h"
#include "start/start.h"
#include "sync/sync.h"
#include "uma/backend.h"

#define DOMAIN_PAGES_MIN 64 /* pages of a domain: watermarks, and something between them */
#define CPU_PAGES_MIN    4  /* pages for each CPU: what its caches pin */
#define KVA_PAGES_MIN    64 /* address space for start-up zones and one of everything */

CORE_STATE static bool started;

/* ---- the shape ------------------------------------------------------------------------------------ */

/*
 * Address space that a shape needs: without it the tag reserve could not be made good. A refill wants
 * a page of it in each domain, a slab of per-CPU items one for each CPU, and each CPU's caches may
 * hold on to the tags of a slab more.
 */
static uint64_t
kva_needed(const struct machine_shape *s)
{
	return ((uint64_t)(KVA_PAGES_MIN + s->ndomains + 2 * s->ncpus) << PAGE_SHIFT);
}

static int
check_shape(const struct machine_shape *s)
{
	uint64_t pages = s->physmem >> PAGE_SHIFT;
	uint64_t pages_needed =
	    DOMAIN_PAGES_MIN * (uint64_t)s->ndomains + CPU_PAGES_MIN * (uint64_t)s->ncpus;

	if (s->ncpus < 1 || s->ncpus > COOPER_MAXCPU)
		return (
		    start_refuse(COOPER_EINVAL, "ncpus %u: not in 1..%d", s->ncpus, COOPER_MAXCPU));
	if (s->ndomains < 1 || s->ndomains > COOPER_MAXDOMAIN)
		return (start_refuse(
		    COOPER_EINVAL, "ndomains %u: not in 1..%d", s->ndomains, COOPER_MAXDOMAIN));
	if (s->ndomains > s->ncpus)
		return (start_refuse(
		    COOPER_EINVAL, "ndomains %u: more than the %u CPUs", s->ndomains, s->ncpus));
	if ((s->kva_size & PAGE_MASK) != 0)
		return (start_refuse(
		    COOPER_EINVAL, "kva_size %zu: not a multiple of the page size", s->kva_size));
	if (pages < pages_needed)
		return (start_refuse(COOPER_EINVAL,
		    "physmem %llu: %u CPUs and %u domains need at least %llu bytes",
		    (unsigned long long)s->physmem, s->ncpus, s->ndomains,
		    (unsigned long long)pages_needed << PAGE_SHIFT));
	if (s->kva_size < kva_needed(s))
		return (start_refuse(COOPER_EINVAL,
		    "kva_size %zu: too small for the tag reserve of %u CPUs and %u domains, "
		    "at least %llu bytes",
		    s->kva_size, s->ncpus, s->ndomains, (unsigned long long)kva_needed(s)));
	return (0);
}

/* ---- the house -------------------------------------------------------------------------------------- */

int
cooper_start(const struct machine_shape *shape)
{
	struct machine_shape own;
	const char *why = "";
	int error;

	(void)start_refuse(
	    0, "%s", ""); /* nothing, so far; first: a write, which maps the page once */
	if (started)
		return (start_refuse(COOPER_EBUSY, "cooper_start: already started"));
	if (shape == NULL) {
		if ((error = machine_default_shape(&own, &why)) != 0)
			return (start_refuse(error, "%s", why));
		shape = &own;
	}
	if ((error = check_shape(shape)) != 0)
		return (error);
	if ((error = machine_start(shape, &why)) != 0)
		return (start_refuse(error, "%s", why));
	started = true;
	sync_start();
	if ((error = page_start(&why)) != 0)
		return (start_refuse(error, "%s", why));
	uma_startup1();
	vmem_startup();
	if ((error = kmem_start()) != 0)
		return (error);
	uma_startup2(&kmem_backend);
	uma_startup3();
	(void)uma_set_warnings(machine_warnings_wanted());
	giveback_start(); /* before the daemon's thread: it reads what this sets */
	page_daemon_start();
	malloc_start();
	return (0);
}

void
core_fork_child(void)
{
	sync_fork_child();
	uma_fork_child();
	vmem_fork_child();
	kmem_fork_child();
	page_fork_child();
}
