/*
 * Importing spans: one at most for a request, with no lock held while the parent is asked.
 *
 * The size asked for is the least that holds the request wherever it comes to lie, in whole import
 * quanta: size, what aligning can cost beyond the quantum, what a line not to be crossed can cost. A
 * window cannot be asked for; if the span that comes does not hold the request, the import was futile:
 * it goes back if the arena releases, and this attempt imports no more (H1). Nor does the next one
 * begin because of that: what a futile import puts back is no news to who made one himself (wait.c).
 *
 * A span on its way is nowhere to be found: others fail meanwhile, here and in the parent, and sleep.
 * So what stays of it in the arena is an event, too (alloc.c); and none is told "never" (wait.c).
 *
 * What stays true: in an arena that releases no imported span is free as a whole, but for those that a
 * thread is just adding or removing. Who frees the last of a span gives it back; so does who imported
 * it and then found room elsewhere, since something was freed meanwhile. Else a span that nobody uses
 * would stay, and who waits for more than what is left of the parent would wait for ever.
 */
#include "vmem/vmem_int.h"

void
import_takes_off(vmem_t *vm)
{
	vm->in_flight++;
}

bool
import_lands(vmem_t *vm)
{
	if (--vm->in_flight > 0)
		return (false);
	atomic_store_relaxed(&vm->landings, vm->landings + 1);
	return (true);
}

void
import_release(vmem_t *vm, struct purse *purse, struct vmem_btag *bt, struct vmem_btag *end)
{
	vmem_addr_t start = bt->start;
	vmem_size_t size = bt_size(vm, bt);

	span_remove(vm, bt, end);
	vm->counts.releases++;
	spare_hide(vm, purse);
	mtx_unlock(&vm->lock);
	vm->release(vm->import_arg, start, size);
	mtx_lock(&vm->lock);
	spare_show(vm, purse);
}

/* The span that is `added` has just come and bt will be used: take it off again if bt is not in it. */
static void
give_up_unused(vmem_t *vm, struct request *rq, struct vmem_btag *added, const struct vmem_btag *bt)
{
	struct vmem_btag *end;

	if (vm->release == NULL || bt == added)
		return;
	end = span_of_free(vm, added);
	rq->grew = false;
	rq->unused = added->start;
	rq->unused_size = bt_size(vm, added);
	span_remove(vm, added, end);
	vm->counts.releases++;
}

/* A size in whole import quanta, within the limit; 0: refused. */
static vmem_size_t
import_size(const vmem_t *vm, const struct request *rq)
{
	vmem_size_t quantum = vm->import_quantum, size = rq->enough;

	size = is_pow2(quantum) ? round_up(size, quantum) : howmany(size, quantum) * quantum;
	if (size < rq->enough)
		return (0);
	if (vm->limit != 0 && (size > vm->limit || vm->size > vm->limit - size))
		return (0);
	return (size);
}

enum import_result
import_span(vmem_t *vm, struct request *rq, int flags, struct purse *purse, struct vmem_btag **btp,
    vmem_addr_t *startp)
{
	struct thread_state *ts = machine_thread_state();
	vmem_size_t size = import_size(vm, rq);
	struct vmem_btag *added = NULL, *end;
	vmem_addr_t addr;
	int error;

	if (size == 0)
		return (IMPORT_NO);
	/*
	 * A parent that is an arena does not let us sleep in it (vmem_take); another source may. That
	 * is right only while nothing here could be freed instead.
	 */
	if ((flags & M_NOWAIT) == 0 && vm->nbusy > 0)
		flags = (flags & ~M_WAITOK) | M_NOWAIT;
	import_takes_off(vm);
	spare_hide(vm, purse);
	mtx_unlock(&vm->lock);
	ts->importing++;
	error = (flags & M_NOWAIT) != 0 && inject_failure()
		    ? COOPER_ENOMEM
		    : vm->import(vm->import_arg, size, flags, &addr);
	ts->importing--;
	mtx_lock(&vm->lock);
	spare_show(vm, purse);
	if (error != 0) {
		rq->landed |= import_lands(vm);
		return (IMPORT_NO);
	}
	vm->counts.imports++;
	MUST(((addr | size) & vm->quantum_mask) == 0 &&
		 (added = span_add(vm, addr, size, BT_SPAN)) != NULL,
	    "import: arena \"%s\" got %zx + %zx, which it has already or which is no multiple of "
	    "its quantum",
	    vm->name, (size_t)addr, (size_t)size);
	rq->grew = true;
	if ((*btp = fit_find(vm, rq, startp)) != NULL) {
		rq->landed |= import_lands(vm);
		give_up_unused(vm, rq, added, *btp);
		return (IMPORT_YES);
	}
	vm->counts.futile++;
	if ((end = span_of_free(vm, added)) != NULL) {
		ts->putting_back = true;
		import_release(vm, purse, added, end);
		ts->putting_back = false;
		rq->grew = false;
	}
	rq->landed |= import_lands(vm);
	return (IMPORT_FUTILE);
}

bool
import_could_wait(vmem_t *vm, const struct request *rq)
{
	vmem_addr_t start;

	return (vm->first != 0 &&
		request_fits(rq, bt_at(vm, vm->first)->start, bt_at(vm, vm->last)->start, &start));
}
