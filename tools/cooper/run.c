/*
 * cooper run: check all that can be checked, then start the command with the library preloaded, stay
 * with it, and end as it ends.
 *
 * The command is in our process group, so what the terminal sends reaches it by itself; what is sent
 * to us by a process is passed on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tool.h"

#define TICK 200 /* ms between looks at the run */

static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM,
	SIGCONT, SIGWINCH };

static void
set_environment(const struct run_options *o, char *library)
{
	const char *others = getenv("LD_PRELOAD");
	char *preload =
	    others == NULL || others[0] == '\0' ? library : xprintf("%s:%s", library, others);

	if (setenv("LD_PRELOAD", preload, 1) != 0 || setenv("COOPER_OPTIONS", o->words, 1) != 0)
		refuse("out of memory");
}

/* Block what is to be passed on, and SIGCHLD; a descriptor that tells of them. */
static int
watch_signals(sigset_t *old)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < nitems(passed_on); i++)
		sigaddset(&set, passed_on[i]);
	if (sigprocmask(SIG_BLOCK, &set, old) != 0 ||
	    (fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
		refuse("run: signals cannot be watched: %s", strerror(errno));
	return (fd);
}

static void
pass_on(int signals, pid_t child)
{
	struct signalfd_siginfo si;

	while (read(signals, &si, sizeof(si)) == (ssize_t)sizeof(si))
		if (si.ssi_signo != SIGCHLD && si.ssi_code <= 0)
			kill(child, (int)si.ssi_signo);
}

/* Until the child has ended; its wait status. */
static int
stay_with(pid_t child, int signals, struct watch *w, bool show)
{
	struct pollfd p = { .fd = signals, .events = POLLIN };
	int status;
	pid_t got;

	for (;;) {
		got = waitpid(child, &status, WNOHANG);
		if (got == child)
			return (status);
		if (got < 0 && errno != EINTR)
			refuse("run: the command is lost: %s", strerror(errno));
		poll(&p, 1, w == NULL ? -1 : TICK);
		pass_on(signals, child);
		if (w != NULL)
			watch_tick(w, show);
	}
}

static NORETURN void
become(const char *program, char **command, const sigset_t *mask)
{
	sigprocmask(SIG_SETMASK, mask, NULL);
	execv(program, command);
	fprintf(stderr, "cooper: run: %s cannot be executed: %s\n", program, strerror(errno));
	_exit(STATUS_NOT_RUN);
}

int
run(int argc, char **argv)
{
	struct run_options o;
	struct watch *w;
	sigset_t mask;
	char *program, *library;
	int signals, status;
	pid_t child;

	run_options(argc, argv, &o);
	program = program_find(o.command[0]);
	program_check(program);
	library = preload_library();
	w = watch_start(&o);
	set_environment(&o, library);
	signals = watch_signals(&mask);
	fflush(NULL);
	child = fork();
	if (child < 0)
		refuse("run: no process can be started: %s", strerror(errno));
	if (child == 0)
		become(program, o.command, &mask);
	status = stay_with(child, signals, w, o.progress);
	if (w != NULL)
		watch_end(w, o.progress);
	return (WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}
