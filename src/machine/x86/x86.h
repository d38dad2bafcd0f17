/*
 * What the files of the bare x86 machines ask of each other; the core sees none of it.
 *
 * Two kinds of exclusion: `struct spin` with interrupts off, for a few instructions, inside the machine
 * alone; machine_lock for everything else, whose waiters sleep and whose holders may lose their CPU.
 * Order: machine_lock, then ipi_lock, then sched_lock, then console.
 *
 * The core always runs with interrupts on but inside percpu_pop() and percpu_push(): who waits for
 * another CPU's answer to an interrupt can therefore count on getting it.
 */
#ifndef MACHINE_X86_H
#define MACHINE_X86_H

#include "machine/machine.h"
#include "machine/percpu.h"

#define X86_MAXCPU  16
#define X86_THREADS 64
#define X86_STACK   (4 * PAGE_SIZE) /* and a page below it that is not mapped */
#define X86_HZ      1000            /* timer interrupts a second on each CPU */

/* ---- start.S, link.ld ------------------------------------------------------------------------------ */

struct multiboot_info;
extern char x86_image_start[], x86_image_end[]; /* virtual; the end is page aligned */
extern char x86_boot_stack[];                   /* of the first thread, X86_STACK bytes */
#define X86_IMAGE_PHYS 0x100000u                /* where the image's first byte is */

/* ---- threads ----------------------------------------------------------------------------------------- */

enum thread_status { THREAD_FREE, THREAD_RUNNING, THREAD_READY, THREAD_PARKED, THREAD_BLOCKED };

struct thread {
	struct thread_state state; /* first: machine_thread_state() is the thread */
	uintptr_t sp;              /* while it does not run */
	struct thread *next;       /* on the run queue or the list of the blocked */
	enum thread_status status;
	bool permit;  /* machine_unpark() came */
	int bound;    /* CPU, or -1 */
	unsigned cpu; /* where it runs or ran last */
	uint64_t id;
	uint64_t deadline; /* parked: machine_now() time, 0 none */
	const void *blocked_on;
	const char *name;
	void (*fn)(void *);
	void *arg;
	uintptr_t stack; /* its lowest address; nothing is mapped right below */
};

/* One a CPU; the segment register points at it. */
struct cpu {
	struct thread *current; /* word 0: machine_thread_state() */
	struct cpu *self;
	uintptr_t index; /* word 2 */
	uint32_t apic_id;
	volatile bool online;
	struct thread idle;
	uint64_t ticks, switches;
	uint64_t gdt[8] ALIGNED(16);
	/* amd64: names the stack of double faults; i386: the registers of what ran before one */
	uint32_t tss[32] ALIGNED(128);
};
extern struct cpu x86_cpus[X86_MAXCPU];
extern unsigned x86_ncpus;   /* that run */
extern unsigned x86_nactive; /* that the shape has */

static inline struct cpu *
x86_this_cpu(void)
{
	struct cpu *cpu;

	__asm__ volatile("mov " X86_PERCPU ":%c1, %0" : "=r"(cpu) : "i"(sizeof(void *)));
	return (cpu);
}

void x86_sched_start(void);         /* the boot thread becomes a thread */
void x86_sched_idle(void) NORETURN; /* what a CPU does when there is nothing else */
void x86_tick(void);                /* a timer interrupt; may switch threads */
void x86_look_for_work(void);       /* an interrupt from who has made a thread ready */
/* A thread on `cpu`, -1 any. NULL: there are X86_THREADS already. */
struct thread *x86_thread_start(const char *name, int cpu, void (*fn)(void *), void *arg);
void x86_yield(void);
void x86_sleep(unsigned us); /* to the timer's precision */
static inline uint64_t
x86_thread_id(const struct thread *t)
{
	return (t->id);
}
bool x86_thread_done(const struct thread *t, uint64_t id);
void x86_each_thread(void (*fn)(const struct thread *, void *), void *arg);

/* switch.S: save the running thread's registers at *from, go on with those at `to`. */
void x86_switch(uintptr_t *from, uintptr_t to);
void x86_thread_entry(void); /* where a new thread's stack returns to; goes to x86_thread_main() */
void x86_thread_main(void);
#ifdef __x86_64__
#define X86_SAVED_WORDS 6 /* that x86_switch() leaves on the stack, below its return address */
#else
#define X86_SAVED_WORDS 4
#endif

/* ---- spinning ------------------------------------------------------------------------------------------ */

struct spin {
	uint32_t word;
};

static inline void
spin_lock(struct spin *s) /* interrupts are off */
{
	while (__atomic_exchange_n(&s->word, 1, __ATOMIC_ACQUIRE) != 0)
		while (__atomic_load_n(&s->word, __ATOMIC_RELAXED) != 0)
			__builtin_ia32_pause();
}

static inline void
spin_unlock(struct spin *s)
{
	__atomic_store_n(&s->word, 0, __ATOMIC_RELEASE);
}

/* ---- memory ---------------------------------------------------------------------------------------------- */

/* Read the loader's map; cut the image, and what boot memory will need, from it. False and *why. */
bool x86_memory_probe(const struct multiboot_info *info, const char **why);
void x86_memory_hole(vm_paddr_t *start, vm_paddr_t *end); /* of the option hole=; else empty */
uint64_t x86_memory_usable(void);                         /* bytes that segments may have */
int x86_memory_start(const struct machine_shape *shape, const char **why);
void x86_memory_used(vm_size_t *image, vm_size_t *boot, vm_size_t *tables); /* bytes */
volatile void *x86_map_device(vm_paddr_t pa); /* a page of registers, uncached; at start only */
/* A page in a place of the machine's own; a slot is good once until all are forgotten; this CPU's. */
#define X86_TEMPORARY 512
#define X86_LOW_PAGES (ARCH_LOW_SIZE / 4096) /* below ARCH_BASE + ARCH_LOW_SIZE: arch_low_table */
#define X86_DEVICES   1                      /* the last of them; those before are temporary */
void *x86_map_temporary(unsigned slot, vm_paddr_t pa);
void x86_forget_temporary(void);
void *x86_memory_keep(vm_size_t bytes);    /* that no restart takes back; before machine_start() */
vm_paddr_t x86_memory_top(uint64_t bytes); /* off the top of memory, for good; 0: too little */
void x86_memory_restart(void);
uintptr_t x86_memory_stack(
    void); /* X86_STACK bytes, guarded, of boot memory; 0: there is no more */
void x86_memory_each(void (*fn)(vm_paddr_t start, vm_paddr_t end, void *arg), void *arg);

/* ---- CPUs ---------------------------------------------------------------------------------------------------- */

void x86_cpu_boot(void);                         /* descriptors and area of the first CPU */
void x86_cpu_start(void);                        /* APIC, timer, and the other CPUs */
void x86_idle_prepare(struct cpu *cpu);          /* its idle thread begins anew */
void x86_cpu_secondary(unsigned index) NORETURN; /* where another CPU arrives, from start.S */
void x86_start_cpus(void);                       /* x86_cpu_start(), once */
unsigned x86_cpu_count(void);                    /* that the machine has */

/* Run fn(arg) on each CPU of the mask, this one too, interrupts off; returns when all have. */
void x86_call(uint32_t mask, void (*fn)(void *), void *arg);
void x86_flush(vm_offset_t va, unsigned n); /* n pages' translations, everywhere */
void x86_kick(unsigned cpu);                /* make it look for work */
void x86_stop_others(void);                 /* for good: the end */

/* ---- traps ------------------------------------------------------------------------------------------------------ */

struct trap_frame;
void x86_idt_start(void);
void x86_idt_load(void);
void x86_trap(struct trap_frame *frame); /* from trap.S */
void x86_call_interrupt(void);           /* another CPU's x86_call() */
extern void (*x86_watchdog)(void);       /* called at each tick of CPU 0, interrupts off; or NULL */
/* What the program may set. Called by a panic before its line is out; it need not return. */
extern void (*x86_on_panic)(const char *line);
/* Called by a panic after its line is out, before the end. */
extern void (*x86_last_words)(void);
/* Who owns an address: one line, for the report of a page fault. */
extern void (*x86_owner)(vm_offset_t va, char *line, size_t size);

/* ---- again.c: for programs that test --------------------------------------------------------------------- */

#define X86_KEEPER (16 * PAGE_SIZE) /* what is never copied */

/*
 * Make everything as it was before machine_start(), so that it can be called again: the core's state,
 * boot memory, the window. Other threads are gone, whatever they did.
 */
void x86_restart(void);

/*
 * Run fn(arg), then put memory back as it was before: what fn did is not seen by anybody. It may
 * panic, or fault; *text is what was printed. Threads that it started are gone. Other threads must be asleep.
 */
enum x86_end { X86_RETURNED, X86_PANICKED, X86_FAULTED };
/*
 * Does anybody need what is in this page? Those that nobody needs are not copied. NULL: all are
 * needed. It reads what is in the image, in kept and in boot memory alone.
 */
extern bool (*x86_in_use)(vm_paddr_t pa);
bool x86_try_start(uint64_t physmem); /* before machine_start(): reserve room; false: too little */
enum x86_end x86_try(void (*fn)(void *), void *arg, const char **text);
int *x86_try_word(void); /* outlives a try */
bool x86_trying(void);
void x86_try_ended(enum x86_end end);             /* does not return in a try */
bool x86_try_print(const char *text, size_t len); /* true: kept as a try's text */

/* Wait until all other threads are parked; none runs, and interrupts are off, until resume. The flags. */
uintptr_t x86_sched_quiesce(void);
void x86_sched_resume(void);
void x86_sched_forget(void); /* they are gone; other CPUs are frozen */
void x86_call_forget(void);  /* nor is anybody in x86_call() */
void x86_percpu_restart(void);
void x86_freeze_interrupt(void);
void x86_interrupt_others(unsigned vector);
void x86_begin_on(uintptr_t stack, void (*fn)(void)) NORETURN; /* switch.S */

/* ---- console, time, the end ---------------------------------------------------------------------------------- */

void x86_console_start(void);
void x86_printf(const char *fmt, ...) PRINTFLIKE(1, 2);
void x86_time_start(void); /* calibrate against the interval timer; interrupts off */
void x86_exit(
    int status) NORETURN;       /* ends the emulator: status 0 is success; halts real hardware */
extern const char *x86_options; /* the loader's command line */
/* The value of "key=" among the options, or of a bare "key" (""); NULL if it is not there. */
const char *x86_option(const char *key);
uint64_t x86_option_size(const char *key, uint64_t otherwise); /* 16M, 512K, 7 */
uint64_t x86_size(const char *text);                           /* a number with such a letter */
const char *x86_start_refused(void); /* why there is no memory to start with, or NULL */

/* The program: runs as the first thread; its return value ends the machine. */
int kernel_main(void);

#endif
