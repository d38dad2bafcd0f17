/*
 * Watching a run: the board on which its processes sign on and off, live progress, hangs, and what
 * is told at the end.
 *
 * A few times a second the slots of the board are looked through. A pid that nobody has any more
 * went without a word and is cleared away. Each living process's wait table is read, without
 * stopping it; a sleep that has lasted longer than a hang may is told once.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/atomic.h"
#include "stats/posix/board.h"
#include "stats/posix/save.h"
#include "tool.h"

#define SECOND     UINT64_C(1000000000)
#define LOOK_EVERY SECOND       /* for the dead and the sleeping */
#define SHOW_EVERY (SECOND / 2) /* on a terminal */
#define SAY_EVERY  (5 * SECOND) /* in a log */

struct hang {
	uint64_t pid, thread, since; /* since: rounded, so that it is told once */
	char channel[STATS_NAME];
};

struct watch {
	struct stats_board *board;
	char *board_path;
	char *stats_path;
	int lock;       /* the board's file */
	bool temporary; /* the statistics file is ours */
	bool terminal;  /* progress rewrites its line */
	bool line_open; /* there is such a line */
	uint64_t started, looked, shown, hang_ns;
	struct hang *hangs;
	size_t nhangs;
	pid_t pid; /* being looked at */
	uint64_t now;
};

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec);
}

/* ---- start ------------------------------------------------------------------------------------- */

/* Refuse to write over anything but statistics; nothing has been changed when it refuses. */
static void
check_stats_file(const char *path)
{
	char head[32];
	struct stat st;
	ssize_t n;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0 || fstat(fd, &st) != 0)
		refuse("run: --stats %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		refuse("run: --stats %s: it is not a regular file", path);
	n = read(fd, head, sizeof(head));
	close(fd);
	if (n < 0 || (n > 0 && !read_is_stats(head, (size_t)n)))
		refuse(
		    "run: --stats %s: it exists and is not a statistics file; a new file or one of "
		    "an earlier run is accepted",
		    path);
}

/*
 * The board, emptied of what a runner that was killed may have left in it. Its lock, held until the
 * end, keeps other runs away from the same file.
 */
static struct stats_board *
make_board(const char *path, int *lock)
{
	struct stats_board *board;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *at = MAP_FAILED;

	if (fd < 0)
		refuse("run: %s cannot be made: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		refuse("run: %s is locked: another run is saving its statistics there", path);
	if (ftruncate(fd, 0) == 0 && ftruncate(fd, sizeof(*board)) == 0)
		at = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		unlink(path);
		refuse("run: %s cannot be made: %s", path, strerror(errno));
	}
	board = at;
	board->magic = STATS_BOARD_MAGIC;
	*lock = fd;
	return (board);
}

static void
make_stats_file(const struct watch *w)
{
	int fd = open(w->stats_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (fd < 0) {
		unlink(w->board_path);
		refuse("run: --stats %s: %s", w->stats_path, strerror(errno));
	}
	close(fd);
}

static char *
temporary_name(void)
{
	const char *dir = getenv("TMPDIR");
	char *path = xprintf("%s/cooper-run.XXXXXX", dir == NULL || dir[0] != '/' ? "/tmp" : dir);
	int fd = mkstemp(path);

	if (fd < 0)
		refuse("run: %s cannot be made: %s", path, strerror(errno));
	close(fd);
	if (strpbrk(path, ", \t\n") != NULL) {
		unlink(path);
		refuse("run: --progress without --stats: TMPDIR must not contain commas or blanks");
	}
	return (path);
}

struct watch *
watch_start(struct run_options *o)
{
	struct watch *w;

	if (o->stats == NULL && !o->progress)
		return (NULL);
	w = xrealloc(NULL, sizeof(*w));
	memset(w, 0, sizeof(*w));
	w->temporary = o->stats == NULL;
	if (w->temporary) {
		char *words = o->words;

		o->stats = temporary_name();
		o->words = xprintf("%s%sstats=%s", words, words[0] == '\0' ? "" : ",", o->stats);
		free(words);
	} else
		check_stats_file(o->stats);
	w->stats_path = o->stats;
	w->board_path = xprintf("%s" STATS_BOARD_SUFFIX, o->stats);
	w->board = make_board(w->board_path, &w->lock);
	make_stats_file(w);
	w->terminal = isatty(STDERR_FILENO);
	w->hang_ns = o->hang * SECOND;
	w->started = w->shown = now_ns();
	return (w);
}

/* ---- hangs ------------------------------------------------------------------------------------- */

static void
close_line(struct watch *w)
{
	if (w->line_open)
		fputc('\n', stderr);
	w->line_open = false;
}

static bool
already_told(const struct watch *w, const struct hang *h)
{
	for (size_t i = 0; i < w->nhangs; i++)
		if (memcmp(&w->hangs[i], h, sizeof(*h)) == 0)
			return (true);
	return (false);
}

static void
see_wait(void *arg, enum stats_section s, const void *record)
{
	struct watch *w = arg;
	const struct stats_wait *wait = record;
	struct hang h;

	if (s != STATS_WAITS || wait->age_ns < w->hang_ns ||
	    strcmp(wait->channel, IDLE_CHANNEL) == 0)
		return;
	memset(&h, 0, sizeof(h));
	h.pid = (uint64_t)w->pid;
	h.thread = wait->thread;
	h.since = (w->now - wait->age_ns) / SECOND;
	stats_set_name(h.channel, wait->channel);
	if (already_told(w, &h))
		return;
	w->hangs = xrealloc(w->hangs, (w->nhangs + 1) * sizeof(h));
	w->hangs[w->nhangs++] = h;
	close_line(w);
	fprintf(stderr,
	    "run: hang: process %d, thread %" PRIu64 " sleeps on %s for %" PRIu64
	    " s, needs %" PRIu64 "\n",
	    (int)w->pid, wait->thread, wait->channel, wait->age_ns / SECOND, wait->need);
}

static void
look_at(struct watch *w, struct stats_board_slot *slot)
{
	struct stats_visitor out = { see_wait, w };
	struct stats_collector c = { .peek = stats_peek_pid,
		.peek_arg = &w->pid,
		.now = w->now,
		.root = (uintptr_t)atomic_load_acquire(&slot->root),
		.sections = STATS_BIT(WAITS) };
	uint32_t pid = atomic_load_relaxed(&slot->pid);

	w->pid = (pid_t)pid;
	if (kill(w->pid, 0) != 0 && errno == ESRCH) {
		if (atomic_cas(&slot->pid, &pid, 0))
			atomic_add_relaxed(&w->board->lost, 1);
	} else if (c.root != 0 && slot->word == 8 * sizeof(void *))
		stats_collect(&c, &out);
}

static void
look_around(struct watch *w)
{
	w->now = now_ns();
	for (unsigned i = 0; i < STATS_BOARD_SLOTS; i++)
		if (atomic_load_relaxed(&w->board->slot[i].pid) != 0)
			look_at(w, &w->board->slot[i]);
}

/* ---- progress ---------------------------------------------------------------------------------- */

static void
show_progress(struct watch *w, uint64_t now)
{
	const struct stats_board *b = w->board;
	uint64_t ended = atomic_load_relaxed(&b->ended), lost = atomic_load_relaxed(&b->lost);
	uint64_t processes = atomic_load_relaxed(&b->processes);

	if (now - w->shown < (w->terminal ? SHOW_EVERY : SAY_EVERY))
		return;
	w->shown = now;
	fprintf(stderr,
	    "%s%3" PRIu64 " s: %" PRIu64 " processes, %" PRIu64 " alive; %" PRIu64
	    " allocations, %" PRIu64 " reclaim passes, %" PRIu64 " sleeps, %zu hangs%s",
	    w->terminal ? "\r\033[K" : "", (now - w->started) / SECOND, processes,
	    processes - MIN(processes, ended + lost), atomic_load_relaxed(&b->allocs),
	    atomic_load_relaxed(&b->passes), atomic_load_relaxed(&b->sleeps), w->nhangs,
	    w->terminal ? "" : "\n");
	w->line_open = w->terminal;
	fflush(stderr);
}

void
watch_tick(struct watch *w, bool show)
{
	uint64_t now = now_ns();

	if (now - w->looked >= LOOK_EVERY) {
		w->looked = now;
		look_around(w);
	}
	if (show)
		show_progress(w, now);
}

/* ---- the end ----------------------------------------------------------------------------------- */

static void
report(struct watch *w)
{
	const struct stats_board *b = w->board;
	struct merged m = { 0 };
	const char *why;

	close_line(w);
	if (!read_file(w->stats_path, &m, &why))
		fprintf(stderr, "cooper: run: %s: %s\n", w->stats_path, why);
	if (m.images > 0) {
		report_tables(&m,
		    STATS_BIT(ZONES) | STATS_BIT(ARENAS) | STATS_BIT(CHANNELS) | STATS_BIT(WAITS) |
			STATS_BIT(DAMAGE),
		    false, stdout);
	}
	if (b->lost != 0)
		printf("\n%" PRIu64 " processes were killed and left no statistics\n", b->lost);
	if (b->crowded != 0)
		printf("\n%" PRIu64 " processes found no place on the board and were not watched\n",
		    b->crowded);
	printf("\nrun: %" PRIu64 " processes, %" PRIu64 " allocations, %" PRIu64
	       " reclaim passes, %" PRIu64 " sleeps, %zu hangs\n",
	    b->processes, b->allocs, b->passes, b->sleeps, w->nhangs);
	fflush(stdout);
	merged_free(&m);
}

void
watch_end(struct watch *w, bool show)
{
	look_around(w);
	if (show)
		report(w);
	unlink(w->board_path);
	if (w->temporary)
		unlink(w->stats_path);
	munmap(w->board, sizeof(*w->board));
	close(w->lock);
	free(w->hangs);
	free(w->board_path);
	free(w);
}
