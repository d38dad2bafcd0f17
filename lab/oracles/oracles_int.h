/*
 * What the files of the oracles share: the public calls that each fiber is inside of, the clocks of
 * progress, and who is told of what. Nothing here lies in the run's memory; oracles_begin() makes
 * all of it new.
 *
 * Oracles only look: they read core structures without locks (nobody else runs) and never change
 * one, nor do they cause a point, but for SIM_CALL and SIM_RETURN.
 */
#ifndef LAB_ORACLES_INT_H
#define LAB_ORACLES_INT_H

#include "kmem/kmem_int.h"
#include "lab/oracles/oracles.h"
#include "page/page_int.h"
#include "sync/sync_int.h"
#include "uma/slab.h"
#include "vmem/vmem_int.h"

/* ---- calls ------------------------------------------------------------------------------------- */

enum call_kind {
	CALL_OTHER,
	CALL_ZONE,  /* an item of zone `object` */
	CALL_ARENA, /* a range of arena `object`, as `request` says */
	CALL_KVA,   /* `want` bytes of address space */
	CALL_KMEM,  /* `want` bytes of pages and their addresses, of the domains `domains` */
	CALL_PAGES, /* waits in the page room for a page of `pclass` of `domains` */
};

/* A public call that has not returned; on its fiber's stack. */
struct call {
	struct call *up;  /* the one that made it; NULL: the operation, the outermost one */
	const char *name; /* "uma_zalloc" */
	enum call_kind kind;
	void *object;
	uint64_t want;
	int flags;
	uint32_t domains; /* mask of those that will do; 0: all */
	int domain;       /* CALL_ZONE: this one alone; -1: any. CALL_PAGES: the one, -1: any */
	enum page_class pclass;
	struct request request;
	unsigned below; /* CALL_ZONE: items that it has taken below the reserve */
	bool operation;
	uint64_t step, fair; /* at its start */
};

#define HELD_MAX 16

struct fiber_state {
	struct call *call; /* the innermost */
	bool known, daemon;
	bool excused; /* a request that its operation needs was made to fail */
	bool trying;  /* takes locks by trying: it cannot wait for them */
	bool entered; /* in a CPU's part */
	uint8_t nheld;
	const struct mtx *held[HELD_MAX]; /* locks, in the order taken */
	uint64_t section;                 /* stamp of the SMR section entered last */
};

extern struct fiber_state oracle_fibers[SIM_FIBERS];
extern bool oracles_on;       /* in a run in which nothing was found yet */
extern bool oracles_watching; /* between oracles_started() and oracles_finished() */
extern uint64_t oracles_run;  /* number of this run: what was written in another one is void */
extern const struct lab_spec *oracle_spec;

static inline struct fiber_state *
oracle_me(void)
{
	return (&oracle_fibers[sim_self()]);
}

void call_enter(struct call *c);
void call_leave(struct call *c, uint64_t result);
/* The innermost call of this kind that fiber f is inside of; NULL: none. */
const struct call *call_of(unsigned f, enum call_kind kind);

/* ---- shadow.c: what has been handed out -------------------------------------------------------- */

void shadow_begin(void);
void shadow_range_out(vmem_t *vm, vmem_addr_t addr, vmem_size_t size);
void shadow_range_in(vmem_t *vm, vmem_addr_t addr, vmem_size_t size);
void shadow_arena_gone(vmem_t *vm);
/* Sizes of the ranges of an arena that are out. */
vmem_size_t shadow_ranges(const vmem_t *vm);

void shadow_item_out(uma_zone_t zone, void *item, int flags);
void shadow_item_in(uma_zone_t zone, void *item);
/* An item that goes home on a way that may have begun in shadow_item_in(). */
void shadow_item_home(uma_zone_t zone, void *item);
void shadow_zone_gone(uma_zone_t zone);
void shadow_zone_comes(uma_zone_t zone, bool users); /* users: the scenario made it, not the core */
bool shadow_zone_has_ranges(const struct uma_zone *zone);
bool shadow_zone_is_users(const struct uma_zone *zone);
/* Items of a zone that are out. */
uint64_t shadow_items(const struct uma_zone *zone);

void shadow_pages_out(struct vm_page *m, unsigned long n);
void shadow_pages_in(struct vm_page *m, unsigned long n);
uint64_t shadow_pages(unsigned domain);

/* A touch of what is free, by the scenario: is it a use of freed memory? */
bool shadow_page_is_free(const struct vm_page *m);
void shadow_page_touched(const struct vm_page *m, uintptr_t at, bool write);
void shadow_item_touched(uintptr_t at, bool write);

void shadow_section(void); /* this fiber enters an SMR section */

/* ---- touch.c: the map of freed items, for what the scenario touches ---------------------------- */

void touch_begin(void);
void touch_item(uintptr_t item, size_t size, bool freed);
void touch_page_freed(const struct vm_page *m);
void oracle_touch(const void *at, size_t size, bool write); /* as in touch.h */

/* ---- progress.c: livelock and starvation ------------------------------------------------------- */

void progress_begin(void);
void progress_event(const struct sim_event *event);
void progress_operation(struct call *c, bool ends);
void progress_made(void); /* of a kind that is no operation */
uint64_t progress_fair(void);

/* ---- sleepers.c: lost wakeups, and who waits for what ------------------------------------------ */

void sleepers_begin(void);
void sleepers_unlocked(const struct mtx *m); /* after each unlock */
bool sleepers_look(void);                    /* nobody can run: true if a wakeup was lost */
bool sleepers_all_asleep(void);              /* all threads of the scenario, on channels */
/* In arena `child`, this request is what its import asks of its parent. */
void sleepers_import(vmem_t *child, vmem_t *parent, const struct request *request);
void sleepers_arena_gone(vmem_t *vm);

/* ---- reserves.c: the tag invariant and every reserve ------------------------------------------- */

void reserves_begin(void);
void reserves_watch(struct uma_keg *keg); /* it has a reserve now */
void reserves_keg_gone(struct uma_keg *keg);
void reserves_unlocked(const struct mtx *m, unsigned fiber);
uint64_t reserves_peak_pages(void); /* most pages that slabs of tags took since start */

/* ---- order.c ------------------------------------------------------------------------------------ */

void order_begin(void);
void order_event(const struct sim_event *event);
/* The mtx of a lock, or NULL: the machine's own, or none that was made known. */
const struct mtx *order_mtx(const struct machine_lock *l);

/* ---- accounts.c --------------------------------------------------------------------------------- */

void accounts_open(void);
void accounts_settled(void);
void accounts_close(struct lab_result *result);
void accounts_zone_ends(uma_zone_t zone);
/* Items of a zone that lie in its depots and CPUs' parts. */
uint64_t cached_items(const struct uma_zone *zone);

#endif
