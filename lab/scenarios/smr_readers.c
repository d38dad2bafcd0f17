/*
 * Readers of an SMR zone's items against frees, on sequences that wrap: the debug shape begins near
 * the wrap and takes large steps.
 *
 * Writers replace what a few slots point at and free what was there; readers look at an item twice
 * in one section and must find it the same.
 */
#include <cooper/smr.h>
#include <cooper/uma.h>

#include "lab/lab.h"

#define SLOTS  2
#define ROUNDS 24
#define SIZE   5000 /* bytes: buckets of one, so that items come round soon */
#define LOOKS  24   /* in a section that lasts; most do not */

struct object {
	uint32_t version;
};
LAB_STATE static uma_zone_t zone;
LAB_STATE static struct object *slot[SLOTS];
LAB_STATE static uint32_t version;

static struct object *
fresh(void)
{
	struct object *o = uma_zalloc_smr(zone, M_WAITOK);

	lab_must(o != NULL, "uma_zalloc_smr: M_WAITOK returned NULL");
	o->version = ++version;
	return (o);
}

static void
writer(void *arg)
{
	(void)arg;
	for (unsigned round = lab_scale(3, ROUNDS); round > 0; round--) {
		struct object *o = fresh(), **at = &slot[lab_random(SLOTS)], *old = *at;

		*at = o;
		uma_zfree_smr(zone, old);
	}
}

static void
reader(void *arg)
{
	smr_t smr = uma_zone_get_smr(zone);

	(void)arg;
	for (unsigned round = lab_scale(2, 2 * ROUNDS); round > 0; round--) {
		struct object *o;
		uint32_t seen;

		smr_enter(smr);
		o = slot[lab_random(SLOTS)];
		seen = o->version;
		for (unsigned i = lab_random(3) == 0 ? LOOKS : 1; i > 0; i--)
			lab_note("reading");
		lab_must(o->version == seen,
		    "an item was reused under its reader: version %u, then %u", seen, o->version);
		smr_exit(smr);
	}
}

static void
setup(void)
{
	while (zone == NULL) /* there may be no memory for its smr, once */
		zone = uma_zcreate(
		    "versions", SIZE, NULL, NULL, NULL, NULL, UMA_ALIGN_PTR, UMA_ZONE_SMR);
	for (unsigned i = 0; i < SLOTS; i++)
		slot[i] = fresh();
	for (unsigned i = 0; i < 2; i++) {
		lab_thread("writer", -1, writer, NULL);
		lab_thread("reader", -1, reader, NULL);
	}
}

static void
finish(void)
{
	for (unsigned i = 0; i < SLOTS; i++)
		uma_zfree_smr(zone, slot[i]);
	uma_zdestroy(zone);
}

LAB_SCENARIO(smr_readers, .name = "smr-readers",
    .about = "readers of SMR items against frees and reuse, near the wrap of sequences",
    .direct_map_too = true, .setup = setup, .finish = finish,
    .sees = (const char *const[]){
	"smr_bucket_reused_early", "smr_grace_cut_short", "smr_does_not_wrap", NULL });
