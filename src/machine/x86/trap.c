/*
 * Traps and interrupts: the table of vectors, and what each does.
 *
 * Interrupts are off here. An exception is the end: registers, address, thread, owner, one after the
 * other on the serial line, then the machine stops with a status that is not 0.
 */
#include "machine_arch.h"
#include "io.h"
#include "x86.h"

#define TRAP_NMI        2
#define TRAP_DOUBLE     8 /* a fault whose frame did not fit on the stack */
#define TRAP_PAGE_FAULT 14
#define STUB_SIZE       16 /* bytes from one vector's entry to the next */

extern char x86_vector_entry[];
void x86_end_of_interrupt(void);

void (*x86_owner)(vm_offset_t va, char *line, size_t size);
void (*x86_last_words)(void);
void (*x86_watchdog)(void);

static struct arch_gate idt[X86_VECTORS];

static const char *const trap_names[] = { "division by zero", "debug", "nmi", "breakpoint",
	"overflow", "bound", "invalid instruction", "no coprocessor", "double fault", "overrun",
	"bad task segment", "segment not present", "stack fault", "general protection",
	"page fault" };

void
x86_idt_start(void)
{
	for (unsigned i = 0; i < X86_VECTORS; i++)
		arch_gate_set(&idt[i], (uintptr_t)x86_vector_entry + i * STUB_SIZE, i);
	x86_idt_load();
}

void
x86_idt_load(void)
{
	struct {
		uint16_t limit;
		uintptr_t base;
	} __attribute__((packed)) idtr = { sizeof(idt) - 1, (uintptr_t)idt };

	__asm__ volatile("lidt %0" : : "m"(idtr));
}

static void
page_fault_line(const struct trap_frame *f, char *line, size_t size)
{
	vm_offset_t va = read_cr2();
	char owner[200] = "nobody's";

	if (x86_owner != NULL)
		x86_owner(va, owner, sizeof(owner));
	core_snprintf(line, size, "page fault: %s of %p (%s), which is %s",
	    (f->error & 2) != 0    ? "write"
	    : (f->error & 16) != 0 ? "execution"
				   : "read",
	    (void *)va, (f->error & 1) != 0 ? "not allowed" : "not mapped", owner);
}

/* Did this thread, t, come to the end of its stack? */
static bool
overflown(const struct trap_frame *f, const struct thread *t)
{
	return ((f->vector == TRAP_DOUBLE || f->vector == TRAP_PAGE_FAULT) && t->stack != 0 &&
		t->stack - 1 - read_cr2() < PAGE_SIZE);
}

static NORETURN void
die(const struct trap_frame *f)
{
	const struct thread *t = x86_this_cpu()->current;
	static char line[320];

	if (overflown(f, t))
		core_snprintf(line, sizeof(line),
		    "stack overflow: thread %s at %p, below its stack [%p, +%u); sp %p, pc %p",
		    t->name, (void *)read_cr2(), (void *)t->stack, (unsigned)X86_STACK,
		    (void *)arch_stack_pointer(f), (void *)f->pc);
	else if (f->vector == TRAP_PAGE_FAULT)
		page_fault_line(f, line, sizeof(line));
	else
		core_snprintf(line, sizeof(line), "%s, error %lx",
		    f->vector < nitems(trap_names) ? trap_names[f->vector] : "unexpected interrupt",
		    (unsigned long)f->error);
	x86_printf("CPU %u, thread %s:\n", x86_cpu_index(), t->name);
	arch_print_registers(f);
	if (f->vector == TRAP_PAGE_FAULT)
		x86_try_ended(X86_FAULTED);
	machine_panic(line);
}

void
x86_trap(struct trap_frame *f)
{
	switch (f->vector) {
	case X86_VECTOR_TIMER:
		x86_end_of_interrupt();
		if (x86_watchdog != NULL && x86_cpu_index() == 0)
			x86_watchdog();
		x86_tick();
		break;
	case X86_VECTOR_CALL:
		x86_end_of_interrupt();
		x86_call_interrupt();
		break;
	case X86_VECTOR_WORK:
		x86_end_of_interrupt();
		x86_look_for_work();
		break;
	case X86_VECTOR_FREEZE:
		x86_end_of_interrupt();
		x86_freeze_interrupt();
		break;
	case X86_VECTOR_SPURIOUS:
		break;
	case TRAP_NMI: /* x86_stop_others() */
		for (;;)
			__asm__ volatile("cli; hlt");
	default:
		die(f);
	}
}
