/*
 * What the files of the kernel build share: the kernel's objects, and the build itself.
 *
 * A process, its threads, files, pipes and address space belong to the worker that plays its job.
 * Names, vnodes and buffers are all workers': build.lock guards their tables, lists and counts. The
 * lock is never held across a call of the core, so that whoever spins for it waits for a few
 * instructions of this folder only.
 */
#ifndef LAB_WORKLOADS_BUILD_INT_H
#define LAB_WORKLOADS_BUILD_INT_H

#include <cooper/kmem.h>
#include <cooper/malloc.h>
#include <cooper/uma.h>
#include <cooper/vmem.h>

#include "build.h"

#define BUILD_PAGE   ((vm_size_t)4096)
#define BLOCK_BYTES  ((vm_size_t)16384) /* of the buffer cache */
#define PIPE_BYTES   ((vm_size_t)16384)
#define BUFFER_HASH  128u
#define UPPER_TABLES (sizeof(void *) == 8 ? 3u : 1u) /* page-table pages of an empty vmspace */
#define TABLE_PAGES  ((uint32_t)(BUILD_PAGE / sizeof(void *))) /* pages that one maps */

/* ---- objects --------------------------------------------------------------------------------- */

enum build_kind {
	KIND_PROC,
	KIND_THREAD,
	KIND_KSTACK,
	KIND_VMSPACE,
	KIND_MAP_ENTRY,
	KIND_OBJECT,
	KIND_TABLE,
	KIND_NAMEI,
	KIND_NAME,
	KIND_VNODE,
	KIND_INODE,
	KIND_DINODE,
	KIND_FILE,
	KIND_PIPE,
	KIND_BUF,
	BUILD_KINDS
};

/*
 * In front of each item. Between ctor and dtor magic is LIVE and serial and kind are the ctor's; the
 * rest of the item, past the structure that the kind uses, holds a pattern made of both.
 */
struct build_tag {
	uint32_t magic;
	uint16_t serial;
	uint16_t kind;
};

struct vm_object {
	struct build_tag tag;
	uint32_t refs; /* entries; an anonymous object stays within its job */
};

struct map_entry {
	struct build_tag tag;
	struct map_entry *next;
	uint32_t start, end; /* pages */
	struct vm_object *object;
	struct vnode *vnode; /* instead of an object: a file is mapped */
};

struct page_table {
	struct build_tag tag;
	struct page_table *next;
	uint32_t region; /* first page, in TABLE_PAGES */
};

struct vmspace {
	struct build_tag tag;
	uint32_t refs;             /* processes: more than one after a vfork */
	struct map_entry *entries; /* by address */
	struct page_table *tables;
	struct page_table *upper[3];
};

struct thread {
	struct build_tag tag;
	struct thread *next;
	struct build_tag *stack;
};

struct file {
	struct build_tag tag;
	uint32_t refs; /* descriptors, of all processes of the job */
	uint32_t offset;
	struct vnode *vnode;
	struct pipe *pipe;
};

struct pipe {
	struct build_tag tag;
	uint32_t refs; /* ends */
	vm_offset_t kva;
	vm_size_t backed; /* bytes of it with pages */
};

struct proc {
	struct build_tag tag;
	struct thread *threads;
	struct vmspace *vm;
	struct file **fd; /* malloc'ed */
	uint32_t nfds;
	void *args; /* malloc'ed */
};

struct name { /* of the name cache; of a name that is there or is not */
	struct build_tag tag;
};

/* On a list of idle ones, the longest idle first. */
struct idle {
	struct idle *next, *prev;
};

struct vnode {
	struct build_tag tag;
	struct idle idle; /* while refs is 0 */
	uint32_t refs;
	uint16_t path;
	struct vm_object *object;
	struct build_tag *inode, *dinode;
};

struct buf {
	struct build_tag tag;
	struct idle idle; /* while refs is 0 */
	uint32_t refs;
	uint32_t key; /* path and block */
	struct buf *next;
	vm_offset_t kva;
	vm_size_t bytes;
};

#define FROM_IDLE(type, p) ((type *)((char *)(p)-offsetof(type, idle)))

/* ---- the build --------------------------------------------------------------------------------- */

struct zone_context { /* what a zone's ctor and dtor are told */
	struct build *build;
	enum build_kind kind;
};

struct build {
	struct build_config config;
	const struct build_trace *trace;
	uma_zone_t zone[BUILD_KINDS];
	struct zone_context context[BUILD_KINDS];
	struct malloc_type tables, io;
	uint16_t serial;
	uint32_t next_job; /* of config.jobs * config.rounds */

	struct map {
		vmem_t *vm;
		vm_offset_t base;
		vm_size_t size;
	} exec_map, pipe_map, buffer_map;

	uint32_t lock;
	struct vnode **vnode; /* by path */
	struct name **name;   /* by path */
	struct buf *buffer[BUFFER_HASH];
	struct idle idle_vnodes, idle_buffers;
	uint32_t nvnodes, nbuffers, nidle_vnodes, nidle_buffers;

	struct build_counts counts;
};

/* One job being played. */
struct play {
	struct build *build;
	struct proc *proc[BUILD_PROCESSES];
	bool ended[BUILD_PROCESSES]; /* a zombie: only the proc is left */
};

static inline void
build_count(uint32_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

void build_lock(struct build *b);
void build_unlock(struct build *b);

/* build_objects.c */
const char *objects_create(struct build *b);
void objects_destroy(struct build *b);
void *object_alloc(struct build *b, enum build_kind kind, int flags); /* NULL: M_NOWAIT only */
void object_free(struct build *b, void *item);
void object_check(struct build *b, const void *item, enum build_kind kind);

/* build_vm.c */
struct vmspace *vmspace_create(struct build *b);
struct vmspace *vmspace_copy(struct build *b, const struct vmspace *from);
void vmspace_release(struct build *b, struct vmspace *vm);
void map_enter(struct build *b, struct vmspace *vm, uint32_t start, uint32_t n, uint16_t path);
void map_remove(struct build *b, struct vmspace *vm, uint32_t start, uint32_t n);
void map_protect(struct build *b, struct vmspace *vm, uint32_t start, uint32_t n);

/* build_file.c */
void name_lookup(struct build *b, uint16_t path, bool there);
struct file *file_open(struct build *b, uint16_t path);
void file_pipe(struct build *b, struct file *end[2]);
void file_release(struct build *b, struct file *f);
void file_transfer(struct build *b, struct file *f, uint32_t bytes, bool write);

/* build_cache.c */
struct vnode *vnode_get(struct build *b, uint16_t path);
void vnode_ref(struct build *b, struct vnode *vp);
void vnode_put(struct build *b, struct vnode *vp);
void name_enter(struct build *b, uint16_t path);
void buffer_use(struct build *b, uint16_t path, uint32_t block, uint32_t bytes);

#endif
