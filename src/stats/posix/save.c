/*
 * Saving a process's statistics when it ends, and its place on the board of its run (board.h).
 *
 * The line is built in a mapping of its own, grown as needed, and goes out with one write(2) to a
 * file opened O_APPEND, so that lines of many processes never mix. Nothing here allocates from the
 * core, uses stdio or takes a lock.
 *
 * A forked child inherits its parent's counters, and a process may save more than once (an exec that
 * failed). So that sums over all lines count nothing twice, counters are written relative to a
 * baseline: what they were at the last fork or save. Levels are written as they are.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/atomic.h"
#include "stats/json.h"
#include "stats/posix/baseline.h"
#include "stats/posix/board.h"
#include "stats/posix/save.h"

#define MAX_TAGS 1024 /* larger arenas are saved without a histogram: an exit is short */

static struct {
	pid_t pid; /* whose state this is; another: we are in a child made by vfork */
	struct stats_board *board;
	struct stats_board_slot *slot;
} run;

/* ---- the text ---------------------------------------------------------------------------------- */

struct buffer {
	char *text;
	size_t len, size;
};

static void
buffer_write(void *arg, const char *text, size_t len)
{
	struct buffer *b = arg;

	if (b->text == NULL)
		return;
	if (len > b->size - b->len) {
		char *larger = mremap(b->text, b->size, 2 * b->size, MREMAP_MAYMOVE);

		if (larger == MAP_FAILED) {
			munmap(b->text, b->size);
			b->text = NULL;
			return;
		}
		b->text = larger;
		b->size *= 2;
	}
	memcpy(b->text + b->len, text, len);
	b->len += len;
}

/* ---- the board --------------------------------------------------------------------------------- */

static bool
take_slot(struct stats_board *board, pid_t pid, struct stats_board_slot **slot)
{
	unsigned first = (unsigned)pid % STATS_BOARD_SLOTS;

	for (unsigned i = 0; i < STATS_BOARD_PROBE; i++) { /* ours already? then this is an exec */
		*slot = &board->slot[(first + i) % STATS_BOARD_SLOTS];
		if (atomic_load_relaxed(&(*slot)->pid) == (uint32_t)pid)
			return (false);
	}
	for (unsigned i = 0; i < STATS_BOARD_PROBE; i++) {
		uint32_t nobody = 0;

		*slot = &board->slot[(first + i) % STATS_BOARD_SLOTS];
		if (atomic_load_relaxed(&(*slot)->pid) == 0 &&
		    atomic_cas(&(*slot)->pid, &nobody, (uint32_t)pid))
			return (true);
	}
	*slot = NULL;
	atomic_add_relaxed(&board->crowded, 1);
	return (true);
}

static void
sign_on(void)
{
	atomic_add_relaxed(&run.board->images, 1);
	if (take_slot(run.board, run.pid, &run.slot))
		atomic_add_relaxed(&run.board->processes, 1);
	if (run.slot == NULL)
		return;
	run.slot->word = 8 * sizeof(void *);
	atomic_store_release(&run.slot->root, (uint64_t)(uintptr_t)&cooper_stats_root);
}

void
stats_run_start(const char *path)
{
	char name[4096];
	struct stat st;
	void *at = MAP_FAILED;
	int fd, saved = errno;

	run.pid = getpid();
	if (core_snprintf(name, sizeof(name), "%s" STATS_BOARD_SUFFIX, path) >= (int)sizeof(name))
		return;
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		if (fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof(struct stats_board))
			at = mmap(NULL, sizeof(struct stats_board), PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);
		close(fd);
	}
	errno = saved;
	if (at == MAP_FAILED)
		return;
	run.board = at;
	if (run.board->magic == STATS_BOARD_MAGIC) {
		sign_on();
		return;
	}
	munmap(at, sizeof(struct stats_board));
	run.board = NULL;
}

/* ---- saving ------------------------------------------------------------------------------------ */

static void
command_name(char *name)
{
	char text[17] = ""; /* the kernel's limit, with its end */

	prctl(PR_GET_NAME, text);
	stats_set_name(name, text);
}

/* The program's name, not the thread's: /proc/self/comm is the main thread's. */
static void
describe(struct stats_process *p, const char *state)
{
	char text[STATS_NAME];
	int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n > 1) {
		text[n - 1] = '\0'; /* was the newline */
		stats_set_name(p->command, text);
	} else
		command_name(p->command);
	stats_set_name(p->state, state);
	p->pid = (uint64_t)run.pid;
	p->time = (uint64_t)time(NULL);
}

/* Between the collector and the JSON: relative counters, and the totals for the board. */
struct saving {
	struct stats_baseline visit;
	struct stats_json out;
	struct stats_totals totals;
};

static void
saving_record(void *arg, enum stats_section s, const void *record)
{
	struct saving *sv = arg;

	if (s == STATS_TOTALS)
		sv->totals = *(const struct stats_totals *)record;
	stats_json_record(&sv->out, s, record);
}

static bool
snapshot(struct stats_collector *c, struct saving *sv, struct buffer *b)
{
	struct stats_visitor out = { stats_baseline_record, &sv->visit };

	sv->visit.next = (struct stats_visitor){ saving_record, sv };
	stats_json_start(&sv->out, c->sections, buffer_write, b);
	if (stats_collect(c, &out) != NULL)
		return (false);
	stats_json_end(&sv->out);
	return (b->text != NULL);
}

static void
append(const char *path, const struct buffer *b)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		return;
	while (write(fd, b->text, b->len) < 0 && errno == EINTR)
		;
	close(fd);
}

static void
save(const char *path, const char *state)
{
	size_t cpus = COOPER_MAXCPU * sizeof(struct stats_cpu);
	struct buffer b = { .size = (size_t)128 << 10 };
	struct saving sv = { 0 };
	char probe;
	struct stats_collector c = { .peek = stats_peek_pid,
		.peek_arg = &run.pid,
		.resident = stats_resident_pid,
		.root = (uintptr_t)&cooper_stats_root,
		.now = machine_now(),
		.max_tags = MAX_TAGS,
		.sections = STATS_ALL };

	if (run.pid == 0)
		run.pid = getpid();
	if (run.pid != getpid())
		return;
	if (!stats_peek_pid(&run.pid, c.root, &probe, sizeof(probe)))
		c.peek = stats_peek_self; /* not allowed here, not even for ourselves */
	sv.visit = stats_baseline_start();
	c.cpus = mmap(NULL, cpus, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	b.text = mmap(NULL, b.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c.cpus == MAP_FAILED)
		c.cpus = NULL;
	if (b.text == MAP_FAILED)
		b.text = NULL;
	describe(&c.process, state);
	if (snapshot(&c, &sv, &b))
		append(path, &b);
	if (run.board != NULL) {
		atomic_add_relaxed(&run.board->allocs, sv.totals.allocs);
		atomic_add_relaxed(&run.board->passes, sv.totals.passes);
		atomic_add_relaxed(&run.board->sleeps, sv.totals.sleeps);
	}
	if (b.text != NULL)
		munmap(b.text, b.size);
	if (c.cpus != NULL)
		munmap(c.cpus, cpus);
}

void
stats_save(const char *path)
{
	int saved = errno;

	save(path, "exit");
	if (run.board != NULL && run.pid == getpid()) {
		atomic_add_relaxed(&run.board->ended, 1);
		if (run.slot != NULL) {
			atomic_store_relaxed(&run.slot->root, 0);
			atomic_store_release(&run.slot->pid, 0);
		}
		run.board = NULL;
	}
	errno = saved;
}

void
stats_save_exec(const char *path)
{
	int saved = errno;

	save(path, "exec");
	errno = saved;
}

void
stats_run_fork_child(void)
{
	struct stats_baseline visit = stats_baseline_start();
	struct stats_visitor out = { stats_baseline_record, &visit };
	struct stats_collector c = { .peek = stats_peek_self,
		.root = (uintptr_t)&cooper_stats_root,
		.sections = STATS_ALL & ~(STATS_BIT(CPUS) | STATS_BIT(WAITS)) };
	int saved = errno;

	run.pid = getpid();
	stats_collect(&c, &out); /* alone in this process: memory cannot change under us */
	if (run.board != NULL)
		sign_on();
	errno = saved;
}
