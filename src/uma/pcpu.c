/*
 * PCPU zones: an item is one copy for each CPU. A slab is a run of pages, one for each CPU, of that
 * CPU's domain where the back end can; the copies of an item lie one page apart, and the item's
 * address is that of CPU 0's copy.
 */
#include "uma/uma_int.h"

void *
uma_pcpu_item(void *base, unsigned cpu)
{
	return ((char *)base + ptoa(cpu));
}

/* M_ZERO zeroes every CPU's copy. */
void *
uma_zalloc_pcpu_arg(uma_zone_t zone, void *udata, int flags)
{
	if (MISUSE((zone->flags & UMA_ZONE_PCPU) == 0,
		"uma_zalloc_pcpu: zone %s is not a PCPU zone", zone->name))
		return (NULL);
	return (uma_zalloc_arg(zone, udata, flags));
}

void
uma_zfree_pcpu_arg(uma_zone_t zone, void *item, void *udata)
{
	/* Warned of, then freed as it must be: dropping it would only add a leak. */
	(void)MISUSE((zone->flags & UMA_ZONE_PCPU) == 0,
	    "uma_zfree_pcpu: zone %s is not a PCPU zone", zone->name);
	uma_zfree_arg(zone, item, udata);
}
