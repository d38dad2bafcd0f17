#include <cooper/uma.h>
#include "lab/lab.h"
LAB_STATE static uma_zone_t letters;

static void
clerk(void *arg) /* holds at most two letters */
{
	(void)arg;
	for (void *old = NULL, *letter, *end = &end; old != end; old = letter) {
		letter = lab_random(4) == 0 ? end : uma_zalloc(letters, M_WAITOK);
		lab_must(letter != NULL, "M_WAITOK returned NULL");
		if (old != NULL)
			uma_zfree(letters, old);
	}
}
static void
setup(void)
{
	letters = uma_zcreate("letters", 200, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, 0);
	uma_zone_set_max(letters, (int)lab_cpus() + 2);
	for (unsigned i = 0; i < lab_cpus() + 1; i++)
		lab_thread("clerk", -1, clerk, NULL);
}
static void
finish(void)
{
	uma_zdestroy(letters);
}
LAB_SCENARIO(mailbox, .name = "mailbox", .about = "letters come and go below a zone's limit",
    .direct_map_too = true, .setup = setup, .finish = finish);
