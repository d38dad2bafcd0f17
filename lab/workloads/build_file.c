/*
 * The kernel build's files: lookups, descriptors' files, pipes, and what passes through them.
 *
 * Files and pipes stay within their job; no lock.
 */
#include "build_int.h"

/* ---- names --------------------------------------------------------------------------------------------- */

void
name_lookup(struct build *b, uint16_t path, bool there)
{
	struct build_tag *buffer = object_alloc(b, KIND_NAMEI, M_WAITOK);

	if (there)
		vnode_put(b, vnode_get(b, path));
	name_enter(b, path);
	object_free(b, buffer);
	build_count(&b->counts.lookups);
}

/* ---- files --------------------------------------------------------------------------------------------- */

struct file *
file_open(struct build *b, uint16_t path)
{
	struct file *f = object_alloc(b, KIND_FILE, M_WAITOK);
	struct build_tag *buffer = object_alloc(b, KIND_NAMEI, M_WAITOK);

	f->refs = 1;
	f->vnode = vnode_get(b, path);
	name_enter(b, path);
	object_free(b, buffer);
	build_count(&b->counts.opens);
	return (f);
}

/* ---- pipes --------------------------------------------------------------------------------------------- */

/* A pipe that finds no address space goes without: what holds it may be waiting for this one. */
static void
pipe_space(struct build *b, struct pipe *p)
{
	if (vmem_alloc(b->pipe_map.vm, PIPE_BYTES, M_NOWAIT | M_BESTFIT, &p->kva) == 0)
		return;
	p->kva = 0;
	build_count(&b->counts.short_pipes);
}

void
file_pipe(struct build *b, struct file *end[2])
{
	struct pipe *p = object_alloc(b, KIND_PIPE, M_WAITOK);

	pipe_space(b, p);
	p->refs = 2;
	for (unsigned i = 0; i < 2; i++) {
		end[i] = object_alloc(b, KIND_FILE, M_WAITOK);
		end[i]->refs = 1;
		end[i]->pipe = p;
	}
	build_count(&b->counts.pipes);
}

static void
pipe_release(struct build *b, struct pipe *p)
{
	if (--p->refs > 0)
		return;
	if (p->backed > 0)
		kmem_unback(p->kva, p->backed);
	if (p->kva != 0)
		vmem_free(b->pipe_map.vm, p->kva, PIPE_BYTES);
	object_free(b, p);
}

void
file_release(struct build *b, struct file *f)
{
	if (--f->refs > 0)
		return;
	if (f->vnode != NULL)
		vnode_put(b, f->vnode);
	else
		pipe_release(b, f->pipe);
	object_free(b, f);
}

/* Pages appear under a pipe as data do. */
static void
pipe_transfer(struct build *b, struct pipe *p, vm_size_t bytes)
{
	vm_size_t need = (bytes + BUILD_PAGE - 1) & ~(BUILD_PAGE - 1);

	need = need < PIPE_BYTES ? need : PIPE_BYTES;
	if (p->kva == 0 || need == 0)
		return;
	if (need > p->backed) {
		if (kmem_back(p->kva + p->backed, need - p->backed, M_WAITOK) != 0)
			b->config.fail("M_WAITOK failed", "pages of a pipe");
		p->backed = need;
	}
	*(volatile char *)p->kva = 1;
}

/* The most blocks of one call that pass through the cache; larger ones go past it. */
#define BLOCKS_MAX 4u

void
file_transfer(struct build *b, struct file *f, uint32_t bytes, bool write)
{
	build_count(&b->counts.transfers);
	if (f->pipe != NULL) {
		if (write)
			pipe_transfer(b, f->pipe, bytes);
		return;
	}
	if (f->vnode->path == 0) { /* the console */
		void *data = cooper_malloc(bytes < 4096 ? bytes : 4096, &b->io, M_WAITOK);

		cooper_free(data, &b->io);
		return;
	}
	for (unsigned i = 0; i < BLOCKS_MAX && bytes > 0; i++) {
		uint32_t at = f->offset % BLOCK_BYTES, n = (uint32_t)BLOCK_BYTES - at;

		n = n < bytes ? n : bytes;
		buffer_use(b, f->vnode->path, f->offset / BLOCK_BYTES, at + n);
		f->offset += n;
		bytes -= n;
	}
}
