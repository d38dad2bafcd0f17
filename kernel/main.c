/*
 * The test kernel: what the loader's command line asks for is run, and its result ends the machine.
 *
 *	run=tables     zones, arenas and threads for a moment, then all tables (the default)
 *	run=tests      the unit tests of the core; suite=NAME,NAME some of them; verbose
 *	run=build      the kernel-build trace on all CPUs, with the page daemon
 *	run=hang       threads that wait for each other, for the watchdog to find
 *	run=overflow   a thread that leaves its stack
 *	fault=NAME     put a bug of lab/faults.def back (images with -lab in their name)
 *	watchdog=N     seconds without progress after which the machine says why and stops
 *	cpus= domains= mem= kva= debug nodmap nodaemon: the shape (src/machine/x86/start.c)
 *	nomap, hole=START,SIZE: a loader that gave no map, or one with a hole
 */
#include "x86.h"
#include <string.h>
#include "kernel.h"

/* ---- faults -------------------------------------------------------------------------------------------- */

#ifdef COOPER_LAB
#include "base/fault.h"

uint64_t core_faults;
enum core_policy core_policy;

static const char *const fault_names[] = {
#define FAULT_LINE(name, reference, about) #name,
#include "faults.def"
#undef FAULT_LINE
};

static bool
take_fault(void)
{
	const char *name = x86_option("fault");

	for (unsigned i = 0; name != NULL && i < nitems(fault_names); i++) {
		size_t n = strlen(fault_names[i]);

		if (strncmp(name, fault_names[i], n) == 0 && (name[n] == ' ' || name[n] == '\0')) {
			core_faults |= (uint64_t)1 << i;
			x86_printf("fault: %s\n", fault_names[i]);
			return (true);
		}
	}
	return (name == NULL);
}
#else
static bool
take_fault(void)
{
	return (x86_option("fault") == NULL);
}
#endif

/* ---- the program ---------------------------------------------------------------------------------------- */

static bool
option_is(const char *key, const char *value, bool otherwise)
{
	const char *p = x86_option(key);
	size_t n = strlen(value);

	if (p == NULL)
		return (otherwise);
	return (strncmp(p, value, n) == 0 && (p[n] == ' ' || p[n] == '\0'));
}

int
kernel_main(void)
{
	int failed;

	x86_owner = kernel_owner;
	if (!take_fault()) {
		x86_printf("kernel: no such fault in this image\n");
		return (2);
	}
	watchdog_start((unsigned)x86_option_size("watchdog", 30));
	if (option_is("run", "tests", false))
		failed = kernel_suites();
	else if (option_is("run", "build", false))
		failed = kernel_build();
	else if (option_is("run", "hang", false))
		failed = kernel_hang();
	else if (option_is("run", "overflow", false))
		failed = kernel_overflow();
	else if (option_is("run", "tables", true))
		failed = kernel_tables();
	else {
		x86_printf("kernel: no such run\n");
		return (2);
	}
	x86_watchdog = NULL;
	x86_printf("kernel: %s\n", failed == 0 ? "passed" : "FAILED");
	return (failed);
}
