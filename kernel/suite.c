/*
 * The image's table of suites. Elsewhere a suite is a program: here its main() and its harness_start() have
 * its name behind theirs (kernel/meson.build), and KERNEL_SUITES is all names, each as SUITE(name).
 */
#include "kernel.h"

#define SUITE(name)                                                                    \
	int harness_start_##name(const struct machine_shape *shape, const char **why); \
	int suite_main_##name(int argc, char **argv);
KERNEL_SUITES
#undef SUITE

#define SUITE(name) { #name, harness_start_##name, suite_main_##name },
const struct kernel_suite kernel_suite_table[] = { KERNEL_SUITES{ NULL, NULL, NULL } };
