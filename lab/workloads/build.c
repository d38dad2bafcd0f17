/*
 * The kernel build: making and ending it, workers, processes, and what each event asks for.
 */
#include "build_int.h"

const struct build_config build_config_default = {
	.vnodes = 400,
	.buffers = 256,
	.kstack_pages = 4,
	.execs = 16,
	.pipes = 64,
	.exec_bytes = sizeof(void *) == 8 ? (512 + 4) << 10 : (256 + 4) << 10,
};

/* ---- the lock ------------------------------------------------------------------------------------------- */

void
build_lock(struct build *b)
{
	while (__atomic_exchange_n(&b->lock, 1, __ATOMIC_ACQUIRE) != 0)
		while (__atomic_load_n(&b->lock, __ATOMIC_RELAXED) != 0)
			if (b->config.pause != NULL)
				b->config.pause();
}

void
build_unlock(struct build *b)
{
	__atomic_store_n(&b->lock, 0, __ATOMIC_RELEASE);
}

/* ---- making it ------------------------------------------------------------------------------------------ */

/* An arena over address space of its own, as a kernel's submaps are. */
static bool
map_create(struct map *map, const char *name, vm_size_t size, vm_size_t qcache)
{
	size = (size + BUILD_PAGE - 1) & ~(BUILD_PAGE - 1);
	map->base = kva_alloc(size);
	if (map->base == 0)
		return (false);
	map->size = size;
	map->vm = vmem_create(name, map->base, size, BUILD_PAGE, qcache, M_WAITOK);
	return (map->vm != NULL);
}

static void
map_destroy(struct map *map)
{
	if (map->vm != NULL)
		vmem_destroy(map->vm);
	if (map->base != 0)
		kva_free(map->base, map->size);
}

static bool
maps_create(struct build *b)
{
	const struct build_config *c = &b->config;

	return (map_create(&b->exec_map, "exec map", c->execs * c->exec_bytes, 0) &&
		map_create(&b->pipe_map, "pipe map", c->pipes * PIPE_BYTES, PIPE_BYTES) &&
		map_create(&b->buffer_map, "buffer map", c->buffer_bytes, BLOCK_BYTES));
}

static void
idle_init(struct idle *head)
{
	head->next = head->prev = head;
}

static void
take_config(struct build *b, const struct build_trace *trace, const struct build_config *config)
{
	struct build_config *c = &b->config;

	b->trace = trace;
	*c = *config;
	c->first = c->first < trace->njobs ? c->first : 0;
	if (c->jobs == 0 || c->jobs > trace->njobs - c->first)
		c->jobs = trace->njobs - c->first;
	c->rounds += c->rounds == 0;
	c->vnodes += c->vnodes == 0;
	c->buffers += c->buffers == 0;
	if (c->buffer_bytes == 0) /* those in use are beyond the number */
		c->buffer_bytes = (c->buffers + 32) * BLOCK_BYTES;
	idle_init(&b->idle_vnodes);
	idle_init(&b->idle_buffers);
}

/* The build's own memory is of no type that it counts: it is there before and after. */
static struct build *
build_memory(size_t npaths)
{
	size_t bytes = sizeof(struct build) + npaths * 2 * sizeof(void *);
	struct build *b = kmem_malloc(bytes, M_WAITOK | M_ZERO);

	if (b == NULL)
		return (NULL);
	b->vnode = (struct vnode **)(b + 1);
	b->name = (struct name **)(b->vnode + npaths);
	b->tables.ks_shortdesc = "build tables";
	b->io.ks_shortdesc = "build io";
	return (b);
}

struct build *
build_create(const struct build_trace *trace, const struct build_config *config, const char **why)
{
	struct build *b;

	*why = build_check(trace);
	if (*why != NULL)
		return (NULL);
	b = build_memory(trace->npaths);
	if (b == NULL) {
		*why = "no memory for the build";
		return (NULL);
	}
	take_config(b, trace, config);
	*why = maps_create(b) ? objects_create(b) : "no address space for the build's maps";
	if (*why == NULL)
		return (b);
	build_destroy(b);
	return (NULL);
}

void
build_destroy(struct build *b)
{
	size_t bytes = sizeof(struct build) + b->trace->npaths * 2 * sizeof(void *);

	build_reclaim(b, 0);
	if (b->nvnodes != 0 || b->nbuffers != 0)
		b->config.fail("still in use at the end", "vnodes or buffers");
	objects_destroy(b);
	map_destroy(&b->buffer_map);
	map_destroy(&b->pipe_map);
	map_destroy(&b->exec_map);
	malloc_uninit(&b->io);
	malloc_uninit(&b->tables);
	kmem_free(b, bytes);
}

void
build_counts(const struct build *b, struct build_counts *out)
{
	*out = b->counts;
}

/* ---- descriptors -------------------------------------------------------------------------------------- */

#define FDS_FIRST 20u /* as many have room at first */

static void
fds_grow(struct build *b, struct proc *p, uint32_t want)
{
	uint32_t n = p->nfds != 0 ? p->nfds : FDS_FIRST;
	struct file **fd;

	while (n <= want)
		n *= 2;
	fd = cooper_malloc(n * sizeof(fd[0]), &b->tables, M_WAITOK | M_ZERO);
	for (uint32_t i = 0; i < p->nfds; i++)
		fd[i] = p->fd[i];
	cooper_free(p->fd, &b->tables);
	p->fd = fd;
	p->nfds = n;
}

static struct file *
fd_file(const struct proc *p, uint32_t fd)
{
	return (fd < p->nfds ? p->fd[fd] : NULL);
}

static void
fd_close(struct build *b, struct proc *p, uint32_t fd)
{
	struct file *f = fd_file(p, fd);

	if (f == NULL) /* of the maker, which is of another job */
		return;
	p->fd[fd] = NULL;
	file_release(b, f);
}

static void
fd_set(struct build *b, struct proc *p, uint32_t fd, struct file *f)
{
	fd_close(b, p, fd);
	if (fd >= p->nfds)
		fds_grow(b, p, fd);
	p->fd[fd] = f;
}

static void
fds_copy(struct build *b, struct proc *p, const struct proc *from)
{
	for (uint32_t fd = 0; fd < from->nfds; fd++)
		if (from->fd[fd] != NULL) {
			from->fd[fd]->refs++;
			fd_set(b, p, fd, from->fd[fd]);
		}
}

/* ---- processes ------------------------------------------------------------------------------------------ */

static void
thread_create(struct build *b, struct proc *p)
{
	struct thread *t = object_alloc(b, KIND_THREAD, M_WAITOK);

	t->stack = object_alloc(b, KIND_KSTACK, M_WAITOK);
	t->next = p->threads;
	p->threads = t;
}

static void
thread_exit(struct build *b, struct proc *p)
{
	struct thread *t = p->threads;

	p->threads = t->next;
	object_free(b, t->stack);
	object_free(b, t);
}

/* A process without address space or files yet. */
static struct proc *
proc_create(struct build *b)
{
	struct proc *p = object_alloc(b, KIND_PROC, M_WAITOK);

	thread_create(b, p);
	build_count(&b->counts.processes);
	return (p);
}

static void
proc_spawn(struct play *play, unsigned number)
{
	struct build *b = play->build;
	struct proc *p = proc_create(b);

	p->vm = vmspace_create(b);
	for (unsigned fd = 0; fd < 3; fd++)
		fd_set(b, p, fd, file_open(b, 0));
	play->proc[number] = p;
}

static void
proc_fork(struct play *play, struct proc *parent, unsigned number, bool vfork)
{
	struct build *b = play->build;
	struct proc *p = proc_create(b);

	if (vfork) {
		p->vm = parent->vm;
		p->vm->refs++;
	} else
		p->vm = vmspace_copy(b, parent->vm);
	fds_copy(b, p, parent);
	play->proc[number] = p;
}

/* Where a program's own segments, its stack and what the kernel gives it lie: (page, pages). */
static const uint16_t image[][2] = { { 0x400, 1 }, { 0x401, 64 }, { 0x441, 16 }, { 0x451, 4 } };
#define STACK_PAGE  (BUILD_USER_END - 64)
#define STACK_PAGES 33u

static struct vmspace *
image_load(struct build *b, uint16_t path)
{
	struct vmspace *vm = vmspace_create(b);

	for (unsigned i = 0; i < sizeof(image) / sizeof(image[0]); i++)
		map_enter(b, vm, image[i][0], image[i][1], i < 3 ? path : BUILD_NO_PATH);
	map_enter(b, vm, STACK_PAGE, STACK_PAGES, BUILD_NO_PATH);
	map_enter(b, vm, BUILD_USER_END - 2, 2, BUILD_NO_PATH);
	return (vm);
}

/* Arguments are copied into the exec map, then, once the old address space is gone, to the stack. */
static void
proc_exec(struct build *b, struct proc *p, uint16_t path, uint32_t size)
{
	vm_size_t bytes = (size + BUILD_PAGE) & ~(BUILD_PAGE - 1);
	vmem_addr_t args;

	bytes = bytes < b->config.exec_bytes ? bytes : b->config.exec_bytes;
	if (vmem_alloc(b->exec_map.vm, b->config.exec_bytes, M_WAITOK | M_BESTFIT, &args) != 0 ||
	    kmem_back(args, bytes, M_WAITOK) != 0)
		b->config.fail("M_WAITOK failed", "exec map");
	*(volatile uint32_t *)args = size;
	name_lookup(b, path, true);
	vmspace_release(b, p->vm);
	p->vm = image_load(b, path);
	cooper_free(p->args, &b->tables);
	p->args = cooper_malloc(size < 256 ? size + 1 : 256, &b->tables, M_WAITOK);
	if (*(volatile uint32_t *)args != size)
		b->config.fail("arguments are overwritten", "exec map");
	kmem_unback(args, bytes);
	vmem_free(b->exec_map.vm, args, b->config.exec_bytes);
	build_count(&b->counts.execs);
}

static void
proc_exit(struct play *play, unsigned number)
{
	struct build *b = play->build;
	struct proc *p = play->proc[number];

	for (uint32_t fd = 0; fd < p->nfds; fd++)
		fd_close(b, p, fd);
	cooper_free(p->fd, &b->tables);
	p->fd = NULL;
	p->nfds = 0;
	vmspace_release(b, p->vm);
	p->vm = NULL;
	while (p->threads != NULL)
		thread_exit(b, p);
	play->ended[number] = true;
}

static void
proc_reap(struct play *play, unsigned number)
{
	struct build *b = play->build;

	cooper_free(play->proc[number]->args, &b->tables);
	object_free(b, play->proc[number]);
	play->proc[number] = NULL;
	play->ended[number] = false;
}

/* ---- events --------------------------------------------------------------------------------------------- */

static void
event_files(struct build *b, struct proc *p, const struct build_event *e)
{
	struct file *f = fd_file(p, e->fd), *end[2];

	switch (e->op) {
	case BUILD_OPEN:
		fd_set(b, p, e->fd, file_open(b, e->path));
		break;
	case BUILD_CLOSE:
		fd_close(b, p, e->fd);
		break;
	case BUILD_DUP:
		if (f == NULL)
			break;
		f->refs++;
		fd_set(b, p, e->fd2, f);
		break;
	case BUILD_PIPE:
		file_pipe(b, end);
		fd_set(b, p, e->fd, end[0]);
		fd_set(b, p, e->fd2, end[1]);
		break;
	default:
		if (f != NULL)
			file_transfer(b, f, e->a, e->op == BUILD_WRITE);
	}
}

static void
event_play(struct play *play, const struct build_event *e)
{
	struct build *b = play->build;
	struct proc *p = play->proc[e->process];

	switch (e->op) {
	case BUILD_SPAWN:
		proc_spawn(play, e->process);
		break;
	case BUILD_FORK:
	case BUILD_VFORK:
		proc_fork(play, p, e->a, e->op == BUILD_VFORK);
		break;
	case BUILD_THREAD:
		thread_create(b, p);
		break;
	case BUILD_THREAD_X:
		if (p->threads->next != NULL)
			thread_exit(b, p);
		break;
	case BUILD_EXEC:
		proc_exec(b, p, e->path, e->a);
		break;
	case BUILD_MAP:
		map_enter(b, p->vm, e->a, e->b, e->path);
		break;
	case BUILD_UNMAP:
		map_remove(b, p->vm, e->a, e->b);
		break;
	case BUILD_PROTECT:
		map_protect(b, p->vm, e->a, e->b);
		break;
	case BUILD_LOOKUP:
	case BUILD_MISS:
		name_lookup(b, e->path, e->op == BUILD_LOOKUP);
		break;
	case BUILD_EXIT:
		proc_exit(play, e->process);
		break;
	case BUILD_REAP:
		proc_reap(play, e->a);
		break;
	default:
		event_files(b, p, e);
	}
	build_count(&b->counts.events);
}

static void
job_play(struct build *b, const struct build_job *j)
{
	uint32_t count = j->count;
	struct play play = { .build = b };

	if (b->config.events != 0 && b->config.events < count)
		count = b->config.events;
	for (uint32_t i = 0; i < count; i++)
		event_play(&play, &b->trace->event[j->first + i]);
	for (unsigned n = BUILD_PROCESSES; n-- > 0;) { /* nobody's children; or a job cut short */
		if (play.proc[n] == NULL)
			continue;
		if (!play.ended[n])
			proc_exit(&play, n);
		proc_reap(&play, n);
	}
}

void
build_worker(struct build *b)
{
	const struct build_config *c = &b->config;
	uint32_t n;

	while ((n = __atomic_fetch_add(&b->next_job, 1, __ATOMIC_RELAXED)) < c->jobs * c->rounds)
		job_play(b, &b->trace->job[c->first + n % c->jobs]);
}
