/*
 * What the tests of the oracles share: running a case, and the zone and the arena that cases are about.
 *
 * A case is a scenario that breaks one promise on purpose: by calling the core past the shadow
 * (__real_*), by writing to a core structure, by a fault of lab/faults.def, or by doing what a
 * scenario must not. Shapes without debug keep the core from stopping itself first.
 */
#ifndef TESTS_LAB_ORACLE_TEST_H
#define TESTS_LAB_ORACLE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "kmem/kmem_int.h"
#include "lab/run.h"
#include "lab/search/search.h"
#include "lab/view.h"
#include "machine/machine.h"
#include "page/page_int.h"
#include "smr/smr_int.h"
#include "uma/uma_int.h"
#include "vmem/vmem_int.h"

#define PAGES(n) ((vm_size_t)(n)*PAGE_SIZE)
#define KEPT     64

extern uma_zone_t zone;
extern vmem_t *arena;
extern vmem_addr_t addr;
extern void *kept[KEPT];

enum { DEBUG = 1, DIRECT = 2, DAEMON = 4, TWO_DOMAINS = 8 };

/* In that shape; seed 0: with the default answers. */
struct lab_result run_once(
    const struct lab_scenario *scenario, unsigned how, uint64_t faults, uint64_t seed);

/* The run must end like this, with a line that has `part` in it. */
void expect(void (*setup)(void), void (*finish)(void), unsigned how, enum lab_verdict verdict,
    const char *part);

/* The fault must be found within `seeds` runs, and nothing without it. */
void expect_fault(void (*setup)(void), void (*finish)(void), unsigned how, enum core_fault fault,
    enum lab_verdict verdict, unsigned seeds);

/* zone "items" of 64 bytes; arena "ids", 16 + 64, of which 4 at addr are out */
void make_zone(void);
void end_zone(void);
void make_arena(void);
void end_arena(void);

/* That zone with a limit of one, which is in kept[0]; a thread "taker" wants another and sleeps. */
void take_all(void);

/* The core's own, past the shadow. */
void __real_uma_zfree_arg(uma_zone_t z, void *item, void *arg);
void *__real_uma_zalloc_arg(uma_zone_t z, void *arg, int flags);
void __real_vmem_xfree(vmem_t *vm, vmem_addr_t a, vmem_size_t size);
void __real_vm_page_free(struct vm_page *m);

#endif
