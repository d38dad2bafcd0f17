/*
 * Statistics: one self-describing snapshot of zones, malloc types, arenas, pages, channels and
 * sleepers, of this process, of another one, or of anything else whose memory can be read.
 *
 *	            peek()                       struct stats_visitor
 *	memory  ------------>  stats_collect()  ---------------------->  JSON writer, tables, sums
 *	                       (collect*.c)        one record at a time
 *
 * The collector reads the core's own structures, without its locks, through a peek function: a copy
 * of bytes that may fail. What it reads may change while it is read. So every walk is bounded, every
 * pointer is only ever given to peek, a list that runs in a circle or leads nowhere ends its section
 * with a line of damage, and counters of one zone may disagree by what happened meanwhile.
 *
 * A record is a flat struct. Its stats_kind says for each field its name, place, and how the fields
 * of many processes are merged; the JSON writer, the reader of the tool and the merging are loops
 * over that description, so a field is added in one place.
 *
 * Nothing here allocates, locks or keeps state. Freestanding but for src/stats/posix.
 */
#ifndef STATS_STATS_H
#define STATS_STATS_H

#include "base/list.h"
#include "machine/machine.h"
#include "stats/json.h"

struct malloc_type;
struct page_domain;

#define STATS_FORMAT  1  /* of the JSON; raised when a field changes its meaning */
#define STATS_NAME    64 /* longest name kept, with its end */
#define STATS_LARGE   62 /* of stats_type.sizes */
#define STATS_CLASSES 32 /* rows of an arena's histogram; the last holds all that is larger */

/* ---- records: numbers in bytes, items, pages or nanoseconds as they say --------------------------- */

struct stats_process {
	char version[STATS_NAME]; /* of the core that was looked at */
	char command[STATS_NAME];
	char state[STATS_NAME]; /* "live", "exit", "exec", "fork": when it was taken */
	uint64_t pid, time;     /* time: seconds since 1970, when it was taken */
	uint64_t word;          /* bits of an address */
};

struct stats_shape {
	uint64_t cpus, domains, direct_map, debug, daemon, pin, physmem, kva;
};

struct stats_zone_domain {
	uint64_t domain, cached, wss; /* items in full buckets; of these, the working set */
	uint64_t keg_pages, keg_free, keg_free_slabs;
};

struct stats_zone {
	char name[STATS_NAME];
	uint64_t size, rsize, align; /* bytes asked for an item, bytes it takes, its alignment */
	uint64_t limit, used,
	    free; /* items; limit 0 = none; free: in keg, buckets and CPUs' caches */
	uint64_t requests, frees, fails, sleeps, xdomain; /* counters */
	uint64_t pages, keg_free, bucket_size, bucket_max, reserve;
	uint64_t cpu_cached, sleepers, per_slab, slab_pages, flags, secondary;
	uint64_t ndomains;
	struct stats_zone_domain domain[COOPER_MAXDOMAIN];
};

struct stats_type {
	char name[STATS_NAME];
	uint64_t inuse, memuse, requests, frees; /* allocations, bytes, calls */
	uint64_t
	    sizes; /* bit n: some block was over 2^(n-1) and up to 2^n bytes; STATS_LARGE: pages */
};

struct stats_class {
	uint64_t size; /* smallest segment of this row */
	uint64_t free, busy;
};

struct stats_arena {
	char name[STATS_NAME], parent[STATS_NAME]; /* parent "": its spans were added */
	uint64_t quantum, qcache_max, import_quantum;
	uint64_t size, inuse, free, imported, limit, largest; /* the resource's units */
	uint64_t tags_busy, tags_free, tags_span, tags_spare;
	uint64_t waiters;
	uint64_t allocs, frees, fails, sleeps, imports;
	uint64_t nclasses;
	struct stats_class histogram[STATS_CLASSES];
};

struct stats_domain {
	uint64_t domain, total, free, fresh, nofree; /* pages */
	uint64_t target, min, severe, interrupt;     /* watermarks, pages */
	uint64_t allocs, frees, fails, contig_allocs, contig_fails, waits, passes;
};

struct stats_channel {
	char name[STATS_NAME];
	uint64_t sleeping, sleeps, timeouts, total_ns, max_ns;
};

struct stats_wait {
	char channel[STATS_NAME];
	uint64_t thread, age_ns, need; /* need: in the channel's unit; 0: none told */
};

struct stats_cpu {
	uint64_t cpu, cached, cached_bytes; /* items in this CPU's caches of all zones */
	uint64_t memory;                    /* its part of stats_memory.cpu_caches */
};

/* Where the memory is, bytes: see memory.c for the equation. */
struct stats_memory_domain {
	uint64_t domain, depot_caches, slab_free, page_cache;
};
struct stats_memory {
	uint64_t live, large, cpu_caches, depot_caches, slab_free, page_cache, metadata;
	uint64_t fragmentation, unaccounted, untouched, resident;
	uint64_t ndomains;
	struct stats_memory_domain domain[COOPER_MAXDOMAIN];
};

struct stats_totals {
	uint64_t allocs, frees;   /* requests of the program to malloc, all types */
	uint64_t requests, fails; /* of all zones: also what the core asks of itself */
	uint64_t passes, sleeps;  /* of the page daemon; on all channels */
};

struct stats_damage {
	char section[STATS_NAME];
	char what[2 * STATS_NAME];
};

/* ---- descriptions ---------------------------------------------------------------------------------- */

enum stats_field_type { STATS_STRING, STATS_NUMBER, STATS_FLAG, STATS_LIST };

enum stats_rule {    /* merging a field of many processes */
	STATS_KEY,   /* records with equal keys are merged */
	STATS_FIRST, /* the first one's */
	STATS_SUM,   /* levels: what was there when the snapshots were taken */
	STATS_COUNT, /* sums of counters; may be taken relative to an earlier snapshot */
	STATS_MAX,
	STATS_BITS /* the union of the bits */
};

/* Names are in it and a kind is a number: with pointers, each process would relocate them all. */
struct stats_field {
	char name[16];
	uint16_t offset, size; /* of the field in its record */
	uint16_t count_offset; /* LIST: of the number of elements in use */
	uint8_t type, rule;
	uint8_t sub; /* LIST: what an element is; see stats_sub() */
};

struct stats_kind {
	const char *name; /* the section: a key of the JSON object */
	size_t size;
	const struct stats_field *fields;
	unsigned nfields;
	bool single; /* one record a snapshot, not a list of them */
};

enum stats_section {
	STATS_PROCESS,
	STATS_SHAPE,
	STATS_ZONES,
	STATS_TYPES,
	STATS_ARENAS,
	STATS_DOMAINS,
	STATS_CHANNELS,
	STATS_WAITS,
	STATS_CPUS,
	STATS_MEMORY,
	STATS_TOTALS,
	STATS_DAMAGE,
	STATS_SECTIONS
};
#define STATS_ALL    ((1u << STATS_SECTIONS) - 1)
#define STATS_BIT(s) (1u << STATS_##s)

extern const struct stats_kind stats_kinds[STATS_SECTIONS];
const struct stats_kind *stats_sub(const struct stats_field *f); /* of a LIST */

union stats_record {
	struct stats_process process;
	struct stats_shape shape;
	struct stats_zone zone;
	struct stats_type type;
	struct stats_arena arena;
	struct stats_domain domain;
	struct stats_channel channel;
	struct stats_wait wait;
	struct stats_cpu cpu;
	struct stats_memory memory;
	struct stats_totals totals;
	struct stats_damage damage;
};

uint64_t *stats_number(const struct stats_field *f, void *record);
void stats_set_name(char *dst, const char *src); /* cut to STATS_NAME */

/* ---- the root: where a walk begins ----------------------------------------------------------------- */

#define STATS_MAGIC "COOPER\1"

/*
 * Exported as cooper_stats_root, so that it is found in any process through the symbol table. The
 * first three fields never move. `layout` stands for the sizes of all structures that are walked: a
 * reader from another build refuses what it would misread.
 */
struct cooper_stats_root {
	char magic[8];
	uint32_t word; /* bits of an address */
	uint32_t layout;
	char version[16];
	const struct machine_shape *shape;
	const struct list *zones, *arenas, *kmem_arenas, *channels, *waiting;
	struct malloc_type *const *types;
	const struct page_domain *domains;
	const uint64_t *vm_waits;
	const unsigned long *uma_total;
	const struct machine_region *regions;
};
extern const struct cooper_stats_root cooper_stats_root;

/* ---- collecting ------------------------------------------------------------------------------------- */

/* Copy len bytes at addr of the target to buf; false if any of them cannot be read. */
typedef bool stats_peek_t(void *arg, uintptr_t addr, void *buf, size_t len);

struct stats_visitor {
	void (*record)(void *arg, enum stats_section section, const void *record);
	void *arg;
};

struct stats_collector {
	stats_peek_t *peek;
	void *peek_arg;
	/* How many of these bytes of the target have memory behind them; NULL: nobody knows. */
	bool (*resident)(void *peek_arg, uintptr_t base, uint64_t bytes, uint64_t *out);
	uintptr_t root;               /* the target's cooper_stats_root */
	uint64_t now;                 /* the target's machine_now(), for ages; 0: ages are 0 */
	unsigned sections;            /* 1 << enum stats_section of those wanted */
	struct stats_process process; /* the caller fills in pid, command, state, time */
	uint32_t max_tags;            /* arenas with more tags get no histogram */
	struct stats_cpu *cpus;       /* COOPER_MAXCPU records of room, or NULL: no CPU records */
	/* the walk's own */
	struct cooper_stats_root head;
	struct stats_visitor out;
	unsigned ncpus, ndomains, ndamage;
	struct stats_totals totals;
	struct stats_type front; /* what the malloc zones have served */
	struct stats_memory memory;
	uint64_t slab_pages, boot_pages,
	    boot_counted; /* of zones; on start-up memory; and not metadata */
	struct stats_damage damage[4];
	union stats_record record;
};

/*
 * Walk the target and hand every record of the wanted sections to `out`, in the order of
 * enum stats_section. Returns NULL, or one line that says why nothing could be walked at all (not a
 * Cooper, another build's); damage met on the way is a record and does not stop the rest.
 */
const char *stats_collect(struct stats_collector *c, const struct stats_visitor *out);

/* A peek at our own memory, for machines on which no address that a list leads to can fault. */
bool stats_peek_self(void *arg, uintptr_t addr, void *buf, size_t len);

/* ---- writing ---------------------------------------------------------------------------------------- */

/* One snapshot as one line of JSON: start, a record at a time as stats_collect() gives them, end. */
struct stats_json {
	struct json json;
	unsigned sections; /* those wanted: they appear even if empty */
	unsigned next;     /* the section after the one that is open */
	bool open;         /* a list is open */
};
void stats_json_start(struct stats_json *w, unsigned sections, json_write_t *write, void *arg);
void stats_json_record(struct stats_json *w, enum stats_section section, const void *record);
void stats_json_end(struct stats_json *w);
void stats_json_fields(struct json *j, const struct stats_kind *kind, const void *record);

/* The tables for people: a line a call, without its newline. */
typedef void stats_print_t(void *arg, const char *line);

/* The heading of a section's table and a record's row; NULL for sections without a table. */
void stats_table_head(enum stats_section s, stats_print_t *print, void *arg);
void stats_table_row(enum stats_section s, const void *record, stats_print_t *print, void *arg);

/* All tables of the running core: what a kernel prints on its console. Needs about 5 KiB of stack. */
void stats_print_tables(stats_print_t *print, void *arg);

#endif
