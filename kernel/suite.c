/*
 * Compiled once for each suite: its entry in the image's table of suites. Elsewhere a suite is a
 * program; so its main() is what runs it, under another name.
 */
#include "harness.h"
#include "kernel.h"

int main(int argc, char **argv);

static const struct kernel_suite suite = { SUITE_NAME, harness_start, main };
/* Pointers, since those have no gaps between them. */
__attribute__((section("kernel_suites"), used)) static const struct kernel_suite *const entry =
    &suite;
