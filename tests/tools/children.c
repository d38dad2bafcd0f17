/*
 * A run with every kind of end: children that return, _exit, are killed, exec, and fail to exec.
 * argv[1] is how many of each; argv[2] a program to exec.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void
child(int kind, char *program)
{
	char *arguments[] = { program, NULL };
	char *missing[] = { "/nonexistent/program", NULL };
	void *volatile p;

	for (int i = 0; i < 1000; i++) {
		p = malloc(100);
		free(p);
	}
	switch (kind) {
	case 0:
		exit(0);
	case 1:
		_exit(0);
	case 2:
		raise(SIGKILL);
		break;
	case 3:
		execv(program, arguments);
		_exit(1);
	default:
		execv(missing[0], missing);
		exit(0);
	}
}

int
main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[1]) : 0;

	for (int i = 0; i < 5 * n; i++) {
		pid_t pid = fork();

		if (pid == 0)
			child(i % 5, argv[2]);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			return (1);
	}
	puts("done");
	return (0);
}
