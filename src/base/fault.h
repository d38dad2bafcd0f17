/*
 * Bugs on demand. FAULT(name) puts a bug of lab/faults.def back, POLICY(name) another remedy of the
 * same problem; both are the constant false outside the laboratory's build, where the machine owns the
 * two words and sets them before a run. Each name stands in the core where the bug was made.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdint.h>

#ifdef COOPER_LAB

enum core_fault {
#define FAULT_LINE(name, reference, about) FAULT_##name,
#include "faults.def"
#undef FAULT_LINE
	CORE_FAULTS
};
enum core_policy {
	POLICY_shipped,        /* a drain that honours the reserve, a free function that matches */
	POLICY_nofree,         /* slabs of boundary tags are never given back */
	POLICY_nofree_no_dmap, /* never, in a shape without a direct map */
};
_Static_assert(CORE_FAULTS <= 64, "a bit each");

extern uint64_t core_faults;         /* set of bits by enum core_fault */
extern enum core_policy core_policy; /* one of them */
#define FAULT(name)  ((core_faults >> FAULT_##name & 1) != 0)
#define POLICY(name) (core_policy == POLICY_##name)

#else
#define FAULT(name)  false
#define POLICY(name) false
#endif

#endif
