/*
 * The kernel build's caches: names, vnodes, buffers. All workers', under build.lock.
 *
 * An object whose count is zero is on its list of idle ones, longest idle first, and whoever takes it
 * off the list owns it. What is to be freed leaves the tables under the lock and is freed after it.
 * A path or a block that two workers bring in at once is made twice, and the second one is freed.
 */
#include "build_int.h"

/* ---- lists of idle ones ------------------------------------------------------------------------------- */

static void
idle_append(struct idle *head, struct idle *i)
{
	i->prev = head->prev;
	i->next = head;
	head->prev->next = i;
	head->prev = i;
}

static void
idle_remove(struct idle *i)
{
	i->next->prev = i->prev;
	i->prev->next = i->next;
}

/* ---- vnodes ------------------------------------------------------------------------------------------- */

static void
vnode_destroy(struct build *b, struct vnode *vp)
{
	object_free(b, vp->object);
	object_free(b, vp->dinode);
	object_free(b, vp->inode);
	object_free(b, vp);
}

/*
 * If there are more than `most`, take the longest idle one out of the table, and the name that led to
 * it. NULL: there are not, or none is idle.
 */
static struct vnode *
vnode_take_idle(struct build *b, uint32_t most, struct name **name)
{
	struct vnode *vp = NULL;

	build_lock(b);
	if (b->nvnodes > most && b->idle_vnodes.next != &b->idle_vnodes) {
		vp = FROM_IDLE(struct vnode, b->idle_vnodes.next);
		idle_remove(&vp->idle);
		b->vnode[vp->path] = NULL;
		*name = b->name[vp->path];
		b->name[vp->path] = NULL;
		b->nvnodes--;
		b->nidle_vnodes--;
	}
	build_unlock(b);
	return (vp);
}

static bool
vnode_recycle(struct build *b, uint32_t most)
{
	struct name *name;
	struct vnode *vp = vnode_take_idle(b, most, &name);

	if (vp == NULL)
		return (false);
	vnode_destroy(b, vp);
	if (name != NULL)
		object_free(b, name);
	return (true);
}

static struct vnode *
vnode_create(struct build *b, uint16_t path)
{
	struct vnode *vp;

	while (vnode_recycle(b, b->config.vnodes - 1)) /* room for this one */
		build_count(&b->counts.recycled);
	vp = object_alloc(b, KIND_VNODE, M_WAITOK);
	vp->inode = object_alloc(b, KIND_INODE, M_WAITOK);
	vp->dinode = object_alloc(b, KIND_DINODE, M_WAITOK);
	vp->object = object_alloc(b, KIND_OBJECT, M_WAITOK);
	vp->path = path;
	if (b->config.disk != NULL)
		b->config.disk();
	build_count(&b->counts.vnodes);
	return (vp);
}

/* lock held */
static struct vnode *
vnode_find(struct build *b, uint16_t path)
{
	struct vnode *vp = b->vnode[path];

	if (vp != NULL && vp->refs++ == 0) {
		idle_remove(&vp->idle);
		b->nidle_vnodes--;
	}
	return (vp);
}

struct vnode *
vnode_get(struct build *b, uint16_t path)
{
	struct vnode *vp, *made;

	build_lock(b);
	vp = vnode_find(b, path);
	build_unlock(b);
	if (vp != NULL)
		return (vp);
	made = vnode_create(b, path);
	build_lock(b);
	vp = vnode_find(b, path);
	if (vp == NULL) {
		made->refs = 1;
		b->vnode[path] = made;
		b->nvnodes++;
	}
	build_unlock(b);
	if (vp == NULL)
		return (made);
	vnode_destroy(b, made);
	return (vp);
}

void
vnode_ref(struct build *b, struct vnode *vp)
{
	build_lock(b);
	vp->refs++;
	build_unlock(b);
}

void
vnode_put(struct build *b, struct vnode *vp)
{
	object_check(b, vp, KIND_VNODE);
	build_lock(b);
	if (--vp->refs == 0) {
		idle_append(&b->idle_vnodes, &vp->idle);
		b->nidle_vnodes++;
	}
	build_unlock(b);
}

/* ---- names --------------------------------------------------------------------------------------------- */

/* Remember the outcome of a lookup, if there is memory for it without waiting. */
void
name_enter(struct build *b, uint16_t path)
{
	struct name *made, *old;

	build_lock(b);
	old = b->name[path];
	build_unlock(b);
	if (old != NULL || (made = object_alloc(b, KIND_NAME, M_NOWAIT)) == NULL)
		return;
	build_lock(b);
	old = b->name[path];
	if (old == NULL)
		b->name[path] = made;
	build_unlock(b);
	if (old != NULL)
		object_free(b, made);
}

/* Names of what is not there are let go one after the other; those of vnodes go with them. */
static void
names_reclaim(struct build *b, unsigned shift)
{
	for (uint32_t path = 0; path < b->trace->npaths; path += 1u << shift) {
		struct name *name = NULL;

		build_lock(b);
		if (b->vnode[path] == NULL) {
			name = b->name[path];
			b->name[path] = NULL;
		}
		build_unlock(b);
		if (name != NULL)
			object_free(b, name);
	}
}

/* ---- buffers ------------------------------------------------------------------------------------------- */

static struct buf **
buffer_chain(struct build *b, uint32_t key)
{
	return (&b->buffer[key * 2654435761u % BUFFER_HASH]);
}

/* lock held */
static struct buf *
buffer_find(struct build *b, uint32_t key)
{
	struct buf *bp = *buffer_chain(b, key);

	while (bp != NULL && bp->key != key)
		bp = bp->next;
	if (bp != NULL && bp->refs++ == 0) {
		idle_remove(&bp->idle);
		b->nidle_buffers--;
	}
	return (bp);
}

static void
buffer_destroy(struct build *b, struct buf *bp)
{
	kmem_unback(bp->kva, bp->bytes);
	vmem_free(b->buffer_map.vm, bp->kva, BLOCK_BYTES);
	object_free(b, bp);
}

/* As vnode_recycle(). */
static bool
buffer_recycle(struct build *b, uint32_t most)
{
	struct buf *bp = NULL, **p;

	build_lock(b);
	if (b->nbuffers > most && b->idle_buffers.next != &b->idle_buffers) {
		bp = FROM_IDLE(struct buf, b->idle_buffers.next);
		idle_remove(&bp->idle);
		for (p = buffer_chain(b, bp->key); *p != bp;)
			p = &(*p)->next;
		*p = bp->next;
		b->nbuffers--;
		b->nidle_buffers--;
	}
	build_unlock(b);
	if (bp != NULL)
		buffer_destroy(b, bp);
	return (bp != NULL);
}

/* Address space first from what is free, then from idle buffers, then by waiting. */
static vm_offset_t
buffer_kva(struct build *b)
{
	vmem_addr_t kva;

	while (vmem_alloc(b->buffer_map.vm, BLOCK_BYTES, M_NOWAIT | M_BESTFIT, &kva) != 0) {
		if (buffer_recycle(b, 0)) {
			build_count(&b->counts.recycled);
			continue;
		}
		build_count(&b->counts.buffer_waits);
		if (vmem_alloc(b->buffer_map.vm, BLOCK_BYTES, M_WAITOK | M_BESTFIT, &kva) == 0)
			break;
		b->config.fail("M_WAITOK failed", "buffer map");
	}
	return (kva);
}

static struct buf *
buffer_create(struct build *b, uint32_t key, vm_size_t bytes)
{
	struct buf *bp;

	while (buffer_recycle(b, b->config.buffers - 1))
		build_count(&b->counts.recycled);
	bp = object_alloc(b, KIND_BUF, M_WAITOK);
	bp->key = key;
	bp->bytes = (bytes + BUILD_PAGE - 1) & ~(BUILD_PAGE - 1);
	bp->kva = buffer_kva(b);
	if (kmem_back(bp->kva, bp->bytes, M_WAITOK) != 0)
		b->config.fail("M_WAITOK failed", "pages of a buffer");
	if (b->config.disk != NULL)
		b->config.disk();
	build_count(&b->counts.buffers);
	return (bp);
}

/* A block's data pass through its buffer. */
void
buffer_use(struct build *b, uint16_t path, uint32_t block, uint32_t bytes)
{
	uint32_t key = (uint32_t)path << 16 | (block & 0xffff);
	struct buf *bp, *made = NULL, **chain = buffer_chain(b, key);

	build_lock(b);
	bp = buffer_find(b, key);
	build_unlock(b);
	if (bp == NULL) {
		made = buffer_create(b, key, bytes);
		build_lock(b);
		bp = buffer_find(b, key);
		if (bp == NULL) {
			bp = made;
			made = NULL;
			bp->refs = 1;
			bp->next = *chain;
			*chain = bp;
			b->nbuffers++;
		}
		build_unlock(b);
	}
	if (made != NULL)
		buffer_destroy(b, made);
	__atomic_store_n((uint32_t *)bp->kva, key, __ATOMIC_RELAXED);
	object_check(b, bp, KIND_BUF);
	build_lock(b);
	if (--bp->refs == 0) {
		idle_append(&b->idle_buffers, &bp->idle);
		b->nidle_buffers++;
	}
	build_unlock(b);
}

/* ---- reclaim ------------------------------------------------------------------------------------------- */

static uint32_t
part_of(uint32_t all, unsigned shift)
{
	return ((all >> shift) + (all != 0 && all >> shift == 0));
}

void
build_reclaim(struct build *b, unsigned shift)
{
	uint32_t buffers, vnodes;

	build_lock(b);
	buffers = part_of(b->nidle_buffers, shift);
	vnodes = part_of(b->nidle_vnodes, shift);
	build_unlock(b);
	for (; buffers > 0 && buffer_recycle(b, 0); buffers--)
		build_count(&b->counts.reclaimed);
	for (; vnodes > 0 && vnode_recycle(b, 0); vnodes--)
		build_count(&b->counts.reclaimed);
	names_reclaim(b, shift);
}
