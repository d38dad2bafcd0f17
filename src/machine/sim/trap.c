/*
 * Touches of unmapped memory: the host's fault becomes the end of the run, with who and where.
 *
 * The handler runs on a stack of its own and leaves it for the driver's, for good. Faults outside of
 * fibers, or while the driver looks on, are the laboratory's own: they end the process as they would
 * without us.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <ucontext.h>

#include "sim_int.h"

static char handler_stack[64 << 10] ALIGNED(16);

#if defined(__x86_64__)
#define CONTEXT_PC(uc) ((uintptr_t)(uc)->uc_mcontext.gregs[REG_RIP])
#define CONTEXT_FP(uc) ((uintptr_t)(uc)->uc_mcontext.gregs[REG_RBP])
#elif defined(__i386__)
#define CONTEXT_PC(uc) ((uintptr_t)(uc)->uc_mcontext.gregs[REG_EIP])
#define CONTEXT_FP(uc) ((uintptr_t)(uc)->uc_mcontext.gregs[REG_EBP])
#else
#define CONTEXT_PC(uc) ((uintptr_t)(uc)->uc_mcontext.pc)
#define CONTEXT_FP(uc) ((uintptr_t)(uc)->uc_mcontext.regs[29])
#endif

static void
touched(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	vm_offset_t va = (vm_offset_t)info->si_addr;
	char what[160];

	if (!sim.running || sim.quiet) {
		signal(sig, SIG_DFL); /* the instruction faults again, and that is the end */
		return;
	}
	self()->trap_pc = CONTEXT_PC(uc);
	self()->trap_fp = CONTEXT_FP(uc);
	memory_describe(va, what, sizeof(what));
	finish(SIM_BAD_TOUCH, "fiber %u (%s) on CPU %u touched %s", sim.self, self()->name,
	    self()->cpu, what);
}

void
trap_start(void)
{
	stack_t stack = { .ss_sp = handler_stack, .ss_size = sizeof(handler_stack) };
	struct sigaction sa = { .sa_sigaction = touched,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	sigemptyset(&sa.sa_mask);
	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}
