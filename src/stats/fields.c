/*
 * What each record holds: the one description that the JSON writer, the reader and the merging of
 * many processes go by. Order here is the order in the JSON.
 */
#include "stats/stats.h"

/* clang-format off */
#define FIELD(r, f, t, rl) \
	{ #f, offsetof(struct r, f), sizeof(((struct r *)0)->f), 0, t, rl, 0 }
#define TEXT(r, f, rl) FIELD(r, f, STATS_STRING, rl)
#define NUM(r, f, rl)  FIELD(r, f, STATS_NUMBER, rl)
#define FLAG(r, f)     FIELD(r, f, STATS_FLAG, STATS_FIRST)
#define ARRAY(r, f, n, k) \
	{ #f, offsetof(struct r, f), sizeof(((struct r *)0)->f), offsetof(struct r, n), STATS_LIST, \
	    STATS_SUM, k }
#define KIND(nm, r, fs, one) { nm, sizeof(struct r), fs, nitems(fs), one }
/* clang-format on */

enum { SUB_ZONE_DOMAIN, SUB_CLASS, SUB_MEMORY_DOMAIN, SUB_KINDS };

static const struct stats_field process_fields[] = {
	TEXT(stats_process, version, STATS_FIRST),
	TEXT(stats_process, command, STATS_FIRST),
	TEXT(stats_process, state, STATS_FIRST),
	NUM(stats_process, pid, STATS_FIRST),
	NUM(stats_process, time, STATS_MAX),
	NUM(stats_process, word, STATS_FIRST),
};

static const struct stats_field shape_fields[] = {
	NUM(stats_shape, cpus, STATS_MAX),
	NUM(stats_shape, domains, STATS_MAX),
	FLAG(stats_shape, direct_map),
	FLAG(stats_shape, debug),
	FLAG(stats_shape, daemon),
	FLAG(stats_shape, pin),
	NUM(stats_shape, physmem, STATS_MAX),
	NUM(stats_shape, kva, STATS_MAX),
};

static const struct stats_field zone_domain_fields[] = {
	NUM(stats_zone_domain, domain, STATS_KEY),
	NUM(stats_zone_domain, cached, STATS_SUM),
	NUM(stats_zone_domain, wss, STATS_SUM),
	NUM(stats_zone_domain, keg_pages, STATS_SUM),
	NUM(stats_zone_domain, keg_free, STATS_SUM),
	NUM(stats_zone_domain, keg_free_slabs, STATS_SUM),
};

static const struct stats_field zone_fields[] = {
	TEXT(stats_zone, name, STATS_KEY),
	NUM(stats_zone, size, STATS_KEY),
	NUM(stats_zone, rsize, STATS_MAX),
	NUM(stats_zone, align, STATS_MAX),
	NUM(stats_zone, limit, STATS_MAX),
	NUM(stats_zone, used, STATS_SUM),
	NUM(stats_zone, free, STATS_SUM),
	NUM(stats_zone, requests, STATS_COUNT),
	NUM(stats_zone, frees, STATS_COUNT),
	NUM(stats_zone, fails, STATS_COUNT),
	NUM(stats_zone, sleeps, STATS_COUNT),
	NUM(stats_zone, xdomain, STATS_COUNT),
	NUM(stats_zone, pages, STATS_SUM),
	NUM(stats_zone, keg_free, STATS_SUM),
	NUM(stats_zone, bucket_size, STATS_MAX),
	NUM(stats_zone, bucket_max, STATS_MAX),
	NUM(stats_zone, reserve, STATS_MAX),
	NUM(stats_zone, cpu_cached, STATS_SUM),
	NUM(stats_zone, sleepers, STATS_SUM),
	NUM(stats_zone, per_slab, STATS_MAX),
	NUM(stats_zone, slab_pages, STATS_MAX),
	NUM(stats_zone, flags, STATS_FIRST),
	FLAG(stats_zone, secondary),
	ARRAY(stats_zone, domain, ndomains, SUB_ZONE_DOMAIN),
};

static const struct stats_field type_fields[] = {
	TEXT(stats_type, name, STATS_KEY),
	NUM(stats_type, inuse, STATS_SUM),
	NUM(stats_type, memuse, STATS_SUM),
	NUM(stats_type, requests, STATS_COUNT),
	NUM(stats_type, frees, STATS_COUNT),
	NUM(stats_type, sizes, STATS_BITS),
};

static const struct stats_field class_fields[] = {
	NUM(stats_class, size, STATS_KEY),
	NUM(stats_class, free, STATS_SUM),
	NUM(stats_class, busy, STATS_SUM),
};

static const struct stats_field arena_fields[] = {
	TEXT(stats_arena, name, STATS_KEY),
	TEXT(stats_arena, parent, STATS_FIRST),
	NUM(stats_arena, quantum, STATS_KEY),
	NUM(stats_arena, qcache_max, STATS_MAX),
	NUM(stats_arena, import_quantum, STATS_MAX),
	NUM(stats_arena, size, STATS_SUM),
	NUM(stats_arena, inuse, STATS_SUM),
	NUM(stats_arena, free, STATS_SUM),
	NUM(stats_arena, imported, STATS_SUM),
	NUM(stats_arena, limit, STATS_MAX),
	NUM(stats_arena, largest, STATS_MAX),
	NUM(stats_arena, tags_busy, STATS_SUM),
	NUM(stats_arena, tags_free, STATS_SUM),
	NUM(stats_arena, tags_span, STATS_SUM),
	NUM(stats_arena, tags_spare, STATS_SUM),
	NUM(stats_arena, waiters, STATS_SUM),
	NUM(stats_arena, allocs, STATS_COUNT),
	NUM(stats_arena, frees, STATS_COUNT),
	NUM(stats_arena, fails, STATS_COUNT),
	NUM(stats_arena, sleeps, STATS_COUNT),
	NUM(stats_arena, imports, STATS_COUNT),
	ARRAY(stats_arena, histogram, nclasses, SUB_CLASS),
};

static const struct stats_field domain_fields[] = {
	NUM(stats_domain, domain, STATS_KEY),
	NUM(stats_domain, total, STATS_SUM),
	NUM(stats_domain, free, STATS_SUM),
	NUM(stats_domain, fresh, STATS_SUM),
	NUM(stats_domain, nofree, STATS_SUM),
	NUM(stats_domain, target, STATS_MAX),
	NUM(stats_domain, min, STATS_MAX),
	NUM(stats_domain, severe, STATS_MAX),
	NUM(stats_domain, interrupt, STATS_MAX),
	NUM(stats_domain, allocs, STATS_COUNT),
	NUM(stats_domain, frees, STATS_COUNT),
	NUM(stats_domain, fails, STATS_COUNT),
	NUM(stats_domain, contig_allocs, STATS_COUNT),
	NUM(stats_domain, contig_fails, STATS_COUNT),
	NUM(stats_domain, waits, STATS_COUNT),
	NUM(stats_domain, passes, STATS_COUNT),
};

static const struct stats_field channel_fields[] = {
	TEXT(stats_channel, name, STATS_KEY),
	NUM(stats_channel, sleeping, STATS_SUM),
	NUM(stats_channel, sleeps, STATS_COUNT),
	NUM(stats_channel, timeouts, STATS_COUNT),
	NUM(stats_channel, total_ns, STATS_COUNT),
	NUM(stats_channel, max_ns, STATS_MAX),
};

static const struct stats_field wait_fields[] = {
	TEXT(stats_wait, channel, STATS_KEY),
	NUM(stats_wait, thread, STATS_KEY),
	NUM(stats_wait, age_ns, STATS_MAX),
	NUM(stats_wait, need, STATS_MAX),
};

static const struct stats_field cpu_fields[] = {
	NUM(stats_cpu, cpu, STATS_KEY),
	NUM(stats_cpu, cached, STATS_SUM),
	NUM(stats_cpu, cached_bytes, STATS_SUM),
	NUM(stats_cpu, memory, STATS_SUM),
};

static const struct stats_field memory_domain_fields[] = {
	NUM(stats_memory_domain, domain, STATS_KEY),
	NUM(stats_memory_domain, depot_caches, STATS_SUM),
	NUM(stats_memory_domain, slab_free, STATS_SUM),
	NUM(stats_memory_domain, page_cache, STATS_SUM),
};

static const struct stats_field memory_fields[] = {
	NUM(stats_memory, live, STATS_SUM),
	NUM(stats_memory, large, STATS_SUM),
	NUM(stats_memory, cpu_caches, STATS_SUM),
	NUM(stats_memory, depot_caches, STATS_SUM),
	NUM(stats_memory, slab_free, STATS_SUM),
	NUM(stats_memory, page_cache, STATS_SUM),
	NUM(stats_memory, metadata, STATS_SUM),
	NUM(stats_memory, fragmentation, STATS_SUM),
	NUM(stats_memory, unaccounted, STATS_SUM),
	NUM(stats_memory, untouched, STATS_SUM),
	NUM(stats_memory, resident, STATS_SUM),
	ARRAY(stats_memory, domain, ndomains, SUB_MEMORY_DOMAIN),
};

static const struct stats_field totals_fields[] = {
	NUM(stats_totals, allocs, STATS_COUNT),
	NUM(stats_totals, frees, STATS_COUNT),
	NUM(stats_totals, requests, STATS_COUNT),
	NUM(stats_totals, fails, STATS_COUNT),
	NUM(stats_totals, passes, STATS_COUNT),
	NUM(stats_totals, sleeps, STATS_COUNT),
};

static const struct stats_field damage_fields[] = {
	TEXT(stats_damage, section, STATS_KEY),
	TEXT(stats_damage, what, STATS_KEY),
};

const struct stats_kind stats_kinds[STATS_SECTIONS] = {
	[STATS_PROCESS] = KIND("process", stats_process, process_fields, true),
	[STATS_SHAPE] = KIND("shape", stats_shape, shape_fields, true),
	[STATS_ZONES] = KIND("zones", stats_zone, zone_fields, false),
	[STATS_TYPES] = KIND("types", stats_type, type_fields, false),
	[STATS_ARENAS] = KIND("arenas", stats_arena, arena_fields, false),
	[STATS_DOMAINS] = KIND("domains", stats_domain, domain_fields, false),
	[STATS_CHANNELS] = KIND("channels", stats_channel, channel_fields, false),
	[STATS_WAITS] = KIND("waits", stats_wait, wait_fields, false),
	[STATS_CPUS] = KIND("cpus", stats_cpu, cpu_fields, false),
	[STATS_MEMORY] = KIND("memory", stats_memory, memory_fields, true),
	[STATS_TOTALS] = KIND("totals", stats_totals, totals_fields, true),
	[STATS_DAMAGE] = KIND("damage", stats_damage, damage_fields, false),
};

static const struct stats_kind sub_kinds[SUB_KINDS] = {
	[SUB_ZONE_DOMAIN] = KIND("domain", stats_zone_domain, zone_domain_fields, false),
	[SUB_CLASS] = KIND("histogram", stats_class, class_fields, false),
	[SUB_MEMORY_DOMAIN] = KIND("domain", stats_memory_domain, memory_domain_fields, false),
};

const struct stats_kind *
stats_sub(const struct stats_field *f)
{
	return (&sub_kinds[f->sub]);
}

uint64_t *
stats_number(const struct stats_field *f, void *record)
{
	return ((uint64_t *)((char *)record + f->offset));
}

void
stats_set_name(char *dst, const char *src)
{
	size_t n = 0;

	for (; src != NULL && src[n] != '\0' && n < STATS_NAME - 1; n++)
		dst[n] = src[n];
	dst[n] = '\0';
}
