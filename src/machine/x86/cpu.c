/*
 * CPUs of the bare x86 machines: starting them, their timers, and what they ask of each other.
 *
 * A CPU talks to the others through its local APIC: to all at once or to one, by interrupt. x86_call()
 * is one at a time (ipi_lock); its caller waits with interrupts on, so two that wait for each other's
 * turn still answer. What stays true: `pending` has the bits of the CPUs that have not run `fn` yet.
 */
#include "base/atomic.h"
#include "machine_arch.h"
#include "io.h"
#include "x86.h"

#define APIC_ID        0x020
#define APIC_EOI       0x0b0
#define APIC_SPURIOUS  0x0f0
#define APIC_ICR_LOW   0x300
#define APIC_ICR_HIGH  0x310
#define APIC_TIMER     0x320
#define APIC_INITIAL   0x380
#define APIC_CURRENT   0x390
#define APIC_DIVIDE    0x3e0
#define APIC_ENABLE    0x100u
#define APIC_PERIODIC  0x20000u
#define APIC_MASKED    0x10000u
#define ICR_INIT       0x00500u
#define ICR_STARTUP    0x00600u
#define ICR_ASSERT     0x04000u
#define ICR_PENDING    0x01000u
#define ICR_ALL_OTHERS 0xc0000u

#define MSR_APIC_BASE 0x1b
#define NMI           0x00400u

struct cpu x86_cpus[X86_MAXCPU];
unsigned x86_ncpus = 1;   /* that run */
unsigned x86_nactive = 1; /* that the shape has: the others idle */
static volatile uint32_t *apic;
static uint32_t timer_count; /* of the APIC's timer, for 1/X86_HZ s */

static struct machine_lock ipi_lock;
static struct {
	void (*fn)(void *);
	void *arg;
	uint32_t pending;
} call;

/* ---- the local APIC --------------------------------------------------------------------------------- */

static uint32_t
apic_read(unsigned reg)
{
	return (apic[reg / 4]);
}

static void
apic_write(unsigned reg, uint32_t value)
{
	apic[reg / 4] = value;
}

/* Interrupts off, so that nothing comes between the halves. */
static void
apic_send(uint32_t apic_id, uint32_t what)
{
	while ((apic_read(APIC_ICR_LOW) & ICR_PENDING) != 0)
		__builtin_ia32_pause();
	apic_write(APIC_ICR_HIGH, apic_id << 24);
	apic_write(APIC_ICR_LOW, what);
}

void
x86_end_of_interrupt(void)
{
	apic_write(APIC_EOI, 0);
}

static void
wait_us(unsigned us)
{
	uint64_t until = machine_now() + (uint64_t)us * 1000;

	while (machine_now() < until)
		__builtin_ia32_pause();
}

static void
calibrate_timer(void)
{
	apic_write(APIC_DIVIDE, 0x3); /* by 16 */
	apic_write(APIC_TIMER, APIC_MASKED | X86_VECTOR_TIMER);
	apic_write(APIC_INITIAL, UINT32_MAX);
	wait_us(10000);
	timer_count = (UINT32_MAX - apic_read(APIC_CURRENT)) / (X86_HZ / 100);
	timer_count = MAX(timer_count, 1000u);
}

static void
apic_start(struct cpu *cpu)
{
	cpu->apic_id = apic_read(APIC_ID) >> 24;
	apic_write(APIC_SPURIOUS, APIC_ENABLE | X86_VECTOR_SPURIOUS);
	apic_write(APIC_DIVIDE, 0x3);
	apic_write(APIC_TIMER, APIC_PERIODIC | X86_VECTOR_TIMER);
	apic_write(APIC_INITIAL, timer_count);
}

/* The old controllers would send their interrupts where exceptions are: elsewhere with them, and off. */
static void
silence_pic(void)
{
	static const uint8_t words[][2] = { { 0x20, 0x11 }, { 0xa0, 0x11 }, { 0x21, 0x30 },
		{ 0xa1, 0x38 }, { 0x21, 0x04 }, { 0xa1, 0x02 }, { 0x21, 0x01 }, { 0xa1, 0x01 },
		{ 0x21, 0xff }, { 0xa1, 0xff } };

	for (unsigned i = 0; i < nitems(words); i++)
		outb(words[i][0], words[i][1]);
}

/* ---- starting ------------------------------------------------------------------------------------------ */

static void
cpu_area(struct cpu *cpu, unsigned index)
{
	cpu->self = cpu;
	cpu->index = index;
	cpu->idle.status = THREAD_RUNNING;
	cpu->idle.bound = (int)index;
	cpu->idle.name = "idle";
	cpu->idle.cpu = index;
	cpu->current = &cpu->idle;
	arch_cpu_load(cpu);
	cpu->online = true;
}

void
x86_cpu_boot(void)
{
	cpu_area(&x86_cpus[0], 0);
}

/* From the emulator's configuration device; other machines say cpus=N on the loader's line. */
unsigned
x86_cpu_count(void)
{
	unsigned count;
	char id[4];

	outw(0x510, 0x0000);
	for (unsigned i = 0; i < sizeof(id); i++)
		id[i] = (char)inb(0x511);
	if (memcmp(id, "QEMU", sizeof(id)) != 0)
		return (MIN((unsigned)x86_option_size("cpus", 1), X86_MAXCPU));
	outw(0x510, 0x0005);
	count = inb(0x511);
	count |= (unsigned)inb(0x511) << 8;
	return (MIN(count, X86_MAXCPU));
}

/* start.S comes here on the stack of `index`, from real mode, interrupts off. */
void
x86_cpu_secondary(unsigned index)
{
	struct cpu *cpu = &x86_cpus[index];

	x86_idt_load();
	cpu_area(cpu, index);
	apic_start(cpu);
	atomic_add_fetch(&arch_arrived, 1);
	x86_sched_idle();
}

static void
start_others(unsigned ncpus)
{
	uint64_t give_up;

	for (unsigned i = 1; i < ncpus; i++) {
		x86_cpus[i].index = i;
		x86_idle_prepare(&x86_cpus[i]);
		arch_stacks[i] = x86_cpus[i].idle.stack + X86_STACK;
	}
	arch_trampoline_place(ncpus);
	apic_send(0, ICR_ALL_OTHERS | ICR_INIT | ICR_ASSERT);
	wait_us(10000);
	for (unsigned i = 0; i < 2; i++) {
		apic_send(
		    0, ICR_ALL_OTHERS | ICR_STARTUP | ICR_ASSERT | ARCH_TRAMPOLINE >> PAGE_SHIFT);
		wait_us(500);
	}
	give_up = machine_now() + 2000000000u;
	while (atomic_load_acquire(&arch_arrived) < ncpus - 1)
		MUST(machine_now() < give_up, "%u of %u CPUs started",
		    atomic_load_relaxed(&arch_arrived) + 1, ncpus);
	arch_trampoline_remove();
}

/* Its idle thread begins anew when it is next switched to. */
void
x86_idle_prepare(struct cpu *cpu)
{
	struct thread *idle = &cpu->idle;
	uintptr_t *sp;

	if (idle->stack == 0) {
		char *guard = x86_memory_keep(PAGE_SIZE + X86_STACK);

		MUST(guard != NULL, "no memory for the idle stack of CPU %zu", (size_t)cpu->index);
		idle->stack = (uintptr_t)guard + PAGE_SIZE;
	}
	sp = (uintptr_t *)(idle->stack + X86_STACK) - 8;
	*sp = (uintptr_t)x86_thread_entry;
	idle->sp = (uintptr_t)(sp - X86_SAVED_WORDS);
	idle->fn = (void (*)(void *))(void (*)(void))x86_sched_idle;
	idle->status = THREAD_READY;
}

/* All CPUs there are, once; before the memory that a restart takes back is set aside. */
void
x86_cpu_start(void)
{
	unsigned ncpus = x86_cpu_count();

	silence_pic();
	x86_idle_prepare(&x86_cpus[0]); /* the code that runs goes on as a thread */
	apic = x86_map_device(
	    (vm_paddr_t)(rdmsr(MSR_APIC_BASE) & ~(uint64_t)PAGE_MASK) & 0xfffffffffull);
	calibrate_timer();
	apic_start(&x86_cpus[0]);
	if (ncpus > 1)
		start_others(ncpus);
	atomic_store_release(&x86_ncpus, ncpus);
	__asm__ volatile("sti");
}

/* ---- between CPUs ---------------------------------------------------------------------------------------- */

void
x86_call_interrupt(void)
{
	uint32_t me = 1u << x86_cpu_index();

	if ((__atomic_load_n(&call.pending, __ATOMIC_ACQUIRE) & me) == 0)
		return;
	call.fn(call.arg);
	__atomic_fetch_and(&call.pending, ~me, __ATOMIC_RELEASE);
}

/* This CPU alone is asked: no interrupt, no lock. */
static bool
call_here(uint32_t mask, void (*fn)(void *), void *arg)
{
	uintptr_t flags = x86_irq_off();
	bool here = mask == 1u << x86_cpu_index();

	if (here)
		fn(arg);
	x86_irq_restore(flags);
	return (here);
}

void
x86_call(uint32_t mask, void (*fn)(void *), void *arg)
{
	uintptr_t flags;
	uint32_t me;

	if (call_here(mask, fn, arg))
		return;
	machine_lock(&ipi_lock);
	flags = x86_irq_off();
	me = 1u << x86_cpu_index();
	call.fn = fn;
	call.arg = arg;
	__atomic_store_n(&call.pending, mask & ~me, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < x86_ncpus; i++)
		if ((mask & ~me & 1u << i) != 0)
			apic_send(x86_cpus[i].apic_id, ICR_ASSERT | X86_VECTOR_CALL);
	if ((mask & me) != 0)
		fn(arg);
	x86_irq_restore(flags);
	while (__atomic_load_n(&call.pending, __ATOMIC_ACQUIRE) != 0)
		__builtin_ia32_pause();
	machine_unlock(&ipi_lock);
}

void
x86_call_forget(void)
{
	ipi_lock.word = 0;
	call.pending = 0;
}

struct flush {
	vm_offset_t va;
	unsigned n;
};

/* Page by page while that is cheaper than forgetting everything. */
static void
flush_here(void *arg)
{
	const struct flush *f = arg;

	if (f->n > 32)
		write_cr3(read_cr3());
	else
		for (unsigned i = 0; i < f->n; i++)
			invlpg(f->va + ptoa(i));
}

void
x86_flush(vm_offset_t va, unsigned n)
{
	struct flush f = { va, n };

	x86_call((1u << x86_ncpus) - 1, flush_here, &f);
}

/* Interrupts off. */
void
x86_kick(unsigned cpu)
{
	if (cpu != x86_cpu_index() && apic != NULL)
		apic_send(x86_cpus[cpu].apic_id, ICR_ASSERT | X86_VECTOR_WORK);
}

void
x86_interrupt_others(unsigned vector)
{
	if (apic != NULL && x86_ncpus > 1)
		apic_send(0, ICR_ALL_OTHERS | ICR_ASSERT | vector);
}

void
x86_stop_others(void)
{
	if (apic != NULL && x86_ncpus > 1)
		apic_send(0, ICR_ALL_OTHERS | ICR_ASSERT | NMI);
}
