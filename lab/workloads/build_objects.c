/*
 * The kernel build's zones. Each item is filled when it is handed out and checked when it comes back,
 * so that two owners of one item, or of overlapping ones, are seen.
 *
 * Sizes are those that `vmstat -z` prints on FreeBSD 12 and 13, i386 and amd64, to within some bytes:
 * what matters is how many fit a slab and which slabs are larger than a page. There some zones never
 * give slabs back (NOFREE); here all do, so that the books can be closed.
 */
#include "build_int.h"

#define MAGIC_LIVE 0x6c697665u
#define MAGIC_DEAD 0x64656164u

static const struct kind {
	const char *name;
	uint16_t size32, size64;
	uint16_t used; /* bytes of it that this folder uses */
} kinds[BUILD_KINDS] = {
	[KIND_PROC] = { "PROC", 848, 1312, sizeof(struct proc) },
	[KIND_THREAD] = { "THREAD", 1120, 1824, sizeof(struct thread) },
	[KIND_KSTACK] = { "kstack", 0, 0, sizeof(struct build_tag) },
	[KIND_VMSPACE] = { "VMSPACE", 404, 2568, sizeof(struct vmspace) },
	[KIND_MAP_ENTRY] = { "MAP ENTRY", 68, 96, sizeof(struct map_entry) },
	[KIND_OBJECT] = { "VM OBJECT", 160, 264, sizeof(struct vm_object) },
	[KIND_TABLE] = { "page table", 4096, 4096, sizeof(struct page_table) },
	[KIND_NAMEI] = { "NAMEI", 1024, 1024, sizeof(struct build_tag) },
	[KIND_NAME] = { "S VFS Cache", 76, 108, sizeof(struct name) },
	[KIND_VNODE] = { "VNODE", 312, 480, sizeof(struct vnode) },
	[KIND_INODE] = { "FFS inode", 100, 160, sizeof(struct build_tag) },
	[KIND_DINODE] = { "FFS2 dinode", 256, 256, sizeof(struct build_tag) },
	[KIND_FILE] = { "Files", 56, 80, sizeof(struct file) },
	[KIND_PIPE] = { "pipe", 464, 760, sizeof(struct pipe) },
	[KIND_BUF] = { "buf", 484, 848, sizeof(struct buf) },
};

static size_t
kind_size(const struct build *b, enum build_kind kind)
{
	if (kind == KIND_KSTACK)
		return (b->config.kstack_pages * BUILD_PAGE);
	return (sizeof(void *) == 8 ? kinds[kind].size64 : kinds[kind].size32);
}

/* ---- what an item holds --------------------------------------------------------------------------- */

/* All words of small items; of large ones one in eight, so at least one in each cache line. */
static size_t
stride(size_t size)
{
	return (size <= 512 ? 1 : 8);
}

static uint32_t
pattern(const void *at, const struct build_tag *tag)
{
	return ((uint32_t)(uintptr_t)at * 2654435761u ^ (uint32_t)tag->serial << 16 ^ tag->kind);
}

static int
item_ctor(void *mem, int size, void *arg, int flags)
{
	const struct zone_context *c = arg;
	struct build_tag *tag = mem;
	size_t words = (size_t)size / 4, used = kinds[c->kind].used / 4;
	uint32_t *word = mem;

	(void)flags;
	for (size_t i = 0; i < used; i++)
		word[i] = 0;
	tag->magic = MAGIC_LIVE;
	tag->serial = __atomic_fetch_add(&c->build->serial, 1, __ATOMIC_RELAXED);
	tag->kind = (uint16_t)c->kind;
	for (size_t i = used; i < words; i += stride((size_t)size))
		word[i] = pattern(&word[i], tag);
	return (0);
}

void
object_check(struct build *b, const void *item, enum build_kind kind)
{
	const struct build_tag *tag = item;
	size_t size = kind_size(b, kind), words = size / 4;
	const uint32_t *word = item;

	if (tag->magic == MAGIC_DEAD)
		b->config.fail("an item is free that is in use", kinds[kind].name);
	if (tag->magic != MAGIC_LIVE || tag->kind != kind)
		b->config.fail("an item's head is overwritten", kinds[kind].name);
	for (size_t i = kinds[kind].used / 4; i < words; i += stride(size))
		if (word[i] != pattern(&word[i], tag))
			b->config.fail("an item is overwritten", kinds[kind].name);
}

static void
item_dtor(void *mem, int size, void *arg)
{
	const struct zone_context *c = arg;

	(void)size;
	object_check(c->build, mem, c->kind);
	((struct build_tag *)mem)->magic = MAGIC_DEAD;
}

/* ---- kernel stacks: cached, their memory from kmem ---------------------------------------------------- */

static int
kstack_import(void *arg, void **store, int count, int domain, int flags)
{
	const struct build *b = arg;
	int n = 0;

	(void)domain;
	while (n < count && (store[n] = kmem_malloc(
				 kind_size(b, KIND_KSTACK), flags & (M_WAITOK | M_NOWAIT))) != NULL)
		n++;
	return (n);
}

static void
kstack_release(void *arg, void **store, int count)
{
	const struct build *b = arg;

	for (int i = 0; i < count; i++)
		kmem_free(store[i], kind_size(b, KIND_KSTACK));
}

/* ---- the zones -------------------------------------------------------------------------------------- */

const char *
objects_create(struct build *b)
{
	for (unsigned k = 0; k < BUILD_KINDS; k++) {
		const struct kind *kind = &kinds[k];
		size_t size = kind_size(b, k);

		b->context[k] = (struct zone_context){ b, k };
		if (k == KIND_KSTACK)
			b->zone[k] = uma_zcache_create(kind->name, (int)size, item_ctor, item_dtor,
			    NULL, NULL, kstack_import, kstack_release, b, 0);
		else
			b->zone[k] = uma_zcreate(
			    kind->name, size, item_ctor, item_dtor, NULL, NULL, UMA_ALIGN_PTR, 0);
		if (b->zone[k] == NULL)
			return ("a zone cannot be made");
	}
	return (NULL);
}

void
objects_destroy(struct build *b)
{
	for (unsigned k = BUILD_KINDS; k-- > 0;)
		if (b->zone[k] != NULL)
			uma_zdestroy(b->zone[k]);
}

void *
object_alloc(struct build *b, enum build_kind kind, int flags)
{
	void *item = uma_zalloc_arg(b->zone[kind], &b->context[kind], flags);

	if (item == NULL && (flags & M_WAITOK) != 0)
		b->config.fail("M_WAITOK returned NULL", kinds[kind].name);
	return (item);
}

void
object_free(struct build *b, void *item)
{
	unsigned kind = ((struct build_tag *)item)->kind;

	if (kind >= BUILD_KINDS)
		b->config.fail("an item's head is overwritten", "an item to be freed");
	uma_zfree_arg(b->zone[kind], item, &b->context[kind]);
}
