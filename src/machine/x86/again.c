/*
 * Starting again, and trying what may end badly: what programs that test need.
 *
 * A try is a process for those who have none. Memory is copied to the top of physical memory, fn
 * runs, and however it ends (it returns, panics or faults) memory is copied back. The copying is done on a
 * stack of its own, in `keeper`, which is not copied; so the caller's stack comes back as it was at
 * the moment when it went over to the keeper's:
 *
 *	x86_try() --switch--> keeper: copy out --switch--> x86_try(): fn(arg)
 *	                                                     | returned, panicked, faulted
 *	x86_try() <--switch-- keeper: copy back <---switch---+
 *
 * Other CPUs are held meanwhile, in an interrupt (frozen), and afterwards begin anew as idle ones: the
 * stacks that they were on are not theirs any more. What stays true: nobody but the keeper runs
 * while memory is copied.
 */
#include "machine_arch.h"
#include "io.h"
#include "x86.h"

enum phase { IDLE, COPY_OUT, TRYING, COPY_BACK, DONE };

struct keeper {
	enum phase phase;
	enum x86_end end;
	vm_paddr_t copy;      /* where the copies are */
	uint64_t room;        /* bytes of it */
	uintptr_t here, back; /* stack pointers: the keeper's, the caller's */
	uint32_t frozen;      /* mask of CPUs */
	uint32_t thaw;        /* counts the times that they were let go */
	struct thread *caller;
	size_t len;
	char text[2048];
	vm_size_t data, state_size;
	char state[]; /* the core's globals, as linked */
};

static struct keeper *keeper;
bool (*x86_in_use)(vm_paddr_t pa);
extern char __start_cooper_state[], __stop_cooper_state[];
extern char x86_data_start[];

/* ---- other CPUs -------------------------------------------------------------------------------------- */

/* An interrupt: stay here until memory is copied, then begin anew. */
void
x86_freeze_interrupt(void)
{
	uint32_t thaw = __atomic_load_n(&keeper->thaw, __ATOMIC_ACQUIRE);
	struct cpu *cpu = x86_this_cpu();

	__atomic_fetch_or(&keeper->frozen, 1u << cpu->index, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&keeper->thaw, __ATOMIC_ACQUIRE) == thaw)
		__builtin_ia32_pause();
	write_cr3(read_cr3());
	x86_begin_on(cpu->idle.stack + X86_STACK, x86_sched_idle);
}

static void
freeze_others(void)
{
	uint32_t others = ((1u << x86_ncpus) - 1) & ~(1u << x86_cpu_index());

	keeper->frozen = 0;
	x86_interrupt_others(X86_VECTOR_FREEZE);
	while (__atomic_load_n(&keeper->frozen, __ATOMIC_ACQUIRE) != others)
		__builtin_ia32_pause();
}

/* This CPU goes on with the caller, wherever that was when memory was copied; the others with nothing. */
static void
thaw_others(struct thread *caller)
{
	for (unsigned i = 0; i < x86_ncpus; i++)
		x86_cpus[i].current = &x86_cpus[i].idle;
	x86_this_cpu()->current = caller;
	caller->cpu = x86_cpu_index();
	x86_idle_prepare(x86_this_cpu());
	__atomic_add_fetch(&keeper->thaw, 1, __ATOMIC_ACQ_REL);
}

/* ---- again --------------------------------------------------------------------------------------------- */

void
x86_restart(void)
{
	uintptr_t flags = x86_irq_off();

	freeze_others();
	x86_sched_forget();
	x86_call_forget();
	memcpy(__start_cooper_state, keeper->state, keeper->state_size);
	memset(machine_thread_state(), 0, sizeof(struct thread_state));
	x86_percpu_restart();
	x86_memory_restart();
	write_cr3(read_cr3());
	thaw_others(x86_this_cpu()->current);
	x86_irq_restore(flags);
}

/* ---- copying --------------------------------------------------------------------------------------------- */

struct copying {
	vm_paddr_t at; /* in the copy */
	bool back;
	unsigned slot; /* the next that is not used */
};

/* An emulator takes a string instruction word by word, each a good deal longer than these. */
static void
copy_page(void *to, const void *from)
{
	unsigned long *t = to;
	const unsigned long *f = from;

	for (size_t i = 0; i < PAGE_SIZE / sizeof(*t); i += 8) {
		t[i] = f[i];
		t[i + 1] = f[i + 1];
		t[i + 2] = f[i + 2];
		t[i + 3] = f[i + 3];
		t[i + 4] = f[i + 4];
		t[i + 5] = f[i + 5];
		t[i + 6] = f[i + 6];
		t[i + 7] = f[i + 7];
	}
}

static void
copy_range(vm_paddr_t start, vm_paddr_t end, void *arg)
{
	struct copying *c = arg;
	vm_paddr_t mine = ARCH_PHYS(keeper), mine_end = mine + X86_KEEPER;

	MUST(c->at + (end - start) <= keeper->copy + keeper->room,
	    "x86_try: too little room for copies");
	for (; start < end; start += PAGE_SIZE, c->at += PAGE_SIZE) {
		void *there, *here;

		if ((start >= mine && start < mine_end) ||
		    (x86_in_use != NULL && !x86_in_use(start)))
			continue;
		if (c->slot == X86_TEMPORARY) {
			x86_forget_temporary(); /* all at once: forgetting one takes as long as copying it */
			c->slot = 0;
		}
		there = x86_map_temporary(c->slot++, c->at);
		here = x86_map_temporary(c->slot++, start);
		if (c->back)
			copy_page(here, there);
		else
			copy_page(there, here);
	}
}

/*
 * Code does not change; all else of the image, and behind it, may. The image comes first, then kept and
 * boot memory, then the segments: so when memory is copied back x86_in_use() finds its books as they were.
 */
static void
copy_all(bool back)
{
	struct copying c = { keeper->copy, back, 0 };

	x86_forget_temporary();
	copy_range(ARCH_PHYS(x86_data_start), ARCH_PHYS(x86_image_end), &c);
	x86_memory_each(copy_range, &c);
}

/* The keeper's whole life: it is switched to for each copying. Interrupts are off. */
static void
keep(void)
{
	for (;;) {
		freeze_others();
		copy_all(keeper->phase == COPY_BACK);
		write_cr3(read_cr3());
		thaw_others(keeper->caller);
		keeper->phase = keeper->phase == COPY_OUT ? TRYING : DONE;
		x86_switch(&keeper->here, keeper->back);
	}
}

bool
x86_try_start(uint64_t physmem)
{
	vm_size_t state = (vm_size_t)(__stop_cooper_state - __start_cooper_state);
	uint64_t room = physmem + ((uint64_t)40 << 20);
	uintptr_t *sp;

	MUST(sizeof(*keeper) + state + X86_STACK <= X86_KEEPER, "the keeper's memory is too small");
	x86_start_cpus(); /* a try must not be the first to */
	keeper = x86_memory_keep(X86_KEEPER);
	if (keeper == NULL)
		return (false);
	keeper->copy = x86_memory_top(room);
	keeper->room = room;
	keeper->state_size = state;
	memcpy(keeper->state, __start_cooper_state, state);
	sp = (uintptr_t *)((uintptr_t)keeper + X86_KEEPER) - 8;
	*sp = (uintptr_t)keep;
	keeper->here = (uintptr_t)(sp - X86_SAVED_WORDS);
	return (keeper->copy != 0);
}

/* ---- a try -------------------------------------------------------------------------------------------------- */

enum x86_end
x86_try(void (*fn)(void *), void *arg, const char **text)
{
	uintptr_t flags = x86_sched_quiesce();

	keeper->len = 0;
	keeper->text[0] = '\0';
	keeper->phase = COPY_OUT;
	keeper->caller = x86_this_cpu()->current;
	x86_switch(&keeper->back, keeper->here); /* comes back twice: as it was when nobody ran */
	x86_sched_resume();
	if (keeper->phase == TRYING) {
		x86_irq_restore(flags);
		fn(arg);
		x86_try_ended(X86_RETURNED);
	}
	keeper->phase = IDLE;
	*text = keeper->text;
	x86_irq_restore(flags);
	return (keeper->end);
}

bool
x86_trying(void)
{
	return (keeper != NULL && keeper->phase == TRYING);
}

void
x86_try_ended(enum x86_end end)
{
	static uintptr_t nowhere; /* what is left here is never come back to */

	if (!x86_trying())
		return;
	x86_irq_off();
	keeper->end = end;
	keeper->phase = COPY_BACK;
	x86_switch(&nowhere, keeper->here);
	__builtin_unreachable();
}

/* What is printed during a try is its own. */
bool
x86_try_print(const char *text, size_t len)
{
	if (!x86_trying())
		return (false);
	len = MIN(len, sizeof(keeper->text) - 1 - keeper->len);
	memcpy(keeper->text + keeper->len, text, len);
	keeper->len += len;
	keeper->text[keeper->len] = '\0';
	return (true);
}

/* A word that a try can leave something in. */
int *
x86_try_word(void)
{
	static int word ALIGNED(PAGE_SIZE);

	return (keeper != NULL ? (int *)&keeper->data : &word);
}
