/*
 * Quantum caches: for each small multiple of the quantum a UMA cache zone, "<arena>-<bytes>", whose
 * items are the addresses themselves. They make the common sizes as cheap as objects and scale with CPUs.
 *
 * What stays true: an address in a cache is busy in the arena and its tag says `cached`. 0 is never
 * in one, since UMA takes it for failure (R23). What users hold of these sizes is what the zone says,
 * whichever way they got it. While a request waits, on whatever arena, no cache of any holds an
 * address: what rests in one may be all that it waits for, and its own arena's caches are not the only
 * ones, since arenas import from each other. vmem_arenas_lock guards `waiting` and each nqcache.
 */
#include "uma/waiting.h"
#include "vmem/vmem_int.h"

CORE_STATE static unsigned waiting; /* requests that wait */

static int
qcache_import(void *arg, void **store, int count, int domain, int flags)
{
	struct quantum_cache *qc = arg;
	struct request rq = {
		.size = qc->size,
		.shape = { qc->vm->quantum_mask + 1, 0, 0 },
		.min = FAULT(quantum_cache_has_zero) ? VMEM_ADDR_MIN : VMEM_ADDR_QCACHE_MIN,
		.max = VMEM_ADDR_MAX,
		.policy = M_BESTFIT,
		.cached = true,
		.refill = true,
	};
	vmem_addr_t addr;
	int n;

	(void)domain;
	flags = (flags & (M_NOVM | M_USE_RESERVE)) | M_NOWAIT;
	for (n = 0; n < count && vmem_take(qc->vm, &rq, flags, &addr) == 0; n++)
		store[n] = (void *)addr;
	return (n);
}

static void
qcache_release(void *arg, void **store, int count)
{
	struct quantum_cache *qc = arg;

	for (int i = 0; i < count; i++)
		vmem_give(qc->vm, (vmem_addr_t)store[i], qc->size, true);
}

/* In all zones of the arena, or withdraw it. */
static void
announce(vmem_t *vm, bool begin)
{
	for (unsigned i = 0; i < vm->nqcache; i++)
		(begin ? zone_wait_begin : zone_wait_end)(vm->qcache[i].zone);
}

void
qcache_create(vmem_t *vm, vmem_size_t qcache_max)
{
	vmem_size_t n = MIN(qcache_max >> vm->quantum_shift, VMEM_QCACHE_MAX);

	for (vmem_size_t i = 0; i < n; i++) {
		struct quantum_cache *qc = &vm->qcache[i];

		qc->vm = vm;
		qc->size = (i + 1) << vm->quantum_shift;
		core_snprintf(qc->name, sizeof(qc->name), "%s-%zu", vm->name, (size_t)qc->size);
		qc->zone = uma_zcache_create(qc->name, (int)MIN(qc->size, INT32_MAX), NULL, NULL,
		    NULL, NULL, qcache_import, qcache_release, qc, 0);
		vm->cached[i] = qc->zone;
	}
	mtx_lock(&vmem_arenas_lock);
	vm->nqcache = (uint8_t)n;
	vm->qcache_max = n << vm->quantum_shift;
	vm->qcache_fast = core_debug ? 0 : vm->qcache_max;
	vm->qcache_shift = vm->quantum_shift;
	if (waiting > 0)
		announce(vm, true);
	mtx_unlock(&vmem_arenas_lock);
}

void
qcache_destroy(vmem_t *vm)
{
	unsigned n = vm->nqcache;

	mtx_lock(&vmem_arenas_lock);
	if (waiting > 0)
		announce(vm, false);
	vm->nqcache = 0;
	vm->qcache_max = vm->qcache_fast = 0;
	mtx_unlock(&vmem_arenas_lock);
	for (unsigned i = 0; i < n; i++)
		uma_zdestroy(vm->qcache[i].zone);
}

/* ---- while requests wait --------------------------------------------------------------------------- */

/* A request waits: it has counted itself, so that it hears of what comes out of the caches. */
void
qcache_wait_begin(void)
{
	mtx_lock(&vmem_arenas_lock);
	if (waiting++ == 0)
		LIST_EACH (l, &vmem_arenas)
			announce(list_entry(l, vmem_t, link), true);
	mtx_unlock(&vmem_arenas_lock);
	zone_empty_waited();
}

void
qcache_wait_end(void)
{
	mtx_lock(&vmem_arenas_lock);
	if (--waiting == 0)
		LIST_EACH (l, &vmem_arenas)
			announce(list_entry(l, vmem_t, link), false);
	mtx_unlock(&vmem_arenas_lock);
}

/* Who waited was another thread; uma_fork_child() has struck him off the zones. */
void
qcache_fork_child(void)
{
	waiting = 0;
}

void
qcache_drain(vmem_t *vm, bool all_cpus)
{
	for (unsigned i = 0; i < vm->nqcache; i++)
		uma_zone_reclaim(
		    vm->qcache[i].zone, all_cpus ? UMA_RECLAIM_DRAIN_CPU : UMA_RECLAIM_DRAIN);
}

void
qcache_adopt(vmem_t *vm, vmem_size_t size)
{
	zone_adopt_item(vm->qcache[(size - 1) >> vm->quantum_shift].zone);
}
