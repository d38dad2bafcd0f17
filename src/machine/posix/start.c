/*
 * The posix machine's start: the default shape, the check of a shape, the order of the parts.
 */
#include "posix.h"

POSIX_HIDDEN struct machine_options posix_options = { .rseq = true, .warnings = true };
static const char no_why[] = "";

const struct machine_options *
machine_options(void)
{
	return (&posix_options);
}

/*
 * Half of the address space that the process may have is ours, and a third of that (direct map,
 * window of twice its size) is memory.
 */
static uint64_t
default_physmem(void)
{
	uint64_t memory = posix_host_memory(), limit = posix_address_limit();

	limit = limit == UINT64_MAX ? (POSIX_MAX_FRAMES << PAGE_SHIFT) / 4 : limit / 6;
	if (sizeof(void *) == 4)
		limit = MIN(limit, (uint64_t)384 << 20);
	return (MIN(memory, limit) & ~(uint64_t)PAGE_MASK);
}

static unsigned
default_ncpus(void)
{
	unsigned ncpus = posix_percpu_fast() ? posix_possible_cpus() : posix_allowed_cpus();

	return (MIN(ncpus, (unsigned)COOPER_MAXCPU));
}

/* What the options say is not asked of the kernel: a build starts thousands of processes. */
int
machine_default_shape(struct machine_shape *shape, const char **why)
{
	char buf[1024];
	const char *text = posix_options_text(buf, sizeof(buf));
	struct machine_options *o = &posix_options;
	int error;

	*why = no_why;
	error = machine_options_parse(text != NULL ? text : "", o, why);
	if (error != 0)
		return (error);
	*shape = (struct machine_shape){ .ndomains = 1, .direct_map = true };
	if (!(o->given & OPTION_CPUS))
		shape->ncpus = default_ncpus();
	if (!(o->given & OPTION_PHYSMEM)) {
		shape->physmem = default_physmem();
		shape->kva_size = machine_default_kva(shape->physmem);
	}
	machine_options_apply(o, shape);
	return (0);
}

void
machine_default_giveback(struct machine_giveback *g)
{
	const struct machine_options *o = &posix_options;

	g->decay_ms = o->given & OPTION_DECAY ? o->decay : POSIX_DECAY_MS;
	g->ceiling =
	    o->given & OPTION_CEILING ? (unsigned long)MIN(o->ceiling, (uint64_t)~0ul) : ~0ul;
	g->limit = o->limit;
}

bool
machine_warnings_wanted(void)
{
	return (posix_options.warnings);
}

static int
check_shape(const struct machine_shape *shape, const char **why)
{
	if (shape->ncpus == 0 || shape->ncpus > COOPER_MAXCPU)
		*why = "a shape has 1 to 256 CPUs";
	else if (shape->ndomains == 0 || shape->ndomains > COOPER_MAXDOMAIN)
		*why = "a shape has 1 to 8 domains";
	else if (shape->ndomains > shape->ncpus)
		*why = "a shape has no more domains than CPUs";
	else if (shape->physmem / PAGE_SIZE < shape->ndomains || (shape->physmem & PAGE_MASK) != 0)
		*why = "physical memory is whole pages, one a domain at least";
	else if (shape->physmem / PAGE_SIZE > POSIX_MAX_FRAMES)
		*why = "physical memory is at most 4 TB";
	else if (shape->kva_size < PAGE_SIZE || (shape->kva_size & PAGE_MASK) != 0)
		*why = "kernel address space is whole pages";
	else
		return (0);
	return (COOPER_EINVAL);
}

int
machine_start(const struct machine_shape *shape, const char **why)
{
	int error;

	*why = no_why;
	if ((error = check_shape(shape, why)) != 0)
		return (error);
	core_set_shape(shape);
	if ((error = posix_memory_start(shape, why)) != 0)
		return (error);
	posix_cpu_start(shape);
	posix_percpu_start(shape);
	return (0);
}

/* Domains are equal runs of one range; what does not divide goes to the last. */
unsigned
machine_segments(struct machine_segment *seg, unsigned max)
{
	const struct machine_shape *shape = cooper_shape();
	uint64_t each = (uint64_t)(atop(shape->physmem) / shape->ndomains) << PAGE_SHIFT;
	unsigned n = MIN(shape->ndomains, max);

	for (unsigned i = 0; i < n; i++) {
		seg[i].start = POSIX_PHYS_BASE + i * each;
		seg[i].end = i + 1 == shape->ndomains ? POSIX_PHYS_BASE + shape->physmem
						      : seg[i].start + each;
		seg[i].domain = i;
	}
	return (n);
}

/* ---- fork ------------------------------------------------------------------------------------------- */

void
machine_fork_prepare(void)
{
	posix_percpu_fork(FORK_PREPARE);
	posix_memory_fork(FORK_PREPARE);
}

void
machine_fork_parent(void)
{
	posix_memory_fork(FORK_PARENT);
	posix_percpu_fork(FORK_PARENT);
}

void
machine_fork_child(void)
{
	posix_memory_fork(FORK_CHILD);
	posix_percpu_fork(FORK_CHILD);
	posix_thread_forked();
}
