/*
 * A domain without a free page: requests of its CPUs, and those whose turn it is, are served by the
 * other one.
 */
#include <cooper/kmem.h>
#include <cooper/uma.h>

#include "lab/lab.h"

#define CHUNKS 64
#define EACH   3

LAB_STATE static struct {
	void *p;
	vm_size_t size;
} hoard[CHUNKS];
LAB_STATE static unsigned chunks;
LAB_STATE static uma_zone_t near, around;

static void
take_all_of(int domain)
{
	struct domainset only = { .policy = DOMAINSET_FIXED, .prefer = domain };

	for (vm_size_t size = 64 * 4096; size >= 4096; size /= 2)
		while (chunks < CHUNKS &&
		       (hoard[chunks].p = kmem_malloc_domainset(&only, size, M_NOWAIT)) != NULL)
			hoard[chunks++].size = size;
}

static void
worker(void *arg)
{
	void *a[EACH], *b[EACH];

	(void)arg;
	for (unsigned round = lab_scale(1, 2); round > 0; round--) {
		for (unsigned i = 0; i < EACH; i++) {
			a[i] = uma_zalloc(near, M_WAITOK);
			b[i] = uma_zalloc(around, M_WAITOK);
			lab_must(
			    a[i] != NULL && b[i] != NULL, "uma_zalloc: M_WAITOK returned NULL");
		}
		for (unsigned i = 0; i < EACH; i++) {
			uma_zfree(near, a[i]);
			uma_zfree(around, b[i]);
		}
	}
}

static void
setup(void)
{
	near = uma_zcreate("near", 1900, NULL, NULL, NULL, NULL, 7, UMA_ZONE_FIRSTTOUCH);
	around = uma_zcreate("around", 1900, NULL, NULL, NULL, NULL, 7, UMA_ZONE_ROUNDROBIN);
	take_all_of((int)lab_domains() - 1);
	for (unsigned cpu = 0; cpu < lab_cpus(); cpu++)
		lab_thread("worker", (int)cpu, worker, NULL);
}

static void
finish(void)
{
	uma_zdestroy(near);
	uma_zdestroy(around);
	while (chunks-- > 0)
		kmem_free(hoard[chunks].p, hoard[chunks].size);
}

LAB_SCENARIO(domain_full, .name = "domain-full",
    .about = "one domain has no page left; zones of both kinds go on with the other's",
    .shape = { .ncpus = 2, .ndomains = 2 }, .direct_map_too = true, .setup = setup,
    .finish = finish,
    .sees = (const char *const[]){ "shared_domain_cursor", "first_touch_or_nothing", NULL });
