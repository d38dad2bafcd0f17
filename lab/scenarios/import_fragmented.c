/*
 * Imports into arenas whose parent is full of holes: imports that fail, that serve, that do not
 * help since a window was asked for; with the parent's space handed back and forth.
 */
#include <cooper/vmem.h>

#include "lab/lab.h"

#define QUANTUM 16
#define SPAN    64 /* what the children import at a time */
#define WINDOW  (SPAN - QUANTUM)
#define PIECES  40 /* of the parent, every other one of which stays busy */
#define BUSY    1024
#define LATER   10000000000ull /* ns; long after every thread has either got something or sleeps */

LAB_STATE static vmem_t *parent, *releasing, *keeping;
LAB_STATE static vmem_addr_t next_span; /* what `keeping` imports, until there were two */
LAB_STATE static vmem_addr_t piece[PIECES];
LAB_STATE static vmem_addr_t busy, corner; /* a window, and what keeps its span in the arena */

static vmem_addr_t
take(vmem_t *vm, vmem_size_t size, int flags)
{
	vmem_addr_t addr;
	int error = vmem_xalloc(vm, size, 0, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX, flags, &addr);

	lab_must(error == 0 || (flags & M_NOWAIT) != 0, "vmem_xalloc: M_WAITOK returned %d", error);
	lab_must(addr % QUANTUM == 0, "vmem_xalloc: %lx is no multiple of the quantum",
	    (unsigned long)addr);
	return (error == 0 ? addr : 0);
}

/* Requests of odd sizes that are served when others have freed theirs. */
static void
worker(void *arg)
{
	vmem_t *vm = arg;

	for (unsigned round = lab_scale(2, 10); round > 0; round--) {
		vmem_size_t size = 1 + lab_random(SPAN);
		vmem_addr_t a = take(vm, size, M_WAITOK | (round % 3 == 0 ? M_NEXTFIT : M_BESTFIT));
		vmem_addr_t b = take(vm, 1 + size / 2, M_NOWAIT | M_NEXTFIT);

		if (b != 0)
			vmem_xfree(vm, b, 1 + size / 2);
		vmem_xfree(vm, a, size);
	}
}

/* What no import can serve must say so, after one. */
static void
asks_for_the_impossible(void *arg)
{
	vmem_addr_t addr;

	(void)arg;
	for (unsigned round = lab_scale(1, 4); round > 0; round--)
		lab_must(vmem_xalloc(keeping, QUANTUM, 0, 0, 0, 1 << 30, (1 << 30) + SPAN - 1,
			     M_NOWAIT | M_FIRSTFIT, &addr) != 0,
		    "vmem_xalloc: %lx is not in any span", (unsigned long)addr);
}

/* A window that is busy until late: both waiters' imports are futile, and they sleep. */
static void
waits_for_the_window(void *arg)
{
	vmem_addr_t addr;

	(void)arg;
	lab_must(vmem_xalloc(releasing, QUANTUM, 0, 0, 0, busy, busy + WINDOW - 1,
		     M_WAITOK | M_FIRSTFIT, &addr) == 0,
	    "vmem_xalloc: M_WAITOK failed in a window that would be free");
	vmem_xfree(releasing, addr, QUANTUM);
}

static void
holder(void *arg)
{
	(void)arg;
	lab_sleep(LATER);
	vmem_xfree(releasing, busy, WINDOW);
}

static int
import(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	return (vmem_xalloc(arg, size, 0, 0, 0, VMEM_ADDR_MIN, VMEM_ADDR_MAX,
	    (flags & (M_NOWAIT | M_WAITOK)) | M_FIRSTFIT, addrp));
}

/* Spans that touch, from nowhere in particular, for good. */
static int
import_for_good(void *arg, vmem_size_t size, int flags, vmem_addr_t *addrp)
{
	(void)arg;
	(void)flags;
	if (next_span + size > 3 * SPAN)
		return (COOPER_ENOMEM);
	*addrp = next_span;
	next_span += size;
	return (0);
}

static void
release(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	vmem_xfree(arg, addr, size);
}

/* Two imports that touch: when both are free, a request larger than either is served from them. */
static void
merges(void)
{
	vmem_addr_t a = take(keeping, SPAN, M_WAITOK | M_BESTFIT);
	vmem_addr_t b = take(keeping, SPAN, M_WAITOK | M_BESTFIT);

	vmem_xfree(keeping, a, SPAN);
	vmem_xfree(keeping, b, SPAN);
	a = take(keeping, SPAN + QUANTUM, M_NOWAIT | M_BESTFIT);
	lab_must(a != 0, "imports that touch: no room for more than one of them");
	vmem_xfree(keeping, a, SPAN + QUANTUM);
}

static void
setup(void)
{
	parent = vmem_create("parent", BUSY, PIECES * SPAN * 3 / 2, QUANTUM, 0, M_WAITOK);
	releasing = vmem_create("releasing", 0, 0, QUANTUM, 0, M_WAITOK);
	vmem_set_import(releasing, import, release, parent, SPAN);
	keeping = vmem_create("keeping", 0, 0, QUANTUM, 0, M_WAITOK);
	vmem_set_import(keeping, import_for_good, NULL, NULL, SPAN);
	next_span = SPAN;
	busy = take(releasing, WINDOW, M_WAITOK | M_FIRSTFIT);
	corner = take(releasing, QUANTUM, M_WAITOK | M_FIRSTFIT);
	for (unsigned i = 0; i < PIECES; i++)
		piece[i] = take(parent, i % 2 == 0 ? SPAN : SPAN / 2, M_WAITOK | M_FIRSTFIT);
	for (unsigned i = 0; i < PIECES; i += 2)
		vmem_xfree(parent, piece[i], SPAN);
	for (unsigned i = 0; i < 3; i++)
		lab_thread("worker", -1, worker, releasing);
	lab_thread("keeper", -1, worker, keeping);
	lab_thread("impossible", -1, asks_for_the_impossible, NULL);
	lab_thread("window", -1, waits_for_the_window, NULL);
	lab_thread("window", -1, waits_for_the_window, NULL);
	lab_thread("holder", -1, holder, NULL);
}

static void
finish(void)
{
	merges();
	vmem_xfree(releasing, corner, QUANTUM);
	vmem_destroy(releasing);
	vmem_destroy(keeping);
	for (unsigned i = 1; i < PIECES; i += 2)
		vmem_xfree(parent, piece[i], SPAN / 2);
	vmem_destroy(parent);
}

LAB_SCENARIO(import_fragmented, .name = "import-fragmented",
    .about = "arenas import from a parent that is full of holes; some imports do not help",
    .shape = { .ncpus = 2 }, .setup = setup, .finish = finish,
    .sees = (const char *const[]){ "second_import_uncovered", "span_tags_block_merging",
	"next_fit_unrounded", "futile_importers_wake", "tags_left_in_sight", NULL });
