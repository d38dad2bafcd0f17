/*
 * The protocol of src/kmem/tags.c: boundary tags need slabs, slabs need pages, without a direct map
 * pages need addresses, and addresses need tags. CPUS threads take and give back single tags (what an
 * ordinary arena does: they may sleep on "btalloc") and pages with an address (kmem_malloc(), M_WAITOK:
 * "kva" and "vmwait"), while reclaim goes on at any moment. Each step below is one section of the core
 * under one lock; Spin looks at all their orders.
 *
 * WHAT IS SHOWN
 *	INVARIANT  Whenever no refill is under way, free_items >= BOUND.
 *	REFILL     A refill that has its page and sees an address never lacks a tag.
 *	SUMS       At the end tags, addresses and pages are all accounted for.
 *	PROGRESS   Every thread ends: each request that may wait returns, under weak fairness, although
 *	           each thread may keep for ever what it asked for last.
 * PROGRESS is meant with memory enough: PAGES and QUANTA hold what can be kept and the slabs for it.
 *
 * WHAT IS LEFT OUT, AND WHY THAT IS SOUND
 *	Which tag.  One is as good as another: the keg is (slabs, free_items, free_slabs), and a tag that
 *	    comes back belongs to any slab that the counts admit. All distributions over slabs are covered,
 *	    also some that cannot be. Handing one out twice would break SUMS. Compaction, which
 *	    only helps, is left out; so is what it needs: that the kept tag's slab is known.
 *	Which address.  The same, with spans of two pages: of two that can be free, either is. Each piece
 *	    costs the most tags that it can, BT_CLIP, and each span BT_IMPORT; less would leave more spare.
 *	Depots.  Tags go from a CPU's bucket straight to slabs. A depot holds less back than a bucket does.
 *	    A thread stays on its CPU; a fill with the reserve's leave takes one item wherever it runs.
 *	Time.  Where the core repeats reclaim at intervals, reclaim here may come at any moment. But
 *	    it is no reason to look again: a sleeper wakes by an event alone. So what the
 *	    interval would make up for is found as well: this is more than the core promises.
 *	One take of the several in a fill.  An arena takes its tags in one step. What another CPU could do
 *	    between two of them (take above the reserve, give back, drain) it can do before all or after.
 *	Memory order.  What an event announces and the look for it are ordered by a lock (wait.c).
 *	Waiting for pages is vmwait's own affair (page/wait.c): here it ends when there is a page.
 *	Domains, ctor and init failures, and BT_APART do not matter to the order of steps.
 *
 * Faults have the names of lab/faults.def and are given as -DNAME. This model's own are
 * import_wakes_nobody, which it found in the core, tags_free_wakes_nobody and refill_keeps_spares.
 * check.py runs it all.
 */
#ifndef CPUS
#define CPUS 2
#endif
#ifndef ROUNDS /* requests of each thread */
#define ROUNDS 1
#endif
#ifndef KEEPS /* may a thread keep what it asked for last? */
#define KEEPS true
#endif
#ifndef PAGE_THREADS /* so many threads ask for pages only, so many others for tags only */
#define PAGE_THREADS 0
#define TAG_THREADS  0
#endif
#ifndef BT_CLIP
#define BT_IMPORT 2
#define BT_CLIP   2
#endif
#ifndef BUCKET /* tags in a CPU's bucket */
#define BUCKET 2
#endif
#ifndef PAGES
#define PAGES  5
#define QUANTA 2 /* of two pages of addresses each */
#endif
#ifndef FILLERS /* F of tags.c: refills that the reserve is made for */
#define FILLERS 1
#endif
#ifdef refills_side_by_side
#define AT_ONCE CPUS
#else
#define AT_ONCE 1
#endif

#define LAYERS      2 /* a domain's arena, and the root */
#define BT_MAXALLOC (BT_IMPORT + BT_CLIP)
#define BT_MAXFREE  BT_MAXALLOC
#define BOUND       (LAYERS * BT_MAXALLOC)
#ifdef reserve_for_one_layer
#define RESERVE (BT_MAXALLOC * FILLERS)
#else
#define RESERVE (BOUND * FILLERS)
#endif
#define IPERS     (BOUND * FILLERS + BT_IMPORT + 2) /* tags in a slab: more than the reserve */
#define PAGE_KEEP 1                                 /* pages for the last-resort class, a slab's */

mtype = { NONE, DOM, SPAN, ROOT, TAGS, KVA, PAGE };

/* The keg of the tag zone. Its first slab is full of what is never given back: a tag, and the root's. */
byte slabs = 1, slabs_of_root, free_slabs, free_items = IPERS - 1 - BT_IMPORT;
byte bucket[CPUS];
byte refills; /* under way; at most 1 under the TAGS lock */

/* Arenas: 0 the domain's, 1 the root. Spans of a domain that are free as a whole are given back. */
byte spare[LAYERS];
byte quanta = QUANTA, loose;        /* free in the root: whole quanta, single pages */
byte half_spans, full_spans;        /* the domain's, with one page in use, and with both */
byte pages = PAGES;

/* Waiting (wait.c): who is counted in, on which channel, and has there been news since it looked? */
mtype channel[CPUS] = NONE;
bool news[CPUS], page_news[CPUS];

byte ended, tags_kept, pages_kept;

#define ARENA(what) (what != DOM)
#define KVA_FREE    (2 * quanta + loose + half_spans)
#define ROOT_PAGES  (2 * (QUANTA - quanta - half_spans - full_spans) - loose)
#define PARTIAL     (free_items - free_slabs * IPERS)
#ifdef drain_ignores_reserve
#define SLABS_FOR_RESERVE 0
#else
#define SLABS_FOR_RESERVE (PARTIAL >= RESERVE -> 0 : (RESERVE - PARTIAL + IPERS - 1) / IPERS)
#endif

#ifdef fill_swallows_reserve
#define SWALLOWS true
#else
#define SWALLOWS false
#endif
#if defined failed_fill_leaks_tags
#define UNFILLS(took) (took)
#elif defined refill_keeps_spares
#define UNFILLS(took) (!(took))
#else
#define UNFILLS(took) true
#endif
#if CPUS == 2
#define BUCKETS (bucket[0] + bucket[1])
#else
#define BUCKETS (bucket[0] + bucket[1] + bucket[2])
#endif

/* ---- wait.c: events --------------------------------------------------------------------------------- */

inline tell(tags_only)
{
	n = 0;
	d_step {
		do
		:: n < CPUS ->
			news[n] = news[n] || channel[n] == TAGS || (channel[n] == KVA && !(tags_only));
			n++
		:: else -> break
		od;
		n = 0
	}
}

inline vm_page_free()
{
	pages++;
	d_step {
		do
		:: n < CPUS -> page_news[n] = (channel[n] == KVA); n++
		:: else -> break
		od;
		n = 0
	}
	tell(false)
}

/* ---- uma: the keg and the CPU's bucket ----------------------------------------------------------------- */

/* An item comes back to a slab, which is then perhaps free as a whole. */
inline slab_free_item()
{
	free_items++;
	if
	:: PARTIAL >= IPERS -> free_slabs++
	:: PARTIAL <= (slabs - free_slabs) * (IPERS - 1)
	fi
}

/* Of the slabs, partly used ones first; a bucket is filled down to the reserve, and never with it. */
inline keg_import(most, reserved)
{
	n = 0;
	do
	:: n < most && free_items > (reserved -> 0 : RESERVE) -> free_items--; n++;
		if
		:: free_items <= RESERVE && !(SWALLOWS && reserved) -> break
		:: else
		fi
	:: else -> break
	od;
	free_slabs = (free_slabs <= free_items / IPERS -> free_slabs : free_items / IPERS);
	got = n > 0;
	bucket[me] = (got -> n - 1 : 0);
	n = 0
}

inline uma_zalloc(reserved)
{
	d_step {
		if
		:: bucket[me] > 0 -> bucket[me]--; got = true
		:: else -> keg_import((reserved && !SWALLOWS -> 1 : BUCKET), reserved)
		fi
	}
}

/* k tags go back: into the bucket, if it may be and has room, else into slabs. */
inline tags_free(k, to_bucket)
{
	do
	:: k > 0 -> k--;
		if
		:: to_bucket && me < CPUS && bucket[me % CPUS] < BUCKET -> bucket[me % CPUS]++
		:: else -> slab_free_item()
		fi
	:: else -> break
	od
}

inline cache_drain_cpus()
{
	do
	:: cpu < CPUS -> tags_free(bucket[cpu], false); cpu++
	:: else -> break
	od;
	cpu = 0
}

/* ---- vmem: one attempt on one arena; r: is it a refill's? --------------------------------------------- */

inline spare_fill(a, r) /* as far as what is cached or in slabs goes */
{
	do
	:: spare[a] < BT_MAXALLOC ->
		uma_zalloc(r);
		if
		:: got -> spare[a]++; fresh[2 * r + a]++
		:: else -> break
		fi
	:: else -> break
	od
}

/* Tags that go back: the fresh ones of a failure or a refill (spare_unfill), and those too many. */
inline attempt_end(a, r, took)
{
	back = ((r -> UNFILLS(took) : !(took)) -> fresh[2 * r + a] : 0);
	fresh[2 * r + a] = 0;
	back = (back <= spare[a] -> back : spare[a]);
	back = (spare[a] - back > BT_MAXFREE -> spare[a] - BT_MAXFREE : back);
	spare[a] = spare[a] - back;
	if
	:: r -> tags_free(back, false) /* past the caches: the reserve's rule gives them out again */
	:: else                        /* spare_put_back(), with no lock held */
	fi
}

/* spare_put_back(), spare_return(): until then the tags are in this thread's hands alone. */
inline put_back()
{
	if
	:: atomic { back > 0 ->
		printf("%d gives back %d tags\n", me, back);
		tags_free(back, true); tell(va == NONE) }
	:: else
	fi
}

/*
 * With BT_MAXALLOC spare tags: a page of a span (DOM), a quantum to import (SPAN), a page of the root
 * (ROOT). A domain without room hides its tags and imports.
 */
inline find_place(what, r, va)
{
	if
	:: what == DOM && half_spans > 0 ->
		half_spans--; full_spans++; spare[0] = spare[0] - BT_CLIP; va = DOM
	:: what == DOM && half_spans == 0 ->
		spare[0] = spare[0] - BT_MAXALLOC; import[r] = true
	:: what == SPAN && quanta > 0 ->
		quanta--; spare[1] = spare[1] - BT_CLIP; va = SPAN
	:: what == ROOT && loose > 0 ->
		loose--; spare[1] = spare[1] - BT_CLIP; va = ROOT
	:: what == ROOT && loose == 0 && quanta > 0 ->
		quanta--; loose++; spare[1] = spare[1] - BT_CLIP; va = ROOT
	:: else
	fi;
	if
	:: what == DOM && import[r]
	:: else -> attempt_end(ARENA(what), r, va != NONE)
	fi
}

/* Back in the domain, with a span or without. What stays of the span is an event (tell_of_import). */
inline import_done(r, va)
{
	import[r] = false;
	spare[0] = spare[0] + BT_MAXALLOC;
	if
	:: va == SPAN ->
		spare[0] = spare[0] - BT_IMPORT;
#ifdef six_tags_a_layer
		spare_fill(0, r);
#ifdef REFILL
		assert(!r || spare[0] >= BT_MAXALLOC); /* a tag is wanting in a refill */
#endif
#endif
		spare[0] = spare[0] - BT_CLIP;
		half_spans++;
		va = DOM;
#ifndef import_wakes_nobody
		tell(false)
#endif
	:: else
	fi;
	attempt_end(0, r, va != NONE)
}

/* The order in which kmem_kva() asks arenas. */
inline next_arena(what, r, va)
{
	if
	:: what == SPAN -> import_done(r, va)
	:: else
	fi;
	if
	:: what == DOM && import[r] -> what = SPAN
	:: va == NONE && what != ROOT && !import[r] -> what = ROOT
	:: else -> what = NONE
	fi
}

/* ---- kmem: addresses ------------------------------------------------------------------------------------- */

/* For a slab of tags: M_NOVM | M_USE_RESERVE, so it never comes back to tags_refill(). */
inline kmem_kva_near()
{
	at = DOM;
	do
	:: atomic { at != NONE ->
		spare_fill(ARENA(at), 1);
		printf("%d refill: %e: %d spare tags, %d free in slabs\n", me, at, spare[ARENA(at)],
		    free_items);
#ifdef REFILL
		assert(spare[ARENA(at)] >= BT_MAXALLOC); /* a tag is wanting in a refill */
#endif
		if
		:: spare[ARENA(at)] >= BT_MAXALLOC -> find_place(at, 1, slab)
		:: else -> attempt_end(ARENA(at), 1, false)
		fi;
		next_arena(at, 1, slab) }
	:: else -> break
	od
}

/* For anybody else: a tag that is wanting is got by a refill, the arena's lock let go, tags hidden. */
inline kmem_kva()
{
	what = DOM;
	do
	:: atomic { what != NONE ->
		spare[ARENA(what)] = spare[ARENA(what)] + purse[ARENA(what)] + (lacking && got);
		fresh[ARENA(what)] = fresh[ARENA(what)] + (lacking && got);
		purse[ARENA(what)] = 0;
		if
		:: lacking && !got -> lacking = false; attempt_end(ARENA(what), 0, false)
		:: else ->
			spare_fill(ARENA(what), 0);
			printf("%d kmem_kva: %e: %d spare tags, %d free in slabs\n", me, what,
			    spare[ARENA(what)], free_items);
			lacking = spare[ARENA(what)] < BT_MAXALLOC;
			if
			:: lacking -> purse[ARENA(what)] = spare[ARENA(what)]; spare[ARENA(what)] = 0
			:: else -> find_place(what, 0, va)
			fi
		fi }
		if
		:: lacking -> tags_refill()
		:: else ->
			put_back();
			atomic { next_arena(what, 0, va) };
			put_back()
		fi
	:: else -> break
	od
}

inline arena_free(a, k) /* k tags become spare; those too many go back */
{
	back = (spare[a] + k > BT_MAXFREE -> spare[a] + k - BT_MAXFREE : 0);
	spare[a] = spare[a] + k - back;
	tags_free(back, true)
}

inline root_free(npages)
{
	if
	:: npages == 2 -> quanta++
	:: npages == 1 && loose > 0 -> loose--; quanta++
	:: npages == 1 -> loose++
	fi;
	arena_free(1, BT_CLIP);
	tell(false)
}

inline domain_free() /* the last page of a span takes the span with it */
{
	if
	:: half_spans > 0 -> half_spans--; release = true; arena_free(0, BT_CLIP + BT_IMPORT)
	:: full_spans > 0 -> full_spans--; half_spans++; arena_free(0, BT_CLIP);
		tell(false)
	fi
}

inline kmem_kva_free(from)
{
	printf("%d gives back an address of %e\n", me, from);
	if
	:: from == ROOT -> atomic { root_free(1) }
	:: else ->
		atomic { domain_free() };
		if
		:: release -> atomic { release = false; root_free(2) }
		:: else
		fi
	fi;
	from = NONE
}

/* ---- tags.c ------------------------------------------------------------------------------------------------ */

/* got: a tag. Page first, then the address; the slab lies in the keg before the lock is let go. */
inline tags_refill()
{
	atomic {
		refills < AT_ONCE; /* mtx_lock(&tags_lock) */
		uma_zalloc(false);
		if
		:: !got && KVA_FREE > 0 && pages > 0 -> refills++; pages--; paged = true;
			printf("%d tags_refill: takes a page\n", me)
		:: else
		fi
	}
	if
	:: paged ->
		kmem_kva_near();
		atomic {
			if
			:: slab == NONE -> vm_page_free(); printf("%d tags_refill: no address\n", me)
			:: else ->
				slabs++; free_slabs++; free_items = free_items + IPERS;
				slabs_of_root = slabs_of_root + (slab == ROOT);
				printf("%d tags_refill: a slab\n", me)
			fi;
			slab = NONE; paged = false;
			uma_zalloc(false);
			refills--
		}
	:: else
	fi
}

/* One tag for an ordinary arena: tags_alloc(), and tags_wait() if need be. */
inline tags_alloc()
{
	uma_zalloc(false);
	if
	:: got
	:: else ->
		channel[me] = TAGS;
		do
		:: news[me] = news[me] && drained; /* kmem_wait_look(), before the first of two */
			tags_refill();
			if
			:: got -> break
			:: !got && !drained -> atomic { cache_drain_cpus(); drained = true }
			:: !got && drained -> drained = false;
				printf("%d sleeps on btalloc\n", me);
				news[me] /* sleep */
			fi
		od;
		atomic { drained = false; channel[me] = NONE; news[me] = false }
	fi
}

/* One page with an address, M_WAITOK; counted in from the first attempt on, which changes nothing. */
inline kmem_malloc()
{
	channel[me] = KVA;
	do
	:: atomic { page_news[me] = false; news[me] = false; lack = (pages > PAGE_KEEP -> KVA : PAGE) }
		if
		:: lack == KVA && KVA_FREE > 0 ->
			kmem_kva();
			if
			:: va != NONE ->
				atomic {
					lack = (pages > PAGE_KEEP -> NONE : PAGE);
					pages = pages - (lack == NONE)
				}
				if
				:: lack == PAGE -> kmem_kva_free(va)
				:: else
				fi
			:: else
			fi
		:: else
		fi;
		if
		:: lack == NONE -> break
		:: lack == KVA -> printf("%d sleeps on kva\n", me);
			news[me] /* sleep */
		:: lack == PAGE -> printf("%d sleeps on vmwait\n", me);
			page_news[me] && pages > PAGE_KEEP /* sleep */
		fi
	od;
	atomic { channel[me] = NONE; news[me] = false; page_news[me] = false; lack = NONE }
}

/* ---- who runs ------------------------------------------------------------------------------------------------ */

active [CPUS] proctype thread()
{
	byte me = _pid, n, round, cpu, back, fresh[2 * LAYERS], purse[LAYERS];
	mtype va = NONE, slab = NONE, what = NONE, at = NONE, lack = NONE;
	bool got, import[2], paged, release, lacking, drained;

	do
	:: round < ROUNDS -> round++;
		if
		:: me >= PAGE_THREADS ->
			printf("%d wants a tag\n", me);
			tags_alloc();
			if
			:: atomic { KEEPS && round == ROUNDS -> tags_kept++; printf("%d keeps it\n", me) }
			:: atomic { back = 1; printf("%d gives a tag back\n", me);
				tags_free(back, true);
#ifndef tags_free_wakes_nobody
				tell(false)
#endif
				}
			fi
		:: me < CPUS - TAG_THREADS ->
			printf("%d wants a page with an address\n", me);
			kmem_malloc();
			if
			:: atomic { KEEPS && round == ROUNDS -> pages_kept++; va = NONE; printf("%d keeps it\n", me) }
			:: atomic { vm_page_free(); printf("%d gives the page back\n", me) };
				kmem_kva_free(va)
			fi
		fi;
		got = false
	:: else -> break
	od;
	ended++
}

/* Reclaim: spare tags, CPUs' buckets, slabs beyond the reserve; in any order, at any moment. */
active proctype reclaim()
{
	byte me = CPUS, n, cpu, back;
	bool release;

end:	do
	:: atomic { spare[0] + spare[1] > 0 -> printf("%d vmem_trim\n", me);
		tags_free(spare[0], false); tags_free(spare[1], false); tell(false) }
	:: atomic { BUCKETS > 0 -> printf("%d cache_drain_cpus\n", me); cache_drain_cpus() }
	:: atomic { free_slabs > SLABS_FOR_RESERVE -> /* keg_drain, slab_free */
		free_slabs--; slabs--; free_items = free_items - IPERS;
		printf("%d keg_drain: a slab goes, %d tags stay free in slabs\n", me, free_items);
		vm_page_free();
		if
		:: slabs_of_root > 0 -> slabs_of_root--; root_free(1)
		:: slabs > slabs_of_root -> domain_free();
			if
			:: release -> release = false; root_free(2)
			:: else
			fi
		fi }
	:: d_step { ended == CPUS -> /* SUMS */
		assert(pages + slabs - 1 + pages_kept == PAGES);
		assert(half_spans + 2 * full_spans + ROOT_PAGES == slabs - 1 + pages_kept);
		assert(slabs * IPERS == free_items + BUCKETS + spare[0] + spare[1] + tags_kept +
		    1 + BT_IMPORT * (1 + half_spans + full_spans) + BT_CLIP * (half_spans +
		    2 * full_spans) + BT_CLIP * (half_spans + full_spans + ROOT_PAGES)) }
	od
}

#ifdef INVARIANT
active proctype invariant()
{
end:	refills == 0 && free_items < BOUND -> assert(false)
}
#endif
#ifdef PROGRESS
ltl progress { <> (ended == CPUS) }
#endif
