/*
 * From the loader to the program: the order in which the parts of the machine are opened, and its shape.
 */
#include "x86.h"

static const char *refused;
static bool cpus_started;

const char *
x86_start_refused(void)
{
	return (refused);
}

void
x86_start_cpus(void)
{
	if (!cpus_started)
		x86_cpu_start();
	cpus_started = true;
}

/* From start.S: interrupts off, on the boot stack, image mapped where it is linked. */
void
x86_start(const struct multiboot_info *info)
{
	const char *why = "";

	x86_cpu_boot();
	x86_console_start();
	x86_idt_start();
	x86_time_start();
	x86_sched_start();
	if (!x86_memory_probe(info, &why))
		refused = why;
	x86_exit(kernel_main());
}

/* Options: cpus=N domains=N mem=SIZE kva=SIZE nodmap debug daemon. */
int
machine_default_shape(struct machine_shape *shape, const char **why)
{
	uint64_t usable = x86_memory_usable();
	uint64_t kva, boot;

	*why = refused != NULL ? refused : "";
	if (refused != NULL)
		return (COOPER_ENOMEM);
	kva = x86_option_size("kva", MIN(usable, (uint64_t)256 << 20));
	/* What boot memory will take (memory.c), and a margin. */
	boot = (5u << 18) + (usable >> PAGE_SHIFT) * 40 + (kva >> PAGE_SHIFT) * 16;
	*shape = (struct machine_shape){
		.ncpus = (unsigned)x86_option_size("cpus", x86_cpu_count()),
		.ndomains = (unsigned)x86_option_size("domains", 1),
		.direct_map = sizeof(void *) == 8 && x86_option("nodmap") == NULL,
		.debug = x86_option("debug") != NULL,
		.daemon = x86_option("nodaemon") == NULL,
		.pin = false,
		.physmem = x86_option_size("mem", usable > boot ? usable - boot : 0),
		.kva_size = (vm_size_t)kva,
	};
	shape->physmem &= ~(uint64_t)PAGE_MASK;
	return (0);
}

static int
check_shape(const struct machine_shape *shape, const char **why)
{
	if (refused != NULL)
		*why = refused;
	else if (shape->ncpus > x86_cpu_count())
		*why = "more CPUs than the machine has";
	else if (shape->direct_map && sizeof(void *) == 4)
		*why = "a direct map does not fit into 32 bits";
	else
		return (0);
	return (COOPER_EINVAL);
}

int
machine_start(const struct machine_shape *shape, const char **why)
{
	int error;

	*why = "";
	if ((error = check_shape(shape, why)) != 0)
		return (error);
	core_set_shape(shape);
	x86_start_cpus();
	x86_nactive = shape->ncpus;
	return (x86_memory_start(shape, why));
}
