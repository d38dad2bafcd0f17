/*
 * Work shared out among processes: each takes the next unit, and sends back what came of it as a
 * line of JSON through a pipe of its own. The core's memory belongs to a process, so none of it may
 * have been touched before the fork.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lab/cli/cli.h"

struct worker {
	pid_t pid;
	int fd; /* -1: it has ended */
	char *line;
	size_t len, room;
};

/* Shared among the processes. */
struct shared {
	unsigned next;   /* unit */
	unsigned unit[]; /* + 1, which each worker is at */
};

unsigned
pool_cpus(void)
{
	cpu_set_t set;

	return (sched_getaffinity(0, sizeof(set), &set) != 0 ? 1 : (unsigned)CPU_COUNT(&set));
}

/* ---- a worker ------------------------------------------------------------------------------------------ */

static void
send_line(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			_exit(STATUS_FAILED);
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
}

NORETURN static void
worker_main(const struct pool *p, struct shared *shared, unsigned which, int fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (p->stop != NULL) /* which the parent sees to: units that were begun are finished */
		signal(SIGINT, SIG_IGN);
	for (;;) {
		unsigned unit = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED);
		json_t *line;
		char *text;

		if (unit >= p->units)
			break;
		shared->unit[which] = unit + 1;
		line = json_pack("{s:i, s:o}", "unit", (int)unit, "what", p->work(p->arg, unit));
		text = line == NULL ? NULL : json_dumps(line, JSON_COMPACT);
		if (text == NULL)
			_exit(STATUS_FAILED);
		send_line(fd, text, strlen(text));
		send_line(fd, "\n", 1);
		free(text);
		json_decref(line);
	}
	_exit(STATUS_HELD);
}

/* ---- the parent ----------------------------------------------------------------------------------------- */

static void
take_line(const struct pool *p, char *text)
{
	json_t *line = json_loads(text, 0, NULL), *what = NULL;
	int unit = -1;

	if (line == NULL || json_unpack(line, "{s:i, s:o}", "unit", &unit, "what", &what) != 0 ||
	    unit < 0 || (unsigned)unit >= p->units)
		fail("a worker sent what is no result: %.60s", text);
	p->done(p->arg, (unsigned)unit, what);
	json_decref(line);
}

static void
take_lines(const struct pool *p, struct worker *w)
{
	char *start = w->line, *end;

	while ((end = memchr(start, '\n', w->len - (size_t)(start - w->line))) != NULL) {
		*end = '\0';
		take_line(p, start);
		start = end + 1;
	}
	w->len -= (size_t)(start - w->line);
	memmove(w->line, start, w->len);
}

static void
bury(const struct pool *p, struct worker *w, unsigned unit)
{
	int status;

	close(w->fd);
	w->fd = -1;
	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status) && unit > 0)
		fail("a worker died of signal %d (%s) at %s", WTERMSIG(status),
		    strsignal(WTERMSIG(status)), p->name(p->arg, unit - 1));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != STATUS_HELD || w->len > 0)
		fail("a worker gave up at %s", unit > 0 ? p->name(p->arg, unit - 1) : "its start");
}

static void
listen_to(const struct pool *p, struct worker *w, unsigned unit)
{
	ssize_t n;

	if (w->room - w->len < 65536)
		w->line = xrealloc(w->line, w->room += 1 << 17);
	n = read(w->fd, w->line + w->len, w->room - w->len);
	if (n > 0) {
		w->len += (size_t)n;
		take_lines(p, w);
	} else if (n == 0 || errno != EINTR)
		bury(p, w, unit);
}

static void
start(const struct pool *p, struct shared *shared, struct worker *w, unsigned which)
{
	int fds[2];

	fflush(NULL);
	if (pipe2(fds, O_CLOEXEC) != 0 || (w->pid = fork()) < 0)
		fail("cannot start a worker: %s", strerror(errno));
	if (w->pid == 0)
		worker_main(p, shared, which, fds[1]);
	close(fds[1]);
	w->fd = fds[0];
}

void
pool_run(const struct pool *p)
{
	unsigned jobs = MIN(p->jobs, p->units), left = jobs;
	struct worker *workers = xrealloc(NULL, (jobs + 1) * sizeof(*workers));
	struct pollfd *fds = xrealloc(NULL, (jobs + 1) * sizeof(*fds));
	size_t size = sizeof(struct shared) + jobs * sizeof(unsigned);
	struct shared *shared =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		fail("has no memory to share: %s", strerror(errno));
	for (unsigned i = 0; i < jobs; i++) {
		workers[i] = (struct worker){ .fd = -1 };
		start(p, shared, &workers[i], i);
	}
	while (left > 0) {
		if (p->stop != NULL && *p->stop)
			__atomic_store_n(&shared->next, p->units, __ATOMIC_RELAXED);
		for (unsigned i = 0; i < jobs; i++)
			fds[i] = (struct pollfd){ workers[i].fd, POLLIN, 0 };
		if (poll(fds, jobs, -1) < 0) {
			if (errno != EINTR)
				fail("cannot wait for its workers: %s", strerror(errno));
			continue;
		}
		left = 0;
		for (unsigned i = 0; i < jobs; i++) {
			if (workers[i].fd >= 0 && fds[i].revents != 0)
				listen_to(p, &workers[i], shared->unit[i]);
			left += workers[i].fd >= 0;
		}
	}
	for (unsigned i = 0; i < jobs; i++)
		free(workers[i].line);
	munmap(shared, size);
	free(workers);
	free(fds);
}
